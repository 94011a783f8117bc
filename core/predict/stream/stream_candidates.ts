/** The choice among ways to stream a case: bytes and seconds of each, and which one is taken. */
import { voxelCount } from "../../base/shape.ts";
import type { ProgramMemory } from "../../engine/engine.ts";
import type { MemoryForecast, StreamInputs, StreamPlan, TileRow, TileWindow } from "./stream.ts";

/** Planes of final logits in memory while they are resampled from a spilled ring. */
export const SPILLED_PLANES = 2;

/** Bytes of logits and weight sums of a ring. */
function ringBytes(planes: number, rows: number, columns: number, channelStride: number): number {
  return 4 * planes * rows * columns * (channelStride + 1);
}

/** A way to stream a case, not yet weighed. */
export type Candidate = Pick<
  StreamPlan,
  "axes" | "size" | "rows" | "windows" | "planes" | "placement" | "batch" | "foldsResident"
>;

const BATCHES = [1, 2, 3, 4, 6, 8, 12, 16];
/** Of an engine with memory of its own, which can take most of them: planning each takes a while. */
const FEW_BATCHES = [1, 2, 4, 8, 16];
/** Without need no batch takes more than this of the program's memory in activations: larger ones gain little and cost memory. */
const COMFORTABLE_ACTIVATIONS = 128 * 2 ** 20;
/** Forecasts closer than this are equal; the larger batch is taken then. */
const SAME_TIME = 1.01;
/** Bytes a second of a scratch file. */
const DISK_RATE = 8e8;
/** Buffers on their way between engine and scratch file beyond those counted. */
const SPILL_BUFFER_BYTES = 16 * 2 ** 20;
/** Batches worth weighing: none larger than what a row of a window offers, or than what is comfortable. */
export function candidateBatches(
  { mirrorings, forecast, ownMemory }: Pick<StreamInputs, "mirrorings" | "forecast" | "ownMemory">,
  rows: readonly TileRow[],
  windows: readonly TileWindow[],
): readonly number[] {
  const most = Math.max(...rows.map((row) => row.positions.length)) *
    Math.max(...windows.map((window) => window.origins.length)) * mirrorings;
  const batches = (ownMemory ? FEW_BATCHES : BATCHES).filter((batch) => batch <= most);
  const comfortable = ownMemory?.comfortable ?? COMFORTABLE_ACTIVATIONS;
  // Larger ones take more: after the first that is too large none is forecast, which takes a while.
  const tooLarge = batches.findIndex((batch) => batch > 1 && bytesOf(forecast(batch).memory) > comfortable);
  return tooLarge < 0 ? batches : batches.slice(0, tooLarge);
}

/** The batch that most cases with so many mirrorings will be computed in: what two tiles offer is taken if it is comfortable. */
export function usualBatch(inputs: Pick<StreamInputs, "mirrorings" | "forecast" | "ownMemory">): number {
  const tile = [0, 0] as const;
  const row: TileRow = { positions: [0], opens: [0, 1], closes: [0, 1], emits: [0, 1] };
  return candidateBatches(inputs, [row], [{ rows: [0, 1], columns: [0, 1], origins: [tile, tile] }]).at(-1) ?? 1;
}

const bytesOf = ({ activations, scratch }: ProgramMemory) => activations + scratch;

/** The fastest candidate that fits the limit, or the one that needs least where none does. */
export function cheapestThatFits(inputs: StreamInputs, candidates: readonly Candidate[]): StreamPlan {
  const plans = candidates.map((candidate) => weigh(inputs, candidate));
  const { limit } = inputs;
  const fitting = limit === undefined ? plans : plans.filter((plan) => plan.memory.total <= limit);
  if (fitting.length === 0) return plans.reduce((a, b) => (b.memory.total < a.memory.total ? b : a));
  const fastest = Math.min(...fitting.map((plan) => plan.seconds));
  const asFast = fitting.filter((plan) => plan.seconds <= fastest * SAME_TIME);
  return asFast.reduce((a, b) => (isBetter(b, a) ? b : a));
}

/** Among about equally fast plans: the larger batch, then the faster one, then the smaller memory. */
function isBetter(a: StreamPlan, b: StreamPlan): boolean {
  if (a.batch !== b.batch) return a.batch > b.batch;
  return a.seconds !== b.seconds ? a.seconds < b.seconds : a.memory.total < b.memory.total;
}

function weigh(inputs: StreamInputs, candidate: Candidate): StreamPlan {
  const { folds, mirrorings, ringStride, costs } = inputs;
  const { memory, steps } = inputs.forecast(candidate.batch);
  const { rows, windows, placement, foldsResident } = candidate;
  let [tiles, runs] = [0, 0];
  for (const row of rows) {
    for (const window of windows) {
      const here = row.positions.length * window.origins.length;
      tiles += here;
      runs += Math.ceil((here * mirrorings) / candidate.batch) * folds;
    }
  }
  let seconds = runs * steps.reduce((sum, step) => sum + step.seconds, 0);
  seconds += volumeSeconds(inputs, tiles * mirrorings * folds);
  seconds += costs.packWeights((foldsResident ? 1 : rows.length) * folds * memory.weights);
  if (placement !== "memory") {
    const bytes = spilledBytes(candidate, ringStride, folds);
    seconds += bytes / DISK_RATE + costs.transfer(bytes);
  }
  const parts = {
    runtime: inputs.fixed.runtime,
    image: inputs.fixed.image,
    labels: inputs.fixed.labels,
    ring: ringMemory(candidate, ringStride),
    activations: memory.activations,
    weights: memory.weights * (foldsResident ? folds : 1),
    scratch: memory.scratch,
  };
  const total = Object.values(parts).reduce((sum, bytes) => sum + bytes, 0);
  const forecast: MemoryForecast = { ...parts, total };
  return { ...candidate, tiles, samples: tiles * mirrorings * folds, runs, memory: forecast, seconds };
}

/** Gathering and accumulating every sample, dividing every plane, resampling every output voxel. */
function volumeSeconds(inputs: StreamInputs, samples: number): number {
  const { costs, grid, patch, inputChannels, outputChannels, outputVoxels } = inputs;
  const voxels = voxelCount(patch);
  return costs.gather(samples, voxels, inputChannels) + costs.accumulate(samples, voxels, outputChannels) +
    costs.finish(voxelCount(grid), outputChannels) + costs.resample(outputVoxels, outputChannels);
}

function ringMemory({ placement, planes, size, windows }: Candidate, channelStride: number): number {
  if (placement === "memory") return ringBytes(planes, size[1], size[2], channelStride);
  const window = Math.max(...windows.map(({ rows, columns }) => windowArea(rows, columns)));
  // The window, the planes being resampled, and one plane of each on its way through the host.
  return ringBytes(planes, 1, window, channelStride) + ringBytes(SPILLED_PLANES, size[1], size[2], channelStride) +
    2 * ringBytes(1, size[1], size[2], channelStride) + SPILL_BUFFER_BYTES;
}

/** Bytes that go to and from the scratch file: each window once in and once out per row and fold, each plane twice more. */
function spilledBytes({ rows, windows, planes, size }: Candidate, channelStride: number, folds: number): number {
  const windowsArea = windows.reduce((sum, { rows, columns }) => sum + windowArea(rows, columns), 0);
  const perVoxel = 4 * (channelStride + 1);
  return perVoxel * (2 * rows.length * folds * planes * windowsArea + 2 * size[0] * size[1] * size[2]);
}

function windowArea(rows: readonly [number, number], columns: readonly [number, number]): number {
  return (rows[1] - rows[0]) * (columns[1] - columns[0]);
}
