/**
 * The loss of one output on the CPU: see kernels/operators/training/loss.ts. A target value is the byte offset of its row in the membership
 * table, or -1.
 */
import {
  lossCost,
  lossName,
  type LossShape as OutputShape,
  type LossWeights,
  nearestExact,
  type TargetLabels,
  topKOfLoss,
} from "../../operators/training/loss.ts";
import { padToFour, type Vec3, voxelCount } from "../../../core/base/shape.ts";
import type { Operator, Param } from "../kernel.ts";
import { listParams, type ParamTypes } from "../params.ts";
import { lossTotal } from "./loss_total.ts";
import { planTopK } from "./top_k.ts";

export interface LossShape extends OutputShape {
  /** [batch][voxel][padded channels]. */
  readonly logitsSlot: string;
  readonly channels: number;
}

export interface LossSums extends LossShape, LossWeights {
  /** Where in the result slot its f64 is, in bytes. */
  readonly resultOffset: number;
}

export interface LossTarget extends TargetLabels, Pick<OutputShape, "batch" | "grid" | "targetSlot"> {
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
  label: "axes",
  grid: "axes",
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

/** Voxels an item covers: few enough for sums in f32. */
const ITEM_VOXELS = 2048;

const lossItems = (grid: Vec3) => Math.ceil(voxelCount(grid) / ITEM_VOXELS);

/** Floats of a part of the sums: intersections, predictions, truths, then cross-entropy, voxels that count, two unused. */
const partFloats = (paddedChannels: number) => 3 * paddedChannels + 4;

/** The label map at an output's resolution, as target values. One item: a row. */
export function planLossTarget(spec: LossTarget): Operator {
  const fields = listParams(TARGET_FIELDS, {
    labels: { slot: spec.labelSlot },
    target: { slot: spec.targetSlot },
    label: spec.labelGrid,
    grid: spec.grid,
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

function costOf(spec: LossShape) {
  const cost = lossCost(spec, spec.channels);
  return { ...cost, coreSeconds: cost.bytes / 8 * 4e-9 };
}

/** Sums over the voxels, the loss, and the coefficients of its gradient. */
export function planLossSums(spec: LossSums): Operator {
  const padded = padToFour(spec.channels);
  const items = spec.batch * lossItems(spec.grid);
  const parts = "loss sums";
  const params = listParams(LOSS_FIELDS, { ...lossFields(spec), parts: { slot: parts } });
  const sums: Operator = {
    algorithm: lossName(spec),
    calls: [
      { kernel: kernelOf(spec, "sums"), params, items, scratchBytes: padded * 4 },
      lossTotal(spec, lossItems(spec.grid), { parts, sums: "loss totals" }),
    ],
    temporaries: { [parts]: items * partFloats(padded) * 4, "loss totals": 3 * padded * 8 },
    ...costOf(spec),
  };
  if (!spec.topK) return sums;
  const top = planTopK({ ...topKOfLoss(spec, spec.topK), resultOffset: spec.resultOffset });
  return {
    algorithm: sums.algorithm,
    calls: [...sums.calls, ...top.calls],
    temporaries: { ...sums.temporaries, ...top.temporaries },
    flops: sums.flops + top.flops,
    bytes: sums.bytes + top.bytes,
    coreSeconds: sums.coreSeconds + top.coreSeconds,
  };
}

/** dL/dlogits; padding lanes become zero. */
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
    ...costOf(spec),
  };
}

/** Voxels by channel that are predicted and true, predicted alone, true alone: f32 parts [batch][items a sample][3][padded]. */
export function planLossCounts(spec: LossShape & { readonly countsSlot: string }): Operator {
  const params = listParams(LOSS_FIELDS, { ...lossFields(spec), parts: { slot: spec.countsSlot } });
  return {
    algorithm: "counts",
    calls: [{ kernel: "loss_counts", params, items: spec.batch * lossItems(spec.grid), scratchBytes: 0 }],
    temporaries: {},
    ...costOf(spec),
  };
}

/** Bytes of all parts of the counts. */
export function countBytes({ batch, grid, channels }: Pick<LossShape, "batch" | "grid" | "channels">): number {
  return batch * lossItems(grid) * 3 * padToFour(channels) * 4;
}
