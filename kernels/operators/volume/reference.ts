/**
 * Plain references of the volume kernels, for tests. Additions and products are rounded to f32 in the kernels' order, so that sums and
 * labels are comparable bit for bit; softmax and sigmoid are in f64.
 */
import { padToFour, permute, type Vec3, voxelCount } from "../../../core/base/shape.ts";
import type { RingGeometry } from "./accumulate.ts";
import type { Placement } from "./gather.ts";
import type { LabelChoice, MixTable } from "./resample.ts";

const f32 = Math.fround;

/** Patches as f32 [sample][z][y][x][padded channels]. */
export function gatherReference(spec: {
  readonly volume: Float32Array;
  readonly channels: number;
  readonly grid: Vec3;
  readonly labelMap?: { readonly labels: Int16Array; readonly oneHot: readonly number[] };
  readonly patches: readonly Placement[];
  readonly patch: Vec3;
}): Float32Array {
  const { grid, patch, channels } = spec;
  const oneHot = spec.labelMap?.oneHot ?? [];
  const padded = padToFour(channels + oneHot.length);
  const out = new Float32Array(spec.patches.length * voxelCount(patch) * padded);
  spec.patches.forEach(({ origin, mirror }, sample) => {
    for (let voxel = 0; voxel < voxelCount(patch); voxel++) {
      const position = [
        Math.floor(voxel / (patch[1] * patch[2])),
        Math.floor(voxel / patch[2]) % patch[1],
        voxel % patch[2],
      ];
      const source = position.map((p, i) => origin[i] + (mirror[i] ? patch[i] - 1 - p : p));
      if (source.some((s, i) => s < 0 || s >= grid[i])) continue;
      const from = (source[0] * grid[1] + source[1]) * grid[2] + source[2];
      const to = (sample * voxelCount(patch) + voxel) * padded;
      for (let c = 0; c < channels; c++) out[to + c] = spec.volume[c * voxelCount(grid) + from];
      oneHot.forEach((value, i) => out[to + channels + i] = spec.labelMap?.labels[from] === value ? 1 : 0);
    }
  });
  return out;
}

/** Adds a patch to the ring, in place. */
export function accumulateReference(spec: {
  readonly ring: RingGeometry;
  readonly logits: Float32Array;
  readonly weightSums: Float32Array;
  readonly output: Float32Array;
  readonly sample: number;
  readonly patch: Vec3;
  readonly placement: Placement;
  readonly importance: Float32Array;
  readonly scale: number;
  readonly addWeight: boolean;
}): void {
  const { ring, patch, placement } = spec;
  const padded = padToFour(ring.channels);
  for (let voxel = 0; voxel < voxelCount(patch); voxel++) {
    const p: Vec3 = [
      Math.floor(voxel / (patch[1] * patch[2])),
      Math.floor(voxel / patch[2]) % patch[1],
      voxel % patch[2],
    ];
    const volume: [number, number, number] = [
      placement.origin[0] + p[0],
      placement.origin[1] + p[1],
      placement.origin[2] + p[2],
    ];
    const [s, u, v] = permute<number>(volume, ring.axes);
    if (s < 0 || s >= ring.depth || u < 0 || u >= ring.rows || v < 0 || v >= ring.columns) continue;
    const flipped = p.map((q, i) => placement.mirror[i] ? patch[i] - 1 - q : q);
    const from = (spec.sample * voxelCount(patch) + (flipped[0] * patch[1] + flipped[1]) * patch[2] + flipped[2]) *
      padded;
    const to = ((s % ring.planes) * ring.rows + u) * ring.columns + v;
    const weight = f32(spec.importance[voxel] * f32(spec.scale));
    for (let c = 0; c < ring.channels; c++) {
      spec.logits[to * ring.channelStride + c] += f32(spec.output[from + c] * weight);
    }
    if (spec.addWeight) spec.weightSums[to] += spec.importance[voxel];
  }
}

/** Divides planes [from, to) by their weights, in place. */
export function finishReference(
  ring: RingGeometry,
  logits: Float32Array,
  weightSums: Float32Array,
  from: number,
  to: number,
  folds: number,
): void {
  const voxels = ring.rows * ring.columns;
  for (let s = from; s < to; s++) {
    for (let i = (s % ring.planes) * voxels; i < (s % ring.planes + 1) * voxels; i++) {
      const factor = f32(1 / f32(weightSums[i] * folds));
      for (let c = 0; c < ring.channels; c++) logits[i * ring.channelStride + c] *= factor;
    }
  }
}

/** Interpolated logits of output planes [from, to): (plane, row, column, channel), channels not padded. */
export function interpolateReference(
  ring: RingGeometry,
  logits: Float32Array,
  tables: readonly [MixTable, MixTable, MixTable],
  from: number,
  to: number,
): Float32Array {
  const [planes, rows, columns] = tables;
  const out = new Float32Array((to - from) * rows.first.length * columns.first.length * ring.channels);
  let at = 0;
  for (let j = from; j < to; j++) {
    for (let r = 0; r < rows.first.length; r++) {
      for (let x = 0; x < columns.first.length; x++) {
        for (let c = 0; c < ring.channels; c++) {
          const value = (s: number, u: number, v: number) =>
            logits[(((s % ring.planes) * ring.rows + u) * ring.columns + v) * ring.channelStride + c];
          const acrossPlanes = (u: number, v: number) => mix(planes, j, (s) => value(s, u, v));
          const acrossRows = (v: number) => mix(rows, r, (u) => acrossPlanes(u, v));
          out[at++] = mix(columns, x, acrossRows);
        }
      }
    }
  }
  return out;
}

function mix(table: MixTable, j: number, value: (source: number) => number): number {
  const a = value(table.first[j]);
  const fraction = table.fraction[j];
  if (fraction === 0 || table.first[j] === table.second[j]) return a;
  return f32(f32(a * f32(1 - fraction)) + f32(value(table.second[j]) * fraction));
}

/** The label of one voxel's logits. */
export function labelReference(logits: ArrayLike<number>, choice: LabelChoice): number {
  if (choice.kind === "argmax") {
    let best = 0;
    for (let c = 1; c < logits.length; c++) if (logits[c] > logits[best]) best = c;
    return choice.values[best];
  }
  let label = 0;
  for (let c = 0; c < logits.length; c++) if (logits[c] > 0) label = choice.values[c];
  return label;
}

/** Probabilities of one voxel's logits, in f64. */
export function probabilitiesReference(logits: ArrayLike<number>, nonlinearity: "softmax" | "sigmoid"): number[] {
  const values = Array.from(logits);
  if (nonlinearity === "sigmoid") return values.map((x) => 1 / (1 + Math.exp(-x)));
  const largest = Math.max(...values);
  const powers = values.map((x) => Math.exp(x - largest));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((p) => p / sum);
}
