/**
 * Whether one axis is resampled by itself, and the arithmetic of shapes, as nnunetv2/preprocessing/resampling/default_resampling.py.
 */
import { roundHalfEven } from "../base/numeric.ts";
import { UserError } from "../base/errors.ts";
import { equalVec3, type Vec3 } from "../base/shape.ts";
import type { Resampling } from "../plan/plans.ts";

/** Upstream's ANISO_THRESHOLD: a spacing ratio above it makes a case anisotropic. */
const ANISOTROPY_THRESHOLD = 3;

/**
 * The axis that is resampled by itself (in-plane slices first, then along it), or null. The spacings are those of the grid
 * resampled from and of the grid resampled to, in transposed axes (mm). Two or three equally coarse axes give null.
 */
export function separateZAxis(resampling: Resampling, currentSpacing: Vec3, newSpacing: Vec3): number | null {
  if (resampling.kind === "none" || resampling.forceSeparateZ === false) return null;
  if (resampling.forceSeparateZ === true) return onlyCoarsestAxis(currentSpacing);
  const threshold = resampling.kind === "torch" ? resampling.separateZThreshold : ANISOTROPY_THRESHOLD;
  if (anisotropy(currentSpacing) > threshold) return onlyCoarsestAxis(currentSpacing);
  if (anisotropy(newSpacing) > threshold) return onlyCoarsestAxis(newSpacing);
  return null;
}

function anisotropy(spacing: Vec3): number {
  return Math.max(...spacing) / Math.min(...spacing);
}

function onlyCoarsestAxis(spacing: Vec3): number | null {
  const largest = Math.max(...spacing);
  const axes = [0, 1, 2].filter((axis) => largest / spacing[axis] === 1);
  return axes.length === 1 ? axes[0] : null;
}

/** Shape after resampling from `oldSpacing` to `newSpacing`: round(old / new * n), halves to even (compute_new_shape). */
export function resampledShape(shape: Vec3, oldSpacing: Vec3, newSpacing: Vec3): Vec3 {
  const size = (axis: 0 | 1 | 2) => roundHalfEven((oldSpacing[axis] / newSpacing[axis]) * shape[axis]);
  return [size(0), size(1), size(2)];
}

/** For no_resampling_hack, which can only keep a grid. @throws UserError if the grids differ. */
export function refuseGridChange(from: Vec3, to: Vec3): void {
  if (equalVec3(from, to)) return;
  throw new UserError({
    doing: "resampling",
    problem: `the plans name no_resampling_hack for a grid of ${from.join(" x ")} that has to become ${to.join(" x ")}`,
    remedy: "use one kind of resampling for data, seg and probabilities in plans.json",
  });
}
