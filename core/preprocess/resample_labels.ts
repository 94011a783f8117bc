/**
 * Resampling of label volumes: one pass over the output, each voxel decided by its (at most eight) neighbours' labels; no mask
 * volumes. The winner is the label with the largest linearly interpolated indicator. Sources: resize_segmentation of
 * batchgenerators 0.25.5 (exact ties go to the nearest voxel's label if it is one of the tied, else to the lowest),
 * resample_data_or_seg and resample_torch_simple of nnunetv2.
 */
import { UserError } from "../base/errors.ts";
import { equalVec3, type Vec3, voxelCount } from "../base/shape.ts";
import type { Resampling } from "../plan/plans.ts";
import { linearTable, nearestExactTable, nearestTable, torchLinearTable } from "./axis_tables.ts";
import type { ResamplePlan } from "./resample_plan.ts";
import { refuseGridChange, separateZAxis } from "./separate_z.ts";

/** A linear interpolation along one axis, with the nearest sample for ties. Weights are float64: ties are decided exactly. */
interface LabelAxis {
  readonly first: Int32Array;
  readonly second: Int32Array;
  readonly weight0: Float64Array;
  readonly weight1: Float64Array;
  readonly nearest: Int32Array;
}

/** Decides a voxel from its neighbours' labels and their (z * y) and x weights, where they are not all the same. */
type Vote = (labels: Int16Array, wz: Float64Array, wy: Float64Array, wx: Float64Array, nearest: number) => number;

/**
 * Labels (-1 included) on grid `from` to grid `to`. Orders 0 and 1, order 0 and 1 along a separate axis, and torch's variant.
 * @throws UserError for the orders that no plans of nnU-Net use.
 */
export function resampleLabels(labels: Int16Array, from: Vec3, to: Vec3, plan: ResamplePlan): Int16Array {
  if (equalVec3(from, to)) return labels;
  const { resampling } = plan;
  if (resampling.kind === "none") {
    refuseGridChange(from, to);
    return labels;
  }
  const separate = separateZAxis(resampling, plan.currentSpacing, plan.newSpacing);
  if (resampling.kind === "torch") return resampleWithTorchRule(labels, from, to, separate, resampling);
  refuseOrders(resampling.order, separate === null ? 0 : resampling.orderZ);
  const axis = (i: 0 | 1 | 2, size: number) =>
    i === separate || resampling.order === 0 ? nearestAxis(from[i], size) : linearAxis(from[i], size);
  if (separate === null || resampling.orderZ === 0 || from[separate] === to[separate]) {
    return vote(labels, from, to, [axis(0, to[0]), axis(1, to[1]), axis(2, to[2])], linearVote());
  }
  const between: Vec3 = [0, 1, 2].map((i) => i === separate ? from[i] : to[i]) as [number, number, number];
  const slices = vote(
    labels,
    from,
    between,
    [axis(0, between[0]), axis(1, between[1]), axis(2, between[2])],
    linearVote(),
  );
  const across = (i: 0 | 1 | 2) => i === separate ? linearAxis(between[i], to[i]) : nearestAxis(between[i], to[i]);
  return vote(slices, between, to, [across(0), across(1), across(2)], overHalfVote);
}

function refuseOrders(order: number, orderZ: number): void {
  if (order <= 1 && orderZ <= 1) return;
  const name = order > 1 ? `"order": ${order}` : `"order_z": ${orderZ}`;
  throw new UserError({
    doing: "resampling the previous stage's segmentation",
    problem: `the plans ask for ${name} in resampling_fn_seg_kwargs; segmentations are resampled with order 0 or 1`,
    remedy: "set it to 1 in plans.json, nnU-Net's own value, if the model was trained so",
  });
}

/** skimage's order 1: positions and weights as scipy computes them in float64. */
function linearAxis(from: number, to: number): LabelAxis {
  const { first, second } = linearTable(from, to);
  const weight0 = new Float64Array(to);
  const weight1 = new Float64Array(to);
  for (let j = 0; j < to; j++) {
    const x = Math.min(Math.max((j + 0.5) * (from / to) - 0.5, 0), from - 1);
    weight0[j] = 1 - (x - Math.floor(x));
    weight1[j] = 1 - weight0[j];
  }
  return { first, second, weight0, weight1, nearest: nearestTable(from, to).first };
}

function nearestAxis(from: number, to: number): LabelAxis {
  const nearest = nearestTable(from, to).first;
  return indexAxis(nearest);
}

function indexAxis(index: Int32Array): LabelAxis {
  const weight0 = new Float64Array(index.length).fill(1);
  return { first: index, second: index, weight0, weight1: new Float64Array(index.length), nearest: index };
}

function resampleWithTorchRule(
  labels: Int16Array,
  from: Vec3,
  to: Vec3,
  separate: number | null,
  resampling: Extract<Resampling, { kind: "torch" }>,
): Int16Array {
  const axis = (i: 0 | 1 | 2): LabelAxis => {
    if (i === separate) return indexAxis(nearestExactTable(from[i], to[i]).first);
    const { first, second, fraction } = torchLinearTable(from[i], to[i]);
    const weight1 = Float64Array.from(fraction);
    return { first, second, weight0: weight1.map((w) => Math.fround(1 - w)), weight1, nearest: first };
  };
  const rule = resampling.memoryEfficientSeg ? torchOverHalfVote : torchVote;
  return vote(labels, from, to, [axis(0), axis(1), axis(2)], rule);
}

/** The pass over the output. Most voxels have eight equal neighbours and need no vote. */
function vote(
  labels: Int16Array,
  from: Vec3,
  to: Vec3,
  axes: readonly [LabelAxis, LabelAxis, LabelAxis],
  decide: Vote,
): Int16Array {
  const [az, ay, ax] = axes;
  const result = new Int16Array(voxelCount(to));
  const neighbours = new Int16Array(8);
  const wz = new Float64Array(2);
  const wy = new Float64Array(2);
  const wx = new Float64Array(2);
  const row = (z: number, y: number) => (z * from[1] + y) * from[2];
  let out = 0;
  for (let z = 0; z < to[0]; z++) {
    wz[0] = az.weight0[z];
    wz[1] = az.weight1[z];
    for (let y = 0; y < to[1]; y++) {
      wy[0] = ay.weight0[y];
      wy[1] = ay.weight1[y];
      const r00 = row(az.first[z], ay.first[y]);
      const r01 = row(az.first[z], ay.second[y]);
      const r10 = row(az.second[z], ay.first[y]);
      const r11 = row(az.second[z], ay.second[y]);
      const nearestRow = row(az.nearest[z], ay.nearest[y]);
      for (let x = 0; x < to[2]; x++, out++) {
        const a = ax.first[x];
        const b = ax.second[x];
        const label = labels[r00 + a];
        const same = labels[r00 + b] === label && labels[r01 + a] === label && labels[r01 + b] === label &&
          labels[r10 + a] === label && labels[r10 + b] === label && labels[r11 + a] === label &&
          labels[r11 + b] === label;
        if (same) {
          result[out] = label;
          continue;
        }
        neighbours[0] = label;
        neighbours[1] = labels[r00 + b];
        neighbours[2] = labels[r01 + a];
        neighbours[3] = labels[r01 + b];
        neighbours[4] = labels[r10 + a];
        neighbours[5] = labels[r10 + b];
        neighbours[6] = labels[r11 + a];
        neighbours[7] = labels[r11 + b];
        wx[0] = ax.weight0[x];
        wx[1] = ax.weight1[x];
        result[out] = decide(neighbours, wz, wy, wx, labels[nearestRow + ax.nearest[x]]);
      }
    }
  }
  return result;
}

/** Largest indicator wins; of exactly equal ones the nearest voxel's label, else the lowest. Sums run in scipy's order. */
function linearVote(): Vote {
  const seen = new Int16Array(8);
  const score = new Float64Array(8);
  return (labels, wz, wy, wx, nearest) => {
    let count = 0;
    for (let i = 0; i < 8; i++) {
      const weight = wz[i >> 2] * wy[(i >> 1) & 1] * wx[i & 1];
      let at = 0;
      while (at < count && seen[at] !== labels[i]) at++;
      if (at === count) {
        seen[count] = labels[i];
        score[count++] = weight;
      } else score[at] += weight;
    }
    let best = 0;
    let winner = 0;
    for (let i = 0; i < count; i++) {
      const value = Math.min(score[i], 1);
      const takesTie = value === best && winner !== nearest && (seen[i] === nearest || seen[i] < winner);
      if (value > best || takesTie) {
        best = value;
        winner = seen[i];
      }
    }
    return winner;
  };
}

/** The label whose indicator exceeds one half; 0 where none does, as between two labels at equal distance. */
const overHalfVote: Vote = (labels, wz, wy, wx) => {
  for (let i = 0; i < 8; i++) {
    let score = 0;
    for (let k = 0; k < 8; k++) if (labels[k] === labels[i]) score += wz[k >> 2] * wy[(k >> 1) & 1] * wx[k & 1];
    if (score > 0.5) return labels[i];
  }
  return 0;
};

/**
 * A label's indicator times `one`, trilinear in f32: along x, then y, then z. Each step is a * w0 + round(b * w1) with one rounding,
 * as torch's kernels do by fused multiply-add: thresholds of 0.5 depend on it.
 */
function torchScore(
  label: number,
  labels: Int16Array,
  wz: Float64Array,
  wy: Float64Array,
  wx: Float64Array,
  one: number,
): number {
  const near = wx[0] * one;
  const far = Math.fround(wx[1] * one);
  const line0 = Math.fround((labels[0] === label ? near : 0) + (labels[1] === label ? far : 0));
  const line1 = Math.fround((labels[2] === label ? near : 0) + (labels[3] === label ? far : 0));
  const line2 = Math.fround((labels[4] === label ? near : 0) + (labels[5] === label ? far : 0));
  const line3 = Math.fround((labels[6] === label ? near : 0) + (labels[7] === label ? far : 0));
  const plane0 = Math.fround(wy[0] * line0 + Math.fround(wy[1] * line1));
  const plane1 = Math.fround(wy[0] * line2 + Math.fround(wy[1] * line3));
  return Math.fround(wz[0] * plane0 + Math.fround(wz[1] * plane1));
}

/** Scores of up to 1000 in f16; the largest wins, the lowest label of equal ones. */
const torchVote: Vote = (labels, wz, wy, wx) => {
  let best = -1;
  let winner = 0;
  for (let i = 0; i < 8; i++) {
    const label = labels[i];
    if (label === winner && best >= 0) continue;
    const value = Math.f16round(torchScore(label, labels, wz, wy, wx, 1000));
    if (value > best || (value === best && label < winner)) {
      best = value;
      winner = label;
    }
  }
  return winner;
};

/** {@link overHalfVote} in torch's f32. */
const torchOverHalfVote: Vote = (labels, wz, wy, wx) => {
  for (let i = 0; i < 8; i++) if (torchScore(labels[i], labels, wz, wy, wx, 1) > 0.5) return labels[i];
  return 0;
};
