/**
 * Training on the CPU engine: parameters, gradients and momentum in one range of the shared memory, a step as one command (forward,
 * loss, backward, norm of the gradients) and a second one for the optimizer, whose options change from step to step.
 */
import { rememberLast } from "../core/base/remember_last.ts";
import { padToFour, type Vec3, voxelCount } from "../core/base/shape.ts";
import { checkAlive } from "../core/engine/checks.ts";
import type { StepCost, WeightSource } from "../core/engine/engine.ts";
import type {
  OptimizerState,
  TrainingEngine,
  TrainingMemory,
  TrainingOptions,
  TrainingProgram,
  TrainStepResult,
  ValidationStepResult,
} from "../core/engine/training.ts";
import { checkSample } from "../core/engine/training_checks.ts";
import type { Operator } from "../kernels/wasm/kernel.ts";
import { ADAM_STATE_BYTES } from "../kernels/wasm/training/adam.ts";
import { planClear } from "../kernels/wasm/volume/clear.ts";
import { planGatherPatches } from "../kernels/wasm/volume/gather.ts";
import { copyCall, type PlacedCall } from "./encode.ts";
import { type PlannedStep, temporaryBlock } from "./program_plan.ts";
import type { Encoded, Region, Stream } from "./stream.ts";
import type { PlacedParameter } from "./training_parameters.ts";
import { planTraining, type TrainingPlan } from "./training_plan.ts";
import { keptKinds, KIND, updateOf, valueBytes } from "./training_values.ts";

/** What training needs of the engine. */
export interface TrainingHost {
  readonly stream: Stream;
  readonly threads: number;
  allocate(bytes: number, what: string): Region;
  release(region: Region): void;
  /** Enqueues one operator whose slots are whole regions or addresses. */
  enqueue(operator: Operator, slots: Readonly<Record<string, Region | number>>, used?: readonly Region[]): void;
}

interface TrainingState {
  readonly plan: TrainingPlan;
  readonly arena: Region;
  /** All {@link KIND}s of values, one after the other, in one layout; then Adam's state. */
  readonly values: Region;
  readonly constants: ReadonlyMap<string, number>;
  readonly trainStep: Encoded;
  readonly validationStep: Encoded;
  /** Parameters that have momentum. */
  readonly moving: Set<string>;
  readonly batch: number;
  readonly patch: Vec3;
  readonly options: TrainingOptions;
}

/** What the CPU engine can do in training besides the port. */
export interface CpuTraining {
  /** Runs a training step piece by piece: milliseconds of each of `program.steps` but the last, the optimizer; for the bench. */
  timeTraining(program: TrainingProgram): Promise<number[]>;
}

/** The training half of the CPU engine. */
export function createTraining(host: TrainingHost): Omit<TrainingEngine, "kind" | "description"> & CpuTraining {
  const { stream, threads } = host;
  const { memory } = stream;
  const programs = new WeakMap<TrainingProgram, TrainingState>();

  function stateOf(program: TrainingProgram, doing: string): TrainingState {
    const state = programs.get(program);
    checkAlive(state?.arena.alive === true, "the training program", doing);
    return state as TrainingState;
  }

  function arenaSlot({ plan, arena }: Pick<TrainingState, "plan" | "arena">, slot: string): number {
    const offset = plan.arena.offsets.get(slot);
    if (offset === undefined) throw new RangeError(`Resolving a kernel's operands: there is no slot ${slot}`);
    return arena.address + offset;
  }

  /** Address of a kind of values. */
  function valuesAt({ plan, values }: Pick<TrainingState, "plan" | "values">, kind: number): number {
    return values.address + kind * plan.layout.floats * 4;
  }

  /** Address of Adam's state, behind all values. */
  function adamAt({ plan, values }: Pick<TrainingState, "plan" | "values">): number {
    return values.address + valueBytes(plan) - ADAM_STATE_BYTES;
  }

  function placeSteps(
    state: Pick<TrainingState, "plan" | "arena" | "values" | "constants">,
    steps: readonly PlannedStep[],
    first: number,
  ): PlacedCall[] {
    const { plan, constants } = state;
    return steps.flatMap(({ operator }, i) => {
      const addressOf = (slot: string): number => {
        if (slot in operator.temporaries) return arenaSlot(state, temporaryBlock(first + i, slot));
        const constant = constants.get(slot);
        if (constant !== undefined) return constant;
        const parameter = plan.parameterSlots.get(slot);
        if (parameter !== undefined) return valuesAt(state, KIND.parameters) + parameter * 4;
        const gradient = plan.gradientSlots.get(slot);
        return gradient === undefined ? arenaSlot(state, slot) : valuesAt(state, KIND.gradients) + gradient * 4;
      };
      return operator.calls.map((call) => ({ call, addressOf }));
    });
  }

  /** Constants are never written again, so the main thread writes them here. */
  function writeConstants(plan: TrainingPlan): Map<string, number> {
    const addresses = new Map<string, number>();
    for (const [slot, data] of plan.constants) {
      const address = memory.allocateSmall(data.byteLength);
      memory.bytes(address, data.byteLength).set(new Uint8Array(data.buffer));
      addresses.set(slot, address);
    }
    return addresses;
  }

  function compile(plan: TrainingPlan, options: TrainingOptions): TrainingState {
    const regions: Region[] = [];
    try {
      regions.push(host.allocate(plan.arena.bytes, "the activations and gradients of the training"));
      regions.push(host.allocate(valueBytes(plan), "the network's parameters, gradients and momentum"));
      stream.reserveScratch(plan.scratchBytes);
    } catch (error) {
      regions.forEach(host.release);
      throw error;
    }
    const [arena, values] = regions;
    host.enqueue(planClear({ slot: "values", offset: 0, bytes: valueBytes(plan) }), { values });
    const placed = { plan, arena, values, constants: writeConstants(plan) };
    const forward = (runs: "training" | "validation") =>
      forwardOf(plan, runs).flatMap((i) => placeSteps(placed, [plan.forward[i]], i));
    const counts = placeSteps(placed, [plan.counts], plan.forward.length);
    const backward = placeSteps(placed, plan.backward, plan.forward.length + 1);
    return {
      ...placed,
      trainStep: stream.encode([...forward("training"), ...backward]),
      validationStep: stream.encode([...forward("validation"), ...counts]),
      moving: new Set(),
      batch: options.batch,
      patch: options.patch,
      options,
    };
  }

  function dispose(state: TrainingState): void {
    if (!state.arena.alive) return;
    host.release(state.arena);
    host.release(state.values);
    stream.release(state.trainStep);
    stream.release(state.validationStep);
    stream.afterwards(() => state.constants.forEach((address) => memory.freeSmall(address)));
  }

  /** Copies the wanted values of a kind out of the memory. */
  function copyValues(
    state: TrainingState,
    kind: number,
    wanted: (parameter: PlacedParameter) => boolean,
  ): Map<string, Float32Array> {
    const from = valuesAt(state, kind);
    const chosen = state.plan.layout.parameters.filter(wanted);
    return new Map(chosen.map(({ name, offset, length }) => {
      return [name, new Float32Array(memory.memory.buffer, from + offset * 4, length).slice()];
    }));
  }

  function readResults({ plan, arena }: TrainingState): { readonly loss: number; readonly squares: number } {
    const computed = plan.outputs.filter((output) => output !== undefined).length;
    const results = new Float64Array(memory.memory.buffer, arenaSlot({ plan, arena }, plan.resultSlot), computed + 1);
    return { loss: results.subarray(0, computed).reduce((a, b) => a + b, 0), squares: results[computed] };
  }

  function readCounts(state: TrainingState): Omit<ValidationStepResult, "loss"> {
    const { plan } = state;
    const channels = plan.outputs[0]?.channels ?? 0;
    const padded = padToFour(channels);
    const parts = new Float32Array(memory.memory.buffer, arenaSlot(state, plan.countsSlot), plan.countFloats);
    const totals = [0, 1, 2].map(() => new Float64Array(channels));
    for (let i = 0; i < parts.length; i += padded) {
      const total = totals[i / padded % 3];
      for (let c = 0; c < channels; c++) total[c] += parts[i + c];
    }
    return { truePositives: totals[0], falsePositives: totals[1], falseNegatives: totals[2] };
  }

  // A forecast comes before its compilation, and planning a large network takes a second or more.
  const planOf = rememberLast(planTraining);
  return {
    forecastTraining: (graph, options) => costsOf(planOf(graph, options), threads),
    compileTraining(graph, options) {
      const plan = planOf(graph, options);
      const state = compile(plan, options);
      const program: TrainingProgram = {
        graph,
        patch: options.patch,
        batch: options.batch,
        ...costsOf(plan, threads),
        parameters: plan.layout.parameters.map(({ name, shape, hasGradient }) => ({ name, shape, hasGradient })),
        [Symbol.dispose]: () => dispose(state),
      };
      programs.set(program, state);
      return Promise.resolve(program);
    },
    setParameters(program, source: WeightSource, optimizer?: OptimizerState) {
      const doing = "Setting the parameters";
      const state = stateOf(program, doing);
      const { layout, adam } = state.plan;
      const bytes = layout.floats * 4;
      const kept = keptKinds(state.plan, optimizer);
      const stagedBytes = (1 + kept.length) * bytes + (adam ? ADAM_STATE_BYTES : 0);
      const staging = memory.allocateIdle(stagedBytes, "setting the network's parameters");
      state.moving.clear();
      try {
        const staged = new Float32Array(memory.memory.buffer, staging, (1 + kept.length) * layout.floats);
        staged.fill(0);
        for (const { name, shape, offset, length, hasGradient } of layout.parameters) {
          staged.set(source.get(name, shape), offset);
          if (!hasGradient || !optimizer?.momentum.has(name)) continue;
          for (const [i, { what, values }] of kept.entries()) {
            const value = values?.get(name);
            if (value?.length !== length) {
              throw new RangeError(`${doing}: the ${what} of ${name} has ${value?.length} elements, not ${length}`);
            }
            staged.set(value, (i + 1) * layout.floats + offset);
          }
          state.moving.add(name);
        }
        for (const [i, kind] of [KIND.parameters, ...kept.map((one) => one.kind)].entries()) {
          const slots = { source: staging + i * bytes, target: valuesAt(state, kind), length: bytes };
          host.enqueue(copying(bytes), slots, [state.values]);
        }
        if (adam) {
          const source = staging + (1 + kept.length) * bytes;
          memory.bytes(source, ADAM_STATE_BYTES).fill(0);
          new Float64Array(memory.memory.buffer, source, 1)[0] = optimizer?.adam?.steps ?? 0;
          const slots = { source, target: adamAt(state), length: ADAM_STATE_BYTES };
          host.enqueue(copying(ADAM_STATE_BYTES), slots, [state.values]);
        }
      } finally {
        memory.free(staging, stream.issued);
      }
      return stream.settled();
    },
    readParameters(program) {
      const state = stateOf(program, "Reading the parameters");
      const moving = ({ name }: PlacedParameter) => state.moving.has(name);
      return stream.read(state.values, () => ({
        values: copyValues(state, KIND.parameters, () => true),
        momentum: copyValues(state, KIND.momentum, moving),
        ...(state.plan.adam && {
          adam: {
            steps: new Float64Array(memory.memory.buffer, adamAt(state), 1)[0],
            averages: copyValues(state, KIND.averages, moving),
            ...(state.plan.adam.amsgrad && { largest: copyValues(state, KIND.largest, moving) }),
          },
        }),
      }));
    },
    setSample(program, sample, image, labels) {
      const doing = "Setting a sample";
      const state = stateOf(program, doing);
      const { plan, patch, batch, options } = state;
      const voxels = voxelCount(patch);
      checkAlive(sample >= 0 && sample < batch, `sample ${sample} of ${batch}`, doing);
      const classes = plan.outputs[0]?.channels ?? 0;
      checkSample(image, labels, { patch, inputChannels: plan.inputChannels, classes, loss: options.loss });
      const staging = memory.allocateIdle(image.byteLength + labels.byteLength, "a sample");
      memory.bytes(staging, image.byteLength).set(bytesOf(image));
      memory.bytes(staging + image.byteLength, labels.byteLength).set(bytesOf(labels));
      const gather = planGatherPatches({
        volumeSlot: "image",
        channels: plan.inputChannels,
        grid: patch,
        patches: [{ origin: [0, 0, 0], mirror: [false, false, false] }],
        patch,
        inputSlot: "input",
      });
      const sampleBytes = voxels * padToFour(plan.inputChannels) * 4;
      const input = arenaSlot(state, plan.inputSlot) + sample * sampleBytes;
      host.enqueue(gather, { image: staging, input }, [state.arena]);
      const target = arenaSlot(state, plan.labelSlot) + sample * voxels * 2;
      const copied = { source: staging + image.byteLength, target, length: labels.byteLength };
      host.enqueue(copying(labels.byteLength), copied, [state.arena]);
      memory.free(staging, stream.issued);
    },
    trainStep(program, options) {
      const state = stateOf(program, "Training the network");
      const { plan, arena, values, moving } = state;
      stream.submit(state.trainStep, [arena, values]);
      host.enqueue(
        updateOf(plan, options),
        {
          parameters: valuesAt(state, KIND.parameters),
          gradients: valuesAt(state, KIND.gradients),
          momentum: valuesAt(state, KIND.momentum),
          ...(plan.adam && {
            averages: valuesAt(state, KIND.averages),
            largest: valuesAt(state, plan.adam.amsgrad ? KIND.largest : KIND.averages),
            adam: adamAt(state),
          }),
          results: arenaSlot(state, plan.resultSlot),
        },
        [arena, values],
      );
      return stream.read(arena, (): TrainStepResult => {
        const { loss, squares } = readResults(state);
        const skipped = !Number.isFinite(squares);
        if (!skipped) {
          for (const { name, hasGradient } of plan.layout.parameters) if (hasGradient) moving.add(name);
        }
        return { loss, gradientNorm: Math.sqrt(squares), skipped };
      });
    },
    validationStep(program) {
      const state = stateOf(program, "Validating the network");
      stream.submit(state.validationStep, [state.arena, state.values]);
      return stream.read(state.arena, () => ({ loss: readResults(state).loss, ...readCounts(state) }));
    },
    async timeTraining(program) {
      const state = stateOf(program, "Timing a training step");
      const { plan } = state;
      const times: number[] = [];
      const forward = forwardOf(plan, "training");
      const indices = [...forward, ...plan.backward.keys().map((i) => plan.forward.length + 1 + i)];
      const steps = [...forward.map((i) => plan.forward[i]), ...plan.backward];
      for (const [i, step] of steps.entries()) {
        const encoded = stream.encode(placeSteps(state, [step], indices[i]));
        await stream.settled();
        const start = performance.now();
        stream.submit(encoded, [state.arena, state.values]);
        stream.release(encoded);
        await stream.settled();
        times.push(performance.now() - start);
      }
      return times;
    },
    readGradients(program) {
      const state = stateOf(program, "Reading the gradients");
      return stream.read(state.values, () => copyValues(state, KIND.gradients, ({ hasGradient }) => hasGradient));
    },
    readLogits(program, output, sample) {
      const doing = "Reading logits";
      const state = stateOf(program, doing);
      const planned = state.plan.outputs[output];
      if (!planned) throw new RangeError(`${doing}: output ${output} is not computed`);
      checkAlive(sample >= 0 && sample < state.batch, `sample ${sample} of ${state.batch}`, doing);
      const { slot, channels, grid } = planned;
      const voxels = voxelCount(grid);
      const padded = padToFour(channels);
      return stream.read(state.arena, () => {
        const address = arenaSlot(state, slot) + sample * voxels * padded * 4;
        const stored = new Float32Array(memory.memory.buffer, address, voxels * padded);
        const out = new Float32Array(voxels * channels);
        for (let c = 0; c < channels; c++) {
          for (let i = 0; i < voxels; i++) out[c * voxels + i] = stored[i * padded + c];
        }
        return out;
      });
    },
  };
}

/** Numbers of the steps of the forward pass that a training step or a validation runs. */
function forwardOf({ forward, only }: TrainingPlan, runs: "training" | "validation"): number[] {
  return [...forward.keys()].filter((i) => (only.get(i) ?? runs) === runs);
}

function copying(bytes: number): Operator {
  return { algorithm: "copy", calls: [copyCall(bytes)], temporaries: {}, flops: 0, bytes, coreSeconds: 0 };
}

function bytesOf(array: Float32Array | Int16Array): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

function costsOf(
  plan: TrainingPlan,
  threads: number,
): { readonly memory: TrainingMemory; readonly steps: readonly StepCost[] } {
  const update = updateOf(plan, {
    ...{ learningRate: 0, momentum: 0, weightDecay: 0, nesterov: true, clipNorm: 0, lossScale: 1 },
  });
  const constants = [...plan.constants.values()].reduce((sum, data) => sum + data.byteLength, 0);
  return {
    memory: {
      parameters: valueBytes(plan) + constants,
      activations: plan.arena.bytes,
      scratch: plan.scratchBytes * threads,
    },
    steps: [...forwardOf(plan, "training").map((i) => plan.forward[i]), ...plan.backward, {
      name: update.algorithm,
      operator: update,
    }].map(({ name, operator }) => ({
      name,
      algorithm: operator.algorithm,
      flops: operator.flops,
      seconds: operator.coreSeconds / threads,
    })),
  };
}
