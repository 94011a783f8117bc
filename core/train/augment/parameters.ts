/** What is done to one sample, as plain data: the same parameters give the same sample on every engine. */
import type { Vec3 } from "../../base/shape.ts";
import type { AugmentationStep, CascadeStep } from "./steps.ts";

/** Rotation and scaling about the centre of the loaded patch. */
export interface SpatialParameters {
  /** Radians about the axes z, y, x; planar ones have only the first. */
  readonly angles: Vec3;
  /** Above 1 objects get smaller; for the axes z, y, x where there are three. */
  readonly scale: number | Vec3;
}

export interface AugmentationParameters {
  /** Absent: the middle of the loaded patch as it is. */
  readonly spatial?: SpatialParameters;
  /** In the order in which they are done. */
  readonly steps: readonly AugmentationStep[];
  /** In the order in which they are done; empty without a previous stage. */
  readonly cascade: readonly CascadeStep[];
}
