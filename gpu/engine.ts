/**
 * The engine on WebGPU: networks as fixed lists of dispatches over buffers that stay on the device. Every call only enqueues;
 * downloads and flushes alone are awaited.
 */
import { UserError } from "../core/base/errors.ts";
import { padToFour, voxelCount } from "../core/base/shape.ts";
import { checkAlive } from "../core/engine/checks.ts";
import { unpadChannels } from "../core/engine/results.ts";
import type { CompileOptions, Engine, OwnMemory, Precision, Program, WeightSet } from "../core/engine/engine.ts";
import type { TrainingOptions } from "../core/engine/training.ts";
import type { TrainingCalls } from "../core/lowering/training_engine.ts";
import type { Graph } from "../core/graph/graph.ts";
import type { ConvLimits } from "../kernels/wgsl/conv/problem.ts";
import { DEFAULT_CACHE_BYTES } from "../kernels/wgsl/conv/winograd_shape.ts";
import type { WgslOperator } from "../kernels/wgsl/kernel.ts";
import type { AdapterFacts } from "./adapter.ts";
import { type Buffers, createBuffers, type Segments } from "./buffers.ts";
import { type Commands, createCommands, UNIFORM_BYTES } from "./commands.ts";
import { gpuCosts } from "./costs.ts";
import { type DeviceOptions, openDevice } from "./device.ts";
import { convLimits, ownMemory, withinBindings } from "./limits.ts";
import { cacheChoices, measureCache, type MeasuredCache } from "./measure_cache.ts";
import { type Compiled, createPipelines } from "./pipelines.ts";
import { prepareOperator, timeOperator } from "./prepare_operator.ts";
import { loadWeights } from "./load_weights.ts";
import { createProgram, type DeviceProgram, type DeviceWeights, type Tools } from "./program.ts";
import { planProgram, programCosts, type ProgramPlan } from "./program_plan.ts";
import { heard, readBytes } from "./readback.ts";
import type { RefusedKernel } from "./refused.ts";
import type { RunPlan } from "./run_plan.ts";
import { createTraining } from "./training/training.ts";
import { timeInTurn } from "./timing.ts";
import { createTensors } from "./tensors.ts";
import { tryKernels } from "./try_kernels.ts";
import { tuneConvolutions, type TunedConvolution, type TuneHooks } from "./tune.ts";
import { type Tuning, wantedOf } from "./tuning.ts";
import { createTableCache, createVolumeCalls } from "./volume_calls.ts";

export { type AdapterChoice, type AdapterFacts, factsOf, requestAdapter } from "./adapter.ts";
export type { RefusedKernel } from "./refused.ts";
export type { Compiled } from "./pipelines.ts";
export type { MeasuredCache } from "./measure_cache.ts";
export type { TunedConvolution } from "./tune.ts";
export type { Tuning } from "./tuning.ts";

export interface GpuEngineOptions extends DeviceOptions {
  /** The most bytes the engine may have on the device; no limit but the device's own by default. */
  readonly memoryLimitBytes?: number;
  /** Which way each convolution is computed, as measured on this device; forecasts decide where it says nothing. */
  readonly tuning?: Tuning;
  /** Keys of kernels that the driver did not compile before; layers are computed another way. */
  readonly refused?: ReadonlySet<string>;
  /** What the device has of memory, where it is known of an engine before: it is not asked for again. */
  readonly ownMemory?: OwnMemory;
  /** Bytes of a convolution's transformed tiles that are kept at a time, as {@link GpuEngine.measureCache} has found; a usual L2 holds the default. */
  readonly cacheBytes?: number;
  /**
   * Run each kernel of a program alone, once, when weights are loaded for it or a training is compiled: after a device was lost, to find
   * out by what. Keys of kernels that devices were lost at in such trials.
   */
  readonly suspects?: ReadonlySet<string>;
  /** Bind at most so many bytes at a time, as a device with small limits would; for tests. At least 256. */
  readonly forceBindingLimit?: number;
}

/** The GPU engine, which can tell what memory it has taken and whether it still works. */
export interface GpuEngine extends Engine, TrainingCalls {
  readonly kind: "gpu";
  readonly adapter: AdapterFacts;
  /** For benches of single kernels. Destroyed with the engine. */
  readonly device: GPUDevice;
  /** What went wrong last, if anything did: a lost device, or memory it did not get, after which it may go on with less. */
  readonly lastFailure: Error | undefined;
  /** True once the device is gone, and it is not known by what. */
  readonly lost: boolean;
  /** A kernel that the device was lost at in a trial: if the next one's is too, it is refused. */
  readonly suspect: RefusedKernel | undefined;
  /** The kernel that the driver would not compile or that the device cannot run, if there was one; the engine is of no more use, one made without it may be. */
  readonly refused: RefusedKernel | undefined;
  /** Bytes in use, on the device (those kept for reuse included), and the most there were. */
  memoryUse(): { readonly used: number; readonly held: number; readonly highWater: number };
  /** Submissions so far. */
  readonly submissions: number;
  /** Kernels compiled so far. */
  readonly compiled: Compiled;
  /**
   * Measures the ways to compute a network's convolutions, those of its training where it is asked for one.
   * @throws UserError if the device fails
   */
  tune(graph: Graph, options: CompileOptions | TrainingOptions, hooks?: TuneHooks): Promise<TunedConvolution[]>;
  /** Measures how much of a convolution's tiles is best kept at a time; undefined where the device has no clock. */
  measureCache(): Promise<MeasuredCache | undefined>;
  /** Milliseconds of an operator on slots of so many bytes each, whatever they hold; for benches of single kernels. */
  timeOperator(operator: WgslOperator, slots: Readonly<Record<string, number>>): Promise<number>;
  /** True if programs of this precision can be compiled. */
  supports(precision: Precision): boolean;
  /**
   * Runs a program step by step and returns the milliseconds of each of `program.steps`; for the bench. By the device's clock if it has
   * one; else with about 11 ms of waiting in each.
   */
  timeSteps(program: Program, weights: WeightSet): Promise<number[]>;
}

/**
 * Opens the GPU.
 * @throws UserError if there is none that can be used; `nnunet doctor` says more.
 */
export async function createGpuEngine(options: GpuEngineOptions = {}): Promise<GpuEngine> {
  const gpu = await openDevice(options);
  const { device, facts } = gpu;
  const deviceLimits = await convLimits(gpu, options.forceBindingLimit, options.refused);
  const memory = options.ownMemory ?? await ownMemory(gpu, deviceLimits, options.memoryLimitBytes);
  const { cacheBytes = DEFAULT_CACHE_BYTES } = options;
  const limits: ConvLimits = cacheChoices(memory?.free).includes(cacheBytes)
    ? { ...deviceLimits, cacheBytes }
    : deviceLimits;
  const commands: Commands = createCommands(gpu);
  const buffers: Buffers = createBuffers(
    gpu,
    { bindingBytes: limits.maxBindingBytes, memoryBytes: options.memoryLimitBytes ?? Infinity },
    commands.forget,
  );
  const pipelines = createPipelines(gpu);
  const tools: Tools = { gpu, buffers, commands, pipelines };
  const wanted = options.tuning && wantedOf(options.tuning);
  const halves = device.features.has("shader-f16");
  const programs = new WeakMap<Program, DeviceProgram>();
  const weightSets = new WeakMap<WeightSet, DeviceWeights>();
  let suspect: RefusedKernel | undefined;

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
    return withinBindings("compiling the network", () => planProgram(graph, compileOptions, limits, wanted));
  }

  const costsOf = (planned: ProgramPlan) => programCosts(planned, commands.slowness, UNIFORM_BYTES);

  const tensors = createTensors(tools, enqueue);
  const { segmentsOf } = tensors;
  const volumes = createVolumeCalls({ segmentsOf, programOf, enqueue, tables: createTableCache(buffers, commands) });

  const supports = (precision: Precision) => precision === "f32" || halves;
  const { suspects } = options;
  const tryFirst = suspects &&
    (<P extends RunPlan>(program: DeviceProgram<P>, weights: DeviceWeights) =>
      tryKernels(tools, program, weights, suspects, (kernel) => suspect = kernel));
  const training = createTraining({
    tools,
    limits,
    ...(wanted && { wanted }),
    name: facts.name,
    supports,
    enqueue,
    ...(tryFirst && { tryKernels: tryFirst }),
  });

  const engine: GpuEngine = {
    kind: "gpu",
    adapter: facts,
    device,
    description: `GPU, ${facts.name}${facts.software ? " (a software adapter)" : ""}, WebGPU`,
    ...(memory && { ownMemory: memory }),
    get costs() {
      return gpuCosts(commands.slowness);
    },
    get lastFailure() {
      return gpu.lastError;
    },
    get lost() {
      return gpu.lost;
    },
    get suspect() {
      return suspect;
    },
    get refused() {
      return pipelines.refused;
    },
    memoryUse: () => ({ used: buffers.used, held: buffers.held, highWater: buffers.highWater }),
    get submissions() {
      return commands.submissions;
    },
    get compiled() {
      return pipelines.compiled;
    },
    tune: (graph, compileOptions, hooks) => tuneConvolutions(tools, graph, compileOptions, limits, hooks),
    measureCache: () => measureCache(tools, deviceLimits, memory?.free),
    async timeOperator(operator, slots) {
      const own = Object.entries(slots).map(([slot, bytes]) => ({ slot, bytes, segmentBytes: bytes }));
      using prepared = await prepareOperator(tools, operator, new Map(), own);
      return await timeOperator(tools, prepared);
    },
    supports,
    async timeSteps(program, set) {
      const doing = "Timing a network";
      const state = programOf(program, doing);
      return await timeInTurn(tools, state.dispatches(weightsFor(state, set, doing)));
    },
    forecast: (graph, compileOptions) => costsOf(plan(graph, compileOptions)),
    async prepare(graph, compileOptions, signal) {
      const { steps, weights } = plan(graph, compileOptions);
      const packing = weights.blocks.flatMap((block) => block.kind === "packed" ? block.kernels() ?? [] : []);
      for (const kernel of [...steps.flatMap(({ operator }) => operator.dispatches), ...packing]) {
        if (signal?.aborted) return;
        gpu.check();
        if (!pipelines.has(kernel)) await turn(); // Compiling holds the thread.
        await pipelines.compile(kernel);
      }
    },
    async compile(graph, compileOptions) {
      gpu.check();
      const planned = plan(graph, compileOptions);
      const state = await createProgram(tools, planned);
      const program: Program = {
        graph,
        batch: compileOptions.batch,
        patch: compileOptions.patch,
        outputChannels: planned.outputChannels,
        ...costsOf(planned),
        [Symbol.dispose]: () => state[Symbol.dispose](),
      };
      programs.set(program, state);
      return program;
    },
    async loadWeights(program, source) {
      gpu.check();
      const loaded = programOf(program, "Loading weights");
      const { weights } = loaded.plan;
      const state = await loadWeights(tools, weights, source);
      await tryFirst?.(loaded, state);
      const set: WeightSet = { bytes: weights.bytes, [Symbol.dispose]: () => state[Symbol.dispose]() };
      weightSets.set(set, state);
      return set;
    },
    takesWeights(program, set) {
      const { plan } = programOf(program, "Comparing weights");
      return weightSets.get(set)?.signature === plan.weights.signature;
    },

    ...tensors.calls,
    async flush() {
      gpu.check();
      const errorsBefore = gpu.errors;
      await commands.wait();
      await gpu.settleErrors();
      if (gpu.errors !== errorsBefore) throw gpu.lastError;
    },

    ...volumes,
    ...training,
    run(program, set) {
      const doing = "Running the network";
      const state = programOf(program, doing);
      gpu.check();
      for (const step of state.dispatches(weightsFor(state, set, doing))) step.forEach(commands.dispatch);
    },
    downloadOutput: (program, sample) => heard(downloadOutput(program, sample)),
    [Symbol.asyncDispose]() {
      gpu[Symbol.dispose]();
      return Promise.resolve();
    },
  };
  return engine;

  async function downloadOutput(program: Program, sample: number): Promise<Float32Array> {
    const doing = "Downloading the output";
    const state = programOf(program, doing);
    checkAlive(sample >= 0 && sample < program.batch, `sample ${sample}`, doing);
    const { outputGrid, outputChannels, output } = state.plan;
    const size = voxelCount(outputGrid) * padToFour(outputChannels) * 4;
    const bytes = await readBytes(gpu, commands, state.slot(output.slot), sample * size, size);
    return unpadChannels(new Float32Array(bytes.buffer), outputChannels);
  }
}

/** Lets what waits for this thread go first. */
const turn = () => new Promise((resolve) => setTimeout(resolve, 0));
