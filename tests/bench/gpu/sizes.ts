/** How large what is measured is: the sizes of real use, or some with which a software adapter is through in a minute. */
import { z } from "zod";
import type { Vec3 } from "../../../core/base/shape.ts";

const count = z.number().int().min(1).max(4096);
const vec3 = z.tuple([count, count, count]);

export const sizesSchema = z.strictObject({
  /** Voxels along an edge of the patch, and features by stage. */
  edge: count,
  features: z.array(count).min(2).max(8),
  /** Batches of the forward passes, and of training. */
  batches: z.array(count).min(1).max(8),
  trainBatch: count,
  /** Of the patch on which gradients are compared with the CPU's. */
  gradientEdge: count,
  runs: count,
  /** Rows of the matrices of which the peak is measured. */
  peak: count,
  /** The whole CT, (z, y, x), and its classes. */
  ct: vec3,
  classes: z.number().int().min(2).max(250),
});
export type Sizes = z.infer<typeof sizesSchema>;

/** nnU-Net's default 3-D network, and a CT as TotalSegmentator's. */
export const FULL: Sizes = {
  edge: 128,
  features: [32, 64, 128, 256, 320, 320],
  batches: [1, 4],
  trainBatch: 2,
  gradientEdge: 64,
  runs: 20,
  peak: 4096,
  ct: [400, 512, 512],
  classes: 25,
};

export const SMALL: Sizes = {
  edge: 16,
  features: [4, 8],
  batches: [1],
  trainBatch: 2,
  gradientEdge: 16,
  runs: 3,
  peak: 256,
  ct: [20, 28, 28],
  classes: 5,
};

export const cube = (edge: number): Vec3 => [edge, edge, edge];
