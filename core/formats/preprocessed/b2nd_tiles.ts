/**
 * Chunks and blocks of a preprocessed case's arrays, as nnU-Net lays them out for reading patches.
 * Source: comp_blosc2_params of nnunetv2/training/dataloading/nnunet_dataset.py (2.8.1).
 */
import type { Vec3 } from "../../base/shape.ts";

const MAX_BLOCK_BYTES = 128 * 1024;
const MAX_CHUNK_BYTES = 6 * 1024 ** 2;
/** A chunk is at most so much longer than a patch. */
const CHUNK_TO_PATCH = 1.5;
const AXES = [0, 1, 2] as const;

type Lengths = [number, number, number];

/**
 * Shapes of one channel's chunks and blocks.
 * @param patch Of one voxel in z for 2-D configurations
 */
export function b2ndTiles(
  grid: Vec3,
  patch: Vec3,
  dimensions: 2 | 3,
  bytesPerVoxel: number,
): { readonly chunk: Vec3; readonly block: Vec3 } {
  const target = grid.map((length, axis) => Math.max(1, Math.min(length, Math.floor(CHUNK_TO_PATCH * patch[axis]))));
  const block: Lengths = [0, 0, 0];
  for (const axis of AXES) block[axis] = Math.min(nextPower(patch[axis]), grid[axis]);
  while (bytes(block, bytesPerVoxel) > MAX_BLOCK_BYTES) {
    // The axis that has most of its target, of equal ones the last.
    const [first, ...others] = AXES.filter((axis) => block[axis] > 1);
    const longest = others.reduce<0 | 1 | 2>(
      (best, axis) => (block[axis] / target[axis] >= block[best] / target[best] ? axis : best),
      first,
    );
    block[longest] = powerBelow(block[longest]);
  }
  const chunk: Lengths = [...block];
  for (;;) {
    const axis = axisToGrow(chunk, block, grid, patch, target, dimensions, bytesPerVoxel);
    if (axis === undefined) return { chunk, block };
    chunk[axis] = grown(chunk, block, grid, target, axis);
  }
}

/** The axis that has least of its target, of equal ones the image's longest. */
function axisToGrow(
  chunk: Lengths,
  block: Vec3,
  grid: Vec3,
  patch: Vec3,
  target: readonly number[],
  dimensions: 2 | 3,
  bytesPerVoxel: number,
): 0 | 1 | 2 | undefined {
  let best: 0 | 1 | 2 | undefined;
  for (const axis of AXES) {
    if ((dimensions === 2 && axis === 0) || patch[axis] === 1 || chunk[axis] >= target[axis]) continue;
    const larger: Lengths = [...chunk];
    larger[axis] = grown(chunk, block, grid, target, axis);
    if (bytes(larger, bytesPerVoxel) > MAX_CHUNK_BYTES) continue;
    if (best === undefined) {
      best = axis;
      continue;
    }
    const [share, least] = [chunk[axis] / target[axis], chunk[best] / target[best]];
    if (share < least || (share === least && grid[axis] > grid[best])) best = axis;
  }
  return best;
}

function grown(chunk: Lengths, block: Vec3, grid: Vec3, target: readonly number[], axis: 0 | 1 | 2): number {
  return Math.min(chunk[axis] + block[axis], grid[axis], target[axis]);
}

function bytes([z, y, x]: Lengths, bytesPerVoxel: number): number {
  return z * y * x * bytesPerVoxel;
}

function nextPower(length: number): number {
  return length <= 1 ? 1 : 2 ** (32 - Math.clz32(length - 1));
}

function powerBelow(length: number): number {
  return length <= 2 ? 1 : 2 ** (31 - Math.clz32(length - 1));
}
