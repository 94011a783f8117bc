/** The memory a training takes, said before its first step, and what would fit where it is too much. */
import { collectGarbage } from "../base/collect_garbage.ts";
import { describeBytes } from "../base/describe_bytes.ts";
import { UserError } from "../base/errors.ts";
import { residentBytes } from "../base/memory_allowance.ts";
import { type Vec3, voxelCount } from "../base/shape.ts";
import type { TrainingEngine, TrainingMemory, TrainingOptions } from "../engine/training.ts";
import type { Graph } from "../graph/graph.ts";
import { splineCoefficients } from "./augment/sample.ts";
import type { ReadingLane } from "../predict/run/run_memory.ts";
import type { TrainingSetup } from "./setup.ts";
import { batchBytesOf, bytesOnTheWay, sampleBytesOf } from "./steps_ahead.ts";

/** What comes to the program between its start and a training's steps: compiled code, kernels, garbage; and with every sample thread. */
const GROWTH_BYTES = 64 * 2 ** 20;
const THREAD_BYTES = 32 * 2 ** 20;
/** An engine in a thread of its own, with its driver and its kernels; as measured. */
const ENGINE_BYTES = 256 * 2 ** 20;
/** Saving copies weights and momentum, packs them piece by piece, and draws the report's pictures; as measured. */
const SAVING = { share: 2.5, bytes: 96 * 2 ** 20 };

export interface TrainingForecast {
  readonly memory: TrainingMemory;
  /** Of one training step, by the engine's cost model. */
  readonly seconds: number;
  /** Samples that are loaded, those being worked on, and those on their way to the engine. */
  readonly samples: number;
  /** The program itself with its threads, and saving a checkpoint. */
  readonly program: number;
  readonly total: number;
}

/** What forecasts are asked of. */
export type Planner = Pick<TrainingEngine, "kind" | "forecastTraining">;

/** What a training has beside its network. */
export interface Loading {
  /** Sample threads. */
  readonly threads: number;
  /** Samples loaded ahead. */
  readonly ahead: number;
  /** Engines that share every batch, each in a thread; their memory is forecast together. */
  readonly engines: number;
  /** Other trainings go on beside this one. */
  readonly lane?: ReadingLane;
}

/** Of `count` trainings beside each other, each with an engine of its own; to be measured before the first one begins. */
export function trainingLane(count: number): ReadingLane {
  collectGarbage();
  return { runtimeBytes: residentBytes() + count * ENGINE_BYTES, of: count };
}

export function forecastTraining(
  engine: Planner,
  setup: TrainingSetup,
  options: TrainingOptions,
  { threads, ahead, engines, lane }: Loading,
): TrainingForecast {
  const { memory, steps } = engine.forecastTraining(setup.graph, options);
  const { spec } = setup.augmentation;
  const loaded = voxelCount(spec.loadPatch) * (4 * spec.channels + 4) + 4 * splineCoefficients(spec);
  const sample = sampleBytesOf(setup);
  const shares = engines > 1 ? engines * ENGINE_BYTES : 0;
  const runtime = (lane?.runtimeBytes ?? residentBytes() + GROWTH_BYTES) + shares + threads * THREAD_BYTES;
  const onTheWay = bytesOnTheWay(engine.kind, batchBytesOf(setup), options.precision === "f16");
  const samples = Math.max(1, threads) * (loaded + 3 * sample) + ahead * sample + onTheWay;
  const saving = SAVING.share * memory.parameters / engines + SAVING.bytes;
  return {
    memory,
    seconds: steps.reduce((sum, step) => sum + step.seconds, 0),
    samples,
    total: memory.parameters + memory.activations + memory.scratch + samples + saving + runtime,
    program: saving + runtime,
  };
}

/**
 * Refuses what takes more than there is, naming a batch or patch that would fit.
 * @param available Bytes that may be taken
 */
export function requireMemory(
  engine: Planner,
  setup: TrainingSetup,
  options: TrainingOptions,
  forecast: TrainingForecast,
  available: number,
  lane?: ReadingLane,
): void {
  if (forecast.total <= available) return;
  const beside = forecast.total - bytesOf(forecast.memory);
  const fits = (changed: Partial<TrainingOptions>) =>
    bytesOf(engine.forecastTraining(setup.graph, { ...options, ...changed }).memory) + beside <= available;
  throw new UserError({
    doing: "planning the training's memory",
    problem: `a batch of ${options.batch} ${options.batch === 1 ? "patch" : "patches"} of ${
      shown(options.patch)
    } voxels takes ${describeBytes(forecast.total)} (network ${describeBytes(bytesOf(forecast.memory))}, samples ${
      describeBytes(forecast.samples)
    }); ${describeBytes(available)} may be used${
      lane ? `, as ${lane.of} trainings beside each other share --max-memory` : ""
    }`,
    remedy: whatFits(setup, options, fits) + (lane ? "; or train on fewer GPUs at a time (--gpus)" : ""),
  });
}

function whatFits(
  { graph, recipe }: TrainingSetup,
  { batch, patch }: TrainingOptions,
  fits: (changed: Partial<TrainingOptions>) => boolean,
): string {
  for (let smaller = batch - 1; smaller >= 1; smaller--) {
    if (!fits({ batch: smaller })) continue;
    return `a batch of ${smaller} would fit: --batch-size ${smaller} --name batch${smaller} (folder ` +
      `${recipe.trainerName}_batch${smaller}); or close other programs, or raise --max-memory`;
  }
  const divisor = strideProduct(graph);
  for (const smaller of smallerPatches(patch, divisor)) {
    if (!fits({ batch: 1, patch: smaller })) continue;
    return `a batch of 1 and a patch of ${shown(smaller)} would fit: plan for less memory ` +
      "(plan_experiment -gpu_memory_target), or set patch_size and batch_size in the plans";
  }
  return "no batch or patch of this network fits: plan a smaller one (plan_experiment -gpu_memory_target)";
}

/** Patches each a step smaller than the last along its longest axis, as far as the network allows. */
function* smallerPatches(patch: Vec3, divisor: Vec3): Generator<Vec3> {
  const size: [number, number, number] = [...patch];
  for (;;) {
    const [longest] = [0, 1, 2].filter((axis) => size[axis] > divisor[axis]).sort((a, b) => size[b] - size[a]);
    if (longest === undefined) return;
    size[longest] -= divisor[longest];
    yield [...size];
  }
}

/** What each axis of a patch has to be divisible by. */
function strideProduct({ nodes }: Graph): Vec3 {
  // Every level is left again by one transposed convolution with the level's stride.
  return nodes.reduce<Vec3>(
    (product, node) =>
      node.kind !== "transposedConv"
        ? product
        : [product[0] * node.stride[0], product[1] * node.stride[1], product[2] * node.stride[2]],
    [1, 1, 1],
  );
}

function bytesOf({ parameters, activations, scratch }: TrainingMemory): number {
  return parameters + activations + scratch;
}

function shown(patch: Vec3): string {
  return patch.join(" x ");
}
