/**
 * The weight gradient of a separable transform-domain convolution, the transpose of winograd_kernels.ts. With A the input (norm, slope
 * and padding applied on load) and B the gradient of the output, every point's gradient is the sum over tiles of (transformed A) outer
 * (transformed B); points become taps at the end. An item does one chunk of the blocks of tiles of all samples, for one group of
 * channels of A and one of B; all it transforms stays in its scratch.
 */
import { type I32, i32, i64 } from "../emit/expression.ts";
import type { Kernel, Local, ParamLocals } from "../emit/module_builder.ts";
import type { ParamTypes } from "../params.ts";
import { emitRowLoad } from "./load_rows.ts";
import { outerProduct } from "./outer_kernels.ts";
import { MASK_TABLE, transformFunctions } from "./transform_kernels.ts";
import {
  blocksOfChunk,
  emitFinish,
  groupSums,
  locateGroup,
  SUMS_PARAMS,
  takeBlockAxis,
} from "./weight_gradient_sums.ts";
import { oddLines, wide } from "./winograd_block.ts";

/** Bytes of scratch before the regions: masks and offsets, then the table of one run. */
export const TABLE_BYTES = MASK_TABLE.bytes + 64;

/** Strides are bytes; per axis z, y, x. */
export const WEIGHT_GRADIENT_WINOGRAD_PARAMS = {
  ...SUMS_PARAMS,
  sourceA: "address",
  sourceB: "address",
  norm: "address",
  hasNorm: "i32",
  /** Channels in a row of the norm table. */
  normChannels: "i32",
  voxelA: "i32",
  voxelB: "i32",
  batch: "i32",
  in: "axes",
  out: "axes",
  points: "axes",
  tile: "axes",
  step: "axes",
  pad: "axes",
  tiles: "axes",
  block: "axes",
  blocks: "axes",
  /** Regions of scratch (see {@link weightGradientScratch}), and the distance of points within them. */
  loadedA: "i32",
  loadedB: "i32",
  planesA: "i32",
  planesB: "i32",
  pointsA: "i32",
  pointsB: "i32",
  sumsAt: "i32",
  finishAt: "i32",
  loadedStrideA: "i32",
  loadedStrideB: "i32",
  planeStrideA: "i32",
  planeStrideB: "i32",
  pointStrideA: "i32",
  pointStrideB: "i32",
} as const satisfies ParamTypes;

type P = ParamLocals<typeof WEIGHT_GRADIENT_WINOGRAD_PARAMS>;

/** What the passes do on one side, A or B. */
interface Side {
  /** Rows and columns a tile is from the next, and of a block's tiles in all. */
  readonly stepY: Local<"i32">;
  readonly stepX: Local<"i32">;
  readonly rows: Local<"i32">;
  readonly columns: Local<"i32">;
  readonly vectors: Local<"i32">;
  readonly pixel: Local<"i64">;
  readonly loaded: Local<"i64">;
  readonly loadedStride: Local<"i64">;
  readonly planes: Local<"i64">;
  readonly planeStride: Local<"i64">;
  readonly points: Local<"i64">;
  readonly pointStride: Local<"i64">;
}

type Pair = readonly [Local<"i32">, Local<"i32">];

/** Index of a point's sums: points beyond the last weight share it. */
function weightIndex(p: P, zp: Local<"i32">, yp: Local<"i32">, xp: Local<"i32">) {
  const axis = (point: Local<"i32">, weights: Local<"i32">) => i32.min(point, i32.sub(weights, 1));
  const zy = i32.add(i32.mul(axis(zp, p.weightsZ), p.weightsY), axis(yp, p.weightsY));
  return i32.add(i32.mul(zy, p.weightsX), axis(xp, p.weightsX));
}

export const weightGradientWinograd: Kernel = {
  name: "conv_weight_gradient_winograd",
  emit: (m) => {
    const transforms = transformFunctions(m);
    const outer = outerProduct(m);
    m.kernel("conv_weight_gradient_winograd", (f, params, item, scratch) => {
      const p = f.readParams(params, WEIGHT_GRADIENT_WINOGRAD_PARAMS);
      const region = (offset: Local<"i32">) => f.local("i64", i64.add(scratch, wide(offset)));
      const g = locateGroup(f, p, item);
      const chunk = item;
      const sums = region(p.sumsAt);
      f.if(i32.gtS(p.chunks, 1), () => f.set(sums, groupSums(f, p.sums, g, chunk)));
      f.zeroBytes(sums, g.bytes);
      const run = f.local("i64", i64.add(scratch, MASK_TABLE.bytes));
      f.zeroBytes(run, 16);

      const [firstBlock, lastBlock] = blocksOfChunk(f, p, chunk);
      const stride = (voxel: Local<"i32">, sizes: readonly I32[]) =>
        f.local("i64", sizes.reduce((bytes, size) => i64.mul(bytes, wide(size)), wide(voxel)));
      const [voxelA, voxelB] = [stride(p.voxelA, []), stride(p.voxelB, [])];
      const [yStrideA, zStrideA] = [stride(p.voxelA, [p.inX]), stride(p.voxelA, [p.inX, p.inY])];
      const [yStrideB, zStrideB] = [stride(p.voxelB, [p.outX]), stride(p.voxelB, [p.outX, p.outY])];
      const channelsAt = (source: Local<"i64">, first: Local<"i32">) => i64.add(source, i64.shl(wide(first), 2));

      f.for(firstBlock, lastBlock, 1, (block) => {
        const index = f.local("i32", block);
        const [firstX, tilesX] = takeBlockAxis(f, index, p.blocksX, p.blockX, p.tilesX);
        const [firstY, tilesY] = takeBlockAxis(f, index, p.blocksY, p.blockY, p.tilesY);
        const [firstZ, tilesZ] = takeBlockAxis(f, index, p.blocksZ, p.blockZ, p.tilesZ);
        const sample = index;
        const count = f.local("i32", i32.mul(i32.mul(tilesZ, tilesY), tilesX));
        const span = (tiles: Local<"i32">, step: Local<"i32">, last: Local<"i32">) =>
          f.local("i32", i32.add(i32.mul(i32.sub(tiles, 1), step), last));
        const origin = (first: Local<"i32">, step: Local<"i32">, pad: I32) =>
          f.local("i32", i32.sub(i32.mul(first, step), pad));
        const side = (name: "A" | "B", [stepY, stepX]: Pair, [lastY, lastX]: Pair): Side => ({
          stepY,
          stepX,
          rows: span(tilesY, stepY, lastY),
          columns: span(tilesX, stepX, lastX),
          vectors: f.local("i32", i32.shrU(g[`count${name}`], 2)),
          pixel: f.local("i64", i64.shl(wide(g[`count${name}`]), 2)),
          loaded: region(p[`loaded${name}`]),
          planes: region(p[`planes${name}`]),
          points: region(p[`points${name}`]),
          loadedStride: f.local("i64", wide(p[`loadedStride${name}`])),
          planeStride: f.local("i64", wide(p[`planeStride${name}`])),
          pointStride: f.local("i64", wide(p[`pointStride${name}`])),
        });
        const a = side("A", [p.stepY, p.stepX], [p.pointsY, p.pointsX]);
        const b = side("B", [p.tileY, p.tileX], [p.tileY, p.tileX]);
        const sampleA = f.local("i64", i64.mul(i64.mul(wide(sample), wide(p.inZ)), zStrideA));
        f.set(sampleA, i64.add(channelsAt(p.sourceA, g.firstA), sampleA));
        const sampleB = f.local("i64", i64.mul(i64.mul(wide(sample), wide(p.outZ)), zStrideB));
        f.set(sampleB, i64.add(channelsAt(p.sourceB, g.firstB), sampleB));
        const norm = f.local("i64", channelsAt(p.norm, g.firstA));
        f.set(norm, i64.add(norm, i64.mul(i64.shl(wide(p.normChannels), 2), wide(i32.mul(sample, 3)))));
        const normStride = f.local("i64", i64.shl(wide(p.normChannels), 2));
        const [startYA, startXA] = [origin(firstY, p.stepY, p.padY), origin(firstX, p.stepX, p.padX)];
        const [startYB, startXB] = [origin(firstY, p.tileY, 0), origin(firstX, p.tileX, 0)];

        f.for(0, tilesZ, 1, (tz) => {
          const tile = f.local("i32", i32.add(firstZ, tz));
          const common = { points: p.pointsZ, norm, normStride, table: scratch };
          const within = (s: Side) => i64.mul(i64.mul(s.pixel, wide(s.columns)), wide(i32.mul(tz, s.rows)));
          emitRowLoad(f, {
            ...common,
            load: transforms.load,
            maskBit: 2,
            grid: [p.inZ, p.inY, p.inX],
            selector: i32.add(i32.shl(p.schemeZ, 2), p.hasNorm),
            sample: sampleA,
            voxel: voxelA,
            yStride: yStrideA,
            zStride: zStrideA,
            start: [origin(tile, p.stepZ, p.padZ), startYA, startXA],
            size: [p.pointsZ, a.rows, a.columns],
            to: f.local("i64", i64.add(a.loaded, within(a))),
            plane: a.loadedStride,
            vectors: a.vectors,
            pixel: a.pixel,
          });
          emitRowLoad(f, {
            ...common,
            load: transforms.loadGradient,
            maskBit: 1,
            grid: [p.outZ, p.outY, p.outX],
            selector: i32.shl(p.schemeZ, 1),
            sample: sampleB,
            voxel: voxelB,
            yStride: yStrideB,
            zStride: zStrideB,
            start: [origin(tile, p.tileZ, 0), startYB, startXB],
            size: [p.tileZ, b.rows, b.columns],
            to: f.local("i64", i64.add(b.loaded, within(b))),
            plane: b.loadedStride,
            vectors: b.vectors,
            pixel: b.pixel,
          });
        });

        const passes = [[a, transforms.input], [b, transforms.outputGradient]] as const;
        f.for(0, p.pointsZ, 1, (zp) => {
          for (const [s, pass] of passes) {
            const pitch = f.local("i64", i64.mul(s.pixel, wide(s.columns)));
            const from = f.local("i64", i64.add(s.loaded, i64.mul(s.loadedStride, wide(zp))));
            const to = f.local("i64", s.planes);
            const vectors = f.local("i32", i32.mul(s.columns, s.vectors));
            const step = f.local("i64", i64.mul(pitch, wide(s.stepY)));
            f.countdown(tilesZ, () => {
              f.call(pass, p.schemeY, from, pitch, to, s.planeStride, vectors, tilesY, step, pitch);
              f.set(from, i64.add(from, i64.mul(pitch, wide(s.rows))));
              f.set(to, i64.add(to, i64.mul(pitch, wide(tilesY))));
            });
          }
          f.for(0, p.pointsY, 1, (yp) => {
            for (const [s, pass] of passes) {
              const pitch = f.local("i64", i64.mul(s.pixel, wide(s.columns)));
              const from = f.local("i64", i64.add(s.planes, i64.mul(s.planeStride, wide(yp))));
              const to = f.local("i64", s.points);
              const step = f.local("i64", i64.mul(s.pixel, wide(s.stepX)));
              const row = f.local("i64", i64.mul(s.pixel, wide(tilesX)));
              f.countdown(i32.mul(tilesZ, tilesY), () => {
                f.call(pass, p.schemeX, from, s.pixel, to, s.pointStride, s.vectors, tilesX, step, s.pixel);
                f.add(from, pitch);
                f.add(to, row);
              });
            }
            const [fromA, fromB] = [f.local("i64", a.points), f.local("i64", b.points)];
            f.for(0, p.pointsX, 1, (xp) => {
              const to = i64.add(sums, i64.mul(g.rowBytes, wide(weightIndex(p, zp, yp, xp))));
              const steps = [fromA, a.pixel, fromB, b.pixel, count] as const;
              f.call(outer, ...steps, run, 1, to, g.panelBytes, g.panels, g.countA);
              f.add(fromA, a.pointStride);
              f.add(fromB, b.pointStride);
            });
          });
        });
      });
      f.if(i32.eq(p.chunks, 1), () => emitFinish(m, f, params, p, g, sums, region(p.finishAt)));
    });
  },
};

/** What fixes an item's scratch. */
export interface WeightGradientGeometry {
  readonly points: readonly [number, number, number];
  readonly outputs: readonly [number, number, number];
  readonly steps: readonly [number, number, number];
  readonly block: readonly [number, number, number];
  readonly groupA: number;
  readonly groupB: number;
}

/** Strides and sizes of an item's regions, bytes. */
export function weightGradientScratch(g: WeightGradientGeometry) {
  const [tz, ty, tx] = g.block;
  const span = (axis: number, step: readonly number[], last: readonly number[]) =>
    (g.block[axis] - 1) * step[axis] + last[axis];
  const side = (channels: number, steps: readonly number[], last: readonly number[]) => {
    const columns = span(2, steps, last);
    return {
      loaded: oddLines(tz * span(1, steps, last) * columns * channels * 4),
      plane: oddLines(tz * ty * columns * channels * 4),
      point: oddLines(tz * ty * tx * channels * 4 + 16),
    };
  };
  return { a: side(g.groupA, g.steps, g.points), b: side(g.groupB, g.outputs, g.outputs) };
}
