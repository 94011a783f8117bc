/**
 * Where the patches of a sliding window lie. Source: nnunetv2/inference/sliding_window_prediction.py
 * (compute_steps_for_sliding_window) and acvl_utils' pad_nd_image. Nothing is padded in memory: an image smaller than the patch
 * gets origins below zero, patch gathers read zeros there and accumulation drops what lies outside.
 */
import { UserError } from "../../base/errors.ts";
import { roundHalfEven } from "../../base/numeric.ts";
import type { Vec3 } from "../../base/shape.ts";

/** At ten milliseconds a tile these take a day. */
const MOST_TILES = 10_000_000;
/** Tiles across the axis that is streamed along: each is an object in memory. */
const MOST_LISTED = 1_000_000;

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
  const count = positionCount(image, patch, stepSize);
  const step = count > 1 ? (padded - patch) / (count - 1) : 0;
  return Array.from({ length: count }, (_, i) => roundHalfEven(step * i) - below);
}

function positionCount(image: number, patch: number, stepSize: number): number {
  return Math.ceil((Math.max(image, patch) - patch) / (patch * stepSize)) + 1;
}

/** Positions along each axis; see {@link tileGrid}. */
function positionCounts(grid: Vec3, patch: Vec3, stepSize: number, dimensions: 2 | 3): number[] {
  return grid.map((image, axis) => positionCount(image, patch[axis], dimensions === 2 && axis === 0 ? 1 : stepSize));
}

/**
 * Judges the number of tiles before a list of them is made.
 * @throws UserError naming it, where it would take weeks, or memory as an image does
 */
export function requireTileCount(caseId: string, grid: Vec3, patch: Vec3, stepSize: number, dimensions: 2 | 3): void {
  const counts = positionCounts(grid, patch, stepSize, dimensions);
  const total = counts[0] * counts[1] * counts[2];
  // Two axes are listed in full, whichever is streamed along.
  const listed = total / Math.min(...counts);
  if (total <= MOST_TILES && listed <= MOST_LISTED) return;
  const most = total > MOST_TILES ? `${MOST_TILES} of them` : `${MOST_LISTED} of them side by side`;
  throw new UserError({
    doing: "placing the tiles of the prediction",
    caseId,
    problem: `patches of ${patch.slice(3 - dimensions).join(" x ")} voxels at a step size of ${stepSize} make ` +
      `${counts.join(" x ")} tiles of the ${grid.join(" x ")} voxels to predict; at most ${most} are computed`,
    remedy: stepSize < 0.5
      ? "give a larger -step_size; 0.5 is the default"
      : "cut the image into smaller ones, or check its spacing",
  });
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
