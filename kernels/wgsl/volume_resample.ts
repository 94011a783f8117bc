/**
 * From logits on the network's grid to labels or probabilities on the image's, without an array of classes x image: every axis is a
 * table of two source positions and a fraction; planes are mixed first, then rows, then columns.
 */
import type { Vec3 } from "../../core/base/shape.ts";
import type { RingGeometry } from "../wasm/volume_accumulate.ts";
import type { LabelChoice, MixTable } from "../wasm/volume_resample.ts";
import type { ArrayLayout } from "./elementwise_segments.ts";
import type { WgslOperator } from "./kernel.ts";

export type { LabelChoice, MixTable } from "../wasm/volume_resample.ts";

interface ResampleRange {
  readonly ring: RingGeometry;
  /** f32; elements are vec4. */
  readonly logits: ArrayLayout;
  /** Along planes, rows and columns; what {@link packResampleTables} was given. */
  readonly tables: readonly [MixTable, MixTable, MixTable];
  /** Holds {@link packResampleTables}; within one binding. */
  readonly tablesSlot: string;
  /** Output planes [from, to). */
  readonly from: number;
  readonly to: number;
}

export interface ResampleLabels extends ResampleRange {
  readonly rule: LabelChoice;
  /** u32 words of four u8 or two u16 labels, the first in the low bits: the bytes of a Uint8Array or Uint16Array, rounded up to whole words. */
  readonly target: ArrayLayout;
  readonly targetType: "u8" | "u16";
  /** Output (plane, row, column) goes to label offset + plane*strides[0] + row*strides[1] + column*strides[2]. */
  readonly view: { readonly offset: number; readonly strides: Vec3 };
}

export interface ResampleProbabilities extends ResampleRange {
  readonly nonlinearity: "softmax" | "sigmoid";
  /** (to - from) planes of (channels, rows, columns); elements are single f32. */
  readonly target: ArrayLayout;
}

/** The constants of a resampling as one block for `tablesSlot`, the same for every range of planes. */
export function packResampleTables(
  _ring: RingGeometry,
  _tables: readonly [MixTable, MixTable, MixTable],
  _values: readonly number[] = [],
): Uint8Array<ArrayBuffer> {
  throw new Error("not written yet");
}

export function planResampleToLabels(_spec: ResampleLabels): WgslOperator {
  throw new Error("not written yet");
}

export function planResampleToProbabilities(_spec: ResampleProbabilities): WgslOperator {
  throw new Error("not written yet");
}
