/** Convolutions as problems: shapes and slots, nothing about how they are computed. */
import { type Vec3, voxelCount } from "../../../core/base/shape.ts";
import { sum } from "../arithmetic.ts";
import type { OperandRange, TargetRange } from "../tensor.ts";

/** Cross-correlation with zero padding (kernel-1)/2 per axis. Weight (out, in, kz, ky, kx), bias (out). */
export interface ConvProblemOf<Input extends OperandRange, Output extends TargetRange> {
  /** For reports: "encoder.stages.0.0.convs.0.conv". */
  readonly name: string;
  /** Name of the step that it becomes in a plan. */
  readonly step?: string;
  readonly batch: number;
  readonly inputGrid: Vec3;
  readonly kernel: Vec3;
  readonly stride: Vec3;
  readonly input: Input;
  readonly output: Output;
  readonly outputChannels: number;
  /** Slot of the packed weights and the bias, f32. */
  readonly weightSlot: string;
  /** True if the output's statistics go to `output.statisticsSlot`. */
  readonly statistics: boolean;
}

/** Grid of a convolution's output. */
export function convOutputGrid(inputGrid: Vec3, kernel: Vec3, stride: Vec3): Vec3 {
  const axis = (i: number) => Math.floor((inputGrid[i] + 2 * ((kernel[i] - 1) >> 1) - kernel[i]) / stride[i]) + 1;
  return [axis(0), axis(1), axis(2)];
}

/** Multiplications and additions of the direct form; `walked` is the grid that has a product of all taps a voxel. */
export function convFlops(
  { batch, kernel, input, outputChannels }: Omit<ConvProblemOf<OperandRange, TargetRange>, "stride">,
  walked: Vec3,
): number {
  return 2 * batch * voxelCount(walked) * voxelCount(kernel) * sum(input.parts) * outputChannels;
}
