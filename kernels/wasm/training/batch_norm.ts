/** Batch norm on the CPU: see kernels/operators/training/batch_norm.ts. */
import { checkNormRange, mergeCost, tableCost } from "../../operators/elementwise/norm.ts";
import {
  BATCH_NORM_MOMENTUM,
  type BatchMoments,
  type NormFromMoments,
  unbiasedFactor,
} from "../../operators/training/batch_norm.ts";
import { padToFour } from "../../../core/base/shape.ts";
import { laneOf, mergeParts, tableParams, tableWriter } from "../elementwise/norm.ts";
import { distance } from "../elementwise/simd.ts";
import { f32, f64, i32, i64 } from "../emit/expression.ts";
import { type Kernel, kernelOf } from "../emit/module_builder.ts";
import type { Operator } from "../kernel.ts";
import { listParams, type ParamTypes } from "../params.ts";

const MOMENTS_FIELDS = {
  statistics: "address",
  mean: "address",
  variance: "address",
  runningMean: "address",
  runningVariance: "address",
  parts: "i32",
  channels: "i32",
  padded: "i32",
  momentum: "f32",
  unbiased: "f32",
} as const satisfies ParamTypes;

const TABLE_FIELDS = {
  norm: "address",
  mean: "address",
  variance: "address",
  weight: "address",
  bias: "address",
  hasWeight: "i32",
  hasBias: "i32",
  channels: "i32",
  padded: "i32",
  total: "i32",
  offset: "i32",
  eps: "f32",
  slope: "f32",
} as const satisfies ParamTypes;

/** One item: four channels. */
export function planBatchMoments(spec: BatchMoments): Operator {
  const padded = padToFour(spec.channels);
  const parts = spec.batch * spec.parts;
  const params = listParams(MOMENTS_FIELDS, {
    statistics: { slot: spec.statisticsSlot },
    mean: { slot: spec.meanSlot },
    variance: { slot: spec.varianceSlot },
    runningMean: { slot: spec.runningMeanSlot },
    runningVariance: { slot: spec.runningVarianceSlot },
    parts,
    channels: spec.channels,
    padded,
    momentum: BATCH_NORM_MOMENTUM,
    unbiased: unbiasedFactor(spec),
  });
  const cost = mergeCost(spec);
  return {
    algorithm: "moments of a batch",
    calls: [{ kernel: "batch_moments", params, items: padded / 4, scratchBytes: 0 }],
    temporaries: {},
    ...cost,
    coreSeconds: cost.bytes / 4 * 1e-9,
  };
}

/** One item: one sample. */
export function planNormFromMoments(spec: NormFromMoments): Operator {
  checkNormRange(spec);
  const padded = padToFour(spec.channels);
  const params = listParams(TABLE_FIELDS, {
    mean: { slot: spec.meanSlot },
    variance: { slot: spec.varianceSlot },
    ...tableParams(spec),
  });
  return {
    algorithm: "norm table from moments",
    calls: [{ kernel: "norm_from_moments", params, items: spec.batch, scratchBytes: 0 }],
    temporaries: {},
    ...tableCost(spec, 2, 4),
    coreSeconds: spec.batch * padded * 4e-9,
  };
}

const momentsKernel = kernelOf("batch_moments", MOMENTS_FIELDS, (f, p, item) => {
  const channel = f.local("i32", i32.shl(item, 2));
  const { total, mean, m2 } = mergeParts(f, p.statistics, { parts: p.parts, padded: p.padded, channel });
  const [value, variance] = f.locals("f64", 2);
  const unbiased = f.local("f64", f64.promote(p.unbiased));
  const momentum = f.local("f64", f64.promote(p.momentum));
  for (let lane = 0; lane < 4; lane++) {
    const at = f.local("i64", distance(i32.add(channel, lane), 4));
    f.if(i32.ltS(i32.add(channel, lane), p.channels), () => {
      f.set(value, laneOf(mean, lane));
      f.set(variance, f64.div(laneOf(m2, lane), total));
      f.storeF32(i64.add(p.mean, at), f32.demote(value));
      f.storeF32(i64.add(p.variance, at), f32.demote(variance));
      f.if(f64.eq(f64.sub(variance, variance), 0), () => {
        f.set(variance, f64.mul(variance, unbiased));
        for (const [running, moment] of [[p.runningMean, value], [p.runningVariance, variance]] as const) {
          const to = f.local("i64", i64.add(running, at));
          const before = f64.promote(f32.load(to));
          const after = f64.add(f64.mul(before, f64.sub(1, momentum)), f64.mul(moment, momentum));
          f.storeF32(to, f32.demote(after));
        }
      });
    }, () => {
      f.storeF32(i64.add(p.mean, at), f32.const(0));
      f.storeF32(i64.add(p.variance, at), f32.const(0));
    });
  }
});

const tableKernel = kernelOf("norm_from_moments", TABLE_FIELDS, (f, p, item) => {
  const write = tableWriter(f, p, item);
  const [scale, bias] = f.locals("f32", 2);
  f.for(0, p.padded, 1, (c) => {
    f.if(i32.ltS(c, p.channels), () => {
      const load = (from: typeof p.mean) => f32.load(i64.add(from, distance(c, 4)));
      f.set(scale, 1);
      f.if(p.hasWeight, () => f.set(scale, load(p.weight)));
      f.set(bias, 0);
      f.if(p.hasBias, () => f.set(bias, load(p.bias)));
      const deviation = f64.sqrt(f64.add(f64.promote(load(p.variance)), f64.promote(p.eps)));
      f.set(scale, f32.demote(f64.div(f64.promote(scale), deviation)));
      // With the rounded scale, so that the mean itself maps to the bias.
      const shift = f64.sub(f64.promote(bias), f64.mul(f64.promote(load(p.mean)), f64.promote(scale)));
      write(c, scale, f32.demote(shift), p.slope);
    }, () => write(c, f32.const(0), f32.const(0), f32.const(1)));
  });
});

export const BATCH_NORM_KERNELS: readonly Kernel[] = [momentsKernel, tableKernel];
