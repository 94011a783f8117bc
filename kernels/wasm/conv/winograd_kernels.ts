/**
 * Separable transform-domain convolution. An item is a block of tiles of one sample. Passes run along z (with norm, activation and
 * padding applied on load), y and x; then for every pair of z and y points the x points of all tiles are multiplied with their
 * weights; then the output passes along x, y and z. All passes stream contiguous rows, and neighbouring tiles of a block share them.
 *
 * `fused` does all this per item in scratch; the `input`, `product` and `output` kernels do it in three calls with the points in main
 * memory, for layers with few tiles and many weights.
 */
import { type Expr, type I32, i32, i64 } from "../emit/expression.ts";
import type { FunctionBuilder, Kernel, Local, ModuleBuilder } from "../emit/module_builder.ts";
import { emitStatisticsPart, epilogueFunctions } from "./epilogue_kernels.ts";
import { gemmFunctions, PANEL } from "./gemm_kernels.ts";
import { emitRowLoad } from "./load_rows.ts";
import { transformFunctions } from "./transform_kernels.ts";
import {
  type Block,
  bytesOf,
  locateBlock,
  oddLinesOf,
  type P,
  product,
  type Regions,
  regions,
  wide,
  WINOGRAD_PARAMS,
} from "./winograd_block.ts";

/** Loads, normalises, pads and transforms along z, then y: fills `planes` [z][y point][row][column][channel]. */
function emitPlanes(m: ModuleBuilder, f: FunctionBuilder, p: P, block: Block, r: Regions): void {
  const transforms = transformFunctions(m);
  const [tilesZ, tilesY] = block.tiles;
  const pixel = f.local("i64", bytesOf(p.inputChannels));
  const pitch = f.local("i64", bytesOf(block.columns, p.inputChannels));
  const loadedPlane = f.local("i64", oddLinesOf(i64.mul(pitch, wide(block.loadedRows))));
  const pointPlane = f.local("i64", oddLinesOf(i64.mul(pitch, wide(block.rows))));
  const startX = f.local("i32", i32.sub(i32.mul(block.first[2], p.stepX), p.padX));
  const startY = f.local("i32", i32.sub(i32.mul(block.first[1], p.stepY), p.padY));
  const [vectors, voxel, yStride, zStride] = [f.local("i32"), f.local("i64"), f.local("i64"), f.local("i64")];
  const [sample, norm, channelBytes] = f.locals("i64", 3);
  f.for(0, tilesZ, 1, (tz) => {
    const startZ = f.local("i32", i32.sub(i32.mul(i32.add(block.first[0], tz), p.stepZ), p.padZ));
    f.set(vectors, i32.shrU(p.firstChannels, 2));
    f.set(voxel, wide(p.sourceVoxel));
    f.set(sample, p.source);
    f.set(norm, i64.add(p.norm, bytesOf(block.sample, i32.mul(p.inputChannels, 3))));
    f.set(channelBytes, 0);
    f.for(0, i32.add(i32.ltS(p.firstChannels, p.inputChannels), 1), 1, (second) => {
      f.if(second, () => {
        f.set(channelBytes, bytesOf(p.firstChannels));
        f.set(vectors, i32.shrU(i32.sub(p.inputChannels, p.firstChannels), 2));
        f.set(voxel, wide(p.secondVoxel));
        f.set(sample, p.secondSource);
        f.set(norm, i64.add(norm, channelBytes));
      });
      f.set(yStride, i64.mul(wide(p.inX), voxel));
      f.set(zStride, i64.mul(wide(p.inY), yStride));
      f.set(sample, i64.add(sample, i64.mul(i64.mul(wide(block.sample), wide(p.inZ)), zStride)));
      emitRowLoad(f, {
        load: transforms.load,
        selector: i32.add(i32.shl(p.schemeZ, 2), p.hasNorm),
        maskBit: 2,
        sample,
        voxel,
        yStride,
        zStride,
        grid: [p.inZ, p.inY, p.inX],
        start: [startZ, startY, startX],
        size: [p.inputsZ, block.loadedRows, block.columns],
        points: p.pointsZ,
        to: r.loaded,
        plane: loadedPlane,
        vectors,
        pixel,
        channelBytes,
        norm,
        normStride: pixel,
        table: r.table,
      });
    });
    const count = f.local("i32", i32.mul(block.columns, i32.shrU(p.inputChannels, 2)));
    f.for(0, p.pointsZ, 1, (zp) => {
      const from = i64.add(r.loaded, i64.mul(loadedPlane, wide(zp)));
      const to = i64.add(
        i64.add(r.planes, i64.mul(pointPlane, wide(i32.mul(zp, p.pointsY)))),
        i64.mul(pitch, wide(i32.mul(tz, tilesY))),
      );
      const rowStep = i64.mul(pitch, wide(p.stepY));
      f.call(transforms.input, p.schemeY, from, pitch, to, pointPlane, count, tilesY, rowStep, pitch);
    });
  });
}

/** For one pair of z and y points: transforms along x into `to` ([x point][tile][channel], `pointStride` bytes apart). */
function emitInputPoints(
  m: ModuleBuilder,
  f: FunctionBuilder,
  p: P,
  block: Block,
  r: Regions,
  pair: Local<"i32">,
  to: Local<"i64">,
  pointStride: Local<"i64">,
): void {
  const pixel = bytesOf(p.inputChannels);
  const pitch = f.local("i64", i64.mul(pixel, wide(block.columns)));
  const plane = oddLinesOf(i64.mul(pitch, wide(block.rows)));
  const from = f.local("i64", i64.add(r.planes, i64.mul(plane, wide(pair))));
  const out = f.local("i64", to);
  const tileBytes = f.local("i64", i64.mul(pixel, wide(block.tiles[2])));
  const step = f.local("i64", i64.mul(pixel, wide(p.stepX)));
  f.countdown(block.rows, () => {
    const vectors = i32.shrU(p.inputChannels, 2);
    const { input } = transformFunctions(m);
    f.call(input, p.schemeX, from, pixel, out, pointStride, vectors, block.tiles[2], step, pixel);
    f.add(from, pitch);
    f.add(out, tileBytes);
  });
}

/** Output pass along x of one pair of z and y points, from `from` ([x point][tile][channel]) into `outputPlanes`. */
function emitOutputRows(
  m: ModuleBuilder,
  f: FunctionBuilder,
  p: P,
  block: Block,
  r: Regions,
  pair: Local<"i32">,
  from: Local<"i64">,
  pointStride: Local<"i64">,
): void {
  const pixel = f.local("i64", bytesOf(p.panelChannels));
  const row = f.local("i64", i64.mul(pixel, wide(p.tileX)));
  const plane = oddLinesOf(i64.mul(row, wide(block.count)));
  const to = i64.add(r.outputPlanes, i64.mul(plane, wide(pair)));
  const vectors = i32.shrU(p.panelChannels, 2);
  f.call(transformFunctions(m).output, p.schemeX, from, pointStride, to, pixel, vectors, block.count, pixel, row);
}

/** Output passes along y and z, in place, then rows with bias to the target, and the block's statistics. */
function emitOutputs(m: ModuleBuilder, f: FunctionBuilder, p: P, block: Block, r: Regions): void {
  const { output } = transformFunctions(m);
  const epilogue = epilogueFunctions(m);
  const pixel = f.local("i64", bytesOf(p.panelChannels));
  const rowVoxels = f.local("i32", i32.mul(block.tiles[2], p.tileX));
  const row = f.local("i64", i64.mul(pixel, wide(rowVoxels)));
  const plane = f.local("i64", oddLinesOf(i64.mul(row, wide(block.rows))));
  const zPlane = f.local("i64", i64.mul(plane, wide(p.pointsY)));
  const count = f.local("i32", product(block.rows, rowVoxels, i32.shrU(p.panelChannels, 2)));
  const at = f.local("i64", r.outputPlanes);
  f.countdown(p.pointsZ, () => {
    f.call(output, p.schemeY, at, plane, at, plane, count, 1, 0, 0);
    f.set(at, i64.add(at, zPlane));
  });
  f.call(output, p.schemeZ, r.outputPlanes, zPlane, r.outputPlanes, zPlane, count, p.tileY, plane, plane);

  const vectors = f.local("i32", i32.shrU(p.outputChannels, 2));
  const voxel = f.local("i64", wide(p.targetVoxel));
  const x0 = f.local("i32", i32.mul(block.first[2], p.tileX));
  const width = f.local("i32", i32.min(rowVoxels, i32.sub(p.outX, x0)));
  const written = f.local("i32", 0);
  const inSample = f.local("i64", i64.mul(wide(block.sample), i64.mul(wide(p.outZ), wide(p.outY))));
  f.for(0, block.tiles[0], 1, (tz) => {
    f.for(0, p.tileZ, 1, (kz) => {
      const z = f.local("i32", i32.add(i32.mul(i32.add(block.first[0], tz), p.tileZ), kz));
      f.if(i32.ltS(z, p.outZ), () => {
        f.for(0, block.tiles[1], 1, (ty) => {
          f.for(0, p.tileY, 1, (ky) => {
            const y = f.local("i32", i32.add(i32.mul(i32.add(block.first[1], ty), p.tileY), ky));
            f.if(i32.ltS(y, p.outY), () => {
              const line = i64.add(inSample, wide(i32.add(i32.mul(z, p.outY), y)));
              const target = f.local(
                "i64",
                i64.add(p.target, i64.mul(i64.add(i64.mul(line, wide(p.outX)), wide(x0)), voxel)),
              );
              const from = i64.add(
                i64.add(r.outputPlanes, i64.mul(zPlane, wide(kz))),
                i64.add(
                  i64.mul(plane, wide(ky)),
                  i64.mul(row, wide(i32.add(i32.mul(tz, block.tiles[1]), ty))),
                ),
              );
              f.call(epilogue.storeRow, from, pixel, target, voxel, width, vectors, p.bias, p.accumulate);
              f.if(p.hasStatistics, () => {
                f.call(epilogue.addStatistics, target, voxel, width, vectors, r.sums, i32.eqz(written));
              });
              f.add(written, width);
            });
          });
        });
      });
    });
  });
  const target = { ...p, outputChannels: p.statisticsChannels };
  emitStatisticsPart(f, epilogue, target, block.index, p.firstChannel, vectors, r.sums, written);
}

/** Index of a pair's or point's weight matrix. */
function weightIndex(p: P, zp: Local<"i32">, yp: Local<"i32">, xp: Local<"i32">): Expr<"i32"> {
  const axis = (point: Local<"i32">, last: Local<"i32">) => i32.min(point, last);
  const zy = i32.add(i32.mul(axis(zp, p.lastWeightZ), i32.add(p.lastWeightY, 1)), axis(yp, p.lastWeightY));
  return i32.add(i32.mul(zy, i32.add(p.lastWeightX, 1)), xp);
}

/** Products of one (z, y) pair for all its x points. */
function emitProducts(
  m: ModuleBuilder,
  f: FunctionBuilder,
  p: P,
  [zp, yp]: readonly [Local<"i32">, Local<"i32">],
  at: {
    from: Local<"i64">;
    fromStride: Local<"i64">;
    to: Local<"i64">;
    toStride: Local<"i64">;
    rows: I32;
    firstPanel: I32;
    panels: I32;
  },
): void {
  const { plain } = gemmFunctions(m);
  const panelBytes = f.local("i64", i64.shl(wide(p.inputChannels), 5));
  const from = f.local("i64", at.from);
  const to = f.local("i64", i64.add(at.to, i64.shl(wide(at.firstPanel), 5)));
  const rows = f.local("i32", at.rows);
  f.for(0, i32.add(p.lastWeightX, 1), 1, (xp) => {
    const panel = i32.add(i32.mul(weightIndex(p, zp, yp, xp), i32.divU(p.panelChannels, PANEL)), at.firstPanel);
    const weights = i64.add(p.weights, i64.mul(wide(panel), panelBytes));
    const [left, right] = [bytesOf(p.inputChannels), bytesOf(p.panelChannels)];
    // All points that share the last weights are rows of one product.
    f.if(i32.eq(xp, p.lastWeightX), () => f.set(rows, i32.mul(rows, i32.sub(p.pointsX, p.lastWeightX))));
    f.call(plain, from, left, p.inputChannels, weights, panelBytes, at.panels, to, right, rows);
    f.set(from, i64.add(from, at.fromStride));
    f.set(to, i64.add(to, at.toStride));
  });
}

function emitPairs(f: FunctionBuilder, p: P, body: (zp: Local<"i32">, yp: Local<"i32">, pair: Local<"i32">) => void) {
  const pair = f.local("i32", 0);
  f.for(0, p.pointsZ, 1, (zp) => {
    f.for(0, p.pointsY, 1, (yp) => {
      body(zp, yp, pair);
      f.add(pair, 1);
    });
  });
}

/** A kernel with the parameters of transform-domain convolutions. */
function blockKernel(
  name: string,
  body: (m: ModuleBuilder, f: FunctionBuilder, p: P, item: Local<"i32">, scratch: Local<"i64">) => void,
): Kernel {
  return {
    name,
    emit: (m) =>
      m.kernel(name, (f, params, item, scratch) => body(m, f, f.readParams(params, WINOGRAD_PARAMS), item, scratch)),
  };
}

export const winogradFused = blockKernel("conv_winograd", (m, f, p, item, scratch) => {
  const block = locateBlock(f, p, item);
  const r = regions(f, p, scratch);
  emitPlanes(m, f, p, block, r);
  const [from, to] = [bytesOf(block.count, p.inputChannels), bytesOf(block.count, p.panelChannels)];
  // Points that share weights are one product and must follow each other without a gap.
  const shares = i32.ltS(i32.add(p.lastWeightX, 1), p.pointsX);
  const fromStride = f.local("i64", i64.select(from, oddLinesOf(from), shares));
  const toStride = f.local("i64", i64.select(to, oddLinesOf(to), shares));
  const panels = f.local("i32", i32.divU(p.panelChannels, PANEL));
  emitPairs(f, p, (zp, yp, pair) => {
    emitInputPoints(m, f, p, block, r, pair, r.inputPoints, fromStride);
    const at = { from: r.inputPoints, fromStride, to: r.outputPoints, toStride, rows: block.count };
    emitProducts(m, f, p, [zp, yp], { ...at, firstPanel: 0, panels });
    emitOutputRows(m, f, p, block, r, pair, r.outputPoints, toStride);
  });
  emitOutputs(m, f, p, block, r);
});

/** Address of a block's tiles in the split form's points. */
function splitAddress(
  f: FunctionBuilder,
  p: P,
  base: Local<"i64">,
  channels: Local<"i32">,
  pair: I32,
  firstTile: I32,
): { start: Local<"i64">; stride: Local<"i64"> } {
  const tiles = product(p.batch, p.tilesZ, p.tilesY, p.tilesX);
  const stride = f.local("i64", bytesOf(tiles, channels));
  const points = i64.mul(stride, wide(i32.mul(pair, p.pointsX)));
  return { start: f.local("i64", i64.add(i64.add(base, points), bytesOf(firstTile, channels))), stride };
}

export const winogradInput = blockKernel("conv_winograd_input", (m, f, p, item, scratch) => {
  const block = locateBlock(f, p, item);
  const r = regions(f, p, scratch);
  emitPlanes(m, f, p, block, r);
  emitPairs(f, p, (_zp, _yp, pair) => {
    const { start, stride } = splitAddress(f, p, p.inputPoints, p.inputChannels, pair, block.firstTile);
    emitInputPoints(m, f, p, block, r, pair, start, stride);
  });
});

/** Items: (z, y) pairs times groups of panels. */
export const winogradProduct = blockKernel("conv_winograd_product", (m, f, p, item) => {
  const allPanels = f.local("i32", i32.divU(p.panelChannels, PANEL));
  const groups = f.local("i32", i32.divU(i32.add(allPanels, i32.sub(p.panelsPerItem, 1)), p.panelsPerItem));
  const firstPanel = f.local("i32", i32.mul(i32.remU(item, groups), p.panelsPerItem));
  const panels = f.local("i32", i32.min(p.panelsPerItem, i32.sub(allPanels, firstPanel)));
  const pair = f.local("i32", i32.divU(item, groups));
  const zp = f.local("i32", i32.divU(pair, p.pointsY));
  const yp = f.local("i32", i32.remU(pair, p.pointsY));
  const input = splitAddress(f, p, p.inputPoints, p.inputChannels, pair, 0);
  const output = splitAddress(f, p, p.outputPoints, p.panelChannels, pair, 0);
  const rows = product(p.batch, p.tilesZ, p.tilesY, p.tilesX);
  const at = { from: input.start, fromStride: input.stride, to: output.start, toStride: output.stride };
  emitProducts(m, f, p, [zp, yp], { ...at, rows, firstPanel, panels });
});

export const winogradOutput = blockKernel("conv_winograd_output", (m, f, p, item, scratch) => {
  const block = locateBlock(f, p, item);
  const r = regions(f, p, scratch);
  emitPairs(f, p, (_zp, _yp, pair) => {
    const { start, stride } = splitAddress(f, p, p.outputPoints, p.panelChannels, pair, block.firstTile);
    emitOutputRows(m, f, p, block, r, pair, start, stride);
  });
  emitOutputs(m, f, p, block, r);
});
