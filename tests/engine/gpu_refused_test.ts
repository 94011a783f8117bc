/** Kernels that a driver does not take: layers are computed another way, and what cannot be is done on the CPU, or named. */
import type { Vec3 } from "../../core/base/shape.ts";
import { UserError } from "../../core/base/errors.ts";
import { main } from "../../cli/main.ts";
import { ENGINE_CASES } from "../../core/cases/cases.ts";
import { prepareNetwork } from "../../core/cases/networks.ts";
import type { Graph } from "../../core/graph/graph.ts";
import { createGpuEngine, type GpuEngine } from "../../gpu/engine.ts";
import { assert, assertClose, assertEquals, assertFails, TOLERANCE } from "../assert.ts";
import { captureOutput, type GpuCache, miscompile, predictSlices, refuseKernels, useGpuCache } from "./gpu_cache.ts";
import { ignore } from "../without_gpu.ts";

const PATCH: Vec3 = [8, 12, 12];
const GRAPH: Graph = {
  nodes: [
    { kind: "input", channels: 1 },
    { kind: "conv", input: 0, channels: 8, kernel: [3, 3, 3], stride: [1, 1, 1], weight: "a.weight", bias: "a.bias" },
  ],
  outputs: [1],
};

async function forward(engine: GpuEngine) {
  using prepared = await prepareNetwork(engine, { graph: GRAPH, patch: PATCH, batch: 1 }, "f32");
  const { program } = prepared;
  prepared.run();
  return { output: await engine.downloadOutput(program, 0), algorithm: program.steps[0].algorithm };
}

Deno.test(
  { name: "a layer whose kernel the driver does not take is computed another way by the next engine", ignore },
  async () => {
    await using usual = await createGpuEngine({ allowSoftware: true });
    const wanted = await forward(usual);
    const way = wanted.algorithm.split(" ")[0];
    using driver = refuseKernels((label) => label.startsWith(way));
    const refused = new Set<string>();
    for (let tries = 0; tries < 10; tries++) {
      await using engine = await createGpuEngine({ allowSoftware: true, refused });
      if (
        refused.size > 0 &&
        !engine.forecast(GRAPH, { patch: PATCH, batch: 1, precision: "f32" }).steps[0].algorithm.startsWith(way)
      ) {
        const { output, algorithm } = await forward(engine);
        assert(!algorithm.startsWith(way), algorithm);
        assertClose(output, wanted.output, TOLERANCE.f32LongSum);
        assertEquals(driver.refused.length, refused.size);
        return;
      }
      await assertFails(
        () => forward(engine),
        UserError,
        `Compiling the GPU kernel "${way}`,
        "its driver does not take it",
      );
      assert(engine.refused !== undefined && engine.refused.name === driver.refused.at(-1));
      refused.add(engine.refused.key);
    }
    throw new Error(`still ${way} after ${driver.refused}`);
  },
);

const refusedNames = async (cache: GpuCache) =>
  Object.values((await cache.record()).findings.refused).map(({ name }) => name);

Deno.test({
  name: "a prediction goes on where the driver does not take one kernel, and the GPU's record knows it",
  ignore,
}, async () => {
  await using cache = await useGpuCache();
  let first: string | undefined;
  {
    using driver = refuseKernels((label) => label.startsWith("winograd") && (first ??= label) === label);
    const { code, text, report } = await predictSlices("-device", "gpu");
    assertEquals([code, report.engine.kind, report.failed], [0, "gpu", []], text);
    assertEquals(new Set(driver.refused), new Set(await refusedNames(cache)));
    assert(driver.refused.length > 0 && text.includes("tried again, another way"), text);
  }
  using driver = refuseKernels((label) => label === first);
  const { code, text } = await predictSlices("-device", "gpu");
  assertEquals([code, driver.refused], [0, []], text);
});

Deno.test({
  name: "where a kernel that nothing can replace is not taken, the CPU computes, or the error names it",
  ignore,
}, async (t) => {
  await using _cache = await useGpuCache();
  using _driver = refuseKernels((label) => label.startsWith("gather"));
  await t.step("-device auto: the CPU", async () => {
    const { code, text, report } = await predictSlices("-device", "auto");
    assertEquals([code, report.engine.kind, report.failed], [0, "cpu", []], text);
    assert(/the GPU failed.*"gather/s.test(text), text);
  });
  await t.step("-device gpu: an error", async () => {
    const { code, text } = await predictSlices("-device", "gpu");
    assertEquals(code, 1);
    assert(/GPU kernel "gather.*does not take it/s.test(text) && text.includes("-device cpu"), text);
  });
});

Deno.test({ name: "a GPU that is wrong with 16-bit floats alone is used without them", ignore }, async () => {
  await using cache = await useGpuCache(false);
  using _driver = miscompile((code) =>
    code.includes("enable f16") ? code.replaceAll("let bias = load_weights(", "let bias = 1.5 * load_weights(") : code
  );
  const { code, text, report } = await predictSlices("-device", "gpu", "--precision", "auto");
  assertEquals([code, report.engine.kind, report.failed], [0, "gpu", []], text);
  const { selfTest } = (await cache.record()).findings;
  assert(selfTest?.passed === true && /in f16: .* differs/.test(selfTest.halvesFailed ?? ""), JSON.stringify(selfTest));
  const asked = await predictSlices("-device", "gpu", "--precision", "f16");
  assertEquals(asked.code, 1);
  assert(asked.text.replaceAll(/\s+/g, " ").includes("computes wrong with them"), asked.text);
});

Deno.test("without a driver for Vulkan, Metal or DirectX there is no adapter, and none of OpenGL's", async () => {
  const code = `import { requestAdapter } from "${new URL("../../gpu/adapter.ts", import.meta.url)}";` +
    "console.log((await requestAdapter())?.info.description ?? 'none');";
  const file = await Deno.makeTempFile({ suffix: ".ts" });
  try {
    await Deno.writeTextFile(file, code);
    const env = { VK_DRIVER_FILES: "/none", VK_ICD_FILENAMES: "/none" };
    const { stdout, stderr } = await new Deno.Command("deno", {
      args: ["run", "--quiet", "--no-config", "--allow-env", "--allow-read", file],
      env,
    }).output();
    assertEquals(new TextDecoder().decode(stdout).trim(), "none", new TextDecoder().decode(stderr));
  } finally {
    await Deno.remove(file);
  }
});

Deno.test({
  name: "a GPU that computes wrong by one way to compute layers is used without it, as doctor finds out and tells",
  ignore,
}, async () => {
  await using cache = await useGpuCache(false);
  // As a driver that miscompiles one kind of product.
  const way = "winograd 1x4x4 16x32x16";
  using _driver = miscompile((code, label) =>
    label === "winograd product 1x4x4 16x32x16" ? code.replaceAll("] = b_0;", "] = 1.5 * b_0;") : code
  );
  {
    using output = captureOutput();
    assertEquals(await main(["doctor", "--allow_software_gpu"]), 0, output.text);
    const text = output.text.replaceAll(/\s+/g, " ");
    assert(
      text.includes(`IT COMPUTES WRONG BY "${way}" (a 2-D network in a batch of three: output 0 differs by`),
      text,
    );
  }
  const { refused, selfTest } = (await cache.record()).findings;
  assertEquals(Object.entries(refused).map(([key, { name }]) => [key, name]), [[`way ${way}`, way]]);
  assertEquals(selfTest?.passed, true);
  {
    await using engine = await createGpuEngine({ allowSoftware: true, refused: new Set(Object.keys(refused)) });
    const [one] = ENGINE_CASES.filter(({ name }) => name === "a 2-D network in a batch of three");
    assert(!one.forecast(engine, "f32").some(({ algorithm }) => algorithm.startsWith(way)));
  }
  await using untested = await useGpuCache(false);
  const { code, text, report } = await predictSlices("-device", "gpu");
  assertEquals([code, report.engine.kind, report.failed], [0, "gpu", []], text);
  assert(text.includes(`computes wrong by "${way}"; layers are computed another way`), text);
  assertEquals(Object.keys((await untested.record()).findings.refused), [`way ${way}`]);
});
