/**
 * `predict` where the GPU fails on the way: tried again in smaller pieces, then exit 1 and nothing half-written, or, with --allow_cpu,
 * finished on the CPU.
 */
import { fromFileUrl, join } from "../../core/base/path.ts";
import { readLabels } from "../../core/formats/image/read_image.ts";
import { main } from "../../cli/main.ts";
import { assert, assertEquals } from "../assert.ts";
import { captureOutput, useGpuCache } from "./gpu_cache.ts";
import { ignore } from "../without_gpu.ts";

const ROOT = fromFileUrl(new URL("../golden/models", import.meta.url));

/** Predicts two slices on the GPU, which counts as tested. */
async function predict(output: string, flags: readonly string[]): Promise<{ code: number; text: string }> {
  await using _cache = await useGpuCache();
  const images = join(ROOT, "images", "slices_2d");
  const model = join(ROOT, "models", "slices_2d");
  const fold = [...Deno.readDirSync(model)].find(({ name }) => name.startsWith("fold_"))?.name.slice(5) ?? "0";
  using captured = captureOutput();
  const code = await main(
    ["predict_from_modelfolder", "-i", images, "-o", output, "-m", model, "-f", fold, "--disable_tta"]
      .concat(["-device", "gpu", "--allow_software_gpu", "--precision", "f32"], flags),
  );
  return { code, text: captured.text };
}

/** The first `count` devices that are opened from now on are destroyed a moment after their third submission. */
function loseDevices(count: number): Disposable {
  const { requestDevice } = GPUAdapter.prototype;
  const { submit } = GPUQueue.prototype;
  let left = count;
  GPUAdapter.prototype.requestDevice = async function (descriptor) {
    const device = await requestDevice.call(this, descriptor);
    if (left-- <= 0) return device;
    let submissions = 0;
    GPUQueue.prototype.submit = function (buffers) {
      submit.call(this, buffers);
      if (this === device.queue && ++submissions === 3) setTimeout(() => device.destroy());
    };
    return device;
  };
  return {
    [Symbol.dispose]() {
      GPUAdapter.prototype.requestDevice = requestDevice;
      GPUQueue.prototype.submit = submit;
    },
  };
}

/** From now on devices have no memory for activations of more than so many bytes. */
function lackMemory(bytes: number): Disposable {
  const { createBuffer, popErrorScope } = GPUDevice.prototype;
  let lacking = false;
  GPUDevice.prototype.createBuffer = function (descriptor) {
    lacking = descriptor.label === "the network's activations" && descriptor.size > bytes;
    return createBuffer.call(this, descriptor);
  };
  GPUDevice.prototype.popErrorScope = async function () {
    const [lacks, error] = [lacking, popErrorScope.call(this)];
    lacking = false;
    return await error ?? (lacks ? new GPUOutOfMemoryError("no memory left") : null);
  };
  return {
    [Symbol.dispose]() {
      GPUDevice.prototype.createBuffer = createBuffer;
      GPUDevice.prototype.popErrorScope = popErrorScope;
    },
  };
}

Deno.test({ name: "without --allow_cpu a lost GPU is exit code 1, and no case is half-written", ignore }, async () => {
  const output = await Deno.makeTempDir();
  try {
    const report = join(output, "report.json");
    using _gpu = loseDevices(Infinity);
    assertEquals((await predict(output, ["--report", report])).code, 1);
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
    using _gpu = loseDevices(Infinity);
    const { code, text } = await predict(output, ["--allow_cpu", "--report", report]);
    assertEquals(code, 0);
    const { failed, cases, overrides, warnings, engine } = JSON.parse(await Deno.readTextFile(report));
    assertEquals([failed, engine.kind], [[], "cpu"]);
    assertEquals(warnings.filter((line: string) => line.includes("the CPU goes on (--allow_cpu)")).length, 1);
    assert(text.includes("warning: the GPU failed, the CPU goes on (--allow_cpu): "), text);
    assert(overrides[0].flag === "--allow_cpu" && overrides[0].what.includes("device was lost"));
    for (const { output: file } of cases) {
      const labels = await readLabels("SimpleITKIO", file);
      assert(labels.labels.data.some((label: number) => label !== 0), `${file} holds labels`);
    }
  } finally {
    await Deno.remove(output, { recursive: true });
  }
});

Deno.test({ name: "a GPU that is lost once is opened again, and the case done on it", ignore }, async () => {
  const output = await Deno.makeTempDir();
  try {
    const report = join(output, "report.json");
    using _gpu = loseDevices(1);
    const { code, text } = await predict(output, ["--report", report]);
    assertEquals(code, 0, text);
    const { failed, cases, engine, warnings } = JSON.parse(await Deno.readTextFile(report));
    assertEquals([failed, engine.kind, warnings.length], [[], "gpu", 1]);
    assert(warnings[0].includes("tried again, in smaller pieces") && warnings[0].includes("the device was lost"));
    assert(cases.length >= 2);
  } finally {
    await Deno.remove(output, { recursive: true });
  }
});

Deno.test(
  { name: "without memory for a batch a case is done in smaller ones, with the same labels", ignore },
  async () => {
    const output = await Deno.makeTempDir();
    try {
      const run = async (name: string) => {
        const report = join(output, `${name}.json`);
        const { code, text } = await predict(join(output, name), ["--report", report]);
        assertEquals(code, 0, text);
        return JSON.parse(await Deno.readTextFile(report));
      };
      const usual = await run("usual");
      const batch: number = usual.cases[0].batch;
      assert(batch > 1);
      // What one sample's largest array takes, and not that of a whole batch.
      using _gpu = lackMemory(2 ** 20);
      const small = await run("small");
      assert(small.cases[0].batch < batch, `batches of ${small.cases[0].batch}, ${batch} before`);
      assert(small.warnings.some((line: string) => line.includes("smaller pieces") && line.includes("activations")));
      assertEquals(small.engine.kind, "gpu");
      for (const { id, output: file } of small.cases) {
        const wanted = usual.cases.find((one: { id: string }) => one.id === id);
        assertEquals(await Deno.readFile(file), await Deno.readFile(wanted.output));
      }
    } finally {
      await Deno.remove(output, { recursive: true });
    }
  },
);
