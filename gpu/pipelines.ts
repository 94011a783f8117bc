/**
 * Compiled kernels, one for every text. A kernel that is asked for while it is being compiled is not compiled twice. What does not
 * compile is shown with line and source.
 */
import { messageOf, type UserError } from "../core/base/errors.ts";
import type { WgslDispatch } from "../kernels/wgsl/kernel.ts";
import { roundUp } from "./buffers.ts";
import type { GpuDevice } from "./device.ts";
import { kernelKey, notRunError, refusedError, type RefusedKernel } from "./refused.ts";

export interface Pipeline {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
  /** Equal for pipelines whose bind groups can be exchanged. */
  readonly layoutKey: string;
}

export interface Compiled {
  readonly kernels: number;
  readonly milliseconds: number;
}

export interface Pipelines {
  /**
   * Compiles; Deno does it within the call, so that nothing goes on beside it but the device and other threads.
   * @throws UserError if the driver refuses the kernel, which mostly ends the device; Error that quotes the line that is no WGSL
   */
  compile(kernel: WgslDispatch): Promise<Pipeline>;
  /** At once; what does not compile becomes the device's failure. */
  ready(kernel: WgslDispatch): Pipeline;
  /** True for a kernel that is compiled. */
  has(kernel: WgslDispatch): boolean;
  /** Kernels compiled so far, and the milliseconds that this has held the thread. */
  readonly compiled: Compiled;
  /** True if the device is there at this moment: WebGPU itself tells of its loss later. */
  isAlive(): boolean;
  /** Notes a kernel that the device cannot run. @returns what is to be thrown */
  refuse(kernel: WgslDispatch, why: string): UserError;
  /** The kernel that the driver refused, if it did, or that the device cannot run; what came after it failed with the device. */
  readonly refused: RefusedKernel | undefined;
}

/** Size of a kernel's uniform block; 0 where it has none. */
export function uniformBlockBytes({ uniforms }: WgslDispatch): number {
  return roundUp((uniforms?.length ?? 0) * 4, 16);
}

/** What a kernel binds, as its layout says it. */
export function bindingEntries(kernel: WgslDispatch): GPUBindGroupLayoutEntry[] {
  const buffers = kernel.bindings.map(({ access }): GPUBufferBindingLayout => ({
    type: access === "read" ? "read-only-storage" : "storage",
  }));
  // With the size in the layout, it is checked once and not by every dispatch (where wgpu 29 mixes pipelines up).
  const minBindingSize = uniformBlockBytes(kernel);
  if (minBindingSize > 0) buffers.push({ type: "uniform", hasDynamicOffset: true, minBindingSize });
  return buffers.map((buffer, binding) => ({ binding, visibility: GPUShaderStage.COMPUTE, buffer }));
}

export function createPipelines(gpu: GpuDevice): Pipelines {
  const { device } = gpu;
  const layouts = new Map<string, { readonly group: GPUBindGroupLayout; readonly pipeline: GPUPipelineLayout }>();
  const compiled = new Map<string, Pipeline>();
  const compiling = new Map<string, Promise<Pipeline>>();
  let refused: RefusedKernel | undefined;
  let milliseconds = 0;

  /** Counts the time of what compiles. */
  function timed<T>(compile: () => T): T {
    const started = performance.now();
    try {
      return compile();
    } finally {
      milliseconds += performance.now() - started;
    }
  }

  /**
   * What a kernel's failure comes from. A driver that refuses one takes the device with it: kernels fail in the order in which they were
   * asked for, and the first is the one.
   */
  async function failureOf(kernel: WgslDispatch, module: GPUShaderModule, problem: unknown, wasWell: boolean) {
    const why = problemText(problem);
    if (!wasWell || !DRIVER_FAILURE.test(why)) {
      gpu.check();
      const error = await explain(kernel, module, problem);
      return wasWell ? error : await gpu.blame(error);
    }
    return refuse(kernel, why, (first) => refusedError(first, gpu.facts.name, problem));
  }

  /** Notes the first kernel that is refused: it is what the device was lost by. */
  function refuse(kernel: WgslDispatch, why: string, errorOf: (first: RefusedKernel) => UserError): UserError {
    refused ??= { key: kernelKey(kernel), name: kernel.name, why };
    const error = errorOf(refused);
    gpu.explainLoss(error);
    return error;
  }

  /** True if the device is there at this moment: WebGPU tells of its loss later, but maps no memory of a device that is gone. */
  function isAlive(): boolean {
    const buffer = device.createBuffer({ size: 16, usage: GPUBufferUsage.COPY_SRC, mappedAtCreation: true });
    try {
      buffer.getMappedRange();
      return true;
    } catch {
      return false;
    } finally {
      buffer.destroy();
    }
  }

  /** The pipeline, and what is known at once: a device that was there before and is not after it was given up for it. */
  function makeNow(kernel: WgslDispatch, descriptor: GPUComputePipelineDescriptor): GPUComputePipeline {
    const before = isAlive();
    const pipeline = timed(() => device.createComputePipeline(descriptor));
    if (before && !isAlive()) {
      refuse(kernel, "the device was lost with it", (first) => refusedError(first, gpu.facts.name, undefined));
    }
    return pipeline;
  }

  function layoutFor(kernel: WgslDispatch) {
    const key = layoutKeyOf(kernel);
    let layout = layouts.get(key);
    if (!layout) {
      const entries = bindingEntries(kernel);
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
    const module = timed(() => device.createShaderModule({ label: kernel.name, code: kernel.code }));
    const descriptor = { label: kernel.name, layout: layout.pipeline, compute: { module, entryPoint: "main" } };
    const finish = (pipeline: GPUComputePipeline): Pipeline => ({
      pipeline,
      layout: layout.group,
      layoutKey: layoutKeyOf(kernel),
    });
    return { module, descriptor, finish };
  }

  async function compileNow(kernel: WgslDispatch): Promise<Pipeline> {
    // A device that is gone already takes no kernel: none is to blame for that.
    const wasWell = gpu.failure === undefined && isAlive();
    const { module, descriptor, finish } = start(kernel);
    const scope = device.popErrorScope();
    const made = timed(() => device.createComputePipelineAsync(descriptor));
    const [error, pipeline] = await Promise.allSettled([scope, made]);
    const problem = error.status === "rejected" ? error.reason : error.value;
    if (pipeline.status === "rejected" || problem) {
      const cause = problem ?? (pipeline.status === "rejected" ? pipeline.reason : problem);
      throw await failureOf(kernel, module, cause, wasWell);
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
      const pipeline = finish(makeNow(kernel, descriptor));
      device.popErrorScope().then(async (error) => {
        if (error && refused === undefined) gpu.fail(await explain(kernel, module, error));
      }).catch(gpu.fail);
      compiled.set(key, pipeline);
      return pipeline;
    },
    has: (kernel) => compiled.has(keyOf(kernel)),
    get compiled() {
      return { kernels: compiled.size, milliseconds };
    },
    isAlive,
    refuse: (kernel, why) => refuse(kernel, why, (first) => notRunError(first, gpu.facts.name)),
    get refused() {
      return refused;
    },
  };
}

function layoutKeyOf(kernel: WgslDispatch): string {
  return kernel.bindings.map(({ access }) => (access === "read" ? "r" : "w")).join("") + uniformBlockBytes(kernel);
}

function keyOf(kernel: WgslDispatch): string {
  return `${layoutKeyOf(kernel)} ${kernel.code}`;
}

/** What wgpu says where not the text is at fault but what a driver makes of it. */
const DRIVER_FAILURE = /device is lost|device was lost|internal|not enough memory|out of memory/i;

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
  return new Error([`Compiling the GPU kernel "${name}": ${problemText(cause)}`, ...shown].join("\n"), { cause });
}

/** WebGPU's errors are none of JavaScript's. */
function problemText(problem: unknown): string {
  const isError = typeof problem === "object" && problem !== null && "message" in problem;
  return isError ? String(problem.message) : messageOf(problem);
}
