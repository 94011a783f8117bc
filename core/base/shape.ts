/** Sizes, positions and axis orders of 3-D grids. Axes are (z, y, x) unless a name says otherwise; 2-D is z = 1. */

/** Three numbers, one an axis. */
export type Vec3 = readonly [number, number, number];

/** Number of voxels of a grid. */
export function voxelCount(shape: Vec3): number {
  return shape[0] * shape[1] * shape[2];
}

/** Rounds a channel count up to the engine's blocks of four. */
export function padToFour(channels: number): number {
  return (channels + 3) & ~3;
}

/** `values` in the order that `axes` names: result[i] = values[axes[i]]. */
export function permute<T>(values: readonly [T, T, T], axes: Vec3): [T, T, T] {
  return [values[axes[0]], values[axes[1]], values[axes[2]]];
}

/** True if both have the same three numbers. */
export function equalVec3(a: Vec3, b: Vec3): boolean {
  return a[0] === b[0] && a[1] === b[1] && a[2] === b[2];
}

/** Element strides of a contiguous (z, y, x) grid. */
export function contiguousStrides(shape: Vec3): Vec3 {
  return [shape[1] * shape[2], shape[2], 1];
}
