/** Convolutions whose gradients every engine's kernels are tested on, with what the plain reference says. */
import { type Vec3, voxelCount } from "../../core/base/shape.ts";
import { referenceGradients } from "../../kernels/operators/conv/gradient_reference.ts";
import { convOutputGrid } from "../../kernels/operators/conv/problem.ts";
import { channelsLast } from "./gradient_harness.ts";
import { noise } from "./run_operator.ts";

export interface GradientCase {
  readonly grid: Vec3;
  readonly parts: readonly number[];
  readonly outputs: number;
  readonly kernel: Vec3;
  readonly stride: Vec3;
  readonly transposed?: boolean;
  readonly norm?: boolean;
}

const CUBE: Vec3 = [3, 3, 3];
const ONE: Vec3 = [1, 1, 1];
export const GRADIENT_CASES: Readonly<Record<string, GradientCase>> = {
  "3x3x3": { grid: [5, 6, 7], parts: [3], outputs: 5, kernel: CUBE, stride: ONE },
  "3x3x3 of one channel": { grid: [5, 6, 9], parts: [1], outputs: 9, kernel: CUBE, stride: ONE, norm: true },
  "3x3x3 of two channels": { grid: [5, 6, 9], parts: [2], outputs: 4, kernel: CUBE, stride: ONE },
  "3x3x3 of a concat": { grid: [5, 6, 7], parts: [3, 6], outputs: 13, kernel: CUBE, stride: ONE, norm: true },
  "3x3x3 of many channels": { grid: [3, 5, 4], parts: [37], outputs: 45, kernel: CUBE, stride: ONE, norm: true },
  "3x3x3 of several tiles of channels": { grid: [3, 4, 4], parts: [40, 33], outputs: 70, kernel: CUBE, stride: ONE },
  "3x3x3 of several blocks": { grid: [9, 17, 33], parts: [8], outputs: 8, kernel: CUBE, stride: ONE, norm: true },
  "3x3x3 on a single voxel": { grid: ONE, parts: [5], outputs: 3, kernel: CUBE, stride: ONE, norm: true },
  "3x3x3 stride 2": { grid: [5, 8, 7], parts: [4], outputs: 8, kernel: CUBE, stride: [2, 2, 2], norm: true },
  "3x3x3 stride 2, larger": { grid: [9, 8, 18], parts: [6], outputs: 20, kernel: CUBE, stride: [2, 2, 2], norm: true },
  "3x3x3 stride (1, 2, 2)": { grid: [3, 10, 7], parts: [8], outputs: 8, kernel: CUBE, stride: [1, 2, 2], norm: true },
  "1x3x3 stride (1, 2, 3)": {
    grid: [4, 6, 9],
    parts: [5],
    outputs: 3,
    kernel: [1, 3, 3],
    stride: [1, 2, 3],
    norm: true,
  },
  "1x3x3 of a plane": { grid: [1, 19, 18], parts: [2, 2], outputs: 6, kernel: [1, 3, 3], stride: ONE, norm: true },
  "1x3x3": { grid: [4, 7, 5], parts: [9], outputs: 6, kernel: [1, 3, 3], stride: ONE, norm: true },
  "5x3x1": { grid: [6, 5, 7], parts: [5], outputs: 7, kernel: [5, 3, 1], stride: ONE, norm: true },
  "1x5x7 stride (1, 2, 3)": {
    grid: [2, 9, 15],
    parts: [2],
    outputs: 7,
    kernel: [1, 5, 7],
    stride: [1, 2, 3],
    norm: true,
  },
  "1x1x1": { grid: [3, 4, 5], parts: [7], outputs: 2, kernel: ONE, stride: ONE, norm: true },
  "1x1x1 stride 2": { grid: [3, 4, 5], parts: [34], outputs: 21, kernel: ONE, stride: [2, 2, 2], norm: true },
  "transposed 2x2x2": {
    grid: [3, 4, 5],
    parts: [7],
    outputs: 6,
    kernel: [2, 2, 2],
    stride: [2, 2, 2],
    transposed: true,
    norm: true,
  },
  "transposed 2x2x2 to one channel": {
    grid: [3, 4, 5],
    parts: [9],
    outputs: 1,
    kernel: [2, 2, 2],
    stride: [2, 2, 2],
    transposed: true,
    norm: true,
  },
  "transposed 1x2x2 of a concat": {
    grid: [1, 4, 5],
    parts: [5, 20],
    outputs: 33,
    kernel: [1, 2, 2],
    stride: [1, 2, 2],
    transposed: true,
    norm: true,
  },
  "transposed 1x3x4": {
    grid: [6, 4, 5],
    parts: [3],
    outputs: 3,
    kernel: [1, 3, 4],
    stride: [1, 3, 4],
    transposed: true,
  },
};

export const BATCH = 2;
/** Largest error as a share of the standard deviation of all the values. */
export const BOUND = 5e-5;

/** A case's tensors, its problem's common part and what the reference says. */
export function prepareGradient(c: GradientCase) {
  const { grid, parts, outputs, kernel, stride, transposed = false } = c;
  const around = 4;
  const inputs = parts.reduce((a, b) => a + b);
  const outputGrid: Vec3 = transposed
    ? [grid[0] * stride[0], grid[1] * stride[1], grid[2] * stride[2]]
    : convOutputGrid(grid, kernel, stride);
  const voxels = voxelCount(grid);
  const samples = [0, 1].map((n) => noise(inputs * voxels, 10 + n));
  const gradients = [0, 1].map((n) => noise(outputs * voxelCount(outputGrid), 20 + n));
  const weight = noise(inputs * outputs * voxelCount(kernel), 3);
  const input = channelsLast(samples, parts, voxels, around);
  const output = channelsLast(gradients, [outputs], voxelCount(outputGrid), around);
  const norm = noise(BATCH * 3 * input.padded, 4);
  const read = samples.map((sample, n) =>
    sample.map((value, i) => {
      if (!c.norm) return value;
      const at = (k: number) => norm[(n * 3 + k) * input.padded + input.positions[Math.floor(i / voxels)]];
      const y = value * at(0) + at(1);
      return Math.max(y, y * at(2));
    })
  );
  const expected = read.map((sample, n) =>
    referenceGradients(sample, grid, gradients[n], outputGrid, weight, [inputs, outputs], kernel, stride, transposed)
  );
  const problem = {
    name: "test",
    batch: BATCH,
    inputGrid: grid,
    kernel,
    stride,
    transposed,
    outputGradient: { slot: "dy", channelStride: output.stride, channelOffset: around, parts: [outputs] },
  };
  const operand = { channelStride: input.stride, channelOffset: around, parts };
  return { samples, weight, input, output, norm, expected, problem, operand, voxels, around };
}
