/**
 * The loss of one output: Dice and cross-entropy over softmax, or Dice and binary cross-entropy over sigmoids of regions.
 * Source: nnunetv2 2.5.1, training/loss/{compound_losses,dice,robust_ce_loss}.py.
 * Three operators: the target at the output's resolution, sums over voxels with the loss and its coefficients, the logits' gradient.
 * A target value is the byte offset of a label's row in a membership table (f32 [labels + 1][padded channels]: which channels the label
 * counts for; the last row for none), or -1 where the voxel is ignored.
 */
import { padToFour, type Vec3, voxelCount } from "../../../core/base/shape.ts";
import type { Operator, Param } from "../kernel.ts";
import { listParams, type ParamTypes } from "../params.ts";
import { planTopK, topCount, type TopKLoss } from "./top_k.ts";

/** An output's logits, alone in their tensor: [batch][voxel][padded channels]. */
export interface LossShape {
  readonly batch: number;
  readonly grid: Vec3;
  readonly channels: number;
  readonly logitsSlot: string;
  /** i32 [batch][voxel]. */
  readonly targetSlot: string;
  readonly membershipSlot: string;
  readonly regions: boolean;
  /** Labels: the largest cross-entropies alone count. */
  readonly topK?: TopKLoss;
}

export interface LossSums extends LossShape {
  /** True if voxels can be ignored. */
  readonly ignores: boolean;
  readonly batchDice: boolean;
  readonly smooth: number;
  readonly diceWeight: number;
  readonly crossEntropyWeight: number;
  /** Of this output among all. */
  readonly outputWeight: number;
  /** f64: the output's loss times its weight. */
  readonly resultSlot: string;
  readonly resultOffset: number;
  /** f32 [batch][2][padded], then one vector: see {@link planLossGradient}. */
  readonly coefficientsSlot: string;
}

export interface LossTarget {
  readonly batch: number;
  /** Grid of the label map, i16 (batch, z, y, x). */
  readonly labelGrid: Vec3;
  readonly labelSlot: string;
  readonly grid: Vec3;
  readonly targetSlot: string;
  readonly ignoreLabel?: number;
  /** Rows of the membership table but the last. */
  readonly labels: number;
  readonly paddedChannels: number;
}

export interface LossGradient extends LossShape {
  readonly coefficientsSlot: string;
  /** As the logits. */
  readonly gradientSlot: string;
}

export const TARGET_FIELDS = {
  labels: "address",
  target: "address",
  labelZ: "i32",
  labelY: "i32",
  labelX: "i32",
  gridZ: "i32",
  gridY: "i32",
  gridX: "i32",
  hasIgnore: "i32",
  ignore: "i32",
  rows: "i32",
  rowBytes: "i32",
} as const satisfies ParamTypes;

export const LOSS_FIELDS = {
  logits: "address",
  target: "address",
  membership: "address",
  /** The sums' partial results, or the counts'. */
  parts: "address",
  coefficients: "address",
  gradient: "address",
  /** Only with TopK. */
  entropies: "address",
  channels: "i32",
  padded: "i32",
  voxels: "i32",
  voxelsPerItem: "i32",
  itemsPerSample: "i32",
  regions: "i32",
  /** The target's share of a label's own channel beside that of any channel: with TopK, of a smoothed label. */
  ownShare: "f32",
  anyShare: "f32",
} as const satisfies ParamTypes;

export const LOSS_TOTAL_FIELDS = {
  parts: "address",
  coefficients: "address",
  result: "address",
  sums: "address",
  batch: "i32",
  itemsPerSample: "i32",
  channels: "i32",
  padded: "i32",
  /** First channel with a Dice. */
  firstChannel: "i32",
  batchDice: "i32",
  regions: "i32",
  ignores: "i32",
  smooth: "f32",
  diceWeight: "f32",
  crossEntropyWeight: "f32",
  outputWeight: "f32",
} as const satisfies ParamTypes;

/** Voxels an item covers: few enough for sums in f32. */
const ITEM_VOXELS = 2048;

export const lossItems = (grid: Vec3) => Math.ceil(voxelCount(grid) / ITEM_VOXELS);

/** Floats of a part of the sums: intersections, predictions, truths, then cross-entropy, voxels that count, two unused. */
export const partFloats = (paddedChannels: number) => 3 * paddedChannels + 4;

/** Bytes of an output's coefficients. */
export const coefficientBytes = (batch: number, channels: number) => (batch * 2 * padToFour(channels) + 4) * 4;

/** Rows of the membership table as an array: `members[label]` are the channels a label counts for. */
export function membershipTable(members: readonly (readonly number[])[], channels: number): Float32Array<ArrayBuffer> {
  const padded = padToFour(channels);
  const table = new Float32Array((members.length + 1) * padded);
  members.forEach((list, label) => {
    for (const channel of list) table[label * padded + channel] = 1;
  });
  return table;
}

/** Source index of every target index: torch's interpolate with "nearest-exact", in its f32 arithmetic. */
export function nearestExact(source: number, target: number): number[] {
  const scale = Math.fround(source / target);
  return Array.from(
    { length: target },
    (_, i) => Math.min(Math.floor(Math.fround((i + 0.5) * scale)), source - 1),
  );
}

/** The label map at an output's resolution, as target values. One item: a row. */
export function planLossTarget(spec: LossTarget): Operator {
  const fields = listParams(TARGET_FIELDS, {
    labels: { slot: spec.labelSlot },
    target: { slot: spec.targetSlot },
    labelZ: spec.labelGrid[0],
    labelY: spec.labelGrid[1],
    labelX: spec.labelGrid[2],
    gridZ: spec.grid[0],
    gridY: spec.grid[1],
    gridX: spec.grid[2],
    hasIgnore: spec.ignoreLabel === undefined ? 0 : 1,
    ignore: spec.ignoreLabel ?? 0,
    rows: spec.labels,
    rowBytes: spec.paddedChannels * 4,
  });
  const axes = [0, 1, 2].flatMap((i) => nearestExact(spec.labelGrid[i], spec.grid[i]));
  const tables = axes.map((value): Param => ({ type: "i32", value }));
  const voxels = spec.batch * voxelCount(spec.grid);
  return {
    algorithm: "target downsampling",
    calls: [{
      kernel: "loss_target",
      params: [...fields, ...tables],
      items: spec.batch * spec.grid[0] * spec.grid[1],
      scratchBytes: 0,
    }],
    temporaries: {},
    flops: 0,
    bytes: voxels * 6,
    coreSeconds: voxels * 1e-9,
  };
}

function lossFields(spec: LossShape) {
  const unused = { slot: spec.logitsSlot };
  const smoothing = spec.topK?.labelSmoothing ?? 0;
  return {
    logits: { slot: spec.logitsSlot },
    target: { slot: spec.targetSlot },
    membership: { slot: spec.membershipSlot },
    parts: unused,
    coefficients: unused,
    gradient: unused,
    entropies: spec.topK ? { slot: spec.topK.entropiesSlot } : unused,
    channels: spec.channels,
    padded: padToFour(spec.channels),
    voxels: voxelCount(spec.grid),
    voxelsPerItem: ITEM_VOXELS,
    itemsPerSample: lossItems(spec.grid),
    regions: spec.regions ? 1 : 0,
    ownShare: 1 - smoothing,
    anyShare: smoothing / spec.channels,
  };
}

const kernelOf = ({ regions, topK }: LossShape, what: "sums" | "gradient") =>
  `loss_${regions ? "region" : topK ? "top_label" : "label"}_${what}`;

function lossCost({ batch, grid, channels }: LossShape) {
  const elements = batch * voxelCount(grid) * padToFour(channels);
  return { flops: elements * 30, bytes: elements * 8, coreSeconds: elements * 4e-9 };
}

/** Sums over the voxels, the loss, and the coefficients of its gradient. */
export function planLossSums(spec: LossSums): Operator {
  const padded = padToFour(spec.channels);
  const items = spec.batch * lossItems(spec.grid);
  const parts = "loss sums";
  const params = listParams(LOSS_FIELDS, { ...lossFields(spec), parts: { slot: parts } });
  const total = listParams(LOSS_TOTAL_FIELDS, {
    parts: { slot: parts },
    coefficients: { slot: spec.coefficientsSlot },
    result: { slot: spec.resultSlot, offset: spec.resultOffset },
    sums: { slot: "loss totals" },
    batch: spec.batch,
    itemsPerSample: lossItems(spec.grid),
    channels: spec.channels,
    padded,
    firstChannel: spec.regions ? 0 : 1,
    batchDice: spec.batchDice ? 1 : 0,
    regions: spec.regions ? 1 : 0,
    ignores: spec.ignores ? 1 : 0,
    smooth: spec.smooth,
    diceWeight: spec.diceWeight,
    // With TopK the cross-entropy is added to the Dice afterwards.
    crossEntropyWeight: spec.topK ? 0 : spec.crossEntropyWeight,
    outputWeight: spec.outputWeight,
  });
  const sums: Operator = {
    algorithm: spec.regions ? "Dice and binary cross-entropy" : "Dice and cross-entropy",
    calls: [
      { kernel: kernelOf(spec, "sums"), params, items, scratchBytes: padded * 4 },
      { kernel: "loss_total", params: total, items: 1, scratchBytes: 0 },
    ],
    temporaries: { [parts]: items * partFloats(padded) * 4, "loss totals": 3 * padded * 8 },
    ...lossCost(spec),
  };
  if (!spec.topK) return sums;
  const count = spec.batch * voxelCount(spec.grid);
  const top = planTopK({
    ...{ valuesSlot: spec.topK.entropiesSlot, count, k: topCount(count, spec.topK.percent) },
    weight: spec.outputWeight * spec.crossEntropyWeight,
    ...{ resultSlot: spec.resultSlot, resultOffset: spec.resultOffset },
  });
  return {
    algorithm: "Dice and largest cross-entropies",
    calls: [...sums.calls, ...top.calls],
    temporaries: { ...sums.temporaries, ...top.temporaries },
    flops: sums.flops + top.flops,
    bytes: sums.bytes + top.bytes,
    coreSeconds: sums.coreSeconds + top.coreSeconds,
  };
}

/**
 * dL/dlogits; padding lanes become zero. With a, b of the coefficients and e their last vector, dL/dp = a * g + b for the probability p and
 * membership g of a channel, and the cross-entropy adds e * (p - g) to the logit's gradient. With TopK e is a voxel's own, and g smoothed
 * in the latter.
 */
export function planLossGradient(spec: LossGradient): Operator {
  const params = listParams(LOSS_FIELDS, {
    ...lossFields(spec),
    coefficients: { slot: spec.coefficientsSlot, offset: 0 },
    gradient: { slot: spec.gradientSlot },
    // The vector behind the coefficients of all samples.
    parts: { slot: spec.coefficientsSlot, offset: spec.batch * 2 * padToFour(spec.channels) * 4 },
  });
  return {
    algorithm: "loss backward",
    calls: [{
      kernel: kernelOf(spec, "gradient"),
      params,
      items: spec.batch * lossItems(spec.grid),
      scratchBytes: padToFour(spec.channels) * 4,
    }],
    temporaries: {},
    ...lossCost(spec),
  };
}

/** Voxels by channel that are predicted and true, predicted alone, true alone: f32 parts [batch][items a sample][3][padded]. */
export function planLossCounts(spec: LossShape & { readonly countsSlot: string }): Operator {
  const params = listParams(LOSS_FIELDS, { ...lossFields(spec), parts: { slot: spec.countsSlot } });
  return {
    algorithm: "counts",
    calls: [{ kernel: "loss_counts", params, items: spec.batch * lossItems(spec.grid), scratchBytes: 0 }],
    temporaries: {},
    ...lossCost(spec),
  };
}

/** Bytes of all parts of the counts. */
export function countBytes({ batch, grid, channels }: Pick<LossShape, "batch" | "grid" | "channels">): number {
  return batch * lossItems(grid) * 3 * padToFour(channels) * 4;
}
