/**
 * Direct convolution of any kernel and stride as an implicit matrix product. An item stages the input box its block of output voxels
 * reads (normalised, padded) and multiplies rows of it with weight panels: for each (z, y) tap the x taps and channels are one
 * contiguous run. Where those runs are short they are first copied together. A transposed convolution (kernel = stride) is the same with
 * a 1x1x1 kernel and one set of panels per tap, scattered by the epilogue.
 */
import { TENSOR_PARAMS, VOXEL_PARAMS } from "./layout.ts";
import { type Expr, type I32, i32, i64, v128 } from "../emit/expression.ts";
import type {
  FunctionBuilder,
  FunctionReference,
  Kernel,
  Local,
  ModuleBuilder,
  ParamLocals,
} from "../emit/module_builder.ts";
import { emitStatisticsPart, epilogueFunctions, STATISTICS_BYTES_PER_CHANNEL } from "./epilogue_kernels.ts";
import { gemmFunctions, PANEL } from "./gemm_kernels.ts";
import { addProduct, transformFunctions } from "./transform_kernels.ts";
import { align64, bytesOf, product, wide } from "./winograd_block.ts";

/** Strides are bytes; per axis z, y, x. */
export const DIRECT_PARAMS = {
  ...TENSOR_PARAMS,
  ...VOXEL_PARAMS,
  /** Channels of a staged voxel: as `inputChannels`, or fewer than four. */
  stagedChannels: "i32",
  /** 1: rows are copied together before the product. */
  joinRuns: "i32",
  outputChannels: "i32",
  in: "axes",
  /** Grid of the products: the output's, before a transposed convolution scatters. */
  out: "axes",
  kernel: "axes",
  stride: "axes",
  pad: "axes",
  scatter: "axes",
  /** Distance of the voxels written, and the grid they lie in. */
  spread: "axes",
  targetGrid: "axes",
  block: "axes",
  blocks: "axes",
  /** Panels of one tap of the scatter. */
  tapPanels: "i32",
  /** Panels an item multiplies: a part of one tap's, or several taps'. */
  panelsPerItem: "i32",
  /** 1: added to what is there. */
  accumulate: "i32",
} as const;

/** What decides an item's scratch. */
export interface DirectGeometry {
  readonly kernel: readonly [number, number, number];
  readonly stride: readonly [number, number, number];
  readonly block: readonly [number, number, number];
  readonly inputChannels: number;
  readonly stagedChannels: number;
  readonly joinRuns: boolean;
  readonly panelsPerItem: number;
}

export function directScratch(g: DirectGeometry): number {
  const box = g.block.map((n, i) => (n - 1) * g.stride[i] + g.kernel[i]);
  const voxels = g.block[0] * g.block[1] * g.block[2];
  const regions = [
    g.panelsPerItem * PANEL * STATISTICS_BYTES_PER_CHANNEL,
    voxels * 8,
    g.kernel[0] * g.kernel[1] * 8,
    box[2] * g.inputChannels * 4,
    box[0] * box[1] * box[2] * g.stagedChannels * 4,
    voxels * g.panelsPerItem * PANEL * 4,
    g.joinRuns ? voxels * g.kernel[0] * g.kernel[1] * g.kernel[2] * g.stagedChannels * 4 + 16 : 0,
  ];
  return regions.reduce((sum, bytes) => sum + align64(bytes) + 64, 0);
}

/** Takes the lowest digit, base `radix`, off `value`. */
function digit(f: FunctionBuilder, value: Local<"i32">, radix: I32): Local<"i32"> {
  const low = f.local("i32", i32.remU(value, radix));
  f.set(value, i32.divU(value, radix));
  return low;
}

/** (from, to, voxels, channels): keeps the first channels of voxels of four. */
export function narrowFunction(m: ModuleBuilder): FunctionReference {
  return m.once("conv.narrow", () =>
    m.func(["i64", "i64", "i32", "i32"] as const, (f, from, to, voxels, channels) => {
      const value = f.local("v128");
      f.countdown(voxels, () => {
        f.set(value, v128.load(from));
        f.storeLane32(to, value, 0);
        f.if(i32.gtS(channels, 1), () => f.storeLane32(to, value, 1, 4));
        f.if(i32.gtS(channels, 2), () => f.storeLane32(to, value, 2, 8));
        f.add(from, 16);
        f.set(to, i64.add(to, i64.shl(wide(channels), 2)));
      });
    }));
}

export const directKernel: Kernel = {
  name: "conv_direct",
  emit: (m) => {
    const { load } = transformFunctions(m);
    const { gathered, plain } = gemmFunctions(m);
    const epilogue = epilogueFunctions(m);
    const narrow = narrowFunction(m);

    m.kernel("conv_direct", (f, params, item, scratch) => {
      const p: ParamLocals<typeof DIRECT_PARAMS> = f.readParams(params, DIRECT_PARAMS);
      const taps = product(p.scatterZ, p.scatterY, p.scatterX);
      const allPanels = f.local("i32", i32.mul(taps, p.tapPanels));
      const groups = f.local("i32", i32.divU(i32.add(allPanels, i32.sub(p.panelsPerItem, 1)), p.panelsPerItem));
      const isScatter = i32.gtS(taps, 1);
      const part = f.local("i32", i32.select(item, i32.divU(item, groups), isScatter));
      const firstPanel = f.local("i32", i32.mul(digit(f, item, groups), p.panelsPerItem));
      const panels = f.local("i32", i32.min(p.panelsPerItem, i32.sub(allPanels, firstPanel)));
      const x0 = f.local("i32", i32.mul(digit(f, item, p.blocksX), p.blockX));
      const y0 = f.local("i32", i32.mul(digit(f, item, p.blocksY), p.blockY));
      const z0 = f.local("i32", i32.mul(digit(f, item, p.blocksZ), p.blockZ));
      const sample = item;
      const size = (full: Local<"i32">, all: Local<"i32">, first: Local<"i32">) =>
        f.local("i32", i32.min(full, i32.sub(all, first)));
      const [nz, ny, nx] = [size(p.blockZ, p.outZ, z0), size(p.blockY, p.outY, y0), size(p.blockX, p.outX, x0)];
      const voxels = f.local("i32", product(nz, ny, nx));
      const span = (count: Local<"i32">, stride: Local<"i32">, kernel: Local<"i32">) =>
        f.local("i32", i32.add(i32.mul(i32.sub(count, 1), stride), kernel));
      const [boxZ, boxY, boxX] = [
        span(nz, p.strideZ, p.kernelZ),
        span(ny, p.strideY, p.kernelY),
        span(nx, p.strideX, p.kernelX),
      ];

      const next = (start: Expr<"i64">, bytes: Expr<"i64">) =>
        f.local("i64", i64.and(i64.add(i64.add(start, bytes), 63), -64));
      const sums = scratch;
      const rowTable = next(sums, i64.mul(wide(panels), PANEL * STATISTICS_BYTES_PER_CHANNEL));
      const runTable = next(rowTable, i64.shl(wide(voxels), 3));
      const line = next(runTable, i64.shl(wide(i32.mul(p.kernelZ, p.kernelY)), 3));
      const box = next(line, bytesOf(boxX, p.inputChannels));
      const pixel = f.local("i64", bytesOf(p.stagedChannels));
      const pitch = f.local("i64", i64.mul(pixel, wide(boxX)));
      const products = next(box, i64.mul(pitch, wide(i32.mul(boxZ, boxY))));

      // Where each row of the product starts in the box, and each run of taps in a row.
      const at = f.local("i64", rowTable);
      f.for(0, nz, 1, (z) => {
        f.for(0, ny, 1, (y) => {
          const boxRow = i32.add(product(z, p.strideZ, boxY), i32.mul(y, p.strideY));
          const offset = f.local("i64", i64.mul(pitch, wide(boxRow)));
          const step = f.local("i64", i64.mul(pixel, wide(p.strideX)));
          f.countdown(nx, () => {
            f.storeI64(at, offset);
            f.add(at, 8);
            f.set(offset, i64.add(offset, step));
          });
        });
      });
      f.set(at, runTable);
      f.for(0, p.kernelZ, 1, (z) => {
        f.for(0, p.kernelY, 1, (y) => {
          f.storeI64(at, i64.mul(pitch, wide(i32.add(i32.mul(z, boxY), y))));
          f.add(at, 8);
        });
      });

      // Stage the box.
      const start = (first: Local<"i32">, stride: Local<"i32">, pad: Local<"i32">) =>
        f.local("i32", i32.sub(i32.mul(first, stride), pad));
      const [startZ, startY, startX] = [
        start(z0, p.strideZ, p.padZ),
        start(y0, p.strideY, p.padY),
        start(x0, p.strideX, p.padX),
      ];
      const left = f.local("i32", i32.max(i32.sub(0, startX), 0));
      const middle = f.local("i32", i32.max(i32.sub(i32.min(boxX, i32.sub(p.inX, startX)), left), 0));
      const margin = f.local("i64", i64.mul(pixel, wide(left)));
      const rest = f.local("i64", i64.mul(pixel, wide(i32.sub(i32.sub(boxX, left), middle))));
      const vectors = f.local("i32", i32.shrU(p.firstChannels, 2));
      const restVectors = f.local("i32", i32.shrU(i32.sub(p.inputChannels, p.firstChannels), 2));
      const firstBytes = f.local("i64", bytesOf(p.firstChannels));
      const restBytes = f.local("i64", i64.shl(wide(restVectors), 4));
      const norm = f.local("i64", i64.add(p.norm, bytesOf(sample, i32.mul(p.inputChannels, 3))));
      const normStride = f.local("i64", bytesOf(p.inputChannels));
      const isNarrow = i32.ltS(p.stagedChannels, p.inputChannels);
      const to = f.local("i64", box);
      f.for(0, boxZ, 1, (dz) => {
        const z = f.local("i32", i32.add(startZ, dz));
        f.for(0, boxY, 1, (dy) => {
          const y = f.local("i32", i32.add(startY, dy));
          const inside = i32.and(
            i32.and(i32.and(i32.geS(z, 0), i32.ltS(z, p.inZ)), i32.and(i32.geS(y, 0), i32.ltS(y, p.inY))),
            i32.gtS(middle, 0),
          );
          f.if(inside, () => {
            f.if(left, () => f.zeroBytes(to, margin));
            f.if(i64.ne(rest, 0), () => f.zeroBytes(i64.sub(i64.add(to, pitch), rest), rest));
            const plane = i64.add(i64.mul(wide(sample), wide(p.inZ)), wide(z));
            const row = i64.add(i64.mul(plane, wide(p.inY)), wide(y));
            const voxel = f.local("i64", i64.add(i64.mul(row, wide(p.inX)), wide(i32.add(startX, left))));
            const staged = f.local("i64", i64.add(to, margin));
            const into = i64.select(line, staged, isNarrow);
            const from = f.local("i64", i64.add(p.source, i64.mul(voxel, wide(p.sourceVoxel))));
            const stride = wide(p.sourceVoxel);
            f.call(load, p.hasNorm, from, 0, stride, middle, vectors, into, 0, restBytes, norm, normStride, 0);
            f.if(i32.gtS(restVectors, 0), () => {
              f.set(from, i64.add(p.secondSource, i64.mul(voxel, wide(p.secondVoxel))));
              const behind = i64.add(staged, firstBytes);
              const [stride, itsNorm] = [wide(p.secondVoxel), i64.add(norm, firstBytes)];
              f.call(
                load,
                p.hasNorm,
                from,
                0,
                stride,
                middle,
                restVectors,
                behind,
                0,
                firstBytes,
                itsNorm,
                normStride,
                0,
              );
            });
            f.if(isNarrow, () => f.call(narrow, line, staged, middle, p.stagedChannels));
          }, () => f.zeroBytes(to, pitch));
          f.set(to, i64.add(to, pitch));
        });
      });

      const runs = f.local("i32", i32.mul(p.kernelZ, p.kernelY));
      const k = f.local("i32", i32.mul(p.kernelX, p.stagedChannels));
      const panelBytes = f.local("i64", i64.mul(i64.shl(wide(k), 5), wide(runs)));
      f.set(at, i64.add(p.weights, i64.mul(panelBytes, wide(firstPanel))));
      const productRow = f.local("i64", i64.shl(wide(panels), 5));
      f.if(p.joinRuns, () => {
        const joined = next(products, i64.mul(productRow, wide(voxels)));
        const rowBytes = f.local("i64", i64.shl(wide(i32.mul(runs, k)), 2));
        const [start, run, from, into] = f.locals("i64", 4);
        const runBytes = f.local("i64", i64.shl(wide(k), 2));
        const runVectors = f.local("i32", i32.shrU(i32.add(k, 3), 2));
        const row = f.local("i64", rowTable);
        const out = f.local("i64", joined);
        f.countdown(voxels, () => {
          f.set(start, i64.add(box, i64.load(row)));
          f.set(run, runTable);
          f.countdown(runs, () => {
            // Whole vectors: what is copied beyond a run is overwritten by the next.
            f.set(from, i64.add(start, i64.load(run)));
            f.set(into, out);
            f.countdown(runVectors, () => {
              f.storeV128(into, v128.load(from));
              f.add(from, 16);
              f.add(into, 16);
            });
            f.add(run, 8);
            f.set(out, i64.add(out, runBytes));
          });
          f.add(row, 8);
        });
        f.call(plain, joined, rowBytes, i32.mul(runs, k), at, panelBytes, panels, products, productRow, voxels);
      }, () => {
        f.call(gathered, box, rowTable, runTable, runs, k, at, panelBytes, panels, products, productRow, voxels);
      });

      // Bias, scatter, statistics: tap by tap, row by row.
      const firstTap = f.local("i32", i32.divU(firstPanel, p.tapPanels));
      const firstChannel = f.local("i32", i32.mul(i32.remU(firstPanel, p.tapPanels), PANEL));
      const itemTaps = i32.divU(i32.add(panels, i32.sub(p.tapPanels, 1)), p.tapPanels);
      const lastTap = f.local("i32", i32.add(firstTap, itemTaps));
      const channelBytes = f.local("i64", i64.shl(wide(firstChannel), 2));
      const itemChannels = i32.mul(i32.select(p.tapPanels, panels, i32.ltS(p.tapPanels, panels)), PANEL);
      const storedVectors = f.local(
        "i32",
        i32.shrU(i32.min(i32.sub(p.outputChannels, firstChannel), f.local("i32", itemChannels)), 2),
      );
      const written = f.local("i32", 0);
      const bias = f.local("i64", i64.add(p.bias, channelBytes));
      const voxelStride = f.local("i64", i64.mul(wide(p.targetVoxel), wide(p.spreadX)));
      f.for(firstTap, lastTap, 1, (tap) => {
        const index = f.local("i32", tap);
        const tx = digit(f, index, p.scatterX);
        const ty = digit(f, index, p.scatterY);
        const tz = index;
        const from = f.local("i64", addProduct(products, i32.sub(tap, firstTap), i32.shl(p.tapPanels, 5)));
        f.for(0, nz, 1, (dz) => {
          f.for(0, ny, 1, (dy) => {
            const z = i32.add(i32.mul(i32.add(z0, dz), p.spreadZ), tz);
            const y = i32.add(i32.mul(i32.add(y0, dy), p.spreadY), ty);
            const x = i32.add(i32.mul(x0, p.spreadX), tx);
            const plane = i64.add(i64.mul(wide(sample), wide(p.targetGridZ)), wide(z));
            const row = i64.add(i64.mul(plane, wide(p.targetGridY)), wide(y));
            const voxel = i64.add(i64.mul(row, wide(p.targetGridX)), wide(x));
            const target = f.local(
              "i64",
              i64.add(i64.add(p.target, channelBytes), i64.mul(voxel, wide(p.targetVoxel))),
            );
            f.call(epilogue.storeRow, from, productRow, target, voxelStride, nx, storedVectors, bias, p.accumulate);
            f.if(p.hasStatistics, () => {
              f.call(epilogue.addStatistics, target, voxelStride, nx, storedVectors, sums, i32.eqz(written));
            });
            f.add(written, nx);
            f.set(from, i64.add(from, i64.mul(productRow, wide(nx))));
          });
        });
      });
      emitStatisticsPart(f, epilogue, p, part, firstChannel, storedVectors, sums, written);
    });
  },
};
