/** Passes over whole tensors: the residual sum and average pooling, with their inputs' norms applied on load. */
import { padToFour, type Vec3, voxelCount } from "../../core/base/shape.ts";
import { encodeFields, type FieldType } from "./elementwise_params.ts";
import type { Operand, Operator, Target } from "./kernel.ts";

export interface ResidualAdd {
  readonly batch: number;
  readonly grid: Vec3;
  readonly a: Operand;
  readonly b: Operand;
  readonly target: Target;
  /** Slope of the leaky ReLU applied to the sum; 1 where none is. */
  readonly slope: number;
}

export interface AveragePool {
  readonly batch: number;
  /** Grid of the input. */
  readonly grid: Vec3;
  readonly stride: Vec3;
  readonly input: Operand;
  readonly target: Target;
}

export const RESIDUAL_ADD_FIELDS = {
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
} as const satisfies Record<string, FieldType>;

export const AVERAGE_POOL_FIELDS = {
  input: "address",
  out: "address",
  norm: "address",
  hasNorm: "i32",
  strideIn: "i32",
  strideOut: "i32",
  padded: "i32",
  inZ: "i32",
  inY: "i32",
  inX: "i32",
  outZ: "i32",
  outY: "i32",
  outX: "i32",
  windowZ: "i32",
  windowY: "i32",
  windowX: "i32",
  factor: "f32",
} as const satisfies Record<string, FieldType>;

/** Bytes of output one item writes, about: enough to hide the cost of handing it out, small enough to share. */
const ITEM_BYTES = 64 * 1024;

/** out = leaky(a' + b'), a' and b' being the operands with their norms applied; padding lanes stay zero. */
export function planResidualAdd(spec: ResidualAdd): Operator {
  const padded = paddedChannels(spec.a);
  if (padded !== paddedChannels(spec.b) || padded !== padToFour(spec.target.channels)) {
    throw new RangeError(
      `Describing a residual sum: ${spec.a.parts.join("+")} and ${
        spec.b.parts.join("+")
      } channels into ${spec.target.channels}`,
    );
  }
  const voxels = voxelCount(spec.grid);
  const voxelsPerItem = Math.max(16, Math.ceil(ITEM_BYTES / (padded * 4)));
  const itemsPerSample = Math.ceil(voxels / voxelsPerItem);
  const elements = spec.batch * voxels * padded;
  return {
    algorithm: "residual sum",
    calls: [{
      kernel: "residual_add",
      params: encodeFields("residual_add", RESIDUAL_ADD_FIELDS, {
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
    flops: elements,
    bytes: elements * 12,
    coreSeconds: elements * 12 / 12e9,
  };
}

/** Mean over windows of `stride` voxels; rests of the grid are dropped (torch's AvgPoolNd with kernel = stride). */
export function planAveragePool(spec: AveragePool): Operator {
  const padded = paddedChannels(spec.input);
  if (padded !== padToFour(spec.target.channels)) {
    throw new RangeError(
      `Describing an average pool: ${spec.input.parts.join("+")} channels into ${spec.target.channels}`,
    );
  }
  const [outZ, outY, outX] = spec.grid.map((n, i) => Math.floor(n / spec.stride[i]));
  const window = voxelCount(spec.stride);
  const outputs = spec.batch * outZ * outY * outX * padded;
  return {
    algorithm: "average pool",
    calls: [{
      kernel: "average_pool",
      params: encodeFields("average_pool", AVERAGE_POOL_FIELDS, {
        input: firstChannel(spec.input),
        out: firstChannel(spec.target),
        norm: { slot: spec.input.normSlot ?? spec.input.slot },
        hasNorm: spec.input.normSlot === undefined ? 0 : 1,
        strideIn: spec.input.channelStride,
        strideOut: spec.target.channelStride,
        padded,
        inZ: spec.grid[0],
        inY: spec.grid[1],
        inX: spec.grid[2],
        outZ,
        outY,
        outX,
        windowZ: spec.stride[0],
        windowY: spec.stride[1],
        windowX: spec.stride[2],
        factor: 1 / window,
      }),
      items: spec.batch * outZ * outY,
      scratchBytes: 0,
    }],
    temporaries: {},
    flops: outputs * window,
    bytes: outputs * (window + 1) * 4,
    coreSeconds: outputs * (window + 1) * 4 / 12e9,
  };
}

/** Channels an operand spans in memory: every part padded to four on its own. */
export function paddedChannels(operand: Operand): number {
  return operand.parts.reduce((sum, part) => sum + padToFour(part), 0);
}

function firstChannel(operand: Operand | Target): { slot: string; offset: number } {
  return { slot: operand.slot, offset: operand.channelOffset * 4 };
}
