/**
 * Compiled kernels, one for every text. A kernel that is asked for while it is being compiled is not compiled twice. What does not
 * compile is shown with line and source.
 */
import type { WgslDispatch } from "../kernels/wgsl/kernel.ts";
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

export function createPipelines(gpu: GpuDevice): Pipelines {
  const { device } = gpu;
  const layouts = new Map<string, { readonly group: GPUBindGroupLayout; readonly pipeline: GPUPipelineLayout }>();
  const compiled = new Map<string, Pipeline>();
  const compiling = new Map<string, Promise<Pipeline>>();

  function layoutFor(key: string) {
    let layout = layouts.get(key);
    if (!layout) {
      const entries = [...key].map((letter, binding): GPUBindGroupLayoutEntry => ({
        binding,
        visibility: GPUShaderStage.COMPUTE,
        buffer: letter === UNIFORM
          ? { type: "uniform", hasDynamicOffset: true }
          : { type: letter === READ ? "read-only-storage" : "storage" },
      }));
      const group = device.createBindGroupLayout({ entries });
      layout = { group, pipeline: device.createPipelineLayout({ bindGroupLayouts: [group] }) };
      layouts.set(key, layout);
    }
    return layout;
  }

  /** Compiles; validation errors go to the scope that is open here. */
  function start(kernel: WgslDispatch) {
    const layoutKey = layoutKeyOf(kernel);
    const layout = layoutFor(layoutKey);
    device.pushErrorScope("validation");
    const module = device.createShaderModule({ label: kernel.name, code: kernel.code });
    const descriptor = { label: kernel.name, layout: layout.pipeline, compute: { module, entryPoint: "main" } };
    const finish = (pipeline: GPUComputePipeline): Pipeline => ({ pipeline, layout: layout.group, layoutKey });
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

const [READ, WRITE, UNIFORM] = ["r", "w", "u"];

function layoutKeyOf({ bindings, uniforms }: WgslDispatch): string {
  return bindings.map(({ access }) => (access === "read" ? READ : WRITE)).join("") + (uniforms ? UNIFORM : "");
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
