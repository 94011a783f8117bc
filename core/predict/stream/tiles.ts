/**
 * Where the patches of a sliding window lie. Source: nnunetv2/inference/sliding_window_prediction.py
 * (compute_steps_for_sliding_window) and acvl_utils' pad_nd_image. Nothing is padded in memory: an image smaller than the patch
 * gets origins below zero, patch gathers read zeros there and accumulation drops what lies outside.
 */
import { roundHalfEven } from "../../base/numeric.ts";
import type { Vec3 } from "../../base/shape.ts";

/** Patch origins along each axis (z, y, x), ascending, in voxels of the unpadded image. */
export type TileGrid = readonly [readonly number[], readonly number[], readonly number[]];

/**
 * Patch origins along one axis: at most `stepSize * patch` apart, evenly spread from edge to edge.
 * @throws RangeError unless 0 < stepSize <= 1.
 * @example
 * ```ts
 * import { deepStrictEqual } from "node:assert";
 *
 * deepStrictEqual(tilePositions(300, 128, 0.5), [0, 57, 115, 172]);
 * // An image that is smaller than the patch lies in its middle.
 * deepStrictEqual(tilePositions(100, 128, 0.5), [-14]);
 * ```
 */
export function tilePositions(image: number, patch: number, stepSize: number): number[] {
  if (!(stepSize > 0 && stepSize <= 1)) {
    throw new RangeError(`Placing tiles: the step size must be above 0 and at most 1, not ${stepSize}`);
  }
  const padded = Math.max(image, patch);
  const below = Math.floor((padded - image) / 2);
  const count = Math.ceil((padded - patch) / (patch * stepSize)) + 1;
  const step = count > 1 ? (padded - patch) / (count - 1) : 0;
  return Array.from({ length: count }, (_, i) => roundHalfEven(step * i) - below);
}

/**
 * Patch origins over a grid. 2-D networks have a patch of z = 1 and tiles at every slice, whatever the step size.
 * @throws RangeError unless 0 < stepSize <= 1.
 */
export function tileGrid(grid: Vec3, patch: Vec3, stepSize: number, dimensions: 2 | 3): TileGrid {
  return [
    tilePositions(grid[0], patch[0], dimensions === 2 ? 1 : stepSize),
    tilePositions(grid[1], patch[1], stepSize),
    tilePositions(grid[2], patch[2], stepSize),
  ];
}

/** Number of tiles of a grid. */
export function tileCount(tiles: TileGrid): number {
  return tiles[0].length * tiles[1].length * tiles[2].length;
}
