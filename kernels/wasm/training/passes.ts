/** Gradients of what has no parameters, on the CPU. */
import { pooledGrid } from "../../operators/elementwise/passes.ts";
import { type GradientPassOf, poolBackwardCost, type PoolBackwardOf } from "../../operators/training/passes.ts";
import { padToFour, voxelCount } from "../../../core/base/shape.ts";
import { distance, walk } from "../elementwise/simd.ts";
import { f32x4, i32, i64, type V128, v128 } from "../emit/expression.ts";
import { type Kernel, kernelOf } from "../emit/module_builder.ts";
import type { Operator } from "../kernel.ts";
import { listParams, type ParamTypes } from "../params.ts";
import type { TensorRange } from "./norm.ts";

export type GradientPass = GradientPassOf<TensorRange>;
export type PoolBackward = PoolBackwardOf<TensorRange>;

const PASS_FIELDS = {
  source: "address",
  target: "address",
  sign: "address",
  sourceVoxel: "i32",
  targetVoxel: "i32",
  signVoxel: "i32",
  hasSign: "i32",
  accumulate: "i32",
  padded: "i32",
  voxels: "i32",
  voxelsPerItem: "i32",
  slope: "f32",
} as const satisfies ParamTypes;

const POOL_FIELDS = {
  source: "address",
  target: "address",
  sourceVoxel: "i32",
  targetVoxel: "i32",
  accumulate: "i32",
  padded: "i32",
  in: "axes",
  out: "axes",
  window: "axes",
  factor: "f32",
} as const satisfies ParamTypes;

const ITEM_BYTES = 64 * 1024;

const addressOf = (range: TensorRange) => ({ slot: range.slot, offset: range.channelOffset * 4 });

export function planGradientPass(spec: GradientPass): Operator {
  const padded = padToFour(spec.target.channels);
  const voxels = spec.batch * spec.voxels;
  const voxelsPerItem = Math.max(16, Math.ceil(ITEM_BYTES / (padded * 4)));
  const params = listParams(PASS_FIELDS, {
    source: addressOf(spec.source),
    target: addressOf(spec.target),
    sign: addressOf(spec.sign ?? spec.source),
    sourceVoxel: spec.source.channelStride * 4,
    targetVoxel: spec.target.channelStride * 4,
    signVoxel: (spec.sign ?? spec.source).channelStride * 4,
    hasSign: spec.sign && spec.slope !== 1 ? 1 : 0,
    accumulate: spec.accumulate ? 1 : 0,
    padded,
    voxels,
    voxelsPerItem,
    slope: spec.slope,
  });
  const bytes = voxels * padded * 4 * (2 + (spec.sign ? 1 : 0) + (spec.accumulate ? 1 : 0));
  return {
    algorithm: "gradient pass",
    calls: [{ kernel: "gradient_pass", params, items: Math.ceil(voxels / voxelsPerItem), scratchBytes: 0 }],
    temporaries: {},
    flops: voxels * padded,
    bytes,
    coreSeconds: bytes / 12e9,
  };
}

/** One item: a row of the input. */
export function planPoolBackward(spec: PoolBackward): Operator {
  const padded = padToFour(spec.inputGradient.channels);
  const out = pooledGrid(spec.grid, spec.stride);
  const params = listParams(POOL_FIELDS, {
    source: addressOf(spec.outputGradient),
    target: addressOf(spec.inputGradient),
    sourceVoxel: spec.outputGradient.channelStride * 4,
    targetVoxel: spec.inputGradient.channelStride * 4,
    accumulate: spec.accumulate ? 1 : 0,
    padded,
    in: spec.grid,
    out,
    window: spec.stride,
    factor: 1 / voxelCount(spec.stride),
  });
  const cost = poolBackwardCost(spec, 4);
  return {
    algorithm: "average pool backward",
    calls: [{
      kernel: "average_pool_backward",
      params,
      items: spec.batch * spec.grid[0] * spec.grid[1],
      scratchBytes: 0,
    }],
    temporaries: {},
    ...cost,
    coreSeconds: cost.bytes / 12e9,
  };
}

const passKernel = kernelOf("gradient_pass", PASS_FIELDS, (f, p, item) => {
  const first = f.local("i32", i32.mul(item, p.voxelsPerItem));
  const count = f.local("i32", i32.min(f.local("i32", i32.sub(p.voxels, first)), p.voxelsPerItem));
  const [source, target, sign] = ([
    [p.source, p.sourceVoxel],
    [p.target, p.targetVoxel],
    [p.sign, p.signVoxel],
  ] as const).map(([base, voxel]) => f.local("i64", i64.add(base, distance(first, i64.extendS(voxel)))));
  const rowBytes = f.local("i64", distance(p.padded, 4));
  const slope = f.local("v128", f32x4.splat(p.slope));
  const at = f.local("i64");
  const value = f.local("v128");
  const zero = v128.const(0, 0, 0, 0);
  const voxels = (hasSign: boolean, accumulate: boolean) =>
    f.countdown(count, () => {
      f.set(at, 0);
      walk(f, at, rowBytes, 16, () => {
        f.set(value, v128.load(i64.add(source, at)));
        if (hasSign) {
          const isPositive = f32x4.gt(v128.load(i64.add(sign, at)), zero);
          f.set(value, v128.bitselect(value, f32x4.mul(value, slope), isPositive));
        }
        const to = i64.add(target, at);
        f.storeV128(to, accumulate ? f32x4.add(value, v128.load(to)) : value);
      });
      f.add(source, i64.extendS(p.sourceVoxel));
      f.add(target, i64.extendS(p.targetVoxel));
      if (hasSign) f.add(sign, i64.extendS(p.signVoxel));
    });
  f.if(
    p.hasSign,
    () => f.if(p.accumulate, () => voxels(true, true), () => voxels(true, false)),
    () => f.if(p.accumulate, () => voxels(false, true), () => voxels(false, false)),
  );
});

const poolKernel = kernelOf("average_pool_backward", POOL_FIELDS, (f, p, item) => {
  const plane = f.local("i32", i32.divU(item, p.inY));
  const oy = f.local("i32", i32.divU(i32.remU(item, p.inY), p.windowY));
  const oz = f.local("i32", i32.divU(i32.remU(plane, p.inZ), p.windowZ));
  const sample = f.local("i32", i32.divU(plane, p.inZ));
  const row = i32.add(i32.mul(i32.add(i32.mul(sample, p.outZ), oz), p.outY), oy);
  const sourceStep = f.local("i64", i64.extendS(p.sourceVoxel));
  const source = f.local("i64", i64.add(p.source, i64.mul(distance(row, i64.extendS(p.outX)), sourceStep)));
  const targetStep = f.local("i64", i64.extendS(p.targetVoxel));
  const target = f.local("i64", i64.add(p.target, i64.mul(distance(item, i64.extendS(p.inX)), targetStep)));
  const rowInside = f.local("i32", i32.and(i32.ltS(oz, p.outZ), i32.ltS(oy, p.outY)));
  const rowBytes = f.local("i64", distance(p.padded, 4));
  const factor = f.local("v128", f32x4.splat(p.factor));
  const at = f.local("i64");
  const from = f.local("i64");
  f.for(0, p.inX, 1, (x) => {
    const ox = f.local("i32", i32.divU(x, p.windowX));
    f.set(from, i64.add(source, distance(ox, sourceStep)));
    f.set(at, 0);
    const store = (value: V128) => f.storeV128(i64.add(target, at), value);
    f.if(i32.and(rowInside, i32.ltS(ox, p.outX)), () => {
      walk(f, at, rowBytes, 16, () => {
        const share = f.local("v128", f32x4.mul(factor, v128.load(i64.add(from, at))));
        f.if(p.accumulate, () => store(f32x4.add(v128.load(i64.add(target, at)), share)), () => store(share));
      });
    }, () => f.if(i32.eqz(p.accumulate), () => f.zeroBytes(target, rowBytes)));
    f.add(target, targetStep);
  });
});

export const TRAINING_PASS_KERNELS: readonly Kernel[] = [passKernel, poolKernel];
