/** Commands on the GPU for tests: their findings about the GPU are kept in a folder of the test's own. */
import { main } from "../../cli/main.ts";
import { fromFileUrl, join } from "../../core/base/path.ts";
import { recordOf } from "../../cli/engines/gpu_start.ts";
import type { GpuRecord } from "../../cli/engines/gpu_record.ts";
import { factsOf, requestAdapter } from "../../gpu/adapter.ts";

export interface GpuCache extends AsyncDisposable {
  readonly folder: string;
  /** What is kept by now. */
  record(): Promise<GpuRecord>;
}

/** A cache folder for commands run from now on. `tested`: the GPU counts as tested, which saves its self-test. */
export async function useGpuCache(tested = true): Promise<GpuCache> {
  const folder = await Deno.makeTempDir();
  const before = Deno.env.get("NNUNET_CACHE");
  Deno.env.set("NNUNET_CACHE", folder);
  const record = async () => {
    const adapter = await requestAdapter();
    if (!adapter) throw new Error("there is no adapter");
    return await recordOf(factsOf(adapter));
  };
  if (tested) await (await record()).add({ selfTest: { passed: true, when: "in another test" } });
  return {
    folder,
    record,
    async [Symbol.asyncDispose]() {
      if (before === undefined) Deno.env.delete("NNUNET_CACHE");
      else Deno.env.set("NNUNET_CACHE", before);
      await Deno.remove(folder, { recursive: true });
    },
  };
}

/** Changes the text of kernels that are compiled from now on, as a driver that miscompiles them would. */
export function miscompile(change: (code: string, label: string) => string): Disposable {
  const { createShaderModule } = GPUDevice.prototype;
  GPUDevice.prototype.createShaderModule = function (descriptor) {
    return createShaderModule.call(this, { ...descriptor, code: change(descriptor.code, descriptor.label ?? "") });
  };
  return { [Symbol.dispose]: () => void (GPUDevice.prototype.createShaderModule = createShaderModule) };
}

/** Lets kernels fail as a driver does that does not take them: Vulkan says so, and wgpu gives the whole device up. */
export function refuseKernels(match: (label: string) => boolean): Disposable & { readonly refused: readonly string[] } {
  const { createComputePipelineAsync, createComputePipeline } = GPUDevice.prototype;
  const refused: string[] = [];
  const refuse = (device: GPUDevice, label = "") => {
    if (!match(label)) return;
    refused.push(label);
    device.destroy();
  };
  GPUDevice.prototype.createComputePipelineAsync = function (descriptor) {
    refuse(this, descriptor.label);
    return createComputePipelineAsync.call(this, descriptor);
  };
  GPUDevice.prototype.createComputePipeline = function (descriptor) {
    refuse(this, descriptor.label);
    return createComputePipeline.call(this, descriptor);
  };
  return {
    refused,
    [Symbol.dispose]: () =>
      void Object.assign(GPUDevice.prototype, { createComputePipelineAsync, createComputePipeline }),
  };
}

/** What is written to stdout and stderr until it is disposed. */
export function captureOutput(): Disposable & { readonly text: string } {
  const streams = [Deno.stdout, Deno.stderr];
  const writers = streams.map((stream) => stream.writeSync);
  let text = "";
  for (const stream of streams) {
    stream.writeSync = (bytes) => {
      text += new TextDecoder().decode(bytes);
      return bytes.length;
    };
  }
  return {
    get text() {
      return text;
    },
    [Symbol.dispose]: () => streams.forEach((stream, i) => stream.writeSync = writers[i]),
  };
}

const MODELS = fromFileUrl(new URL("../golden/models", import.meta.url));

/** Predicts two slices with a small model by the command, on the software adapter too. */
export async function predictSlices(...flags: string[]) {
  const folder = await Deno.makeTempDir();
  try {
    const report = join(folder, "report.json");
    using output = captureOutput();
    const code = await main([
      ...["predict_from_modelfolder", "-i", join(MODELS, "images", "slices_2d")],
      ...["-m", join(MODELS, "models", "slices_2d")],
      ...["-o", join(folder, "out"), "-f", "0", "--disable_tta", "--allow_software_gpu", "--report", report, ...flags],
    ]);
    return { code, text: output.text, report: JSON.parse(await Deno.readTextFile(report)) };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
