/**
 * Training on the GPU engine: parameters, gradients and momentum stay on the device, a step is a fixed list of dispatches (forward, loss,
 * backward, norm of the gradients, optimizer), and what changes from step to step is in one small buffer. Only results come back.
 */
import { rememberLast } from "../core/base/remember_last.ts";
import { UserError } from "../core/base/errors.ts";
import { padToFour, voxelCount } from "../core/base/shape.ts";
import { checkAlive } from "../core/engine/checks.ts";
import type { Precision, StepCost, WeightSource } from "../core/engine/engine.ts";
import type {
  OptimizerState,
  SgdOptions,
  TrainingEngine,
  TrainingMemory,
  TrainingOptions,
  TrainingProgram,
  TrainStepResult,
  ValidationStepResult,
} from "../core/engine/training.ts";
import { checkSample } from "../core/engine/training_checks.ts";
import type { Graph } from "../core/graph/graph.ts";
import type { WantedCandidate } from "../kernels/wgsl/conv/plan_conv.ts";
import type { ConvLimits } from "../kernels/wgsl/conv/problem.ts";
import type { WgslOperator } from "../kernels/wgsl/kernel.ts";
import { labelWords } from "../kernels/wgsl/training/loss.ts";
import { ADAM_STATE_FLOATS, ADAM_STEPS } from "../kernels/wgsl/training/adam.ts";
import { OPTION, OPTION_FLOATS } from "../kernels/wgsl/training/optimizer.ts";
import { planGatherPatches } from "../kernels/wgsl/volume/gather.ts";
import { layoutOf, type Segments } from "./buffers.ts";
import { type PreparedDispatch, UNIFORM_BYTES } from "./commands.ts";
import { withinBindings } from "./limits.ts";
import { createProgram, type DeviceProgram, type Tools } from "./program.ts";
import { readBytes } from "./readback.ts";
import { timeInTurn } from "./timing.ts";
import type { PlacedParameter } from "./training_parameters.ts";
import { ADAM_STATE, COUNTS, LABELS, OPTIONS, planTraining, RESULTS, type TrainingPlan } from "./training_plan.ts";
import { type DeviceValues, keptKinds, keptValues, takeValues, type ValueKind } from "./training_values.ts";
import { writeBytes } from "./upload.ts";

/** What training needs of the engine. */
export interface TrainingHost {
  readonly tools: Tools;
  readonly limits: ConvLimits;
  readonly wanted?: WantedCandidate;
  /** Name of the adapter, for errors. */
  readonly name: string;
  supports(precision: Precision): boolean;
  enqueue(operator: WgslOperator, slots: Readonly<Record<string, Segments>>): void;
}

interface TrainingState {
  readonly device: DeviceProgram<TrainingPlan>;
  readonly values: DeviceValues;
  readonly options: TrainingOptions;
  /** Parameters that have momentum. */
  readonly moving: Set<string>;
  /** Of the last step: gradients hold it. */
  lossScale: number;
}

/** Training, and how long its parts take. */
export interface GpuTraining extends TrainingEngine {
  readonly kind: "gpu";
  /** Runs a step with the options of the last one and returns the milliseconds of each of `program.steps`; for the bench. */
  timeTraining(program: TrainingProgram): Promise<number[]>;
}

/** The training half of the GPU engine. */
export function createTraining(host: TrainingHost): Omit<GpuTraining, "kind" | "description"> {
  const { tools, limits, enqueue } = host;
  const { gpu, commands, buffers } = tools;
  const programs = new WeakMap<TrainingProgram, TrainingState>();

  function stateOf(program: TrainingProgram, doing: string): TrainingState {
    const state = programs.get(program);
    checkAlive(state?.device.alive === true, "the training program", doing);
    gpu.check();
    return state as TrainingState;
  }

  // A forecast comes before its compilation, and planning a large network takes a second or more.
  const plan = rememberLast((graph: Graph, options: TrainingOptions): TrainingPlan => {
    if (!host.supports(options.precision)) {
      throw new UserError({
        doing: "planning the training of the network",
        problem: `${host.name} has no 16-bit floats (shader-f16)`,
        remedy: "use --precision f32",
      });
    }
    const plan = () => planTraining(graph, options, limits, host.wanted);
    return withinBindings("planning the training of the network", plan);
  });

  function run(dispatches: readonly (readonly PreparedDispatch[])[]): void {
    for (const step of dispatches) step.forEach(commands.dispatch);
  }

  function write(target: Segments, data: Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>): void {
    writeBytes(commands, (operator) => enqueue(operator, { target }), target, new Uint8Array(data.buffer), 0);
  }

  /** The wanted values of a kind, read chunk by chunk and all at once. */
  async function readValues(
    { device: { plan: { layout } }, values }: TrainingState,
    kind: ValueKind,
    wanted: (parameter: PlacedParameter) => boolean,
    factor = 1,
  ): Promise<Map<string, Float32Array>> {
    const chosen = layout.parameters.filter(wanted);
    const used = [...new Set(chosen.map(({ chunk }) => chunk))];
    const chunks = new Map(
      await Promise.all(used.map(async (chunk): Promise<[number, Float32Array]> => {
        const { floats } = layout.chunks[chunk];
        const bytes = await readBytes(gpu, commands, values.whole(kind, chunk), 0, floats * 4);
        return [chunk, new Float32Array(bytes.buffer)];
      })),
    );
    return new Map(chosen.map(({ name, chunk, offset, length }) => {
      const value = (chunks.get(chunk) ?? new Float32Array()).slice(offset, offset + length);
      if (factor !== 1) { for (let i = 0; i < length; i++) value[i] *= factor; }
      return [name, value];
    }));
  }

  async function readResults({ device }: TrainingState): Promise<{ readonly loss: number; readonly squares: number }> {
    const computed = device.plan.outputs.filter((output) => output !== undefined).length;
    const bytes = await readBytes(gpu, commands, device.slot(RESULTS), 0, (computed + 1) * 4);
    const results = new Float32Array(bytes.buffer);
    return { loss: results.subarray(0, computed).reduce((a, b) => a + b, 0), squares: results[computed] };
  }

  async function readCounts({ device }: TrainingState): Promise<Omit<ValidationStepResult, "loss">> {
    const channels = device.plan.outputs[0]?.channels ?? 0;
    const padded = padToFour(channels);
    const bytes = await readBytes(gpu, commands, device.slot(COUNTS), 0, device.plan.countBytes);
    const parts = new Float32Array(bytes.buffer);
    const totals = [0, 1, 2].map(() => new Float64Array(channels));
    for (let i = 0; i < parts.length; i += padded) {
      const total = totals[i / padded % 3];
      for (let c = 0; c < channels; c++) total[c] += parts[i + c];
    }
    return { truePositives: totals[0], falsePositives: totals[1], falseNegatives: totals[2] };
  }

  return {
    forecastTraining: (graph, options) => costsOf(plan(graph, options), commands.slowness),
    async compileTraining(graph, options) {
      gpu.check();
      const planned = plan(graph, options);
      const values = takeValues(tools, planned);
      let device: DeviceProgram<TrainingPlan>;
      try {
        device = await createProgram(tools, planned);
      } catch (error) {
        values[Symbol.dispose]();
        throw error;
      }
      for (const [slot, data] of planned.constants) write(values.segments(slot), data);
      write(values.segments(OPTIONS), optionsOf());
      for (const [chunk, { floats, trained }] of planned.layout.chunks.entries()) {
        for (const kind of trained ? ["gradients", ...keptKinds(planned)] as const : []) {
          write(values.whole(kind, chunk), new Float32Array(floats));
        }
      }
      if (planned.adam) write(values.segments(ADAM_STATE), new Float32Array(ADAM_STATE_FLOATS));
      const program: TrainingProgram = {
        graph,
        patch: options.patch,
        batch: options.batch,
        ...costsOf(planned, commands.slowness),
        parameters: planned.layout.parameters.map(({ name, shape, hasGradient }) => ({ name, shape, hasGradient })),
        [Symbol.dispose]() {
          device[Symbol.dispose]();
          values[Symbol.dispose]();
        },
      };
      programs.set(program, { device, values, options, moving: new Set(), lossScale: 1 });
      return program;
    },
    async setParameters(program, source: WeightSource, optimizer?: OptimizerState) {
      const doing = "Setting the parameters";
      const { device: { plan }, values, moving } = stateOf(program, doing);
      const { layout } = plan;
      const staged = (kind: ValueKind) =>
        layout.chunks.map(({ floats, trained }) => new Float32Array(kind === "parameters" || trained ? floats : 0));
      const parameters = staged("parameters");
      const kept = keptKinds(plan).map((kind) => ({ kind, from: keptValues(optimizer, kind), to: staged(kind) }));
      moving.clear();
      for (const { name, shape, chunk, offset, length, hasGradient } of layout.parameters) {
        const value = source.get(name, shape);
        parameters[chunk].set(value, offset);
        source.release?.(value);
        if (!hasGradient || !optimizer?.momentum.has(name)) continue;
        for (const { kind, from, to } of kept) {
          const one = from?.get(name);
          if (one?.length !== length) {
            throw new RangeError(`${doing}: the ${kind} of ${name} has ${one?.length} elements, not ${length}`);
          }
          to[chunk].set(one, offset);
        }
        moving.add(name);
      }
      for (const [chunk, { trained }] of layout.chunks.entries()) {
        write(values.whole("parameters", chunk), parameters[chunk]);
        if (trained) { for (const { kind, to } of kept) write(values.whole(kind, chunk), to[chunk]); }
      }
      if (plan.adam) {
        const state = new Float32Array(ADAM_STATE_FLOATS);
        state[ADAM_STEPS] = optimizer?.adam?.steps ?? 0;
        write(values.segments(ADAM_STATE), state);
      }
      await commands.wait().catch(gpu.blame);
      gpu.check();
    },
    async readParameters(program) {
      const state = stateOf(program, "Reading the parameters");
      const { values: held, device: { plan: { adam } } } = state;
      const moving = new Set(state.moving);
      const kept = (kind: ValueKind) => readValues(state, kind, ({ name }) => moving.has(name));
      const none = Promise.resolve(undefined);
      const [values, momentum, averages, largest, shared] = await Promise.all([
        readValues(state, "parameters", () => true),
        kept("momentum"),
        adam ? kept("averages") : none,
        adam?.amsgrad ? kept("largest") : none,
        adam ? readBytes(gpu, commands, held.segments(ADAM_STATE), 0, ADAM_STATE_FLOATS * 4) : none,
      ]);
      if (!averages || !shared) return { values, momentum };
      const steps = new Float32Array(shared.buffer)[ADAM_STEPS];
      return { values, momentum, adam: { steps, averages, ...(largest && { largest }) } };
    },
    setSample(program, sample, image, labels) {
      const doing = "Setting a sample";
      const { device, options: { patch, batch, loss } } = stateOf(program, doing);
      const { inputChannels, input, outputs } = device.plan;
      checkAlive(sample >= 0 && sample < batch, `sample ${sample} of ${batch}`, doing);
      checkSample(image, labels, { patch, inputChannels, classes: outputs[0]?.channels ?? 0, loss });
      const staging = buffers.takeArray(image.byteLength, "a sample");
      try {
        const bytes = new Uint8Array(image.buffer, image.byteOffset, image.byteLength);
        writeBytes(commands, (operator) => enqueue(operator, { target: staging }), staging, bytes, 0);
        const gather = planGatherPatches({
          volume: layoutOf("image", staging, 4),
          channels: inputChannels,
          grid: patch,
          patches: [{ origin: [0, 0, 0], mirror: [false, false, false] }],
          patch,
          input: { ...input, slot: "input" },
          firstSample: sample,
        });
        enqueue(gather, { image: staging, input: device.slot(input.slot) });
      } finally {
        buffers.giveArray(staging);
      }
      const words = labelWords(patch);
      const padded = new Int16Array(words * 2);
      padded.set(labels);
      const target = device.slot(LABELS);
      const bytes = new Uint8Array(padded.buffer);
      writeBytes(commands, (operator) => enqueue(operator, { target }), target, bytes, sample * words * 4);
    },
    async trainStep(program, options) {
      const state = stateOf(program, "Training the network");
      const { device, values, moving } = state;
      const { layout } = device.plan;
      write(values.segments(OPTIONS), optionsOf(options));
      state.lossScale = options.lossScale;
      run(stepsOf(device.plan, device.dispatches(values), "training"));
      const { loss, squares } = await readResults(state);
      const skipped = !Number.isFinite(squares);
      if (!skipped) {
        for (const { name, hasGradient } of layout.parameters) if (hasGradient) moving.add(name);
      }
      return { loss, gradientNorm: Math.sqrt(squares), skipped } satisfies TrainStepResult;
    },
    async validationStep(program) {
      const state = stateOf(program, "Validating the network");
      const { device, values } = state;
      run(stepsOf(device.plan, device.dispatches(values), "validation"));
      const [{ loss }, counts] = await Promise.all([readResults(state), readCounts(state)]);
      return { loss, ...counts };
    },
    timeTraining(program) {
      const { device, values } = stateOf(program, "Timing a training step");
      return timeInTurn(tools, stepsOf(device.plan, device.dispatches(values), "training"));
    },
    readGradients(program) {
      const state = stateOf(program, "Reading the gradients");
      return readValues(state, "gradients", ({ hasGradient }) => hasGradient, 1 / state.lossScale);
    },
    async readLogits(program, output, sample) {
      const doing = "Reading logits";
      const { device, options: { batch } } = stateOf(program, doing);
      const planned = device.plan.outputs[output];
      if (!planned) throw new RangeError(`${doing}: output ${output} is not computed`);
      checkAlive(sample >= 0 && sample < batch, `sample ${sample} of ${batch}`, doing);
      const { slot, channels, grid } = planned;
      const voxels = voxelCount(grid);
      const padded = padToFour(channels);
      const size = voxels * padded * 4;
      const stored = new Float32Array((await readBytes(gpu, commands, device.slot(slot), sample * size, size)).buffer);
      const out = new Float32Array(voxels * channels);
      for (let c = 0; c < channels; c++) {
        for (let i = 0; i < voxels; i++) out[c * voxels + i] = stored[i * padded + c];
      }
      return out;
    },
  };
}

/** The options' buffer; without options what a validation needs. */
function optionsOf(options?: SgdOptions): Float32Array<ArrayBuffer> {
  const values = new Float32Array(OPTION_FLOATS);
  values[OPTION.lossScale] = options?.lossScale ?? 1;
  if (!options) return values;
  values[OPTION.learningRate] = options.learningRate;
  values[OPTION.momentum] = options.momentum;
  values[OPTION.weightDecay] = options.weightDecay;
  values[OPTION.nesterov] = options.nesterov ? 1 : 0;
  values[OPTION.clipNorm] = options.clipNorm;
  return values;
}

/** What a training step or a validation runs of all steps. */
function stepsOf<T>({ forwardSteps, only }: TrainingPlan, steps: readonly T[], runs: "training" | "validation"): T[] {
  return steps.filter((_, i) => {
    if (i < forwardSteps) return (only.get(i) ?? runs) === runs;
    return runs === "training" ? i > forwardSteps : i === forwardSteps;
  });
}

function costsOf(
  plan: TrainingPlan,
  slowness: number,
): { readonly memory: TrainingMemory; readonly steps: readonly StepCost[] } {
  const constants = [...plan.constants.values()].reduce((sum, data) => sum + data.byteLength, 0);
  const kinds = 2 + keptKinds(plan).length;
  const floats = plan.layout.chunks.reduce((sum, { floats, trained }) => sum + floats * (trained ? kinds : 1), 0);
  return {
    memory: {
      parameters: floats * 4 + constants,
      activations: plan.buffers.bytes,
      scratch: plan.uniformBytes + UNIFORM_BYTES,
    },
    steps: stepsOf(plan, plan.steps, "training").map(({ name, operator: { algorithm, flops }, seconds }) => ({
      ...{ name, algorithm, flops, seconds: seconds * slowness },
    })),
  };
}
