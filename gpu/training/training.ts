/**
 * Training on the GPU engine: parameters, gradients and momentum stay on the device, a step is a fixed list of dispatches (forward, loss,
 * backward, norm of the gradients, optimizer), and what changes from step to step is in one small buffer. Only results come back.
 */
import { UserError } from "../../core/base/errors.ts";
import { padToFour, voxelCount } from "../../core/base/shape.ts";
import type { Precision, WeightSource } from "../../core/engine/engine.ts";
import { countTotals, finishStep, stepResults, unpadChannels } from "../../core/engine/results.ts";
import type {
  OptimizerState,
  ParameterValues,
  SgdOptions,
  ShareExchange,
  TrainingOptions,
} from "../../core/engine/training.ts";
import type { Graph } from "../../core/graph/graph.ts";
import { describeOptimizer } from "../../core/graph/optimizer.ts";
import {
  type GivenKind,
  type PlacedParameter,
  putParameters,
  type ValueKind,
} from "../../core/lowering/parameter_values.ts";
import { itemsOf, type PlannedOutput } from "../../core/lowering/training.ts";
import { COUNTS, RESULTS } from "../../core/lowering/training_context.ts";
import {
  type CompiledTraining,
  createTrainingCalls,
  type TrainingCalls,
  type TrainingCosts,
} from "../../core/lowering/training_engine.ts";
import type { WantedCandidate } from "../../kernels/wgsl/conv/plan_conv.ts";
import type { ConvLimits } from "../../kernels/wgsl/conv/problem.ts";
import type { WgslOperator } from "../../kernels/wgsl/kernel.ts";
import { OPTION, OPTION_FLOATS } from "../../kernels/wgsl/training/optimizer.ts";
import type { Segments } from "../buffers.ts";
import { stepCosts } from "../run_plan.ts";
import { type PreparedDispatch, UNIFORM_BYTES } from "../commands.ts";
import { OPTIONS } from "../kernel_set.ts";
import { withinBindings } from "../limits.ts";
import { OPTIMIZER_STATE } from "./optimizers.ts";
import { createProgram, type DeviceProgram, type Tools } from "../program.ts";
import { createStaging, readBytes, type Staging, type Waiting } from "../readback.ts";
import { timeInTurn } from "../timing.ts";
import { planTraining, type TrainingPlan } from "./plan.ts";
import { type SharedRun, sharedTrainStep, sharedValidation } from "./shared_step.ts";
import { type DeviceSamples, takeSamples } from "./samples.ts";
import { type DeviceValues, kindsOf, STATE_FLOATS, takeValues } from "./values.ts";
import { bytesOf, writeBytes } from "../upload.ts";

/** What training needs of the engine. */
export interface TrainingHost {
  readonly tools: Tools;
  readonly limits: ConvLimits;
  readonly wanted?: WantedCandidate;
  /** Name of the adapter, for errors. */
  readonly name: string;
  supports(precision: Precision): boolean;
  enqueue(operator: WgslOperator, slots: Readonly<Record<string, Segments>>): void;
  /** After a device was lost: runs each kernel alone. @throws UserError naming the one that the device is lost by */
  readonly tryKernels?: (program: DeviceProgram<TrainingPlan>, values: DeviceValues) => Promise<void>;
}

interface TrainingState extends CompiledTraining<TrainingPlan> {
  readonly host: TrainingHost;
  readonly device: DeviceProgram<TrainingPlan>;
  readonly values: DeviceValues;
  readonly samples: DeviceSamples;
  /** Parameters that have momentum. */
  readonly moving: Set<string>;
  /** Of the last step: gradients hold it. */
  lossScale: number;
  readonly later: Later;
  readonly staging: Staging;
}

/** The training half of the GPU engine; `timeTraining` runs a step with the options of the last one. */
export function createTraining(host: TrainingHost): TrainingCalls {
  const { tools, tools: { gpu, commands } } = host;
  const run = (dispatches: readonly (readonly PreparedDispatch[])[]) => {
    for (const step of dispatches) step.forEach(commands.dispatch);
  };
  const trainStep = async (state: TrainingState, options: SgdOptions, exchange?: ShareExchange) => {
    const shared = sharedRun(state, exchange);
    if (shared) return await sharedTrainStep(shared, options.lossScale);
    run(dispatchesOf(state, "training"));
    const results = readResults(state, options.later ? state.later.when() : undefined);
    if (!options.later) state.later.now();
    return await results;
  };
  const validate = async (state: TrainingState) => {
    run(dispatchesOf(state, "validation"));
    const [results, counts] = await Promise.all([readResults(state), readCounts(state)]);
    return { results, counts };
  };
  return createTrainingCalls<TrainingPlan, TrainingState>({
    check: gpu.check,
    plan: (graph, options) => planFor(host, graph, options),
    costsOf: (plan) => costsOf(plan, commands.slowness),
    needsOf: (plan) => plan.shared?.needs,
    compile: (plan, options) => compile(host, plan, options),
    setParameters,
    readParameters,
    setSample: ({ samples }, sample, image, labels) => samples.set(sample, image, labels),
    async trainStep(state, options, exchange) {
      writeOptions(state, options);
      state.samples.enter();
      state.lossScale = options.lossScale;
      return finishStep(await trainStep(state, options, exchange), state.plan.layout.parameters, state.moving);
    },
    async validationStep(state, exchange) {
      state.samples.enter();
      const shared = sharedRun(state, exchange);
      const { results, counts } = shared ? await sharedValidation(shared) : await validate(state);
      return { loss: stepResults(results).loss, ...countTotals(counts, state.plan.outputs[0]?.channels ?? 0) };
    },
    readGradients: (state) => readValues(state, "gradients", ({ hasGradient }) => hasGradient, 1 / state.lossScale),
    readLogits,
    timeTraining: (state) => timeInTurn(tools, dispatchesOf(state, "training")),
  });
}

function planFor({ limits, wanted, name, supports }: TrainingHost, graph: Graph, options: TrainingOptions) {
  if (!supports(options.precision)) {
    throw new UserError({
      doing: "planning the training of the network",
      problem: `${name} has no 16-bit floats (shader-f16)`,
      remedy: "use --precision f32",
    });
  }
  const plan = () => planTraining(graph, options, limits, wanted);
  return withinBindings("planning the training of the network", plan);
}

/** Takes a training's memory and compiles its kernels. @throws UserError if there is not enough memory */
async function compile(host: TrainingHost, plan: TrainingPlan, options: TrainingOptions): Promise<TrainingState> {
  using taken = new DisposableStack();
  const values = taken.use(takeValues(host.tools, plan));
  const device = taken.use(await createProgram(host.tools, plan));
  const samples = taken.use(takeSamples(host, device, options));
  const staging = taken.use(createStaging(host.tools.gpu));
  const held = taken.move();
  const state: TrainingState = {
    host,
    plan,
    device,
    values,
    samples,
    options,
    moving: new Set(),
    lossScale: 1,
    later: createLater(),
    staging,
    get alive() {
      return device.alive;
    },
    [Symbol.dispose]: () => held.dispose(),
  };
  initialise(state);
  if (host.tryKernels) await tryFirst(state, host.tryKernels);
  return state;
}

/** Values are as they were afterwards. */
async function tryFirst(state: TrainingState, tryKernels: NonNullable<TrainingHost["tryKernels"]>): Promise<void> {
  try {
    await tryKernels(state.device, state.values);
    initialise(state);
  } catch (error) {
    state[Symbol.dispose]();
    throw error;
  }
}

/** When results are read that may come together. */
interface Later {
  /** Resolved by `now`, or after {@link MOST_LATE} milliseconds. */
  when(): Promise<void>;
  now(): void;
}

/** Whoever wants a result before the next step waits no longer. */
const MOST_LATE = 1000;

function createLater(): Later {
  let next: PromiseWithResolvers<void> | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const now = () => {
    clearTimeout(timer);
    next?.resolve();
    next = undefined;
  };
  return {
    when() {
      if (!next) timer = setTimeout(now, MOST_LATE);
      next ??= Promise.withResolvers();
      return next.promise;
    },
    now,
  };
}

/** What the step of a share runs on; undefined where the batch is whole. */
function sharedRun(
  { host: { tools }, plan, plan: { shared }, options: { batch }, device, values, staging }: TrainingState,
  exchange?: ShareExchange,
): SharedRun | undefined {
  if (!shared) return undefined;
  if (!exchange) throw new RangeError("A step of a share of a batch: there is nothing to hear of the others by");
  return { tools, plan, shared, batch, device, values, exchange, staging };
}

/** What a training step or a validation dispatches, step by step. */
function dispatchesOf(
  { plan, device, values }: TrainingState,
  runs: "training" | "validation",
): readonly (readonly PreparedDispatch[])[] {
  return itemsOf(plan, device.dispatches(values), runs);
}

function costsOf(plan: TrainingPlan, slowness: number): TrainingCosts {
  const constants = [...plan.constants.values()].reduce((sum, data) => sum + data.byteLength, 0);
  const floats = plan.layout.chunks.reduce(
    (sum, { floats, trained }) => sum + floats * kindsOf(plan, trained).length,
    0,
  );
  return {
    memory: {
      parameters: floats * 4 + constants,
      activations: plan.buffers.bytes,
      scratch: plan.imageBytes + plan.uniformBytes + UNIFORM_BYTES,
    },
    steps: stepCosts(itemsOf(plan, plan.steps, "training"), slowness),
  };
}

/** Writes an array, behind `from` bytes of a slot. */
function write(
  { host }: TrainingState,
  target: Segments,
  data: Float32Array | Int16Array | Uint32Array,
  from = 0,
): void {
  writeBytes(host.tools.commands, (operator) => host.enqueue(operator, { target }), target, bytesOf(data), from);
}

async function readFloats(
  { host }: TrainingState,
  source: Segments,
  from: number,
  floats: number,
  waiting?: Waiting,
) {
  const { gpu, commands } = host.tools;
  return new Float32Array((await readBytes(gpu, commands, source, from * 4, floats * 4, waiting)).buffer);
}

/** Writes what values hold before anything is set: constants, no options, zeros. */
function initialise(state: TrainingState): void {
  const { plan, values } = state;
  for (const [slot, data] of plan.constants) write(state, values.segments(slot), data);
  writeOptions(state);
  for (const [chunk, { floats, trained }] of plan.layout.chunks.entries()) {
    for (const kind of kindsOf(plan, trained)) {
      if (kind !== "parameters") write(state, values.whole(kind, chunk), new Float32Array(floats));
    }
  }
  writeSteps(state, 0);
}

/** Writes the state of an optimizer that counts its steps. */
function writeSteps(state: TrainingState, steps: number): void {
  if (!describeOptimizer(state.plan.optimizer).countsSteps) return;
  const shared = new Float32Array(STATE_FLOATS);
  shared[0] = steps;
  write(state, state.values.segments(OPTIMIZER_STATE), shared);
}

/** Writes a step's options; without options what a validation needs. */
function writeOptions(state: TrainingState, options?: SgdOptions): void {
  const floats = new Float32Array(OPTION_FLOATS);
  floats[OPTION.lossScale] = options?.lossScale ?? 1;
  if (options) {
    floats[OPTION.learningRate] = options.learningRate;
    floats[OPTION.momentum] = options.momentum;
    floats[OPTION.weightDecay] = options.weightDecay;
    floats[OPTION.nesterov] = options.nesterov ? 1 : 0;
    floats[OPTION.clipNorm] = options.clipNorm;
  }
  write(state, state.values.segments(OPTIONS), floats);
}

async function setParameters(state: TrainingState, source: WeightSource, optimizer?: OptimizerState): Promise<void> {
  const { host: { tools: { gpu, commands } }, plan, values, moving } = state;
  const { layout: { parameters, chunks }, optimizer: options } = plan;
  const staged = chunks.map(({ floats, trained }) => {
    const kinds = kindsOf(plan, trained).filter((kind) => kind !== "gradients");
    return new Map(kinds.map((kind) => [kind, new Float32Array(floats)]));
  });
  const put = (kind: GivenKind, { chunk, offset }: typeof parameters[number], value: Float32Array) =>
    staged[chunk].get(kind)?.set(value, offset);
  moving.clear();
  for (const name of putParameters({ parameters, ...(options && { optimizer: options }), put }, source, optimizer)) {
    moving.add(name);
  }
  staged.forEach((kinds, chunk) => kinds.forEach((data, kind) => write(state, values.whole(kind, chunk), data)));
  writeSteps(state, optimizer?.steps ?? 0);
  await commands.wait();
  gpu.check();
}

/** The wanted values of a kind times a factor, read chunk by chunk and all at once. */
async function readValues(
  state: TrainingState,
  kind: ValueKind,
  isWanted: (parameter: PlacedParameter) => boolean,
  factor = 1,
): Promise<Map<string, Float32Array>> {
  const { plan: { layout }, values } = state;
  const chosen = layout.parameters.filter(isWanted);
  const used = [...new Set(chosen.map(({ chunk }) => chunk))];
  const read = async (chunk: number): Promise<[number, Float32Array]> => {
    return [chunk, await readFloats(state, values.whole(kind, chunk), 0, layout.chunks[chunk].floats)];
  };
  const chunks = new Map(await Promise.all(used.map(read)));
  return new Map(chosen.map(({ name, chunk, offset, length }) => {
    const value = (chunks.get(chunk) ?? new Float32Array()).slice(offset, offset + length);
    if (factor !== 1) { for (let i = 0; i < length; i++) value[i] *= factor; }
    return [name, value];
  }));
}

/** All parameters and the optimizer's state. */
async function readParameters(state: TrainingState): Promise<{ readonly values: ParameterValues } & OptimizerState> {
  const { values: held, plan: { optimizer } } = state;
  const { kept, countsSteps } = describeOptimizer(optimizer);
  const moving = new Set(state.moving);
  const keptValues = kept.map(async ({ kind }) =>
    [kind, await readValues(state, kind, ({ name }) => moving.has(name))] as const
  );
  const [values, shared, ...entries] = await Promise.all([
    readValues(state, "parameters", () => true),
    countsSteps ? readFloats(state, held.segments(OPTIMIZER_STATE), 0, STATE_FLOATS) : undefined,
    ...keptValues,
  ]);
  return { values, kept: Object.fromEntries(entries), ...(shared && { steps: shared[0] }) };
}

/** Losses and squares of the last step. */
function readResults(state: TrainingState, when?: Promise<void>): Promise<Float32Array> {
  const { device, plan: { resultCount }, staging } = state;
  return readFloats(state, device.slot(RESULTS), 0, resultCount, { when, staging });
}

function readCounts(state: TrainingState): Promise<Float32Array> {
  return readFloats(state, state.device.slot(COUNTS), 0, state.plan.countBytes / 4);
}

async function readLogits(
  state: TrainingState,
  { slot, channels, grid }: PlannedOutput,
  sample: number,
): Promise<Float32Array> {
  const floats = voxelCount(grid) * padToFour(channels);
  return unpadChannels(await readFloats(state, state.device.slot(slot), sample * floats, floats), channels);
}
