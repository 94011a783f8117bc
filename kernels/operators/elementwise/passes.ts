/** Passes over whole tensors: the residual sum and average pooling, with their inputs' norms applied on load. */
import { padToFour, type Vec3, voxelCount } from "../../../core/base/shape.ts";
import type { Cost } from "../operator.ts";
import { type OperandRange, paddedChannels, type TargetRange } from "../tensor.ts";

/** out = leaky(a' + b') over (batch, z, y, x, channels), a' and b' being the operands with their norms applied. */
export interface ResidualAddOf<Input extends OperandRange, Output extends TargetRange> {
  readonly batch: number;
  readonly grid: Vec3;
  readonly a: Input;
  readonly b: Input;
  /** Its statistics slot is not written: no norm follows a residual sum. */
  readonly target: Output;
  /** Slope of the leaky ReLU applied to the sum; 1 where none is. */
  readonly slope: number;
}

/**
 * Mean over windows of `stride` voxels: (batch, z, y, x, channels) to (batch, floor(z / stride), ...); rests of the grid are dropped
 * (torch's AvgPoolNd with kernel = stride).
 */
export interface AveragePoolOf<Input extends OperandRange, Output extends TargetRange> {
  readonly batch: number;
  /** Grid of the input. */
  readonly grid: Vec3;
  readonly stride: Vec3;
  readonly input: Input;
  readonly target: Output;
}

/** @throws RangeError if the channels of the three differ. */
export function checkResidualAdd({ a, b, target }: ResidualAddOf<OperandRange, TargetRange>): void {
  const padded = paddedChannels(a);
  if (padded === paddedChannels(b) && padded === padToFour(target.channels)) return;
  throw new RangeError(
    `Describing a residual sum: ${a.parts.join("+")} and ${b.parts.join("+")} channels into ${target.channels}`,
  );
}

/** @throws RangeError if the channels differ. */
export function checkAveragePool({ input, target }: AveragePoolOf<OperandRange, TargetRange>): void {
  if (paddedChannels(input) === padToFour(target.channels)) return;
  throw new RangeError(`Describing an average pool: ${input.parts.join("+")} channels into ${target.channels}`);
}

/** Grid of a pool's output. */
export function pooledGrid(grid: Vec3, stride: Vec3): Vec3 {
  return [Math.floor(grid[0] / stride[0]), Math.floor(grid[1] / stride[1]), Math.floor(grid[2] / stride[2])];
}

/** Bytes of an element of the inputs and of the output. */
export interface ElementBytes {
  readonly read: readonly number[];
  readonly written: number;
}

export function residualAddCost(
  { batch, grid, a }: ResidualAddOf<OperandRange, TargetRange>,
  bytes: ElementBytes,
): Cost {
  const elements = batch * voxelCount(grid) * paddedChannels(a);
  return { flops: elements, bytes: elements * bytes.read.reduce((sum, read) => sum + read, bytes.written) };
}

export function averagePoolCost(
  { batch, grid, stride, input }: AveragePoolOf<OperandRange, TargetRange>,
  { read: [read], written }: ElementBytes,
): Cost {
  const outputs = batch * voxelCount(pooledGrid(grid, stride)) * paddedChannels(input);
  return { flops: outputs * voxelCount(stride), bytes: outputs * (voxelCount(stride) * read + written) };
}
