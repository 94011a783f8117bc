/**
 * The engine on WebGPU: networks as fixed lists of dispatches over buffers that stay on the device. Every call only enqueues;
 * downloads and flushes alone are awaited.
 */
import { UserError } from "../core/base/errors.ts";
import { padToFour, voxelCount } from "../core/base/shape.ts";
import {
  checkAccumulate,
  checkAlive,
  checkAlloc,
  checkFinish,
  checkGather,
  checkRange,
  checkResampleToLabels,
  checkResampleToProbabilities,
} from "../core/engine/checks.ts";
import type {
  CompileOptions,
  ElementArrays,
  ElementType,
  Engine,
  LabelRule,
  LogitRing,
  Precision,
  Program,
  ProgramMemory,
  ResamplePlanes,
  StepCost,
  TensorHandle,
  WeightSet,
} from "../core/engine/engine.ts";
import type { ConvLimits } from "../kernels/wgsl/conv/plan_conv.ts";
import type { WgslOperator } from "../kernels/wgsl/kernel.ts";
import { planAccumulate, planFinishPlanes } from "../kernels/wgsl/volume_accumulate.ts";
import { planClear } from "../kernels/wgsl/volume_clear.ts";
import { planGatherPatches } from "../kernels/wgsl/volume_gather.ts";
import {
  packResampleTables,
  planResampleToLabels,
  planResampleToProbabilities,
} from "../kernels/wgsl/volume_resample.ts";
import type { AdapterFacts } from "./adapter.ts";
import { BINDING_ALIGNMENT, type Buffers, createBuffers, layoutOf, type Segments } from "./buffers.ts";
import { type Commands, createCommands, UNIFORM_BYTES } from "./commands.ts";
import { type DeviceOptions, type GpuDevice, openDevice } from "./device.ts";
import { createPipelines } from "./pipelines.ts";
import { createProgram, type DeviceProgram, type DeviceWeights, loadWeights, type Tools } from "./program.ts";
import { planProgram, type ProgramPlan } from "./program_plan.ts";
import { readBytes } from "./readback.ts";
import { hasTimestamps, timeGroups } from "./timing.ts";
import { writeBytes } from "./upload.ts";

export { type AdapterFacts, factsOf, requestAdapter } from "./adapter.ts";

export interface GpuEngineOptions extends DeviceOptions {
  /** The most bytes the engine may have on the device; no limit but the device's own by default. */
  readonly memoryLimitBytes?: number;
  /** Bind at most so many bytes at a time, as a device with small limits would; for tests. At least 256. */
  readonly forceBindingLimit?: number;
}

/** The GPU engine, which can tell what memory it has taken and whether it still works. */
export interface GpuEngine extends Engine {
  readonly kind: "gpu";
  readonly adapter: AdapterFacts;
  /** For benches of single kernels. Destroyed with the engine. */
  readonly device: GPUDevice;
  /** What went wrong last, if anything did: a lost device, or memory it did not get, after which it may go on with less. */
  readonly lastFailure: Error | undefined;
  /** Bytes in use, on the device (those kept for reuse included), and the most there were. */
  memoryUse(): { readonly used: number; readonly held: number; readonly highWater: number };
  /** Submissions so far. */
  readonly submissions: number;
  /** True if programs of this precision can be compiled. */
  supports(precision: Precision): boolean;
  /**
   * Runs a program step by step and returns the milliseconds of each of `program.steps`; for the bench. By the device's clock if it has
   * one; else with about 11 ms of waiting in each.
   */
  timeSteps(program: Program, weights: WeightSet): Promise<number[]>;
}

const ARRAYS = { f32: Float32Array, u8: Uint8Array, u16: Uint16Array, i16: Int16Array, i32: Int32Array } as const;

/** A tensor's segments, or nothing once it is disposed. */
interface TensorState {
  segments: Segments | undefined;
}

/**
 * Opens the GPU.
 * @throws UserError if there is none that can be used; `nnunet doctor` says more.
 */
export async function createGpuEngine(options: GpuEngineOptions = {}): Promise<GpuEngine> {
  const gpu = await openDevice(options);
  const { device, facts } = gpu;
  const limits = convLimits(device.limits, Math.min(options.forceBindingLimit ?? Infinity, await largestBuffer(gpu)));
  const commands: Commands = createCommands(gpu);
  const buffers: Buffers = createBuffers(
    gpu,
    { bindingBytes: limits.maxBindingBytes, memoryBytes: options.memoryLimitBytes ?? Infinity },
    commands.forget,
  );
  const pipelines = createPipelines(gpu);
  const tools: Tools = { gpu, buffers, commands, pipelines };
  const halves = device.features.has("shader-f16");
  const tensors = new WeakMap<TensorHandle, TensorState>();
  const programs = new WeakMap<Program, DeviceProgram>();
  const weightSets = new WeakMap<WeightSet, DeviceWeights>();
  const tables = createTableCache(buffers, commands);

  function segmentsOf(tensor: TensorHandle, doing: string): Segments {
    const segments = tensors.get(tensor)?.segments;
    checkAlive(segments !== undefined, tensor.label, doing);
    return segments as Segments;
  }

  function programOf(program: Program, doing: string): DeviceProgram {
    const state = programs.get(program);
    checkAlive(state?.alive === true, "the program", doing);
    return state as DeviceProgram;
  }

  function weightsFor({ plan }: DeviceProgram, set: WeightSet, doing: string): DeviceWeights {
    const weights = weightSets.get(set);
    checkAlive(weights?.alive === true, "the weight set", doing);
    const known = weights as DeviceWeights;
    if (known.signature !== plan.weights.signature) {
      throw new RangeError(`${doing}: the weight set was packed for another graph or patch`);
    }
    return known;
  }

  function enqueue(operator: WgslOperator, slots: Readonly<Record<string, Segments>>): void {
    commands.operator(operator, pipelines.ready, (slot) => {
      const found = slots[slot];
      if (found === undefined) throw new RangeError(`Resolving a kernel's operands: there is no slot ${slot}`);
      return found;
    });
  }

  function plan(graph: Program["graph"], compileOptions: CompileOptions): ProgramPlan {
    const { batch, precision } = compileOptions;
    if (!(Number.isInteger(batch) && batch >= 1)) throw new RangeError(`Compiling a network: a batch of ${batch}`);
    if (precision === "f16" && !halves) {
      throw new UserError({
        doing: "compiling the network",
        problem: `${facts.name} has no 16-bit floats (shader-f16)`,
        remedy: "use --precision f32",
      });
    }
    return planProgram(graph, compileOptions, limits);
  }

  /** The arrays of a ring, and how kernels see them. */
  function ringOf(ring: LogitRing, doing: string) {
    const [logits, sums] = [segmentsOf(ring.logits, doing), segmentsOf(ring.weightSums, doing)];
    return {
      slots: { logits, sums },
      layouts: { logits: layoutOf("logits", logits, 16), weightSums: layoutOf("sums", sums, 4) },
    };
  }

  function resampling(call: ResamplePlanes, rule?: LabelRule) {
    const { ring, from, to } = call;
    const logits = segmentsOf(ring.logits, "Resampling");
    const range = {
      ring,
      logits: layoutOf("logits", logits, 16),
      tables: call.tables,
      tablesSlot: "tables",
      from,
      to,
    };
    return { range, slots: { logits, tables: tables.get(call, rule) } };
  }

  const engine: GpuEngine = {
    kind: "gpu",
    adapter: facts,
    device,
    description: `GPU, ${facts.name}${facts.software ? " (a software adapter)" : ""}, WebGPU`,
    get lastFailure() {
      return gpu.lastError;
    },
    memoryUse: () => ({ used: buffers.used, held: buffers.held, highWater: buffers.highWater }),
    get submissions() {
      return commands.submissions;
    },
    supports: (precision) => precision === "f32" || halves,
    async timeSteps(program, set) {
      const doing = "Timing a network";
      const state = programOf(program, doing);
      const steps = state.dispatches(weightsFor(state, set, doing));
      await commands.wait();
      if (hasTimestamps(gpu)) return await timeGroups(gpu, steps);
      const times: number[] = [];
      for (const dispatches of steps) {
        const start = performance.now();
        for (const dispatch of dispatches) commands.dispatch(dispatch);
        await commands.wait();
        times.push(performance.now() - start);
      }
      gpu.check();
      return times;
    },
    forecast: (graph, compileOptions) => costsOf(plan(graph, compileOptions), commands.slowness),
    async compile(graph, compileOptions) {
      gpu.check();
      const planned = plan(graph, compileOptions);
      const state = await createProgram(tools, planned);
      const program: Program = {
        graph,
        batch: compileOptions.batch,
        patch: compileOptions.patch,
        outputChannels: planned.outputChannels,
        ...costsOf(planned, commands.slowness),
        [Symbol.dispose]: () => state[Symbol.dispose](),
      };
      programs.set(program, state);
      return program;
    },
    async loadWeights(program, source) {
      gpu.check();
      const { plan: { weights } } = programOf(program, "Loading weights");
      const state = await loadWeights(tools, weights, source);
      const set: WeightSet = { bytes: weights.bytes, [Symbol.dispose]: () => state[Symbol.dispose]() };
      weightSets.set(set, state);
      return set;
    },

    alloc<T extends ElementType>(type: T, length: number, label: string): TensorHandle<T> {
      checkAlloc(length, label);
      gpu.check();
      const state: TensorState = { segments: buffers.takeArray(length * ARRAYS[type].BYTES_PER_ELEMENT, label) };
      const dispose = () => {
        if (state.segments) buffers.giveArray(state.segments);
        state.segments = undefined;
      };
      const handle: TensorHandle<T> = { type, length, label, [Symbol.dispose]: dispose };
      tensors.set(handle, state);
      return handle;
    },
    upload(target, data, offset = 0) {
      const doing = "Uploading";
      checkRange(target, offset, data.length, doing);
      gpu.check();
      const segments = segmentsOf(target, doing);
      const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      const merge = (operator: WgslOperator) => enqueue(operator, { target: segments });
      writeBytes(commands, merge, segments, bytes, offset * data.BYTES_PER_ELEMENT);
    },
    clear(target, offset = 0, length = target.length - offset) {
      checkRange(target, offset, length, "Clearing");
      const size = ARRAYS[target.type].BYTES_PER_ELEMENT;
      const segments = segmentsOf(target, "Clearing");
      const words = layoutOf("target", segments, 4);
      enqueue(planClear({ words, offset: offset * size, bytes: length * size }), { target: segments });
    },
    async download<T extends ElementType>(source: TensorHandle<T>, offset = 0, length = source.length - offset) {
      checkRange(source, offset, length, "Downloading");
      const segments = segmentsOf(source, "Downloading");
      const size = ARRAYS[source.type].BYTES_PER_ELEMENT;
      const bytes = await readBytes(gpu, commands, segments, offset * size, length * size);
      return new ARRAYS[source.type](bytes.buffer) as ElementArrays[T];
    },
    async flush() {
      gpu.check();
      const errorsBefore = gpu.errors;
      await commands.wait().catch(gpu.blame);
      await gpu.settleErrors();
      if (gpu.errors !== errorsBefore) throw gpu.lastError;
    },

    gatherPatches(call) {
      checkGather(call);
      const doing = "Gathering patches";
      const state = programOf(call.program, doing);
      const volume = segmentsOf(call.volume, doing);
      const labels = call.labelMap && segmentsOf(call.labelMap.labels, doing);
      const { input } = state.plan;
      const operator = planGatherPatches({
        volume: layoutOf("volume", volume, 4),
        channels: call.channels,
        grid: call.grid,
        ...(call.labelMap && labels &&
          { labelMap: { labels: layoutOf("labels", labels, 4), oneHot: call.labelMap.oneHot } }),
        patches: call.patches,
        patch: call.program.patch,
        input,
      });
      enqueue(operator, { volume, [input.slot]: state.slot(input.slot), ...(labels && { labels }) });
    },
    run(program, set) {
      const doing = "Running the network";
      const state = programOf(program, doing);
      gpu.check();
      for (const step of state.dispatches(weightsFor(state, set, doing))) step.forEach(commands.dispatch);
    },
    accumulate(call) {
      checkAccumulate(call);
      const doing = "Accumulating";
      const state = programOf(call.program, doing);
      const { ring, sample, placement, scale, addWeight } = call;
      const { slots, layouts } = ringOf(ring, doing);
      const importance = segmentsOf(call.importance, doing);
      const { output } = state.plan;
      const operator = planAccumulate({
        ring,
        ...layouts,
        output,
        sample,
        patch: call.program.patch,
        placement,
        importance: layoutOf("importance", importance, 4),
        scale,
        addWeight,
      });
      enqueue(operator, { ...slots, importance, [output.slot]: state.slot(output.slot) });
    },
    finishPlanes(ring, from, to, folds) {
      checkFinish(ring, from, to, folds);
      const { slots, layouts } = ringOf(ring, "Finishing planes");
      enqueue(planFinishPlanes({ ring, ...layouts, from, to, folds }), slots);
    },
    resampleToLabels(call) {
      checkResampleToLabels(call);
      const target = segmentsOf(call.target, "Resampling");
      const { range, slots } = resampling(call, call.rule);
      const { type: targetType } = call.target;
      const { rule, view } = call;
      const operator = planResampleToLabels({
        ...range,
        rule,
        target: layoutOf("target", target, 4),
        targetType,
        view,
      });
      enqueue(operator, { ...slots, target });
    },
    resampleToProbabilities(call) {
      checkResampleToProbabilities(call);
      const target = segmentsOf(call.target, "Resampling");
      const { range, slots } = resampling(call);
      const { nonlinearity } = call;
      const operator = planResampleToProbabilities({ ...range, nonlinearity, target: layoutOf("target", target, 4) });
      enqueue(operator, { ...slots, target });
    },
    async downloadOutput(program, sample) {
      const doing = "Downloading the output";
      const state = programOf(program, doing);
      checkAlive(sample >= 0 && sample < program.batch, `sample ${sample}`, doing);
      const { outputGrid, outputChannels, output } = state.plan;
      const voxels = voxelCount(outputGrid);
      const padded = padToFour(outputChannels);
      const size = voxels * padded * 4;
      const bytes = await readBytes(gpu, commands, state.slot(output.slot), sample * size, size);
      const stored = new Float32Array(bytes.buffer);
      const out = new Float32Array(voxels * outputChannels);
      for (let c = 0; c < outputChannels; c++) {
        for (let i = 0; i < voxels; i++) out[c * voxels + i] = stored[i * padded + c];
      }
      return out;
    },
    [Symbol.asyncDispose]() {
      gpu[Symbol.dispose]();
      return Promise.resolve();
    },
  };
  return engine;
}

/** A buffer that every device gives, and one that some do not, whatever they promise. */
const [MODEST_BUFFER, LARGE_BUFFER] = [192 * 2 ** 20, 512 * 2 ** 20];

/**
 * What can be allocated at a time: wgpu 29 reports devices whose memory the host sees through a small window (256 MiB, no resizable BAR)
 * as out of memory above about 240 MiB a buffer. So a large one is tried.
 */
async function largestBuffer({ device }: GpuDevice): Promise<number> {
  if (device.limits.maxBufferSize < LARGE_BUFFER) return Infinity;
  device.pushErrorScope("out-of-memory");
  const buffer = device.createBuffer({ size: LARGE_BUFFER, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST });
  const error = await device.popErrorScope();
  buffer.destroy();
  return error ? MODEST_BUFFER : Infinity;
}

/** The device's limits as convolutions are planned with. */
function convLimits(limits: GPUSupportedLimits, forced = Infinity): ConvLimits {
  const binding = Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize, forced);
  return {
    workgroupMemoryBytes: limits.maxComputeWorkgroupStorageSize,
    workgroupThreads: limits.maxComputeInvocationsPerWorkgroup,
    maxBindings: limits.maxStorageBuffersPerShaderStage,
    maxBindingBytes: Math.max(1, Math.floor(binding / BINDING_ALIGNMENT)) * BINDING_ALIGNMENT,
  };
}

/** The tables of the last resampling: it goes on range after range with the same ones. */
function createTableCache(buffers: Buffers, commands: Commands) {
  let last: { readonly key: readonly unknown[]; readonly segments: Segments } | undefined;
  return {
    get({ ring, tables }: ResamplePlanes, rule?: LabelRule): Segments {
      const { planes, rows, columns, depth, channels } = ring;
      const key = [...tables, planes, rows, columns, depth, channels, rule?.values.join()];
      if (last?.key.every((part, i) => part === key[i])) return last.segments;
      if (last) buffers.giveArray(last.segments);
      last = undefined;
      const bytes = packResampleTables(ring, tables, rule?.values);
      const segments = buffers.takeArray(bytes.length, "tables of the resampling");
      commands.write(segments.ranges[0], bytes);
      last = { key, segments };
      return segments;
    },
  };
}

function costsOf(
  plan: ProgramPlan,
  slowness: number,
): { readonly memory: ProgramMemory; readonly steps: readonly StepCost[] } {
  return {
    memory: {
      weights: plan.weights.bytes,
      activations: plan.buffers.bytes,
      scratch: plan.uniformBytes + UNIFORM_BYTES,
    },
    steps: plan.steps.map(({ name, operator: { algorithm, flops }, seconds }) => ({
      name,
      algorithm,
      flops,
      seconds: seconds * slowness,
    })),
  };
}
