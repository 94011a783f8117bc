/** Plain references of the elementwise kernels, in f64, for tests: what they compute, not how. */
import { padToFour, type Vec3, voxelCount } from "../../../core/base/shape.ts";
import { type OperandRange, paddedChannels } from "../tensor.ts";

/** An operand's values and its norm table, if it has one. */
export interface OperandData<O extends OperandRange = OperandRange> {
  readonly operand: O;
  readonly values: Float32Array;
  readonly norm?: Float32Array;
}

/** Norm table range from statistics, into `table` [batch][3][total]. */
export function normFinalizeReference(spec: {
  readonly batch: number;
  readonly channels: number;
  readonly parts: number;
  readonly statistics: Float32Array;
  readonly table: Float32Array;
  readonly channelOffset: number;
  readonly totalChannels: number;
  readonly weight?: Float32Array;
  readonly bias?: Float32Array;
  readonly eps: number;
  readonly slope: number;
}): void {
  const padded = padToFour(spec.channels);
  const stride = 1 + 2 * padded;
  for (let sample = 0; sample < spec.batch; sample++) {
    for (let channel = 0; channel < padded; channel++) {
      let [count, mean, m2] = [0, 0, 0];
      for (let part = 0; part < spec.parts; part++) {
        const at = (sample * spec.parts + part) * stride;
        const n = spec.statistics[at];
        if (n === 0) continue;
        const delta = spec.statistics[at + 1 + channel] - mean;
        count += n;
        mean += delta * n / count;
        m2 += spec.statistics[at + 1 + padded + channel] + delta * delta * (count - n) * n / count;
      }
      const real = channel < spec.channels;
      const scale = real ? (spec.weight?.[channel] ?? 1) / Math.sqrt(m2 / count + spec.eps) : 0;
      const shift = real ? (spec.bias?.[channel] ?? 0) - mean * scale : 0;
      const at = sample * 3 * spec.totalChannels + spec.channelOffset + channel;
      spec.table[at] = scale;
      spec.table[at + spec.totalChannels] = shift;
      spec.table[at + 2 * spec.totalChannels] = real ? spec.slope : 1;
    }
  }
}

/** Value of padded channel `channel` of a voxel of a sample, with the operand's norm applied. */
function normalisedValue(
  data: OperandData,
  sample: number,
  voxel: number,
  voxels: number,
  channel: number,
): number {
  const { operand, values, norm } = data;
  const value = values[(sample * voxels + voxel) * operand.channelStride + operand.channelOffset + channel];
  if (!norm) return value;
  const padded = paddedChannels(operand);
  const at = sample * 3 * padded + channel;
  const y = value * norm[at] + norm[at + padded];
  return Math.max(y, y * norm[at + 2 * padded]);
}

/** leaky(a' + b') as a dense (batch, voxels, padded channels) array. */
export function residualAddReference(
  a: OperandData,
  b: OperandData,
  batch: number,
  voxels: number,
  slope: number,
): Float32Array {
  const padded = paddedChannels(a.operand);
  const out = new Float32Array(batch * voxels * padded);
  let at = 0;
  for (let sample = 0; sample < batch; sample++) {
    for (let voxel = 0; voxel < voxels; voxel++) {
      for (let channel = 0; channel < padded; channel++, at++) {
        const sum = normalisedValue(a, sample, voxel, voxels, channel) +
          normalisedValue(b, sample, voxel, voxels, channel);
        out[at] = Math.max(sum, sum * slope);
      }
    }
  }
  return out;
}

/** Mean over windows of `stride` as a dense (batch, z, y, x, padded channels) array. */
export function averagePoolReference(input: OperandData, batch: number, grid: Vec3, stride: Vec3): Float32Array {
  const padded = paddedChannels(input.operand);
  const [oz, oy, ox] = grid.map((n, i) => Math.floor(n / stride[i]));
  const out = new Float32Array(batch * oz * oy * ox * padded);
  const voxels = voxelCount(grid);
  let at = 0;
  for (let sample = 0; sample < batch; sample++) {
    for (let z = 0; z < oz; z++) {
      for (let y = 0; y < oy; y++) {
        for (let x = 0; x < ox; x++) {
          for (let channel = 0; channel < padded; channel++, at++) {
            let sum = 0;
            for (let k = 0; k < voxelCount(stride); k++) {
              const iz = z * stride[0] + Math.floor(k / (stride[1] * stride[2]));
              const iy = y * stride[1] + Math.floor(k / stride[2]) % stride[1];
              const ix = x * stride[2] + k % stride[2];
              sum += normalisedValue(input, sample, (iz * grid[1] + iy) * grid[2] + ix, voxels, channel);
            }
            out[at] = sum / voxelCount(stride);
          }
        }
      }
    }
  }
  return out;
}
