/** The file of what was found out about a GPU: kept, merged, and left aside with one line where it does not hold. */
import { type GpuIdentity, openGpuRecord } from "../../cli/engines/gpu_record.ts";
import { kernelChecksum } from "../../gpu/kernel_checksum.ts";
import { assert, assertEquals } from "../assert.ts";

const GPU: GpuIdentity = { adapter: "Made GPU 9000", driver: "libmade.so.1", kernels: "k1" };
const CONVOLUTIONS = { "conv a": { candidate: "direct 8x32x16", milliseconds: 1.5 } };

async function withFolder(run: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await run(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("findings are kept and added to, also those of another process", () =>
  withFolder(async (folder) => {
    const [one, other] = [await openGpuRecord(GPU, folder), await openGpuRecord(GPU, folder)];
    assertEquals(one.findings, { precision: {}, models: {}, convolutions: {}, refused: {} });
    assertEquals(await one.add({ convolutions: CONVOLUTIONS }), undefined);
    assertEquals(await other.add({ precision: { m: { precision: "f16", why: "so" } } }), undefined);
    await other.add({ selfTest: { passed: true, when: "now" } });
    await other.add({ models: { "m f16": { passed: true, why: "alike" } } });
    await one.add({ refused: { k: { name: "norm table", why: "device lost" } } });
    const { findings, ignored } = await openGpuRecord(GPU, folder);
    assertEquals(ignored, undefined);
    assertEquals(findings, {
      selfTest: { passed: true, when: "now" },
      precision: { m: { precision: "f16", why: "so" } },
      models: { "m f16": { passed: true, why: "alike" } },
      convolutions: CONVOLUTIONS,
      refused: { k: { name: "norm table", why: "device lost" } },
    });
    assertEquals([...Deno.readDirSync(folder)].length, 1);
  }));

Deno.test("a file that is damaged or of other kernels is left aside with one line, and replaced", () =>
  withFolder(async (folder) => {
    const { path = "", add } = await openGpuRecord(GPU, folder);
    await add({ convolutions: CONVOLUTIONS });
    const whole = await Deno.readTextFile(path);
    const spoiled = {
      damaged: [
        whole.slice(0, -20),
        "",
        "null",
        "[]",
        whole.replace("1.5", '"fast"'),
        whole.replace('"version": 2', '"version": 7'),
      ],
      "an earlier version": [whole.replace('"version": 2', '"version": 1')],
      "other kernels": [whole.replace('"k1"', '"k0"')],
      "another GPU": [whole.replace("9000", "8000"), whole.replace("libmade.so.1", "libmade.so.2")],
    };
    for (const [problem, texts] of Object.entries(spoiled)) {
      for (const text of texts) {
        assert(text !== whole);
        await Deno.writeTextFile(path, text);
        const { findings, ignored, add } = await openGpuRecord(GPU, folder);
        assertEquals(findings, { precision: {}, models: {}, convolutions: {}, refused: {} });
        assert(
          ignored?.includes(problem) && ignored.includes(path) && !ignored.includes("\n"),
          `${problem}: ${ignored}`,
        );
        await add({ selfTest: { passed: true, when: "now" } });
        assertEquals((await openGpuRecord(GPU, folder)).findings.convolutions, {});
      }
    }
  }));

Deno.test("another driver has a file of its own; a folder that cannot be written to is told, and no error", () =>
  withFolder(async (folder) => {
    const one = await openGpuRecord(GPU, folder);
    const other = await openGpuRecord({ ...GPU, driver: "libmade.so.2" }, folder);
    assert(one.path !== other.path && one.path?.includes("made-gpu-9000"));
    const file = `${folder}/file`;
    await Deno.writeTextFile(file, "");
    const nowhere = await openGpuRecord(GPU, file);
    assert((await nowhere.add({ convolutions: CONVOLUTIONS }))?.includes(file));
    // What was found still serves this run.
    assertEquals(nowhere.findings.convolutions, CONVOLUTIONS);
  }));

Deno.test("the checksum of the kernels is the same whenever it is made", async () => {
  const sum = await kernelChecksum();
  assert(/^[0-9a-f]{64}$/.test(sum));
  assertEquals(await kernelChecksum(), sum);
});
