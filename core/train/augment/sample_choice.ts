/**
 * Which case a sample is from, and which box of it is loaded. Sources: nnunetv2/training/dataloading/{base_data_loader,data_loader_2d,
 * data_loader_3d}.py (2.5.1).
 */
import type { RandomStream } from "../../base/random_stream.ts";
import { roundHalfEven } from "../../base/numeric.ts";
import type { Vec3 } from "../../base/shape.ts";
import type { ClassLocations } from "../../formats/preprocessed/training_data.ts";
import { FOREGROUND_SHARE } from "../../trainers/training_recipe.ts";

/** Purposes of random streams (StreamKey.purpose) in training. */
export const STREAM = {
  trainingSample: 0,
  augmentation: 1,
  validationSample: 2,
  /** What the samples of a batch have in common; of its sample 0. */
  batch: 3,
} as const;

/** True if sample `index` of a batch must hold foreground: the last third of the samples; none of a batch of one. */
export function isForegroundForced(index: number, batch: number, share = FOREGROUND_SHARE): boolean {
  return index >= roundHalfEven(batch * (1 - share));
}

/** A case of `count`, all alike, drawn with replacement. */
export function chooseCase(stream: RandomStream, count: number): number {
  return stream.below(count);
}

/** What patches are placed by. */
export interface PatchRules {
  readonly dimensions: 2 | 3;
  /** What the network takes. */
  readonly patch: Vec3;
  /** What is loaded: the augmentation's loadPatch in training, `patch` in validation. */
  readonly loadPatch: Vec3;
  /** With an ignore label, patches that need not hold foreground are placed on annotated voxels. */
  readonly hasIgnoreLabel: boolean;
}

/** A box of a case; it may reach over the case's borders. 2-D: one slice. */
export interface PatchBox {
  readonly origin: Vec3;
  readonly size: Vec3;
}

/**
 * Places a patch. One that must hold foreground is placed on a voxel of a class drawn among those that the case has; where it has
 * none, anywhere.
 * @param grid Voxels of the case
 */
export function choosePatch(
  stream: RandomStream,
  rules: PatchRules,
  grid: Vec3,
  locations: readonly ClassLocations[],
  forceForeground: boolean,
): PatchBox {
  const voxels = chooseVoxels(stream, locations, forceForeground, rules.hasIgnoreLabel);
  const voxel = voxels === undefined ? undefined : coordinates(voxels[stream.below(voxels.length)], grid);
  const origin: [number, number, number] = [0, 0, 0];
  // 2-D: a voxel's slice and place are as likely as upstream's, which draws the slice of a voxel and then another of that slice.
  if (rules.dimensions === 2) origin[0] = voxel?.[0] ?? stream.below(grid[0]);
  else origin[0] = start(stream, rules, grid, 0, voxel);
  for (const axis of [1, 2] as const) origin[axis] = start(stream, rules, grid, axis, voxel);
  return { origin, size: rules.loadPatch };
}

/** Stored voxels of the class that a patch is placed on; undefined: anywhere. */
function chooseVoxels(
  stream: RandomStream,
  locations: readonly ClassLocations[],
  forceForeground: boolean,
  hasIgnoreLabel: boolean,
): Uint32Array | undefined {
  const present = locations.filter(({ voxels }) => voxels.length > 0);
  const annotated = present.find(({ key }) => key.kind === "allLabels");
  if (!forceForeground) return hasIgnoreLabel ? annotated?.voxels : undefined;
  const classes = present.filter((one) => one !== annotated);
  if (classes.length === 0) return annotated?.voxels;
  return classes[stream.below(classes.length)].voxels;
}

function coordinates(voxel: number, grid: Vec3): Vec3 {
  const row = Math.floor(voxel / grid[2]);
  return [Math.floor(row / grid[1]), row % grid[1], voxel % grid[2]];
}

/** Where the box starts along an axis: such that the voxel is in its middle, if there is one, else anywhere that upstream allows. */
function start(
  stream: RandomStream,
  { patch, loadPatch }: PatchRules,
  grid: Vec3,
  axis: 0 | 1 | 2,
  voxel: Vec3 | undefined,
): number {
  const load = loadPatch[axis];
  const padding = Math.max(load - patch[axis], load - grid[axis]);
  const lowest = Math.floor(-padding / 2);
  // Not clamped at the far end: there the box may hang over.
  if (voxel !== undefined) return Math.max(lowest, voxel[axis] - Math.floor(load / 2));
  const highest = grid[axis] + Math.floor(padding / 2) + (padding % 2) - load;
  return lowest + stream.below(highest - lowest + 1);
}
