/** The bias gradient: sums of the output's gradient over voxels, in two steps, short sums first. */
import { f32x4, i32, i64, v128 } from "../emit/expression.ts";
import type { FunctionReference, Kernel, ModuleBuilder } from "../emit/module_builder.ts";
import type { ParamTypes } from "../params.ts";
import { wide } from "./winograd_block.ts";

export const BIAS_GRADIENT_PARAMS = {
  source: "address",
  /** [part][channels padded to four]. */
  parts: "address",
  target: "address",
  voxel: "i32",
  voxels: "i32",
  /** Voxels of a part, and of the short sums in it. */
  partVoxels: "i32",
  runVoxels: "i32",
  partCount: "i32",
  channels: "i32",
} as const satisfies ParamTypes;

/** (source, stride, count, vectors, target): target += the sum of `count` rows of `vectors` vectors. */
function addRows(m: ModuleBuilder): FunctionReference {
  return m.once(
    "conv.bias_gradient.rows",
    () =>
      m.func(["i64", "i64", "i32", "i32", "i64"] as const, (f, source, stride, count, vectors, target) => {
        const [from, sum] = [f.local("i64"), f.local("v128")];
        f.countdown(vectors, () => {
          f.set(from, source);
          f.set(sum, v128.const(0, 0, 0, 0));
          f.countdown(count, () => {
            f.set(sum, f32x4.add(sum, v128.load(from)));
            f.set(from, i64.add(from, stride));
          });
          f.storeV128(target, f32x4.add(v128.load(target), sum));
          f.add(source, 16);
          f.add(target, 16);
        });
      }),
  );
}

/** An item is a part. */
export const biasGradientParts: Kernel = {
  name: "conv_bias_gradient_parts",
  emit: (m) => {
    const add = addRows(m);
    m.kernel("conv_bias_gradient_parts", (f, params, item) => {
      const p = f.readParams(params, BIAS_GRADIENT_PARAMS);
      const vectors = f.local("i32", i32.shrU(i32.add(p.channels, 3), 2));
      const bytes = f.local("i64", i64.shl(wide(vectors), 4));
      const to = f.local("i64", i64.add(p.parts, i64.mul(bytes, wide(item))));
      f.zeroBytes(to, bytes);
      const first = f.local("i32", i32.mul(item, p.partVoxels));
      const last = f.local("i32", i32.min(i32.add(first, p.partVoxels), p.voxels));
      f.for(first, last, p.runVoxels, (at) => {
        const from = i64.add(p.source, i64.mul(wide(at), wide(p.voxel)));
        const count = f.local("i32", i32.min(p.runVoxels, i32.sub(last, at)));
        f.call(add, from, wide(p.voxel), count, vectors, to);
      });
    });
  },
};

/** One item: all parts. */
export const biasGradientFinish: Kernel = {
  name: "conv_bias_gradient_finish",
  emit: (m) => {
    const add = addRows(m);
    m.kernel("conv_bias_gradient_finish", (f, params, _item, scratch) => {
      const p = f.readParams(params, BIAS_GRADIENT_PARAMS);
      const vectors = f.local("i32", i32.shrU(i32.add(p.channels, 3), 2));
      const bytes = f.local("i64", i64.shl(wide(vectors), 4));
      f.zeroBytes(scratch, bytes);
      f.for(0, p.partCount, p.runVoxels, (part) => {
        const count = f.local("i32", i32.min(p.runVoxels, i32.sub(p.partCount, part)));
        f.call(add, i64.add(p.parts, i64.mul(bytes, wide(part))), bytes, count, vectors, scratch);
      });
      f.copyBytes(p.target, scratch, i64.shl(wide(p.channels), 2));
    });
  },
};
