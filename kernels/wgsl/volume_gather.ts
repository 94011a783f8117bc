/** Cutting patches out of volumes: the image's channels, and one-hot channels of a label map, as a network's input. */
import type { Vec3 } from "../../core/base/shape.ts";
import type { Placement } from "../wasm/volume_gather.ts";
import type { ArrayLayout } from "./elementwise_segments.ts";
import type { SlotLayout, WgslOperator } from "./kernel.ts";

export type { Placement } from "../wasm/volume_gather.ts";

export interface Gather {
  /** f32 (channels, z, y, x); elements are single f32. */
  readonly volume: ArrayLayout;
  readonly channels: number;
  readonly grid: Vec3;
  /**
   * i16 (z, y, x) as u32 words of two labels, the first one in the low half: the bytes of an Int16Array, rounded up to whole words.
   * Elements of the layout are words. One 0/1 channel for each value of `oneHot` follows the image's channels.
   */
  readonly labelMap?: { readonly labels: ArrayLayout; readonly oneHot: readonly number[] };
  /** Patch i becomes sample i. */
  readonly patches: readonly Placement[];
  /** Grid of a sample. */
  readonly patch: Vec3;
  /** [sample][z][y][x][padded channels] as vec4 of its type. */
  readonly input: SlotLayout;
}

export function planGatherPatches(_spec: Gather): WgslOperator {
  throw new Error("not written yet");
}
