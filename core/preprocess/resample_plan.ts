/** What decides how an image, a segmentation or logits are resampled. */
import type { Vec3 } from "../base/shape.ts";
import type { Resampling } from "../plan/plans.ts";

/** How, and between which spacings (transposed axes, mm): they decide whether one axis is resampled by itself. */
export interface ResamplePlan {
  readonly resampling: Resampling;
  readonly currentSpacing: Vec3;
  readonly newSpacing: Vec3;
}
