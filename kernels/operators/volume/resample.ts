/**
 * From logits on the network's grid to labels or probabilities on the image's, without an array of classes x image: every axis is a
 * table of two source positions and a fraction; planes are mixed first, then rows, then columns, and what a voxel needs is used at once.
 * Mixing is a * (1 - fraction) + b * fraction in f32; a fraction of 0 passes the value on untouched.
 */
import type { Vec3 } from "../../../core/base/shape.ts";
import type { RingShape } from "./accumulate.ts";

/** A 1-D linear resampling: out[j] = in[first[j]] * (1 - fraction[j]) + in[second[j]] * fraction[j]. */
export interface MixTable {
  readonly first: Int32Array;
  readonly second: Int32Array;
  readonly fraction: Float32Array;
}

/** Along planes, rows and columns. */
export type MixTables = readonly [MixTable, MixTable, MixTable];

/** How logits become labels: the first largest, or the last in order that is above 0 (0 where none is). */
export interface LabelChoice {
  readonly kind: "argmax" | "regions";
  readonly values: readonly number[];
}

export interface ResampleOf<Ring> {
  readonly ring: Ring;
  /** Holds the tables as the engine packs them: entries, then label values. */
  readonly tablesSlot: string;
  /** Output planes [from, to). */
  readonly from: number;
  readonly to: number;
}

/** Writes one label a voxel. */
export interface ToLabels {
  readonly targetType: "u8" | "u16";
  /** Output (plane, row, column) goes to label offset + plane*strides[0] + row*strides[1] + column*strides[2]. */
  readonly view: { readonly offset: number; readonly strides: Vec3 };
}

/** Writes softmax (over the channels) or sigmoid, f32 (to - from) planes of (channels, rows, columns). */
export interface ToProbabilities {
  readonly nonlinearity: "softmax" | "sigmoid";
}

/** One output position of an axis. */
export interface MixEntry {
  readonly first: number;
  readonly second: number;
  readonly fraction: number;
}

/** Equal sources need no arithmetic, whatever the fraction; without a fraction the second one is never looked at. */
export function mixEntry({ first, second, fraction }: MixTable, j: number): MixEntry {
  const mixes = first[j] !== second[j] && fraction[j] !== 0;
  return { first: first[j], second: mixes ? second[j] : first[j], fraction: mixes ? fraction[j] : 0 };
}

/** @throws RangeError if an entry reads beyond the ring's volume. */
export function checkMixTables({ depth, rows, columns }: RingShape, tables: MixTables): void {
  const limits = [depth, rows, columns];
  tables.forEach(({ first, second }, axis) => {
    first.forEach((a, j) => {
      const limit = limits[axis];
      if (a >= 0 && a < limit && second[j] >= 0 && second[j] < limit) return;
      throw new RangeError(`Packing a resampling: entry ${j} of axis ${axis} reads ${a} and ${second[j]} of ${limit}`);
    });
  });
}

/** Source planes that output planes [from, to) read, about. */
export function sourcePlanes(
  { ring, from, to }: ResampleOf<Pick<RingShape, "depth">>,
  outputPlanes: number,
): number {
  return Math.min(to - from + 1, Math.ceil((to - from) * ring.depth / outputPlanes) + 1);
}
