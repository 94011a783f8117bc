/** The operators around a network in plain TypeScript, as the port defines them, one voxel after the other. */
import type {
  AccumulatePatch,
  AxisTable,
  GatherPatches,
  LogitRing,
  ResamplePlanes,
  ResampleToLabels,
  ResampleToProbabilities,
} from "../../core/engine/engine.ts";
import type { Vec3 } from "../../core/base/shape.ts";

/** Fills `inputs[i]`, (channels, z, y, x), with patch i. */
export function gather(
  call: GatherPatches,
  volume: Float32Array,
  labels: Int16Array | undefined,
  inputs: readonly Float32Array[],
): void {
  const { grid, channels, labelMap, program: { patch } } = call;
  const voxels = grid[0] * grid[1] * grid[2];
  const patchVoxels = patch[0] * patch[1] * patch[2];
  call.patches.forEach(({ origin, mirror }, sample) => {
    const out = inputs[sample];
    forEachVoxel(patch, (position, index) => {
      const source = flip(position, patch, mirror).map((p, axis) => p + origin[axis]);
      const inside = source.every((p, axis) => p >= 0 && p < grid[axis]);
      const at = (source[0] * grid[1] + source[1]) * grid[2] + source[2];
      for (let c = 0; c < channels; c++) out[c * patchVoxels + index] = inside ? volume[c * voxels + at] : 0;
      labelMap?.oneHot.forEach((label, k) => {
        out[(channels + k) * patchVoxels + index] = inside && labels?.[at] === label ? 1 : 0;
      });
    });
  });
}

/** ring += flip(output) * importance * scale; `output` is (channels, z, y, x). */
export function accumulate(
  call: AccumulatePatch,
  output: Float32Array,
  importance: Float32Array,
  logits: Float32Array,
  weightSums: Float32Array,
): void {
  const { ring, placement: { origin, mirror }, program: { patch } } = call;
  const patchVoxels = patch[0] * patch[1] * patch[2];
  forEachVoxel(patch, (position, index) => {
    const target = ring.axes.map((axis) => origin[axis] + position[axis]);
    const inside = target.every((p, i) => p >= 0 && p < [ring.depth, ring.rows, ring.columns][i]);
    if (!inside) return;
    const voxel = ringVoxel(ring, target[0], target[1], target[2]);
    const [z, y, x] = flip(position, patch, mirror);
    const source = (z * patch[1] + y) * patch[2] + x;
    for (let c = 0; c < ring.channels; c++) {
      logits[voxel * ring.channelStride + c] += output[c * patchVoxels + source] * importance[index] * call.scale;
    }
    if (call.addWeight) weightSums[voxel] += importance[index];
  });
}

/** Divides planes [from, to) by weightSums * folds. */
export function finish(
  ring: LogitRing,
  from: number,
  to: number,
  folds: number,
  logits: Float32Array,
  weightSums: Float32Array,
  nonFinite?: Float32Array,
): void {
  for (let plane = from; plane < to; plane++) {
    for (let i = 0; i < ring.rows * ring.columns; i++) {
      const voxel = ringVoxel(ring, plane, 0, 0) + i;
      for (let c = 0; c < ring.channels; c++) {
        logits[voxel * ring.channelStride + c] /= weightSums[voxel] * folds;
        if (nonFinite && !Number.isFinite(logits[voxel * ring.channelStride + c])) nonFinite[0] = 1;
      }
    }
  }
}

/** Resamples, then decides each voxel's label. */
export function toLabels(call: ResampleToLabels, logits: Float32Array, target: Uint8Array | Uint16Array): void {
  const { rule, view } = call;
  resample(call, logits, (values, plane, row, column) => {
    let label = 0;
    if (rule.kind === "argmax") {
      let best = 0;
      for (let c = 1; c < values.length; c++) if (values[c] > values[best]) best = c;
      label = rule.values[best];
    } else {
      for (let c = 0; c < values.length; c++) if (values[c] > 0) label = rule.values[c];
    }
    target[view.offset + plane * view.strides[0] + row * view.strides[1] + column * view.strides[2]] = label;
  });
}

/** Resamples, then softmax or sigmoid; planes of (channels, rows, columns). */
export function toProbabilities(call: ResampleToProbabilities, logits: Float32Array, target: Float32Array): void {
  const [rows, columns] = [call.tables[1].first.length, call.tables[2].first.length];
  resample(call, logits, (values, plane, row, column) => {
    const largest = values.reduce((a, b) => Math.max(a, b), -Infinity);
    const exponentials = values.map((v) => Math.exp(call.nonlinearity === "softmax" ? v - largest : -v));
    const sum = exponentials.reduce((a, b) => a + b, 0);
    exponentials.forEach((e, c) => {
      const index = (((plane - call.from) * values.length + c) * rows + row) * columns + column;
      target[index] = call.nonlinearity === "softmax" ? e / sum : 1 / (1 + e);
    });
  });
}

function resample(
  { ring, tables, from, to }: ResamplePlanes,
  logits: Float32Array,
  use: (values: number[], plane: number, row: number, column: number) => void,
): void {
  const taps = (table: AxisTable, j: number): [number, number][] => [
    [table.first[j], 1 - table.fraction[j]],
    [table.second[j], table.fraction[j]],
  ];
  for (let plane = from; plane < to; plane++) {
    for (let row = 0; row < tables[1].first.length; row++) {
      for (let column = 0; column < tables[2].first.length; column++) {
        const values = new Array<number>(ring.channels).fill(0);
        for (const [s, ws] of taps(tables[0], plane)) {
          for (const [u, wu] of taps(tables[1], row)) {
            for (const [v, wv] of taps(tables[2], column)) {
              const weight = ws * wu * wv;
              if (weight === 0) continue;
              const voxel = ringVoxel(ring, s, u, v) * ring.channelStride;
              for (let c = 0; c < ring.channels; c++) values[c] += weight * logits[voxel + c];
            }
          }
        }
        use(values, plane, row, column);
      }
    }
  }
}

function ringVoxel(ring: LogitRing, plane: number, row: number, column: number): number {
  return ((plane % ring.planes) * ring.rows + row) * ring.columns + column;
}

function flip(position: Vec3, size: Vec3, mirror: readonly boolean[]): [number, number, number] {
  const along = (axis: number) => (mirror[axis] ? size[axis] - 1 - position[axis] : position[axis]);
  return [along(0), along(1), along(2)];
}

function forEachVoxel(size: Vec3, visit: (position: Vec3, index: number) => void): void {
  let index = 0;
  for (let z = 0; z < size[0]; z++) {
    for (let y = 0; y < size[1]; y++) {
      for (let x = 0; x < size[2]; x++) visit([z, y, x], index++);
    }
  }
}
