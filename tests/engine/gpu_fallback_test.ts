/** `predict` where the GPU is lost on the way: exit 1 and nothing half-written, or, with --allow_cpu, finished on the CPU. */
import { fromFileUrl, join } from "../../core/base/path.ts";
import { readLabels } from "../../core/formats/read_image.ts";
import { main } from "../../cli/main.ts";
import { requestAdapter } from "../../gpu/adapter.ts";
import { assert, assertEquals } from "../assert.ts";

const ROOT = fromFileUrl(new URL("../golden/models", import.meta.url));
const ignore = Deno.env.get("NNUNET_TEST_GPU") !== "required" && await requestAdapter() === null;

/** Runs the program; the GPU device that it opens is destroyed after its third submission. */
async function predictAndLoseDevice(output: string, flags: readonly string[]): Promise<number> {
  const { requestDevice } = GPUAdapter.prototype;
  const { submit } = GPUQueue.prototype;
  try {
    GPUAdapter.prototype.requestDevice = async function (descriptor) {
      const device = await requestDevice.call(this, descriptor);
      let submissions = 0;
      GPUQueue.prototype.submit = function (buffers) {
        submit.call(this, buffers);
        if (this === device.queue && ++submissions === 3) device.destroy();
      };
      return device;
    };
    const images = join(ROOT, "images", "slices_2d");
    const model = join(ROOT, "models", "slices_2d");
    const fold = [...Deno.readDirSync(model)].find(({ name }) => name.startsWith("fold_"))?.name.slice(5) ?? "0";
    return await main(
      ["predict_from_modelfolder", "-i", images, "-o", output, "-m", model, "-f", fold, "--disable_tta", "--quiet"]
        .concat(["-device", "gpu", "--allow_software_gpu"], flags),
    );
  } finally {
    GPUAdapter.prototype.requestDevice = requestDevice;
    GPUQueue.prototype.submit = submit;
  }
}

Deno.test({ name: "without --allow_cpu a lost GPU is exit code 1, and no case is half-written", ignore }, async () => {
  const output = await Deno.makeTempDir();
  try {
    const report = join(output, "report.json");
    assertEquals(await predictAndLoseDevice(output, ["--report", report]), 1);
    const { failed } = JSON.parse(await Deno.readTextFile(report));
    assert(failed.length > 0 && failed.every(({ message }: { message: string }) => /device was lost/.test(message)));
    const images = [...Deno.readDirSync(output)].filter(({ name }) => name.includes(failed[0].id));
    assertEquals(images, []);
  } finally {
    await Deno.remove(output, { recursive: true });
  }
});

Deno.test({ name: "with --allow_cpu the cases that a lost GPU left are done on the CPU", ignore }, async () => {
  const output = await Deno.makeTempDir();
  try {
    const report = join(output, "report.json");
    assertEquals(await predictAndLoseDevice(output, ["--allow_cpu", "--report", report]), 0);
    const { failed, cases, overrides } = JSON.parse(await Deno.readTextFile(report));
    assertEquals(failed, []);
    assert(overrides[0].flag === "--allow_cpu" && overrides[0].what.includes("device was lost"));
    for (const { output: file } of cases) {
      const labels = await readLabels("SimpleITKIO", file);
      assert(labels.labels.data.some((label: number) => label !== 0), `${file} holds labels`);
    }
  } finally {
    await Deno.remove(output, { recursive: true });
  }
});
