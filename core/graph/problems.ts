/** What the lowering and the kernels both say of an operator: shapes and slots, nothing about how it is computed. */
import type { Vec3 } from "../base/shape.ts";

/** The convolution whose gradient is taken. */
export interface GradientProblem {
  /** For reports: "encoder.stages.0.0.convs.0.conv". */
  readonly name: string;
  /** Name of the step that it becomes in a plan. */
  readonly step?: string;
  readonly batch: number;
  /** Grid of what the convolution read. */
  readonly inputGrid: Vec3;
  readonly kernel: Vec3;
  readonly stride: Vec3;
  /** A transposed convolution: kernel = stride, no padding; otherwise padding (kernel-1)/2. */
  readonly transposed: boolean;
}

/** Where a norm table goes: a channel range of a (possibly wider) table. */
export interface NormTableRange {
  readonly batch: number;
  /** Channels of the range, not padded; the range's padding lanes are written too (scale 0, shift 0, slope 1). */
  readonly channels: number;
  /** f32 [batch][3][totalChannels]. */
  readonly normSlot: string;
  /** First channel of the range in the table; a multiple of four. */
  readonly channelOffset: number;
  /** Padded channels of the whole table. */
  readonly totalChannels: number;
  /** Slope of the leaky ReLU that follows the norm; 1 where none does. */
  readonly slope: number;
}
