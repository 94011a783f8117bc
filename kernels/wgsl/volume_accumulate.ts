/**
 * Sums of overlapping patches in a ring of open planes: adding a patch's logits weighted by importance, and dividing by the summed
 * weights once no further patch touches a plane.
 */
import type { Vec3 } from "../../core/base/shape.ts";
import type { RingGeometry } from "../wasm/volume_accumulate.ts";
import type { Placement } from "../wasm/volume_gather.ts";
import type { ArrayLayout } from "./elementwise_segments.ts";
import type { SlotLayout, WgslOperator } from "./kernel.ts";

export type { RingGeometry } from "../wasm/volume_accumulate.ts";

export interface Accumulate {
  readonly ring: RingGeometry;
  /** f32; elements are vec4, padToFour(channels) / 4 of them a voxel. */
  readonly logits: ArrayLayout;
  /** f32; elements are single f32, one a voxel. */
  readonly weightSums: ArrayLayout;
  /** [sample][z][y][x][padded channels] as vec4 of its type. */
  readonly output: SlotLayout;
  readonly sample: number;
  readonly patch: Vec3;
  readonly placement: Placement;
  /** f32 (z, y, x) of the patch; elements are single f32. */
  readonly importance: ArrayLayout;
  readonly scale: number;
  readonly addWeight: boolean;
}

export interface FinishPlanes {
  readonly ring: RingGeometry;
  readonly logits: ArrayLayout;
  readonly weightSums: ArrayLayout;
  /** Planes [from, to) of the volume. */
  readonly from: number;
  readonly to: number;
  readonly folds: number;
}

export function planAccumulate(_spec: Accumulate): WgslOperator {
  throw new Error("not written yet");
}

export function planFinishPlanes(_spec: FinishPlanes): WgslOperator {
  throw new Error("not written yet");
}
