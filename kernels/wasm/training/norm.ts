/**
 * Backward of instance norm and leaky ReLU on the CPU: see kernels/operators/training/norm.ts. Sums are taken over chunks that depend on the
 * shape alone and merged in f64 in their order.
 */
import { normBackwardCost, type NormBackwardOf } from "../../operators/training/norm.ts";
import { padToFour } from "../../../core/base/shape.ts";
import { distance, loadNorm } from "../elementwise/simd.ts";
import { type Expr, f32x4, f64, f64x2, i32, i64, type V128, v128 } from "../emit/expression.ts";
import { type FunctionBuilder, type Kernel, kernelOf } from "../emit/module_builder.ts";
import type { Operator, Target } from "../kernel.ts";
import { listParams, type ParamTypes } from "../params.ts";

/** A channel range of a stored tensor or gradient. */
export type TensorRange = Omit<Target, "statisticsSlot">;

export type NormBackward = NormBackwardOf<TensorRange>;

/** Bytes of the gradient that an item covers: with as many of the tensor they stay in the first cache. */
const ITEM_BYTES = 12 * 1024;

const SUMS_FIELDS = {
  stored: "address",
  gradient: "address",
  norm: "address",
  unitNorm: "address",
  /** f32 [batch][items a sample][2][padded]: sums of d, and of d * n. */
  sums: "address",
  /** f32 [batch][2][padded]: dL/dx = scale * d + factor * x + constant. */
  coefficients: "address",
  storedVoxel: "i32",
  gradientVoxel: "i32",
  normRow: "i32",
  padded: "i32",
  voxels: "i32",
  voxelsPerItem: "i32",
  itemsPerSample: "i32",
} as const satisfies ParamTypes;

const COEFFICIENT_FIELDS = {
  norm: "address",
  unitNorm: "address",
  sums: "address",
  coefficients: "address",
  weightGradient: "address",
  biasGradient: "address",
  hasWeight: "i32",
  hasBias: "i32",
  normRow: "i32",
  padded: "i32",
  batch: "i32",
  voxels: "i32",
  itemsPerSample: "i32",
} as const satisfies ParamTypes;

export function planNormBackward(spec: NormBackward): Operator {
  const { batch, voxels, stored, gradient } = spec;
  const padded = padToFour(gradient.channels);
  const voxelsPerItem = Math.max(8, Math.ceil(ITEM_BYTES / (padded * 4)));
  const itemsPerSample = Math.ceil(voxels / voxelsPerItem);
  const norm = { slot: spec.normSlot, offset: spec.channelOffset * 4 };
  const shared = {
    norm,
    unitNorm: { slot: spec.unitNormSlot },
    sums: { slot: "norm backward sums" },
    coefficients: { slot: "norm backward coefficients" },
    normRow: spec.totalChannels,
    padded,
    voxels,
    itemsPerSample,
  };
  const passes = listParams(SUMS_FIELDS, {
    ...shared,
    stored: { slot: stored.slot, offset: stored.channelOffset * 4 },
    gradient: { slot: gradient.slot, offset: gradient.channelOffset * 4 },
    storedVoxel: stored.channelStride * 4,
    gradientVoxel: gradient.channelStride * 4,
    voxelsPerItem,
  });
  const coefficients = listParams(COEFFICIENT_FIELDS, {
    ...shared,
    weightGradient: { slot: spec.weightGradientSlot ?? spec.normSlot },
    biasGradient: { slot: spec.biasGradientSlot ?? spec.normSlot },
    hasWeight: spec.weightGradientSlot === undefined ? 0 : 1,
    hasBias: spec.biasGradientSlot === undefined ? 0 : 1,
    batch,
  });
  const cost = normBackwardCost(spec, { stored: 4, gradient: 4 });
  return {
    algorithm: "norm backward",
    calls: [
      { kernel: "norm_backward_sums", params: passes, items: batch * itemsPerSample, scratchBytes: 0 },
      { kernel: "norm_backward_coefficients", params: coefficients, items: padded / 4, scratchBytes: 0 },
      { kernel: "norm_backward_apply", params: passes, items: batch * itemsPerSample, scratchBytes: 0 },
    ],
    temporaries: {
      "norm backward sums": batch * itemsPerSample * 2 * padded * 4,
      "norm backward coefficients": batch * 2 * padded * 4,
    },
    ...cost,
    coreSeconds: cost.bytes / 10e9,
  };
}

/** Walks the voxels of an item channel block by channel block: `body` gets x and dL/dy of one block of a voxel. */
function eachBlock(
  f: FunctionBuilder,
  params: Expr<"i64">,
  item: Expr<"i32">,
  body: (
    p: ReturnType<typeof readFields>,
    walk: (voxel: (x: V128, d: V128, gradient: Expr<"i64">) => void) => void,
    block: { readonly sample: Expr<"i32">; readonly at: Expr<"i64">; readonly norm: ReturnType<typeof loadNorm> },
  ) => void,
): void {
  const p = readFields(f, params);
  const sample = f.local("i32", i32.divU(item, p.itemsPerSample));
  const first = f.local("i32", i32.mul(i32.remU(item, p.itemsPerSample), p.voxelsPerItem));
  const count = f.local("i32", i32.min(f.local("i32", i32.sub(p.voxels, first)), p.voxelsPerItem));
  const voxel = f.local("i64", i64.add(distance(sample, i64.extendS(p.voxels)), i64.extendS(first)));
  const [storedStep, gradientStep] = [i64.extendS(p.storedVoxel), i64.extendS(p.gradientVoxel)];
  const stored = f.local("i64", i64.add(p.stored, i64.mul(voxel, storedStep)));
  const gradient = f.local("i64", i64.add(p.gradient, i64.mul(voxel, gradientStep)));
  const rowBytes = f.local("i64", distance(p.normRow, 4));
  const table = f.local("i64", i64.add(p.norm, distance(i32.mul(sample, 3), rowBytes)));
  const at = f.local("i64", 0);
  const [from, to] = f.locals("i64", 2);
  const [x, y, g] = f.locals("v128", 3);
  const zero = v128.const(0, 0, 0, 0);
  f.countdown(i32.shrU(p.padded, 2), () => {
    const norm = loadNorm(f, f.local("i64", i64.add(table, at)), rowBytes);
    body(p, (visit) => {
      f.set(from, i64.add(stored, at));
      f.set(to, i64.add(gradient, at));
      f.countdown(count, () => {
        f.set(x, v128.load(from));
        f.set(g, v128.load(to));
        f.set(y, f32x4.madd(x, norm.scale, norm.shift));
        f.set(g, v128.bitselect(g, f32x4.mul(g, norm.slope), f32x4.gt(y, zero)));
        visit(x, g, to);
        f.add(from, storedStep);
        f.add(to, gradientStep);
      });
    }, { sample, at, norm });
    f.add(at, 16);
  });
}

function readFields(f: FunctionBuilder, params: Expr<"i64">) {
  return f.readParams(params, SUMS_FIELDS);
}

const sumsKernel: Kernel = {
  name: "norm_backward_sums",
  emit: (m) =>
    m.kernel("norm_backward_sums", (f, params, item) => {
      const [d, dn] = f.locals("v128", 2);
      eachBlock(f, params, item, (p, walk, { sample, at }) => {
        const rowBytes = distance(p.padded, 4);
        const unit = i64.add(i64.add(p.unitNorm, distance(i32.mul(sample, 3), rowBytes)), at);
        const { scale, shift } = loadNorm(f, f.local("i64", unit), rowBytes);
        f.set(d, v128.const(0, 0, 0, 0));
        f.set(dn, v128.const(0, 0, 0, 0));
        walk((x, value) => {
          f.set(d, f32x4.add(d, value));
          f.set(dn, f32x4.madd(value, f32x4.madd(x, scale, shift), dn));
        });
        const to = f.local("i64", i64.add(i64.add(p.sums, distance(i32.shl(item, 1), rowBytes)), at));
        f.storeV128(to, d);
        f.storeV128(i64.add(to, rowBytes), dn);
      });
    }),
};

const applyKernel: Kernel = {
  name: "norm_backward_apply",
  emit: (m) =>
    m.kernel("norm_backward_apply", (f, params, item) => {
      eachBlock(f, params, item, (p, walk, { sample, at, norm }) => {
        const rowBytes = distance(p.padded, 4);
        const from = f.local("i64", i64.add(i64.add(p.coefficients, distance(i32.shl(sample, 1), rowBytes)), at));
        const factor = f.local("v128", v128.load(from));
        const constant = f.local("v128", v128.load(i64.add(from, rowBytes)));
        walk((x, value, gradient) => {
          f.storeV128(gradient, f32x4.madd(value, norm.scale, f32x4.madd(x, factor, constant)));
        });
      });
    }),
};

/** An item: four channels of all samples. */
const coefficientsKernel = kernelOf("norm_backward_coefficients", COEFFICIENT_FIELDS, (f, p, item) => {
  const block = f.local("i64", distance(item, 16));
  const rowBytes = f.local("i64", distance(p.padded, 4));
  const normBytes = f.local("i64", distance(p.normRow, 4));
  const from = f.local("i64", i64.add(p.sums, block));
  const pair = () => [f.local("v128"), f.local("v128")] as const;
  const zero = f64x2.splat(0);
  const [d, dn, allD, allDn, factor, constant] = [pair(), pair(), pair(), pair(), pair(), pair()];
  for (const sum of [...allD, ...allDn]) f.set(sum, zero);
  const half = (x: V128, i: number) => f64x2.promoteLow(i === 0 ? x : v128.shuffle32(x, x, [2, 3, 2, 3]));
  const narrow = ([low, high]: readonly V128[]) =>
    v128.shuffle32(f32x4.demoteF64x2Zero(low), f32x4.demoteF64x2Zero(high), [0, 1, 4, 5]);
  const share = f.local("v128", f64x2.splat(f64.div(1, f64.convertI32S(p.voxels))));
  f.for(0, p.batch, 1, (sample) => {
    for (const sum of [...d, ...dn]) f.set(sum, zero);
    f.countdown(p.itemsPerSample, () => {
      for (const i of [0, 1]) {
        f.set(d[i], f64x2.add(d[i], half(v128.load(from), i)));
        f.set(dn[i], f64x2.add(dn[i], half(v128.load(i64.add(from, rowBytes)), i)));
      }
      f.add(from, i64.shl(rowBytes, 1));
    });
    const norm = i64.add(i64.add(p.norm, distance(i32.mul(sample, 3), normBytes)), block);
    const scale = f.local("v128", v128.load(norm));
    const unit = f.local("i64", i64.add(i64.add(p.unitNorm, distance(i32.mul(sample, 3), rowBytes)), block));
    const deviation = f.local("v128", v128.load(unit));
    const shift = f.local("v128", v128.load(i64.add(unit, rowBytes)));
    for (const i of [0, 1]) {
      f.set(allD[i], f64x2.add(allD[i], d[i]));
      f.set(allDn[i], f64x2.add(allDn[i], dn[i]));
      const [meanD, meanDn] = [f64x2.mul(d[i], share), f64x2.mul(dn[i], share)];
      const negative = f64x2.mul(half(scale, i), f64x2.splat(-1));
      f.set(factor[i], f64x2.mul(f64x2.mul(negative, meanDn), half(deviation, i)));
      f.set(constant[i], f64x2.mul(negative, f64x2.add(meanD, f64x2.mul(meanDn, half(shift, i)))));
    }
    const to = f.local("i64", i64.add(i64.add(p.coefficients, distance(i32.shl(sample, 1), rowBytes)), block));
    f.storeV128(to, narrow(factor));
    f.storeV128(i64.add(to, rowBytes), narrow(constant));
  });
  f.if(p.hasWeight, () => f.storeV128(i64.add(p.weightGradient, block), narrow(allDn)));
  f.if(p.hasBias, () => f.storeV128(i64.add(p.biasGradient, block), narrow(allD)));
});

export const TRAINING_NORM_KERNELS: readonly Kernel[] = [sumsKernel, coefficientsKernel, applyKernel];
