/** The geometry of transform-domain convolutions: their parameters, where an item's block of tiles lies, and its scratch. */
import { TENSOR_PARAMS, VOXEL_PARAMS } from "./layout.ts";
import { type Expr, type I32, i32, type I64, i64 } from "../emit/expression.ts";
import type { FunctionBuilder, Local, ParamLocals } from "../emit/module_builder.ts";
import { STATISTICS_BYTES_PER_CHANNEL } from "./epilogue_kernels.ts";
import { MASK_TABLE } from "./transform_kernels.ts";

/** Parameters of all four kernels. Strides are bytes; per axis z, y, x. */
export const WINOGRAD_PARAMS = {
  ...TENSOR_PARAMS,
  /** Points of the split form: [z][y][x][tile of all samples][channel]. */
  inputPoints: "address",
  outputPoints: "address",
  ...VOXEL_PARAMS,
  outputChannels: "i32",
  /** Output channels rounded up to whole panels. */
  panelChannels: "i32",
  batch: "i32",
  in: "axes",
  out: "axes",
  scheme: "axes",
  inputs: "axes",
  points: "axes",
  tile: "axes",
  step: "axes",
  pad: "axes",
  /** Largest index of a transformed weight; points beyond share it. */
  lastWeight: "axes",
  tiles: "axes",
  block: "axes",
  blocks: "axes",
  /** Split product: panels an item multiplies. */
  panelsPerItem: "i32",
  /** 1: added to what is there. */
  accumulate: "i32",
  /** Where the output's channels lie among those of the statistics: padded channels in all, and the first. */
  statisticsChannels: "i32",
  firstChannel: "i32",
} as const;
/** The parameters inside a kernel. */
export type P = ParamLocals<typeof WINOGRAD_PARAMS>;

/** Numbers that fix a block's scratch, in tiles and points; used by the kernels and by the planner alike. */
export interface BlockGeometry {
  readonly points: readonly [number, number, number];
  readonly inputs: readonly [number, number, number];
  readonly steps: readonly [number, number, number];
  readonly tiles: readonly [number, number, number];
  readonly outputs: readonly [number, number, number];
  readonly inputChannels: number;
  readonly panelChannels: number;
}

/** Bytes of scratch of a block, by stage. The regions follow each other in this order. */
export function blockScratch(g: BlockGeometry) {
  const [tz, ty, tx] = g.tiles;
  const columns = (tx - 1) * g.steps[2] + g.inputs[2];
  const rows = (ty - 1) * g.steps[1] + g.inputs[1];
  const count = tz * ty * tx;
  return {
    fixed: MASK_TABLE.bytes + align64(g.panelChannels * STATISTICS_BYTES_PER_CHANNEL),
    loaded: g.points[0] * oddLines(rows * columns * g.inputChannels * 4),
    planes: g.points[0] * g.points[1] * oddLines(tz * ty * columns * g.inputChannels * 4),
    inputPoints: g.points[2] * oddLines(count * g.inputChannels * 4),
    outputPoints: g.points[2] * oddLines(count * g.panelChannels * 4),
    outputPlanes: g.points[0] * g.points[1] * oddLines(count * g.outputs[2] * g.panelChannels * 4),
  };
}

export const align64 = (bytes: number) => (bytes + 63) & ~63;

/** Bytes rounded up to an odd number of cache lines: streams that far apart never compete for one set of the cache. */
export const oddLines = (bytes: number) => align64(bytes) | 64;

/** A number of items or bytes in 64 bits. */
export const wide = (value: I32) => i64.extendS(value);
export const product = (...factors: I32[]): Expr<"i32"> =>
  factors.reduce<Expr<"i32">>((a, b) => i32.mul(a, b), i32.const(1));
/** Bytes of a product of counts of floats. */
export const bytesOf = (...factors: I32[]): Expr<"i64"> =>
  i64.shl(factors.reduce<Expr<"i64">>((a, b) => i64.mul(a, wide(b)), i64.const(1)), 2);

/** {@link oddLines} as code. */
export const oddLinesOf = (bytes: Expr<"i64">): Expr<"i64"> => i64.or(i64.and(i64.add(bytes, 63), -64), 64);

/** Where an item's block of tiles lies, as variables. */
export interface Block {
  readonly sample: Local<"i32">;
  /** First tile along each axis. */
  readonly first: readonly [Local<"i32">, Local<"i32">, Local<"i32">];
  readonly tiles: readonly [Local<"i32">, Local<"i32">, Local<"i32">];
  readonly count: Local<"i32">;
  /** Row pairs (z tile, y tile). */
  readonly rows: Local<"i32">;
  readonly columns: Local<"i32">;
  readonly loadedRows: Local<"i32">;
  readonly index: Local<"i32">;
  /** Index of the block's first tile among all samples' tiles, blocks in order. */
  readonly firstTile: Local<"i32">;
}

/** The block of an item; `item` becomes the sample. */
export function locateBlock(f: FunctionBuilder, p: P, item: Local<"i32">): Block {
  const index = f.local("i32", item);
  const axis = (blocks: Local<"i32">, size: Local<"i32">, tiles: Local<"i32">) => {
    const first = f.local("i32", i32.mul(i32.remU(item, blocks), size));
    f.set(item, i32.divU(item, blocks));
    return [first, f.local("i32", i32.min(size, i32.sub(tiles, first)))] as const;
  };
  const [firstX, countX] = axis(p.blocksX, p.blockX, p.tilesX);
  const [firstY, countY] = axis(p.blocksY, p.blockY, p.tilesY);
  const [firstZ, countZ] = axis(p.blocksZ, p.blockZ, p.tilesZ);
  const rows = f.local("i32", i32.mul(countZ, countY));
  const before = i32.add(
    product(firstZ, p.tilesY, p.tilesX),
    i32.add(product(countZ, firstY, p.tilesX), product(rows, firstX)),
  );
  return {
    index,
    sample: item,
    first: [firstZ, firstY, firstX],
    tiles: [countZ, countY, countX],
    rows,
    count: f.local("i32", i32.mul(rows, countX)),
    columns: f.local("i32", i32.add(i32.mul(i32.sub(countX, 1), p.stepX), p.inputsX)),
    loadedRows: f.local("i32", i32.add(i32.mul(i32.sub(countY, 1), p.stepY), p.inputsY)),
    firstTile: f.local("i32", i32.add(product(item, p.tilesZ, p.tilesY, p.tilesX), before)),
  };
}

/** Scratch regions of a block, as in {@link blockScratch}. */
export function regions(f: FunctionBuilder, p: P, scratch: Local<"i64">) {
  const full = {
    rows: i32.mul(p.blockZ, p.blockY),
    columns: f.local("i32", i32.add(i32.mul(i32.sub(p.blockX, 1), p.stepX), p.inputsX)),
    loadedRows: i32.add(i32.mul(i32.sub(p.blockY, 1), p.stepY), p.inputsY),
  };
  const next = (start: Expr<"i64">, bytes: I64) => f.local("i64", i64.and(i64.add(i64.add(start, bytes), 63), -64));
  const sums = f.local("i64", i64.add(scratch, MASK_TABLE.bytes));
  const loaded = next(sums, i64.mul(wide(p.panelChannels), STATISTICS_BYTES_PER_CHANNEL));
  const streams = (start: Expr<"i64">, count: Expr<"i32">, bytes: Expr<"i64">) =>
    next(start, i64.mul(wide(count), oddLinesOf(bytes)));
  const planes = streams(loaded, p.pointsZ, bytesOf(full.loadedRows, full.columns, p.inputChannels));
  const pairs = i32.mul(p.pointsZ, p.pointsY);
  const inputPoints = streams(planes, pairs, bytesOf(full.rows, full.columns, p.inputChannels));
  const count = i32.mul(full.rows, p.blockX);
  const outputPoints = streams(inputPoints, p.pointsX, bytesOf(count, p.inputChannels));
  const outputPlanes = streams(outputPoints, p.pointsX, bytesOf(count, p.panelChannels));
  return { table: scratch, sums, loaded, planes, inputPoints, outputPoints, outputPlanes };
}
export type Regions = ReturnType<typeof regions>;
