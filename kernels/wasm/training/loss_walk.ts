/** The walk of the loss' kernels over voxels and channel blocks, and softmax and sigmoid of a voxel on it. */
import { distance, walk } from "../elementwise/simd.ts";
import { type Expr, f32x4, i32, i64, type V128, v128 } from "../emit/expression.ts";
import type { FunctionBuilder, Local, ParamLocals } from "../emit/module_builder.ts";
import { LOSS_FIELDS } from "./loss.ts";
import { channelMask, setLaneMax, setLaneSum } from "./math.ts";
import { setExpOfNegative } from "../volume/exp.ts";

export const ZERO = v128.const(0, 0, 0, 0);
export const ONE = v128.const(1, 1, 1, 1);
/** Stands in for the logits of padding lanes: no exponential is left of it. */
const VERY_NEGATIVE = v128.const(-3e38, -3e38, -3e38, -3e38);

type LossParams = ParamLocals<typeof LOSS_FIELDS>;

export interface VoxelWalk {
  readonly p: LossParams;
  readonly sample: Expr<"i32">;
  /** Bytes of a voxel's channels. */
  readonly voxelBytes: Expr<"i64">;
  /** Byte offset of a channel block; set by {@link VoxelWalk.blocks}. */
  readonly at: Local<"i64">;
  /** The voxel's logits, and its row in the membership table. */
  readonly logits: Local<"i64">;
  readonly members: Local<"i64">;
  /** Address of the voxel's cross-entropy. */
  entropy(): Expr<"i64">;
  /** Sets a block's membership to the smoothed target. */
  smooth(members: Local<"v128">): void;
  /** Runs `body` for every channel block. */
  blocks(body: () => void): void;
  /** Which lanes of the block at `at` are channels. */
  mask(): V128;
  /** Runs `counted` for every voxel of the item, `ignored` for one that does not count. */
  voxels(counted: () => void, ignored?: () => void): void;
}

export function walkVoxels(f: FunctionBuilder, params: Expr<"i64">, item: Expr<"i32">): VoxelWalk {
  const p = f.readParams(params, LOSS_FIELDS);
  const sample = f.local("i32", i32.divU(item, p.itemsPerSample));
  const first = f.local("i32", i32.mul(i32.remU(item, p.itemsPerSample), p.voxelsPerItem));
  const count = f.local("i32", i32.min(f.local("i32", i32.sub(p.voxels, first)), p.voxelsPerItem));
  const voxel = f.local("i64", i64.add(distance(sample, i64.extendS(p.voxels)), i64.extendS(first)));
  const voxelBytes = f.local("i64", distance(p.padded, 4));
  const logits = f.local("i64", i64.add(p.logits, i64.mul(voxel, voxelBytes)));
  const target = f.local("i64", i64.add(p.target, i64.shl(voxel, 2)));
  const [at, members] = f.locals("i64", 2);
  const row = f.local("i32");
  const mask = () => channelMask(p.channels, i32.shrU(i32.wrap(at), 2));
  return {
    p,
    sample,
    voxelBytes,
    at,
    logits,
    members,
    entropy: () => i64.add(i64.sub(target, p.target), p.entropies),
    smooth: (g) => f.set(g, f32x4.madd(g, f32x4.splat(p.ownShare), v128.and(f32x4.splat(p.anyShare), mask()))),
    blocks: (body) => {
      f.set(at, 0);
      walk(f, at, voxelBytes, 16, body);
    },
    mask,
    voxels: (counted, ignored) =>
      f.countdown(count, () => {
        f.set(row, i32.load(target));
        f.if(i32.geS(row, 0), () => {
          f.set(members, i64.add(p.membership, i64.extendS(row)));
          counted();
        }, ignored);
        f.add(target, 4);
        f.add(logits, voxelBytes);
      }),
  };
}

/** Leaves exp(logit - largest) of every channel in the scratch, the largest logit and 1 / their sum in the variables returned. */
export function softmax(f: FunctionBuilder, w: VoxelWalk, scratch: Expr<"i64">) {
  const [largest, sum, share, e] = f.locals("v128", 4);
  const run = () => {
    f.set(largest, VERY_NEGATIVE);
    w.blocks(() => {
      const z = v128.bitselect(v128.load(i64.add(w.logits, w.at)), VERY_NEGATIVE, w.mask());
      f.set(largest, f32x4.pmax(largest, f.local("v128", z)));
    });
    setLaneMax(f, largest);
    f.set(sum, ZERO);
    w.blocks(() => {
      setExpOfNegative(f, e, f32x4.sub(v128.load(i64.add(w.logits, w.at)), largest));
      f.set(e, v128.and(e, w.mask()));
      f.storeV128(i64.add(scratch, w.at), e);
      f.set(sum, f32x4.add(sum, e));
    });
    setLaneSum(f, sum);
    f.set(share, f32x4.div(ONE, sum));
  };
  return { run, largest, sum, share };
}

/** 1 / (1 + exp(-z)) and exp(-|z|) of a block. */
export function sigmoid(f: FunctionBuilder, z: Local<"v128">) {
  const [decay, probability, share] = f.locals("v128", 3);
  const run = () => {
    setExpOfNegative(f, decay, f32x4.neg(f32x4.abs(z)));
    f.set(share, f32x4.div(ONE, f32x4.add(ONE, decay)));
    f.set(probability, v128.bitselect(share, f32x4.mul(decay, share), f32x4.ge(z, ZERO)));
  };
  return { run, decay, probability };
}
