/**
 * Compiled kernels, one for every text. A kernel that is asked for while it is being compiled is not compiled twice. What does not
 * compile is shown with line and source.
 */
import type { WgslDispatch } from "../kernels/wgsl/kernel.ts";
import { roundUp } from "./buffers.ts";
import type { GpuDevice } from "./device.ts";

export interface Pipeline {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
  /** Equal for pipelines whose bind groups can be exchanged. */
  readonly layoutKey: string;
}

export interface Pipelines {
  /** Compiles beside other work. @throws Error that quotes the line that does not compile. */
  compile(kernel: WgslDispatch): Promise<Pipeline>;
  /** At once; what does not compile becomes the device's failure. */
  ready(kernel: WgslDispatch): Pipeline;
}

/** Size of a kernel's uniform block; 0 where it has none. */
export function uniformBlockBytes({ uniforms }: WgslDispatch): number {
  return roundUp((uniforms?.length ?? 0) * 4, 16);
}

export function createPipelines(gpu: GpuDevice): Pipelines {
  const { device } = gpu;
  const layouts = new Map<string, { readonly group: GPUBindGroupLayout; readonly pipeline: GPUPipelineLayout }>();
  const compiled = new Map<string, Pipeline>();
  const compiling = new Map<string, Promise<Pipeline>>();

  function layoutFor(kernel: WgslDispatch) {
    const key = layoutKeyOf(kernel);
    let layout = layouts.get(key);
    if (!layout) {
      const buffers = kernel.bindings.map(({ access }): GPUBufferBindingLayout => ({
        type: access === "read" ? "read-only-storage" : "storage",
      }));
      // With the size in the layout, it is checked once and not by every dispatch (where wgpu 29 mixes pipelines up).
      const minBindingSize = uniformBlockBytes(kernel);
      if (minBindingSize > 0) buffers.push({ type: "uniform", hasDynamicOffset: true, minBindingSize });
      const entries = buffers.map((buffer, binding) => ({ binding, visibility: GPUShaderStage.COMPUTE, buffer }));
      const group = device.createBindGroupLayout({ entries });
      layout = { group, pipeline: device.createPipelineLayout({ bindGroupLayouts: [group] }) };
      layouts.set(key, layout);
    }
    return layout;
  }

  /** Compiles; validation errors go to the scope that is open here. */
  function start(kernel: WgslDispatch) {
    const layout = layoutFor(kernel);
    device.pushErrorScope("validation");
    const module = device.createShaderModule({ label: kernel.name, code: kernel.code });
    const descriptor = { label: kernel.name, layout: layout.pipeline, compute: { module, entryPoint: "main" } };
    const finish = (pipeline: GPUComputePipeline): Pipeline => ({
      pipeline,
      layout: layout.group,
      layoutKey: layoutKeyOf(kernel),
    });
    return { module, descriptor, finish };
  }

  async function compileNow(kernel: WgslDispatch): Promise<Pipeline> {
    const { module, descriptor, finish } = start(kernel);
    const scope = device.popErrorScope();
    const made = device.createComputePipelineAsync(descriptor);
    const [error, pipeline] = await Promise.allSettled([scope, made]);
    const problem = error.status === "rejected" ? error.reason : error.value;
    if (pipeline.status === "rejected" || problem) {
      gpu.check();
      throw await explain(kernel, module, problem ?? (pipeline.status === "rejected" ? pipeline.reason : problem));
    }
    const ready = finish(pipeline.value);
    compiled.set(keyOf(kernel), ready);
    return ready;
  }

  return {
    compile(kernel) {
      const key = keyOf(kernel);
      const known = compiled.get(key);
      if (known) return Promise.resolve(known);
      let promise = compiling.get(key);
      if (!promise) {
        promise = compileNow(kernel).finally(() => compiling.delete(key));
        compiling.set(key, promise);
      }
      return promise;
    },
    ready(kernel) {
      const key = keyOf(kernel);
      const known = compiled.get(key);
      if (known) return known;
      const { module, descriptor, finish } = start(kernel);
      const pipeline = finish(device.createComputePipeline(descriptor));
      device.popErrorScope().then(async (error) => {
        if (error) gpu.fail(await explain(kernel, module, error));
      }, () => {});
      compiled.set(key, pipeline);
      return pipeline;
    },
  };
}

function layoutKeyOf(kernel: WgslDispatch): string {
  return kernel.bindings.map(({ access }) => (access === "read" ? "r" : "w")).join("") + uniformBlockBytes(kernel);
}

function keyOf(kernel: WgslDispatch): string {
  return `${layoutKeyOf(kernel)} ${kernel.code}`;
}

/** Lines of source shown around the one that does not compile. */
const CONTEXT = 4;

async function explain({ name, code }: WgslDispatch, module: GPUShaderModule, cause: unknown): Promise<Error> {
  const { messages } = await module.getCompilationInfo().catch(() => ({ messages: [] }));
  const lines = code.split("\n");
  const shown = messages.filter(({ type }) => type === "error").map(({ lineNum, linePos, message }) => {
    const from = Math.max(0, lineNum - 1 - CONTEXT);
    const source = lines.slice(from, lineNum + CONTEXT)
      .map((line, i) => `${from + i + 1 === lineNum ? ">" : " "} ${String(from + i + 1).padStart(4)} | ${line}`);
    return [`line ${lineNum}, column ${linePos}: ${message}`, ...source].join("\n");
  });
  const what = cause instanceof Error || cause instanceof GPUError ? cause.message : String(cause);
  return new Error([`Compiling the GPU kernel "${name}": ${what}`, ...shown].join("\n"), { cause });
}
