/** Kernels of the plain convolution gradients: any kernel, any stride, sums in a fixed order. */
import { loadNorm, loadNormalised, type NormBlock } from "../elementwise_simd.ts";
import { type Expr, f32, f32x4, type I32, i32, type I64, i64, type V128, v128 } from "../emit/expression.ts";
import type { FunctionBuilder, Kernel, Label, Local } from "../emit/module_builder.ts";
import type { ParamTypes } from "../params.ts";

/** See gradient_direct.ts for A and B. */
export const WEIGHT_GRADIENT_PARAMS = {
  a: "address",
  b: "address",
  normA: "address",
  normB: "address",
  gradient: "address",
  hasNormA: "i32",
  hasNormB: "i32",
  /** Channels in a row of a norm table. */
  normRowA: "i32",
  normRowB: "i32",
  /** Bytes from voxel to voxel. */
  voxelA: "i32",
  voxelB: "i32",
  /** Real channels of this call and the first of them in torch's weight, whose second axis has `allB`. */
  countA: "i32",
  countB: "i32",
  firstA: "i32",
  firstB: "i32",
  allB: "i32",
  batch: "i32",
  gridAZ: "i32",
  gridAY: "i32",
  gridAX: "i32",
  gridBZ: "i32",
  gridBY: "i32",
  gridBX: "i32",
  kernelZ: "i32",
  kernelY: "i32",
  kernelX: "i32",
  strideZ: "i32",
  strideY: "i32",
  strideX: "i32",
  padZ: "i32",
  padY: "i32",
  padX: "i32",
} as const satisfies ParamTypes;

export const BIAS_GRADIENT_PARAMS = {
  source: "address",
  gradient: "address",
  voxel: "i32",
  channels: "i32",
  row: "i32",
  rows: "i32",
} as const satisfies ParamTypes;

export const GRADIENT_PACK_PARAMS = {
  weight: "address",
  packed: "address",
  /** Channels of dL/dy, and those of dL/dv in this call. */
  sources: "i32",
  targets: "i32",
  firstTarget: "i32",
  /** `targets` padded to four. */
  width: "i32",
  /** Distances of neighbours in torch's weight. */
  sourceStep: "i32",
  targetStep: "i32",
} as const satisfies ParamTypes;

export const DATA_GRADIENT_PARAMS = {
  source: "address",
  target: "address",
  packed: "address",
  sourceVoxel: "i32",
  targetVoxel: "i32",
  sources: "i32",
  width: "i32",
  accumulate: "i32",
  sourceZ: "i32",
  sourceY: "i32",
  sourceX: "i32",
  targetZ: "i32",
  targetY: "i32",
  targetX: "i32",
  kernelZ: "i32",
  kernelY: "i32",
  kernelX: "i32",
  factorZ: "i32",
  factorY: "i32",
  factorX: "i32",
  shiftZ: "i32",
  shiftY: "i32",
  shiftX: "i32",
  divisorZ: "i32",
  divisorY: "i32",
  divisorX: "i32",
  sign: "i32",
} as const satisfies ParamTypes;

const wide = (value: I32) => i64.extendS(value);
const ZERO = v128.const(0, 0, 0, 0);
const inRange = (value: Local<"i32">, end: Expr<"i32">) => i32.ltU(value, end);
/** Index of a voxel in (sample, z, y, x). */
const voxelIndex = (
  sample: Expr<"i32">,
  [sizeZ, sizeY, sizeX]: readonly Expr<"i32">[],
  [z, y, x]: readonly Expr<"i32">[],
) => {
  const row = i32.add(i32.mul(i32.add(i32.mul(sample, sizeZ), z), sizeY), y);
  return i64.add(i64.mul(wide(row), wide(sizeX)), wide(x));
};

/** Rows along x are summed on their own first, so that long sums lose fewer digits. */
const weightGradient: Kernel = {
  name: "conv_weight_gradient",
  emit: (m) =>
    m.kernel("conv_weight_gradient", (f, params, item, scratch) => {
      const p = f.readParams(params, WEIGHT_GRADIENT_PARAMS);
      const vectorsB = f.local("i32", i32.shrU(i32.add(p.countB, 3), 2));
      const vectorB = f.local("i32", i32.remU(item, vectorsB));
      const tap = f.local("i32", i32.divU(item, vectorsB));
      const tapX = f.local("i32", i32.remU(tap, p.kernelX));
      const tapY = f.local("i32", i32.remU(i32.divU(tap, p.kernelX), p.kernelY));
      const tapZ = f.local("i32", i32.divU(tap, i32.mul(p.kernelX, p.kernelY)));
      const offsetB = f.local("i64", i64.shl(wide(vectorB), 4));
      const vectorsA = f.local("i32", i32.shrU(i32.add(p.countA, 3), 2));
      const bytes = f.local("i64", i64.shl(wide(vectorsA), 6));
      const total = scratch;
      const row = f.local("i64", i64.add(scratch, bytes));
      const [at, end, a, b] = [f.local("i64"), f.local("i64"), f.local("i64"), f.local("i64")];
      const [valueA, valueB] = [f.local("v128"), f.local("v128")];
      const normA = f.local("i64");
      const x = f.local("i32");
      const rowBytesA = f.local("i64", i64.shl(wide(p.normRowA), 2));
      const rowBytesB = f.local("i64", i64.shl(wide(p.normRowB), 2));
      f.zeroBytes(total, bytes);

      f.for(0, p.batch, 1, (sample) => {
        const tableA = f.local("i64", i64.add(p.normA, i64.mul(rowBytesA, wide(i32.mul(sample, 3)))));
        const tableB = i64.add(i64.add(p.normB, i64.mul(rowBytesB, wide(i32.mul(sample, 3)))), offsetB);
        const normB: NormBlock = {
          scale: f.local("v128", f32x4.splat(1)),
          shift: f.local("v128", ZERO),
          slope: f.local("v128", f32x4.splat(1)),
        };
        f.if(p.hasNormB, () => {
          const loaded = loadNorm(f, f.local("i64", tableB), rowBytesB);
          f.set(normB.scale, loaded.scale);
          f.set(normB.shift, loaded.shift);
          f.set(normB.slope, loaded.slope);
        });
        f.for(0, p.gridAZ, 1, (qz) => {
          const z = f.local("i32", i32.sub(i32.add(i32.mul(qz, p.strideZ), tapZ), p.padZ));
          f.for(0, p.gridAY, 1, (qy) => {
            const y = f.local("i32", i32.sub(i32.add(i32.mul(qy, p.strideY), tapY), p.padY));
            f.if(i32.and(inRange(z, p.gridBZ), inRange(y, p.gridBY)), () => {
              f.zeroBytes(row, bytes);
              f.for(0, p.gridAX, 1, (qx) => {
                f.set(x, i32.sub(i32.add(i32.mul(qx, p.strideX), tapX), p.padX));
                f.if(inRange(x, p.gridBX), () => {
                  const indexB = voxelIndex(sample, [p.gridBZ, p.gridBY, p.gridBX], [z, y, x]);
                  const indexA = voxelIndex(sample, [p.gridAZ, p.gridAY, p.gridAX], [qz, qy, qx]);
                  f.set(b, i64.add(i64.add(p.b, i64.mul(indexB, wide(p.voxelB))), offsetB));
                  f.set(a, i64.add(p.a, i64.mul(indexA, wide(p.voxelA))));
                  f.set(valueB, loadNormalised(f, b, normB));
                  f.set(at, row);
                  f.set(normA, tableA);
                  f.countdown(vectorsA, () => {
                    f.if(p.hasNormA, () => {
                      f.set(valueA, loadNormalised(f, a, loadNorm(f, normA, rowBytesA)));
                    }, () => f.set(valueA, v128.load(a)));
                    for (let lane = 0; lane < 4; lane++) {
                      const factor = v128.shuffle32(valueA, valueA, [lane, lane, lane, lane]);
                      f.storeV128(at, f32x4.madd(factor, valueB, v128.load(at, lane * 16)), lane * 16);
                    }
                    f.add(a, 16);
                    f.add(normA, 16);
                    f.add(at, 64);
                  });
                });
              });
              f.set(at, total);
              f.set(end, row);
              f.countdown(i32.shl(vectorsA, 2), () => {
                f.storeV128(at, f32x4.add(v128.load(at), v128.load(end)));
                f.add(at, 16);
                f.add(end, 16);
              });
            });
          });
        });
      });

      const taps = f.local("i32", i32.mul(i32.mul(p.kernelZ, p.kernelY), p.kernelX));
      const lanes = f.local("i32", i32.sub(p.countB, i32.shl(vectorB, 2)));
      f.set(at, total);
      f.for(0, p.countA, 1, (channel) => {
        const rowOfA = i32.mul(i32.add(p.firstA, channel), p.allB);
        const index = i32.add(i32.add(rowOfA, p.firstB), i32.shl(vectorB, 2));
        const first = i64.add(i64.mul(wide(index), wide(taps)), wide(tap));
        f.set(end, i64.add(p.gradient, i64.shl(first, 2)));
        for (let lane = 0; lane < 4; lane++) {
          f.if(i32.gtS(lanes, lane), () => f.storeF32(end, f32.load(at, lane * 4)));
          f.add(end, i64.shl(wide(taps), 2));
        }
        f.add(at, 16);
      });
    }),
};

const biasGradient: Kernel = {
  name: "conv_bias_gradient",
  emit: (m) =>
    m.kernel("conv_bias_gradient", (f, params, item) => {
      const p = f.readParams(params, BIAS_GRADIENT_PARAMS);
      const from = f.local("i64", i64.add(p.source, i64.shl(wide(item), 4)));
      const total = f.local("v128", ZERO);
      const sum = f.local("v128");
      f.countdown(p.rows, () => {
        f.set(sum, ZERO);
        f.countdown(p.row, () => {
          f.set(sum, f32x4.add(sum, v128.load(from)));
          f.add(from, wide(p.voxel));
        });
        f.set(total, f32x4.add(total, sum));
      });
      storeLanes(f, i64.add(p.gradient, i64.shl(wide(item), 4)), total, i32.sub(p.channels, i32.shl(item, 2)));
    }),
};

/** Stores the first `count` lanes, at most four. */
function storeLanes(f: FunctionBuilder, address: I64, value: V128, count: I32): void {
  for (let lane = 0; lane < 4; lane++) f.if(i32.gtS(count, lane), () => f.storeLane32(address, value, lane, lane * 4));
}

/** [tap][source channel][target channel, padded]. */
const gradientPack: Kernel = {
  name: "conv_gradient_pack",
  emit: (m) =>
    m.kernel("conv_gradient_pack", (f, params, item) => {
      const p = f.readParams(params, GRADIENT_PACK_PARAMS);
      const row = f.local("i64", i64.shl(wide(p.width), 2));
      const to = f.local("i64", i64.add(p.packed, i64.mul(row, wide(i32.mul(item, p.sources)))));
      const [from, at] = [f.local("i64"), f.local("i64")];
      f.for(0, p.sources, 1, (source) => {
        const first = i64.add(
          i64.mul(wide(source), wide(p.sourceStep)),
          i64.add(i64.mul(wide(p.firstTarget), wide(p.targetStep)), wide(item)),
        );
        f.set(from, i64.add(p.weight, i64.shl(first, 2)));
        f.zeroBytes(to, row);
        f.set(at, to);
        f.countdown(p.targets, () => {
          f.storeF32(at, f32.load(from));
          f.add(at, 4);
          f.add(from, i64.shl(wide(p.targetStep), 2));
        });
        f.add(to, row);
      });
    }),
};

const dataGradient: Kernel = {
  name: "conv_data_gradient",
  emit: (m) =>
    m.kernel("conv_data_gradient", (f, params, item) => {
      const p = f.readParams(params, DATA_GRADIENT_PARAMS);
      const y = f.local("i32", i32.remU(item, p.targetY));
      const plane = f.local("i32", i32.divU(item, p.targetY));
      const z = f.local("i32", i32.remU(plane, p.targetZ));
      const sample = f.local("i32", i32.divU(plane, p.targetZ));
      const target = f.local(
        "i64",
        i64.add(p.target, i64.mul(i64.mul(wide(item), wide(p.targetX)), wide(p.targetVoxel))),
      );
      const vectors = f.local("i32", i32.shrU(p.width, 2));
      const packedRow = f.local("i64", i64.shl(wide(p.width), 2));
      const packedTap = f.local("i64", i64.mul(packedRow, wide(p.sources)));
      const [from, weights, weightsAt, targetAt] = [f.local("i64"), f.local("i64"), f.local("i64"), f.local("i64")];
      const value = f.local("v128");
      const [qz, qy, qx] = [f.local("i32"), f.local("i32"), f.local("i32")];
      /** Sets q to the output position that a position and a tap meet; leaves for `next` where there is none. */
      const meet = (
        q: Local<"i32">,
        next: Label,
        position: Expr<"i32">,
        tap: Expr<"i32">,
        [factor, shift, divisor, size]: readonly Expr<"i32">[],
      ) => {
        f.set(q, i32.add(i32.add(i32.mul(position, factor), shift), i32.mul(p.sign, tap)));
        f.brIf(next, i32.ltS(q, 0));
        f.brIf(next, i32.remS(q, divisor));
        f.set(q, i32.divS(q, divisor));
        f.brIf(next, i32.geS(q, size));
      };
      f.for(0, p.targetX, 1, (x) => {
        f.if(i32.eqz(p.accumulate), () => f.zeroBytes(target, packedRow));
        f.for(0, p.kernelZ, 1, (tz) => {
          f.block((nextZ) => {
            meet(qz, nextZ, z, tz, [p.factorZ, p.shiftZ, p.divisorZ, p.sourceZ]);
            f.for(0, p.kernelY, 1, (ty) => {
              f.block((nextY) => {
                meet(qy, nextY, y, ty, [p.factorY, p.shiftY, p.divisorY, p.sourceY]);
                f.for(0, p.kernelX, 1, (tx) => {
                  f.block((nextX) => {
                    meet(qx, nextX, x, tx, [p.factorX, p.shiftX, p.divisorX, p.sourceX]);
                    const tap = i32.add(i32.mul(i32.add(i32.mul(tz, p.kernelY), ty), p.kernelX), tx);
                    f.set(weights, i64.add(p.packed, i64.mul(packedTap, wide(tap))));
                    f.set(targetAt, target);
                    const index = voxelIndex(sample, [p.sourceZ, p.sourceY, p.sourceX], [qz, qy, qx]);
                    const source = f.local("i64", i64.add(p.source, i64.mul(index, wide(p.sourceVoxel))));
                    f.countdown(vectors, () => {
                      f.set(value, v128.load(targetAt));
                      f.set(from, source);
                      f.set(weightsAt, weights);
                      f.countdown(p.sources, () => {
                        f.set(value, f32x4.madd(v128.load32Splat(from), v128.load(weightsAt), value));
                        f.add(from, 4);
                        f.add(weightsAt, packedRow);
                      });
                      f.storeV128(targetAt, value);
                      f.add(targetAt, 16);
                      f.add(weights, 16);
                    });
                  });
                });
              });
            });
          });
        });
        f.add(target, wide(p.targetVoxel));
      });
    }),
};

export const GRADIENT_DIRECT_KERNELS: readonly Kernel[] = [weightGradient, biasGradient, gradientPack, dataGradient];
