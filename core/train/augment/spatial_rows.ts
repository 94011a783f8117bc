/**
 * Where the voxels of a patch lie in the loaded patch when it is rotated and scaled about its centre: the voxel at index i reads at
 * A * (i - (patch - 1) / 2) + (loaded - 1) / 2, axes z, y, x. Source: batchgeneratorsv2/transforms/spatial/spatial.py (0.3.6).
 */
import type { Vec3 } from "../../base/shape.ts";
import type { SpatialParameters } from "./parameters.ts";

/**
 * Rows of A = diag(scale) * R2 * R1 * R0, where Rk turns by angles[k] about array axis k. Recipe "da5" has its coordinates as row
 * vectors, which turns the other way round: its angles are the negatives of batchgenerators'.
 */
export function spatialMatrix({ angles, scale }: SpatialParameters): readonly [Vec3, Vec3, Vec3] {
  const [c0, c1, c2] = angles.map(Math.cos);
  const [s0, s1, s2] = angles.map(Math.sin);
  const [z, y, x] = typeof scale === "number" ? [scale, scale, scale] : scale;
  return [
    [z * c2 * c1, z * (c2 * s1 * s0 - s2 * c0), z * (c2 * s1 * c0 + s2 * s0)],
    [y * s2 * c1, y * (s2 * s1 * s0 + c2 * c0), y * (s2 * s1 * c0 - c2 * s0)],
    [x * -s1, x * c1 * s0, x * c1 * c0],
  ];
}

/** Rows of a patch along x in the loaded patch: voxel x of a row reads at start + x * step. */
export interface RowGeometry {
  readonly step: Vec3;
  /** Of row (z, y), into `start`. */
  startOf(z: number, y: number, start: Float64Array): void;
}

/** Rows of a patch of size `patch` in a loaded one of size `loaded`. */
export function rowGeometry(matrix: readonly [Vec3, Vec3, Vec3], patch: Vec3, loaded: Vec3): RowGeometry {
  const centre = patch.map((n) => (n - 1) / 2);
  return {
    step: [matrix[0][2], matrix[1][2], matrix[2][2]],
    startOf(z, y, start) {
      for (let axis = 0; axis < 3; axis++) {
        const row = matrix[axis];
        start[axis] = row[0] * (z - centre[0]) + row[1] * (y - centre[1]) - row[2] * centre[2] + (loaded[axis] - 1) / 2;
      }
    },
  };
}

/**
 * Narrows range[0] <= i < range[1] to where 0 <= start + i * step < end. Exact for positions computed by that expression, so that
 * loops over the range need no checks of their own.
 */
export function narrowRange(range: Int32Array, start: number, step: number, end: number): void {
  let [low, high] = range;
  if (step !== 0) {
    const [a, b] = [-start / step, (end - start) / step];
    low = Math.max(low, Math.floor(Math.min(a, b)) - 1);
    high = Math.min(high, Math.ceil(Math.max(a, b)) + 2);
  }
  const inside = (i: number) => start + i * step >= 0 && start + i * step < end;
  while (low < high && !inside(low)) low++;
  while (low < high && !inside(high - 1)) high--;
  range[0] = low;
  range[1] = Math.max(low, high);
}
