/** Norm tables on the CPU: see kernels/operators/elementwise/norm.ts. */
import type { NormTableRange } from "../../../core/graph/problems.ts";
import {
  checkNormRange,
  mergeCost,
  type NormConstant,
  type NormFinalize,
  tableCost,
} from "../../operators/elementwise/norm.ts";
import { padToFour } from "../../../core/base/shape.ts";
import { distance } from "./simd.ts";
import { type Expr, f32, f64, f64x2, i32, i64, type V128, v128 } from "../emit/expression.ts";
import { type FunctionBuilder, type Kernel, kernelOf } from "../emit/module_builder.ts";
import type { Operator } from "../kernel.ts";
import { listParams, type ParamTypes } from "../params.ts";

const NORM_FINALIZE_FIELDS = {
  statistics: "address",
  norm: "address",
  weight: "address",
  bias: "address",
  hasWeight: "i32",
  hasBias: "i32",
  parts: "i32",
  channels: "i32",
  padded: "i32",
  total: "i32",
  offset: "i32",
  eps: "f32",
  slope: "f32",
} as const satisfies ParamTypes;

const NORM_CONSTANT_FIELDS = {
  norm: "address",
  scale: "address",
  shift: "address",
  hasScale: "i32",
  hasShift: "i32",
  channels: "i32",
  padded: "i32",
  total: "i32",
  offset: "i32",
  slope: "f32",
} as const satisfies ParamTypes;

/** Merges the statistics of a sample's parts in a fixed order in f64. One item: four channels of a sample. */
export function planNormFinalize(spec: NormFinalize): Operator {
  checkNormRange(spec);
  const cost = mergeCost(spec);
  return {
    algorithm: "norm table from statistics",
    calls: [{
      kernel: "norm_finalize",
      params: listParams(NORM_FINALIZE_FIELDS, {
        statistics: { slot: spec.statisticsSlot },
        parts: spec.parts,
        ...tableParams(spec),
      }),
      items: spec.batch * (padToFour(spec.channels) / 4),
      scratchBytes: 0,
    }],
    temporaries: {},
    ...cost,
    coreSeconds: cost.bytes / 4 * 1e-9,
  };
}

/** The parameters of a kernel that makes a table from means and variances. */
export function tableParams(spec: NormTableRange & Pick<NormFinalize, "weightSlot" | "biasSlot" | "eps">) {
  return {
    norm: { slot: spec.normSlot },
    // A kernel does not read what it is told not to.
    weight: { slot: spec.weightSlot ?? spec.normSlot },
    bias: { slot: spec.biasSlot ?? spec.normSlot },
    hasWeight: spec.weightSlot === undefined ? 0 : 1,
    hasBias: spec.biasSlot === undefined ? 0 : 1,
    channels: spec.channels,
    padded: padToFour(spec.channels),
    total: spec.totalChannels,
    offset: spec.channelOffset,
    eps: spec.eps,
    slope: spec.slope,
  };
}

/** Writes a table of constants. One item: one sample. */
export function planNormConstant(spec: NormConstant): Operator {
  checkNormRange(spec);
  const padded = padToFour(spec.channels);
  return {
    algorithm: "constant norm table",
    calls: [{
      kernel: "norm_constant",
      params: listParams(NORM_CONSTANT_FIELDS, {
        norm: { slot: spec.normSlot },
        scale: { slot: spec.scaleSlot ?? spec.normSlot },
        shift: { slot: spec.shiftSlot ?? spec.normSlot },
        hasScale: spec.scaleSlot === undefined ? 0 : 1,
        hasShift: spec.shiftSlot === undefined ? 0 : 1,
        channels: spec.channels,
        padded,
        total: spec.totalChannels,
        offset: spec.channelOffset,
        slope: spec.slope,
      }),
      items: spec.batch,
      scratchBytes: 0,
    }],
    temporaries: {},
    ...tableCost(spec, 0, 0),
    coreSeconds: spec.batch * padded * 1e-9,
  };
}

/** Bytes of one part of the statistics: voxel count, means, M2s. */
const statisticsBytes = (padded: Expr<"i32">) => i64.add(i64.shl(i64.extendS(padded), 3), 4);

/** Number `lane` of four in two variables of two. */
export const laneOf = (halves: readonly V128[], lane: number) => f64x2.extract(halves[lane >> 1], lane & 1);

/** Voxels, means and M2s of four channels over consecutive parts of the statistics, the first at `first`; two channels a variable. */
export function mergeParts(
  f: FunctionBuilder,
  first: Expr<"i64">,
  of: { readonly parts: Expr<"i32">; readonly padded: Expr<"i32">; readonly channel: Expr<"i32"> },
) {
  const partBytes = f.local("i64", statisticsBytes(of.padded));
  const means = f.local("i64", i64.add(i64.add(first, 4), distance(of.channel, 4)));
  const [part, block, squares] = f.locals("i64", 3);
  const count = f.local("f64");
  const total = f.local("f64", 0);
  const [values, half] = f.locals("v128", 2);
  const upper = (x: V128) => v128.shuffle32(x, x, [2, 3, 2, 3]);
  const eachPart = (body: () => void) => {
    f.set(part, first);
    f.set(block, means);
    f.countdown(of.parts, () => {
      f.set(count, f64.promote(f32.load(part)));
      f.set(values, v128.load(block));
      body();
      f.add(part, partBytes);
      f.add(block, partBytes);
    });
  };
  // Two passes: the mean of all, then squares about it. In f64 this is Chan's merge without its chain of divisions.
  const mean = [f.local("v128", f64x2.splat(0)), f.local("v128", f64x2.splat(0))];
  eachPart(() => {
    f.set(total, f64.add(total, count));
    [values, upper(values)].forEach((v, i) =>
      f.set(mean[i], f64x2.add(mean[i], f64x2.mul(f64x2.promoteLow(v), f64x2.splat(count))))
    );
  });
  for (const sum of mean) f.set(sum, f64x2.div(sum, f64x2.splat(total)));
  const m2 = [f.local("v128", f64x2.splat(0)), f.local("v128", f64x2.splat(0))];
  eachPart(() => {
    f.set(squares, i64.add(block, distance(of.padded, 4)));
    [values, upper(values)].forEach((v, i) => {
      f.set(half, f64x2.sub(f64x2.promoteLow(v), mean[i]));
      f.set(half, f64x2.mul(f64x2.mul(half, half), f64x2.splat(count)));
      const within = v128.load64Zero(squares, i * 8);
      f.set(m2[i], f64x2.add(m2[i], f64x2.add(f64x2.promoteLow(within), half)));
    });
  });
  return { total, mean, m2 };
}

const normFinalizeKernel = kernelOf("norm_finalize", NORM_FINALIZE_FIELDS, (f, p, item) => {
  const groups = f.local("i32", i32.shrU(p.padded, 2));
  const sample = f.local("i32", i32.divU(item, groups));
  const channel = f.local("i32", i32.shl(i32.remU(item, groups), 2));
  const partBytes = f.local("i64", statisticsBytes(p.padded));
  const first = f.local("i64", i64.add(p.statistics, distance(i32.mul(sample, p.parts), partBytes)));
  const { total, mean, m2 } = mergeParts(f, first, { parts: p.parts, padded: p.padded, channel });
  const scale = f.local("f32");
  const bias = f.local("f32");
  const write = tableWriter(f, p, sample);
  for (let lane = 0; lane < 4; lane++) {
    const c = f.local("i32", i32.add(channel, lane));
    f.if(i32.ltS(c, p.channels), () => {
      f.set(scale, 1);
      f.if(p.hasWeight, () => f.set(scale, f32.load(i64.add(p.weight, distance(c, 4)))));
      f.set(bias, 0);
      f.if(p.hasBias, () => f.set(bias, f32.load(i64.add(p.bias, distance(c, 4)))));
      const [mu, sum] = [mean, m2].map((halves) => laneOf(halves, lane));
      const variance = f64.add(f64.div(sum, total), f64.promote(p.eps));
      f.set(scale, f32.demote(f64.div(f64.promote(scale), f64.sqrt(variance))));
      // With the rounded scale, so that the mean itself maps to the bias.
      const shift = f64.sub(f64.promote(bias), f64.mul(mu, f64.promote(scale)));
      write(c, scale, f32.demote(shift), p.slope);
    }, () => write(c, f32.const(0), f32.const(0), f32.const(1)));
  }
});

const normConstantKernel = kernelOf("norm_constant", NORM_CONSTANT_FIELDS, (f, p, item) => {
  const write = tableWriter(f, p, item);
  const scale = f.local("f32");
  const shift = f.local("f32");
  f.for(0, p.padded, 1, (c) => {
    f.if(i32.ltS(c, p.channels), () => {
      f.set(scale, 1);
      f.if(p.hasScale, () => f.set(scale, f32.load(i64.add(p.scale, distance(c, 4)))));
      f.set(shift, 0);
      f.if(p.hasShift, () => f.set(shift, f32.load(i64.add(p.shift, distance(c, 4)))));
      write(c, scale, shift, p.slope);
    }, () => write(c, f32.const(0), f32.const(0), f32.const(1)));
  });
});

/** Writes scale, shift and slope of a channel of a sample into the table. */
export function tableWriter(
  f: FunctionBuilder,
  p: { readonly norm: Expr<"i64">; readonly total: Expr<"i32">; readonly offset: Expr<"i32"> },
  sample: Expr<"i32">,
) {
  const rowBytes = f.local("i64", distance(p.total, 4));
  const first = i64.add(p.norm, distance(i32.mul(sample, 3), rowBytes));
  const base = f.local("i64", i64.add(first, distance(p.offset, 4)));
  const at = f.local("i64");
  return (channel: Expr<"i32">, scale: Expr<"f32">, shift: Expr<"f32">, slope: Expr<"f32">) => {
    f.set(at, i64.add(base, distance(channel, 4)));
    f.storeF32(at, scale);
    f.storeF32(i64.add(at, rowBytes), shift);
    f.storeF32(i64.add(at, i64.shl(rowBytes, 1)), slope);
  };
}

export const NORM_KERNELS: readonly Kernel[] = [normFinalizeKernel, normConstantKernel];
