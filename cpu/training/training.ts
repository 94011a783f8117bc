/**
 * Training on the CPU engine: parameters, gradients and momentum in one range of the shared memory, a step as one command (forward,
 * loss, backward, norm of the gradients) and a second one for the optimizer, whose options change from step to step.
 */
import { padToFour, voxelCount } from "../../core/base/shape.ts";
import type { WeightSource } from "../../core/engine/engine.ts";
import { countTotals, finishStep, stepResults, unpadChannels } from "../../core/engine/results.ts";
import type { OptimizerState, SgdOptions } from "../../core/engine/training.ts";
import { describeOptimizer } from "../../core/graph/optimizer.ts";
import {
  type GivenKind,
  type PlacedParameter,
  putParameters,
  type ValueKind,
  valueKinds,
} from "../../core/lowering/parameter_values.ts";
import { itemsOf, type PlannedOutput } from "../../core/lowering/training.ts";
import { COUNTS, LABELS, RESULTS } from "../../core/lowering/training_context.ts";
import { createTrainingCalls, type TrainingCalls, type TrainingCosts } from "../../core/lowering/training_engine.ts";
import { planGatherPatches } from "../../kernels/wasm/volume/gather.ts";
import { copyOperator } from "../encode.ts";
import { OPTIMIZER_STATE, planUpdate } from "./optimizers.ts";
import { planTraining, type TrainingPlan } from "./plan.ts";
import {
  arenaSlot,
  compileTraining,
  placeSteps,
  stateAt,
  type TrainingHost,
  type TrainingState,
  valuesAt,
} from "./state.ts";
import { stateBytes, valueBytes } from "./values.ts";

/** The training half of the CPU engine; `timeTraining` gives the times of all `program.steps` but the last, the optimizer. */
export function createTraining(host: TrainingHost): TrainingCalls {
  const { stream } = host;
  return createTrainingCalls<TrainingPlan, TrainingState>({
    plan: planTraining,
    costsOf: (plan) => costsOf(plan, host.threads),
    compile: (plan, options) => compileTraining(host, plan, options),
    setParameters,
    readParameters: (state) => stream.read(state.values, () => copyParameters(state)),
    setSample,
    trainStep(state, options) {
      stream.submit(state.trainStep, [state.arena, state.values]);
      enqueueUpdate(state, options);
      const { parameters } = state.plan.layout;
      return stream.read(state.arena, () => finishStep(resultsOf(state), parameters, state.moving));
    },
    validationStep(state) {
      const { countBytes, outputs } = state.plan;
      stream.submit(state.validationStep, [state.arena, state.values]);
      return stream.read(state.arena, () => ({
        loss: stepResults(resultsOf(state)).loss,
        ...countTotals(arenaFloats(state, COUNTS, 0, countBytes / 4), outputs[0]?.channels ?? 0),
      }));
    },
    readGradients: (state) =>
      stream.read(state.values, () => copyValues(state, "gradients", ({ hasGradient }) => hasGradient)),
    readLogits: (state, output, sample) => stream.read(state.arena, () => copyLogits(state, output, sample)),
    timeTraining: timeSteps,
  });
}

/** Enqueues a copy from a staging address to one in a region. */
function copyTo(state: TrainingState, region: "arena" | "values", source: number, target: number, bytes: number): void {
  state.host.enqueue(copyOperator(bytes), { source, target, length: bytes }, [state[region]]);
}

function setParameters(state: TrainingState, source: WeightSource, optimizer?: OptimizerState): Promise<void> {
  const { host: { stream }, plan, moving } = state;
  const { layout: { parameters, floats }, optimizer: options } = plan;
  const { memory } = stream;
  const kinds = valueKinds(options).filter((kind) => kind !== "gradients");
  const bytes = floats * 4;
  const behind = kinds.length * bytes;
  const staging = memory.allocateIdle(behind + stateBytes(plan), "setting the network's parameters");
  moving.clear();
  try {
    const staged = new Float32Array(memory.memory.buffer, staging, kinds.length * floats);
    staged.fill(0);
    const put = (kind: GivenKind, { offset }: PlacedParameter, value: Float32Array) =>
      staged.set(value, kinds.indexOf(kind) * floats + offset);
    for (const name of putParameters({ parameters, ...(options && { optimizer: options }), put }, source, optimizer)) {
      moving.add(name);
    }
    kinds.forEach((kind, i) => copyTo(state, "values", staging + i * bytes, valuesAt(state, kind), bytes));
    if (stateBytes(plan) > 0) {
      memory.bytes(staging + behind, stateBytes(plan)).fill(0);
      new Float64Array(memory.memory.buffer, staging + behind, 1)[0] = optimizer?.steps ?? 0;
      copyTo(state, "values", staging + behind, stateAt(state), stateBytes(plan));
    }
  } finally {
    memory.free(staging, stream.issued);
  }
  return stream.settled();
}

/** Copies the wanted values of a kind out of the memory, once the commands that write them are done. */
function copyValues(state: TrainingState, kind: ValueKind, isWanted: (parameter: PlacedParameter) => boolean) {
  const { host: { stream: { memory } }, plan: { layout } } = state;
  const from = valuesAt(state, kind);
  return new Map(
    layout.parameters.filter(isWanted).map(({ name, offset, length }) => {
      return [name, new Float32Array(memory.memory.buffer, from + offset * 4, length).slice()];
    }),
  );
}

function copyParameters(state: TrainingState) {
  const { host: { stream: { memory } }, plan, moving } = state;
  const { kept, countsSteps } = describeOptimizer(plan.optimizer);
  const valuesOf = (kind: ValueKind) => copyValues(state, kind, ({ name }) => moving.has(name));
  return {
    values: copyValues(state, "parameters", () => true),
    kept: Object.fromEntries(kept.map(({ kind }) => [kind, valuesOf(kind)])),
    ...(countsSteps && { steps: new Float64Array(memory.memory.buffer, stateAt(state), 1)[0] }),
  };
}

function setSample(state: TrainingState, sample: number, image: Float32Array, labels: Int16Array): void {
  const { host, host: { stream: { memory } }, plan: { inputChannels, inputSlot }, options: { patch } } = state;
  const voxels = voxelCount(patch);
  const staging = memory.allocateIdle(image.byteLength + labels.byteLength, "a sample");
  for (const [data, at] of [[image, staging], [labels, staging + image.byteLength]] as const) {
    memory.bytes(at, data.byteLength).set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  const gather = planGatherPatches({
    volumeSlot: "image",
    channels: inputChannels,
    grid: patch,
    patches: [{ origin: [0, 0, 0], mirror: [false, false, false] }],
    patch,
    inputSlot: "input",
  });
  const input = arenaSlot(state, inputSlot) + sample * voxels * padToFour(inputChannels) * 4;
  host.enqueue(gather, { image: staging, input }, [state.arena]);
  const target = arenaSlot(state, LABELS) + sample * voxels * 2;
  copyTo(state, "arena", staging + image.byteLength, target, labels.byteLength);
  memory.free(staging, host.stream.issued);
}

/** Losses and squares of the last step. */
function resultsOf(state: TrainingState): Float64Array {
  const { memory } = state.host.stream.memory;
  return new Float64Array(memory.buffer, arenaSlot(state, RESULTS), state.plan.resultCount);
}

function arenaFloats(state: TrainingState, slot: string, from: number, floats: number): Float32Array {
  const { memory } = state.host.stream.memory;
  return new Float32Array(memory.buffer, arenaSlot(state, slot) + from * 4, floats);
}

function copyLogits(state: TrainingState, { slot, channels, grid }: PlannedOutput, sample: number): Float32Array {
  const floats = voxelCount(grid) * padToFour(channels);
  return unpadChannels(arenaFloats(state, slot, sample * floats, floats), channels);
}

function enqueueUpdate(state: TrainingState, options: SgdOptions): void {
  const { host, plan, arena, values } = state;
  const slots = {
    ...Object.fromEntries(valueKinds(plan.optimizer).map((kind) => [kind, valuesAt(state, kind)])),
    [OPTIMIZER_STATE]: stateAt(state),
    [RESULTS]: arenaSlot(state, RESULTS),
  };
  host.enqueue(planUpdate(plan, options), slots, [arena, values]);
}

async function timeSteps(state: TrainingState): Promise<number[]> {
  const { stream } = state.host;
  const times: number[] = [];
  for (const calls of itemsOf(state.plan, placeSteps(state), "training")) {
    const encoded = stream.encode(calls);
    await stream.settled();
    const start = performance.now();
    stream.submit(encoded, [state.arena, state.values]);
    stream.release(encoded);
    await stream.settled();
    times.push(performance.now() - start);
  }
  return times;
}

function costsOf(plan: TrainingPlan, threads: number): TrainingCosts {
  const options = { learningRate: 0, momentum: 0, weightDecay: 0, nesterov: true, clipNorm: 0, lossScale: 1 };
  const update = planUpdate(plan, options);
  const constants = [...plan.constants.values()].reduce((sum, data) => sum + data.byteLength, 0);
  const steps = [...itemsOf(plan, plan.steps, "training"), { name: update.algorithm, operator: update }];
  return {
    memory: {
      parameters: valueBytes(plan) + constants,
      activations: plan.arena.bytes,
      scratch: plan.scratchBytes * threads,
    },
    steps: steps.map(({ name, operator }) => ({
      name,
      algorithm: operator.algorithm,
      flops: operator.flops,
      seconds: operator.coreSeconds / threads,
    })),
  };
}
