/** Passes over whole tensors: the residual sum and average pooling, with their inputs' norms applied on load. */
import {
  averagePoolCost,
  type AveragePoolOf,
  checkAveragePool,
  checkResidualAdd,
  pooledGrid,
  residualAddCost,
  type ResidualAddOf,
} from "../../operators/elementwise/passes.ts";
import { paddedChannels } from "../../operators/tensor.ts";
import { voxelCount } from "../../../core/base/shape.ts";
import { distance, leaky, loadNorm, loadNormalised, walk } from "./simd.ts";
import { type Expr, f32x4, i32, i64 } from "../emit/expression.ts";
import { type FunctionBuilder, type Kernel, kernelOf, type Local } from "../emit/module_builder.ts";
import type { Operand, Operator, Target } from "../kernel.ts";
import { listParams, type ParamTypes } from "../params.ts";

export type ResidualAdd = ResidualAddOf<Operand, Target>;
export type AveragePool = AveragePoolOf<Operand, Target>;

const RESIDUAL_ADD_FIELDS = {
  a: "address",
  b: "address",
  out: "address",
  normA: "address",
  normB: "address",
  hasNormA: "i32",
  hasNormB: "i32",
  strideA: "i32",
  strideB: "i32",
  strideOut: "i32",
  padded: "i32",
  voxels: "i32",
  voxelsPerItem: "i32",
  itemsPerSample: "i32",
  slope: "f32",
} as const satisfies ParamTypes;

const AVERAGE_POOL_FIELDS = {
  input: "address",
  target: "address",
  norm: "address",
  hasNorm: "i32",
  strideIn: "i32",
  strideOut: "i32",
  padded: "i32",
  in: "axes",
  out: "axes",
  window: "axes",
  factor: "f32",
} as const satisfies ParamTypes;

/** Bytes of output one item writes, about: enough to hide the cost of handing it out, small enough to share. */
const ITEM_BYTES = 64 * 1024;

export function planResidualAdd(spec: ResidualAdd): Operator {
  checkResidualAdd(spec);
  const padded = paddedChannels(spec.a);
  const voxels = voxelCount(spec.grid);
  const voxelsPerItem = Math.max(16, Math.ceil(ITEM_BYTES / (padded * 4)));
  const itemsPerSample = Math.ceil(voxels / voxelsPerItem);
  const cost = residualAddCost(spec, { read: [4, 4], written: 4 });
  return {
    algorithm: "residual sum",
    calls: [{
      kernel: "residual_add",
      params: listParams(RESIDUAL_ADD_FIELDS, {
        a: firstChannel(spec.a),
        b: firstChannel(spec.b),
        out: firstChannel(spec.target),
        normA: { slot: spec.a.normSlot ?? spec.a.slot },
        normB: { slot: spec.b.normSlot ?? spec.b.slot },
        hasNormA: spec.a.normSlot === undefined ? 0 : 1,
        hasNormB: spec.b.normSlot === undefined ? 0 : 1,
        strideA: spec.a.channelStride,
        strideB: spec.b.channelStride,
        strideOut: spec.target.channelStride,
        padded,
        voxels,
        voxelsPerItem,
        itemsPerSample,
        slope: spec.slope,
      }),
      items: spec.batch * itemsPerSample,
      scratchBytes: 0,
    }],
    temporaries: {},
    ...cost,
    coreSeconds: cost.bytes / 12e9,
  };
}

export function planAveragePool(spec: AveragePool): Operator {
  checkAveragePool(spec);
  const out = pooledGrid(spec.grid, spec.stride);
  const cost = averagePoolCost(spec, { read: [4], written: 4 });
  return {
    algorithm: "average pool",
    calls: [{
      kernel: "average_pool",
      params: listParams(AVERAGE_POOL_FIELDS, {
        input: firstChannel(spec.input),
        target: firstChannel(spec.target),
        norm: { slot: spec.input.normSlot ?? spec.input.slot },
        hasNorm: spec.input.normSlot === undefined ? 0 : 1,
        strideIn: spec.input.channelStride,
        strideOut: spec.target.channelStride,
        padded: paddedChannels(spec.input),
        in: spec.grid,
        out,
        window: spec.stride,
        factor: 1 / voxelCount(spec.stride),
      }),
      items: spec.batch * out[0] * out[1],
      scratchBytes: 0,
    }],
    temporaries: {},
    ...cost,
    coreSeconds: cost.bytes / 12e9,
  };
}

function firstChannel(operand: Operand | Target): { slot: string; offset: number } {
  return { slot: operand.slot, offset: operand.channelOffset * 4 };
}

const residualAddKernel = kernelOf("residual_add", RESIDUAL_ADD_FIELDS, (f, p, item) => {
  const sample = f.local("i32", i32.divU(item, p.itemsPerSample));
  const first = f.local("i32", i32.mul(i32.remU(item, p.itemsPerSample), p.voxelsPerItem));
  const left = f.local("i32", i32.sub(p.voxels, first));
  const count = f.local("i32", i32.min(left, p.voxelsPerItem));
  const voxel = f.local("i64", i64.add(distance(sample, i64.extendS(p.voxels)), i64.extendS(first)));
  const a = voxelPointer(f, p.a, voxel, p.strideA);
  const b = voxelPointer(f, p.b, voxel, p.strideB);
  const out = voxelPointer(f, p.out, voxel, p.strideOut);
  const rowBytes = f.local("i64", distance(p.padded, 4));
  const tableA = f.local("i64", i64.add(p.normA, distance(i32.mul(sample, 3), rowBytes)));
  const tableB = f.local("i64", i64.add(p.normB, distance(i32.mul(sample, 3), rowBytes)));
  const slope = f.local("v128", f32x4.splat(p.slope));
  const at = f.local("i64");
  const sum = f.local("v128");
  const voxels = (withA: boolean, withB: boolean) =>
    f.countdown(count, () => {
      f.set(at, 0);
      walk(f, at, rowBytes, 16, () => {
        const normA = withA ? loadNorm(f, i64.add(tableA, at), rowBytes) : null;
        const normB = withB ? loadNorm(f, i64.add(tableB, at), rowBytes) : null;
        const x = loadNormalised(f, i64.add(a.pointer, at), normA);
        const y = loadNormalised(f, i64.add(b.pointer, at), normB);
        f.set(sum, f32x4.add(x, y));
        f.storeV128(i64.add(out.pointer, at), leaky(sum, slope));
      });
      for (const { pointer, bytes } of [a, b, out]) f.add(pointer, bytes);
    });
  f.if(
    p.hasNormA,
    () => f.if(p.hasNormB, () => voxels(true, true), () => voxels(true, false)),
    () => f.if(p.hasNormB, () => voxels(false, true), () => voxels(false, false)),
  );
});

const averagePoolKernel = kernelOf("average_pool", AVERAGE_POOL_FIELDS, (f, p, item) => {
  const oy = f.local("i32", i32.remU(item, p.outY));
  const plane = f.local("i32", i32.divU(item, p.outY));
  const oz = f.local("i32", i32.remU(plane, p.outZ));
  const sample = f.local("i32", i32.divU(plane, p.outZ));
  // Input voxel of the row's first window, and of the item's first output.
  const inPlane = i32.add(i32.mul(sample, p.inZ), i32.mul(oz, p.windowZ));
  const inRow = i32.add(i32.mul(inPlane, p.inY), i32.mul(oy, p.windowY));
  const input = voxelPointer(f, p.input, f.local("i64", distance(inRow, i64.extendS(p.inX))), p.strideIn);
  const out = voxelPointer(f, p.target, f.local("i64", distance(item, i64.extendS(p.outX))), p.strideOut);
  const rowStep = f.local("i64", distance(p.inX, input.bytes));
  const planeStep = f.local("i64", distance(p.inY, rowStep));
  const windowStep = f.local("i64", distance(p.windowX, input.bytes));
  const normRow = f.local("i64", distance(p.padded, 4));
  const table = f.local("i64", i64.add(p.norm, distance(i32.mul(sample, 3), normRow)));
  const factor = f.local("v128", f32x4.splat(p.factor));
  const at = f.local("i64");
  const sum = f.local("v128");
  const planeAt = f.local("i64");
  const rowAt = f.local("i64");
  const voxelAt = f.local("i64");
  const row = (withNorm: boolean) =>
    f.countdown(p.outX, () => {
      f.set(at, 0);
      walk(f, at, normRow, 16, () => {
        const norm = withNorm ? loadNorm(f, i64.add(table, at), normRow) : null;
        f.set(sum, f32x4.splat(0));
        f.set(planeAt, i64.add(input.pointer, at));
        f.countdown(p.windowZ, () => {
          f.set(rowAt, planeAt);
          f.countdown(p.windowY, () => {
            f.set(voxelAt, rowAt);
            f.countdown(p.windowX, () => {
              f.set(sum, f32x4.add(sum, loadNormalised(f, voxelAt, norm)));
              f.add(voxelAt, input.bytes);
            });
            f.add(rowAt, rowStep);
          });
          f.add(planeAt, planeStep);
        });
        f.storeV128(i64.add(out.pointer, at), f32x4.mul(sum, factor));
      });
      f.add(input.pointer, windowStep);
      f.add(out.pointer, out.bytes);
    });
  f.if(p.hasNorm, () => row(true), () => row(false));
});

/** Address of a voxel of a channels-last tensor, and the distance of two voxels. */
function voxelPointer(f: FunctionBuilder, base: Expr<"i64">, voxel: Local<"i64">, stride: Expr<"i32">) {
  const bytes = f.local("i64", distance(stride, 4));
  return { pointer: f.local("i64", i64.add(base, i64.mul(voxel, bytes))), bytes };
}

export const RESIDUAL_KERNELS: readonly Kernel[] = [residualAddKernel, averagePoolKernel];
