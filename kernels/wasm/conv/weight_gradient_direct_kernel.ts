/**
 * The weight gradient of any convolution as sums of outer products over voxels: dw[b][a][tap] = sum of B[q, b] A[q * stride + tap - pad, a].
 * A is the input and B the gradient of the output; of a transposed convolution A is the gradient of the output and B the input. An item
 * does one chunk of the blocks of B's voxels, for one group of channels of A and one of B, staging both (normalised, padded) in scratch.
 * A's channels of neighbouring taps along x lie side by side: they are the rows of one product.
 */
import { type Expr, type I32, i32, i64 } from "../emit/expression.ts";
import type { FunctionBuilder, Kernel, Local } from "../emit/module_builder.ts";
import type { ParamTypes } from "../params.ts";
import { narrowFunction } from "./direct_kernels.ts";
import { outerProduct, RUN_BYTES } from "./outer_kernels.ts";
import { addProduct, transformFunctions } from "./transform_kernels.ts";
import {
  blocksOfChunk,
  emitFinish,
  groupSums,
  locateGroup,
  SUMS_PARAMS,
  takeBlockAxis,
} from "./weight_gradient_sums.ts";
import { wide } from "./winograd_block.ts";

/** Strides are bytes; per axis z, y, x. With one, two or three channels of A, A is staged without its padding lanes. */
export const WEIGHT_GRADIENT_DIRECT_PARAMS = {
  ...SUMS_PARAMS,
  sourceA: "address",
  sourceB: "address",
  normA: "address",
  normB: "address",
  hasNormA: "i32",
  hasNormB: "i32",
  /** Channels in a row of the norm tables. */
  normChannelsA: "i32",
  normChannelsB: "i32",
  voxelA: "i32",
  voxelB: "i32",
  batch: "i32",
  gridA: "axes",
  gridB: "axes",
  stride: "axes",
  pad: "axes",
  block: "axes",
  blocks: "axes",
  /** Regions of scratch. */
  lineAt: "i32",
  boxAt: "i32",
  stagedBAt: "i32",
  sumsAt: "i32",
  finishAt: "i32",
} as const satisfies ParamTypes;

interface Staging {
  readonly source: Local<"i64">;
  readonly voxel: Local<"i32">;
  readonly hasNorm: Local<"i32">;
  readonly norm: Local<"i64">;
  readonly normChannels: Local<"i32">;
  readonly grid: readonly [Local<"i32">, Local<"i32">, Local<"i32">];
  readonly sample: Local<"i32">;
  readonly firstChannel: Local<"i32">;
  readonly start: readonly [Local<"i32">, Local<"i32">, Local<"i32">];
  readonly size: readonly [Local<"i32">, Local<"i32">, Local<"i32">];
  /** Channels of a staged voxel. */
  readonly channels: Local<"i32">;
  readonly to: Local<"i64">;
}

export const weightGradientDirect: Kernel = {
  name: "conv_weight_gradient_direct",
  emit: (m) => {
    const { load } = transformFunctions(m);
    const outer = outerProduct(m);
    const narrow = narrowFunction(m);

    /** A box of voxels with norm and slope applied, zeros outside the grid. With `line`, voxels of fewer than four channels. */
    const emitStaging = (f: FunctionBuilder, s: Staging, line?: Local<"i64">) => {
      const [gridZ, gridY, gridX] = s.grid;
      const [startZ, startY, startX] = s.start;
      const [sizeZ, sizeY, sizeX] = s.size;
      const pixel = f.local("i64", i64.shl(wide(s.channels), 2));
      const pitch = f.local("i64", i64.mul(pixel, wide(sizeX)));
      const left = f.local("i32", i32.max(i32.sub(0, startX), 0));
      const middle = f.local("i32", i32.max(i32.sub(i32.min(sizeX, i32.sub(gridX, startX)), left), 0));
      const margin = f.local("i64", i64.mul(pixel, wide(left)));
      const rest = f.local("i64", i64.mul(pixel, wide(i32.sub(i32.sub(sizeX, left), middle))));
      const normStride = f.local("i64", i64.shl(wide(s.normChannels), 2));
      const norm = f.local("i64", i64.add(s.norm, i64.shl(wide(s.firstChannel), 2)));
      f.set(norm, i64.add(norm, i64.mul(normStride, wide(i32.mul(s.sample, 3)))));
      const vectors = f.local("i32", i32.shrU(i32.add(s.channels, 3), 2));
      const to = f.local("i64", s.to);
      f.for(0, sizeZ, 1, (dz) => {
        const z = f.local("i32", i32.add(startZ, dz));
        f.for(0, sizeY, 1, (dy) => {
          const y = f.local("i32", i32.add(startY, dy));
          const inside = i32.and(i32.and(i32.ltU(z, gridZ), i32.ltU(y, gridY)), i32.gtS(middle, 0));
          f.if(inside, () => {
            f.if(left, () => f.zeroBytes(to, margin));
            f.if(i64.ne(rest, 0), () => f.zeroBytes(i64.sub(i64.add(to, pitch), rest), rest));
            const plane = i64.add(i64.mul(wide(s.sample), wide(gridZ)), wide(z));
            const row = i64.add(i64.mul(plane, wide(gridY)), wide(y));
            const voxel = i64.add(i64.mul(row, wide(gridX)), wide(i32.add(startX, left)));
            const channels = i64.add(s.source, i64.shl(wide(s.firstChannel), 2));
            const from = f.local("i64", i64.add(channels, i64.mul(voxel, wide(s.voxel))));
            const staged = f.local("i64", i64.add(to, margin));
            const source = [from, 0, wide(s.voxel), middle, vectors] as const;
            if (line === undefined) f.call(load, s.hasNorm, ...source, staged, 0, 0, norm, normStride, 0);
            else {
              const isNarrow = f.local("i32", i32.ltS(s.channels, 4));
              const into = f.local("i64", i64.select(line, staged, isNarrow));
              f.call(load, s.hasNorm, ...source, into, 0, 0, norm, normStride, 0);
              f.if(isNarrow, () => f.call(narrow, line, staged, middle, s.channels));
            }
          }, () => f.zeroBytes(to, pitch));
          f.set(to, i64.add(to, pitch));
        });
      });
    };

    m.kernel("conv_weight_gradient_direct", (f, params, item, scratch) => {
      const p = f.readParams(params, WEIGHT_GRADIENT_DIRECT_PARAMS);
      const region = (offset: Local<"i32">) => f.local("i64", i64.add(scratch, wide(offset)));
      const g = locateGroup(f, p, item);
      const chunk = item;
      const sums = region(p.sumsAt);
      f.if(i32.gtS(p.chunks, 1), () => f.set(sums, groupSums(f, p.sums, g, chunk)));
      f.zeroBytes(sums, g.bytes);
      const [line, box, stagedB] = [region(p.lineAt), region(p.boxAt), region(p.stagedBAt)];
      const table = scratch;
      const [firstBlock, lastBlock] = blocksOfChunk(f, p, chunk);
      const pixelA = f.local("i64", i64.shl(wide(g.countA), 2));
      const pixelB = f.local("i64", i64.shl(wide(g.countB), 2));

      f.for(firstBlock, lastBlock, 1, (block) => {
        const index = f.local("i32", block);
        const [x0, nx] = takeBlockAxis(f, index, p.blocksX, p.blockX, p.gridBX);
        const [y0, ny] = takeBlockAxis(f, index, p.blocksY, p.blockY, p.gridBY);
        const [z0, nz] = takeBlockAxis(f, index, p.blocksZ, p.blockZ, p.gridBZ);
        const sample = index;
        const span = (count: Local<"i32">, stride: Local<"i32">, taps: Local<"i32">) =>
          f.local("i32", i32.add(i32.mul(i32.sub(count, 1), stride), taps));
        const [boxZ, boxY, boxX] = [
          span(nz, p.strideZ, p.tapsZ),
          span(ny, p.strideY, p.tapsY),
          span(nx, p.strideX, p.tapsX),
        ];
        const start = (first: Local<"i32">, stride: Local<"i32">, pad: Local<"i32">) =>
          f.local("i32", i32.sub(i32.mul(first, stride), pad));
        emitStaging(f, {
          source: p.sourceA,
          voxel: p.voxelA,
          hasNorm: p.hasNormA,
          norm: p.normA,
          normChannels: p.normChannelsA,
          grid: [p.gridAZ, p.gridAY, p.gridAX],
          sample,
          firstChannel: g.firstA,
          channels: g.countA,
          to: box,
          start: [start(z0, p.strideZ, p.padZ), start(y0, p.strideY, p.padY), start(x0, p.strideX, p.padX)],
          size: [boxZ, boxY, boxX],
        }, line);
        emitStaging(f, {
          source: p.sourceB,
          voxel: p.voxelB,
          hasNorm: p.hasNormB,
          norm: p.normB,
          normChannels: p.normChannelsB,
          grid: [p.gridBZ, p.gridBY, p.gridBX],
          sample,
          firstChannel: g.firstB,
          channels: g.countB,
          to: stagedB,
          start: [z0, y0, x0],
          size: [nz, ny, nx],
        });

        // A run is a row of the block.
        const pitch = f.local("i64", i64.mul(pixelA, wide(boxX)));
        const rowB = f.local("i64", i64.mul(pixelB, wide(nx)));
        const at = f.local("i64", table);
        const offsetB = f.local("i64", 0);
        f.for(0, nz, 1, (z) => {
          f.for(0, ny, 1, (y) => {
            const row = (dz: I32, dy: I32): Expr<"i32"> => i32.add(i32.mul(dz, boxY), dy);
            f.storeI64(at, i64.mul(pitch, wide(row(i32.mul(z, p.strideZ), i32.mul(y, p.strideY)))));
            f.storeI64(at, offsetB, 8);
            f.set(offsetB, i64.add(offsetB, rowB));
            f.add(at, RUN_BYTES);
          });
        });
        const to = f.local("i64", sums);
        const runs = f.local("i32", i32.mul(nz, ny));
        const stepA = f.local("i64", i64.mul(pixelA, wide(p.strideX)));
        const rows = f.local("i32", i32.mul(p.tapsX, g.countA));
        f.for(0, p.tapsZ, 1, (tz) => {
          f.for(0, p.tapsY, 1, (ty) => {
            const from = addProduct(box, i32.add(i32.mul(tz, boxY), ty), i32.wrap(pitch));
            f.call(outer, from, stepA, stagedB, pixelB, nx, table, runs, to, g.panelBytes, g.panels, rows);
            f.set(to, i64.add(to, g.rowBytes));
          });
        });
      });
      f.if(i32.eq(p.chunks, 1), () => emitFinish(m, f, params, p, g, sums, region(p.finishAt)));
    });
  },
};
