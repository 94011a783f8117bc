/**
 * The sums a weight gradient is made of, and how they become torch's weight gradient. An item sums over a chunk of the voxels for one
 * group of channels of A and one of B (see weight_gradient_winograd_kernel.ts); chunks are then added in order, so that nothing depends on threads.
 *
 * Sums lie as [chunk][B group][A group][row][panel of 8 B channels][column][A channel][8]. Of the transform domain, a row is a point and
 * there is one column; of the direct form, rows are taps along z and y and columns taps along x.
 */
import { f32x4, i32, i64, v128 } from "../emit/expression.ts";
import type { FunctionBuilder, FunctionReference, Kernel, Local, ModuleBuilder } from "../emit/module_builder.ts";
import type { ParamTypes } from "../params.ts";
import { PANEL } from "./gemm_kernels.ts";
import { ROW_BYTES } from "./outer_kernels.ts";
import { transformFunctions } from "./transform_kernels.ts";
import { wide } from "./winograd_block.ts";

/** How many blocks of voxels or tiles a sample has along each axis. */
interface BlockCounts {
  readonly blocksZ: Local<"i32">;
  readonly blocksY: Local<"i32">;
  readonly blocksX: Local<"i32">;
  readonly batch: Local<"i32">;
  readonly chunks: Local<"i32">;
}

/** The blocks of all samples that a chunk takes: the first, and the one after the last. */
export function blocksOfChunk(f: FunctionBuilder, p: BlockCounts, chunk: Local<"i32">) {
  const perSample = f.local("i32", i32.mul(i32.mul(p.blocksZ, p.blocksY), p.blocksX));
  const blocks = f.local("i32", i32.mul(perSample, p.batch));
  const first = f.local("i32", i32.divU(i32.mul(chunk, blocks), p.chunks));
  const last = f.local("i32", i32.divU(i32.mul(i32.add(chunk, 1), blocks), p.chunks));
  return [first, last] as const;
}

/** Takes a block's place along an axis, x first, off `index`: its first voxel or tile, and how many it has of `all`. */
export function takeBlockAxis(
  f: FunctionBuilder,
  index: Local<"i32">,
  blocks: Local<"i32">,
  size: Local<"i32">,
  all: Local<"i32">,
) {
  const first = f.local("i32", i32.mul(i32.remU(index, blocks), size));
  f.set(index, i32.divU(index, blocks));
  return [first, f.local("i32", i32.min(size, i32.sub(all, first)))] as const;
}

/** The first parameters of every kernel that makes or reads sums. */
export const SUMS_PARAMS = {
  sums: "address",
  /** torch's gradient (B, A, z, y, x), f32. */
  target: "address",
  chunks: "i32",
  /** Channels in memory, those of an item, and real ones. */
  channelsA: "i32",
  channelsB: "i32",
  groupA: "i32",
  /** A multiple of eight. */
  groupB: "i32",
  realA: "i32",
  realB: "i32",
  /** Where this call's real channels begin in torch's gradient, and how many A channels that has. */
  firstA: "i32",
  firstB: "i32",
  allA: "i32",
  rows: "i32",
  columns: "i32",
  /** 1: sums are of points, by these schemes. */
  transforms: "i32",
  scheme: "axes",
  weights: "axes",
  taps: "axes",
} as const satisfies ParamTypes;

/** A channels that are finished together. */
const CHUNK = 16;
const UNIT_BYTES = CHUNK * ROW_BYTES;

/** Bytes of scratch for finishing. */
export function finishScratch(weights: readonly number[], taps: readonly number[]): number {
  const [wz, wy, wx] = weights;
  const [tz, ty, tx] = taps;
  return UNIT_BYTES * (Math.max(wz, tz) * Math.max(wy, ty) * Math.max(wx, tx) + tz * wy * wx + tz * ty * wx);
}

/** Units of an item: a panel and up to {@link CHUNK} channels of A. */
export function unitsOf(groupA: number, groupB: number): number {
  return Math.ceil(groupA / CHUNK) * groupB / PANEL;
}

/** An item's group of channels. */
export interface ChannelGroup {
  readonly groupsA: Local<"i32">;
  readonly groupsB: Local<"i32">;
  readonly indexA: Local<"i32">;
  readonly indexB: Local<"i32">;
  readonly firstA: Local<"i32">;
  readonly firstB: Local<"i32">;
  readonly countA: Local<"i32">;
  readonly countB: Local<"i32">;
  readonly panels: Local<"i32">;
  /** Bytes of sums: from panel to panel, from row to row, and of the group. */
  readonly panelBytes: Local<"i64">;
  readonly rowBytes: Local<"i64">;
  readonly bytes: Local<"i64">;
}

interface SumsLocals {
  readonly channelsA: Local<"i32">;
  readonly channelsB: Local<"i32">;
  readonly groupA: Local<"i32">;
  readonly groupB: Local<"i32">;
  readonly rows: Local<"i32">;
  readonly columns: Local<"i32">;
}

/** Takes the group off `item`, A's fastest; what is left is the chunk. */
export function locateGroup(f: FunctionBuilder, p: SumsLocals, item: Local<"i32">): ChannelGroup {
  const axis = (channels: Local<"i32">, size: Local<"i32">) => {
    const groups = f.local("i32", i32.divU(i32.add(channels, i32.sub(size, 1)), size));
    const index = f.local("i32", i32.remU(item, groups));
    f.set(item, i32.divU(item, groups));
    const first = f.local("i32", i32.mul(index, size));
    return [groups, index, first, f.local("i32", i32.min(size, i32.sub(channels, first)))] as const;
  };
  const [groupsA, indexA, firstA, countA] = axis(p.channelsA, p.groupA);
  const [groupsB, indexB, firstB, countB] = axis(p.channelsB, p.groupB);
  const panelBytes = f.local("i64", i64.mul(wide(i32.mul(p.columns, p.groupA)), ROW_BYTES));
  const rowBytes = f.local("i64", i64.mul(panelBytes, wide(i32.divU(p.groupB, PANEL))));
  return {
    groupsA,
    groupsB,
    indexA,
    indexB,
    firstA,
    firstB,
    countA,
    countB,
    panelBytes,
    rowBytes,
    panels: f.local("i32", i32.divU(i32.add(countB, PANEL - 1), PANEL)),
    bytes: f.local("i64", i64.mul(rowBytes, wide(p.rows))),
  };
}

/** Address of a group's sums of a chunk. */
export function groupSums(f: FunctionBuilder, sums: Local<"i64">, g: ChannelGroup, chunk: Local<"i32">): Local<"i64"> {
  const index = i32.add(i32.mul(i32.add(i32.mul(chunk, g.groupsB), g.indexB), g.groupsA), g.indexA);
  return f.local("i64", i64.add(sums, i64.mul(wide(index), g.bytes)));
}

/**
 * (params, sums, chunks, group, unit, scratch): adds the chunks of one unit of a group (its index, A's fastest), transforms them and
 * writes torch's. `sums` is the group's of the first chunk.
 */
function finishFunction(m: ModuleBuilder): FunctionReference {
  return m.once("conv.weight_sums.finish", () => {
    const { weightGradient } = transformFunctions(m);
    return m.func(
      ["i64", "i64", "i32", "i32", "i32", "i64"] as const,
      (f, params, sums, chunks, group, unit, scratch) => {
        const p = f.readParams(params, SUMS_PARAMS);
        const g = locateGroup(f, p, group);
        const panel = f.local("i32", i32.remU(unit, i32.divU(p.groupB, PANEL)));
        const first = f.local("i32", i32.mul(i32.divU(unit, i32.divU(p.groupB, PANEL)), CHUNK));
        const width = f.local("i32", i32.min(f.local("i32", i32.sub(g.countA, first)), CHUNK));
        f.if(i32.or(i32.leS(width, 0), i32.geS(panel, g.panels)), () => f.return());
        const chunkBytes = f.local("i64", i64.mul(g.bytes, wide(i32.mul(g.groupsA, g.groupsB))));
        const [value, from, to, row] = [f.local("v128"), f.local("i64"), f.local("i64"), f.local("i64")];

        // [row][column][A channel][8], a unit's worth each.
        f.for(0, chunks, 1, (chunk) => {
          const start = i64.add(sums, i64.add(i64.mul(chunkBytes, wide(chunk)), i64.mul(g.panelBytes, wide(panel))));
          f.set(row, i64.add(start, i64.mul(wide(first), ROW_BYTES)));
          const unitAt = f.local("i64", scratch);
          f.countdown(p.rows, () => {
            const column = f.local("i64", row);
            f.countdown(p.columns, () => {
              f.set(from, column);
              f.set(to, unitAt);
              const vectors = i32.shl(width, 1);
              f.if(chunk, () => {
                f.countdown(vectors, () => {
                  f.set(value, f32x4.add(v128.load(to), v128.load(from)));
                  f.storeV128(to, value);
                  f.add(from, 16);
                  f.add(to, 16);
                });
              }, () => f.copyBytes(to, from, i64.mul(wide(width), ROW_BYTES)));
              f.add(unitAt, UNIT_BYTES);
              f.set(column, i64.add(column, i64.mul(wide(g.countA), ROW_BYTES)));
            });
            f.set(row, i64.add(row, g.rowBytes));
          });
        });

        const taps = f.local("i32", i32.mul(i32.mul(p.tapsZ, p.tapsY), p.tapsX));
        const result = f.local("i64", scratch);
        f.if(p.transforms, () => {
          const unitVectors = UNIT_BYTES / 16;
          const units = (...counts: Local<"i32">[]) =>
            counts.reduce((product, count) => i64.mul(product, wide(count)), i64.const(UNIT_BYTES));
          const weights = i64.mul(wide(p.weightsZ), units(p.weightsY, p.weightsX));
          const afterZ = f.local("i64", i64.add(scratch, weights));
          const plane = f.local("i64", units(p.weightsY, p.weightsX));
          const afterY = f.local("i64", i64.add(afterZ, i64.mul(plane, wide(p.tapsZ))));
          const line = f.local("i64", units(p.weightsX));
          const planeVectors = i32.mul(i32.mul(p.weightsY, p.weightsX), unitVectors);
          f.call(weightGradient, p.schemeZ, scratch, plane, afterZ, plane, planeVectors, 1, 0, 0);
          const lineVectors = i32.mul(p.weightsX, unitVectors);
          const rows = i64.mul(line, wide(p.tapsY));
          f.call(weightGradient, p.schemeY, afterZ, line, afterY, line, lineVectors, p.tapsZ, plane, rows);
          const lines = i32.mul(p.tapsZ, p.tapsY);
          const tapBytes = units(p.tapsX);
          f.call(
            weightGradient,
            p.schemeX,
            afterY,
            UNIT_BYTES,
            scratch,
            UNIT_BYTES,
            unitVectors,
            lines,
            line,
            tapBytes,
          );
        });

        const lanes = f.local("i32", i32.sub(p.realB, i32.add(g.firstB, i32.mul(panel, PANEL))));
        f.set(lanes, i32.min(lanes, PANEL));
        const real = f.local("i32", i32.sub(p.realA, i32.add(g.firstA, first)));
        f.set(real, i32.min(real, width));
        const tapBytes = f.local("i64", i64.shl(wide(taps), 2));
        f.for(0, lanes, 1, (lane) => {
          const b = i32.add(i32.add(p.firstB, g.firstB), i32.add(i32.mul(panel, PANEL), lane));
          const a = i32.add(i32.add(p.firstA, g.firstA), first);
          const index = i64.add(i64.mul(wide(b), wide(p.allA)), wide(a));
          f.set(to, i64.add(p.target, i64.mul(index, tapBytes)));
          f.set(row, i64.add(result, i64.shl(wide(lane), 2)));
          f.countdown(real, () => {
            f.set(from, row);
            f.countdown(taps, () => {
              f.storeI32(to, i32.load(from));
              f.add(from, UNIT_BYTES);
              f.add(to, 4);
            });
            f.add(row, ROW_BYTES);
          });
        });
      },
    );
  });
}

/** Emits the finishing of an item's only chunk. */
export function emitFinish(
  m: ModuleBuilder,
  f: FunctionBuilder,
  params: Local<"i64">,
  p: SumsLocals,
  g: ChannelGroup,
  sums: Local<"i64">,
  scratch: Local<"i64">,
): void {
  const finish = finishFunction(m);
  const group = f.local("i32", i32.add(i32.mul(g.indexB, g.groupsA), g.indexA));
  const units = i32.mul(i32.divU(i32.add(p.groupA, CHUNK - 1), CHUNK), i32.divU(p.groupB, PANEL));
  f.for(0, f.local("i32", units), 1, (unit) => f.call(finish, params, sums, 1, group, unit, scratch));
}

/** Items: units of groups; `chunks` chunks are added. */
export const weightGradientFinish: Kernel = {
  name: "conv_weight_gradient_finish",
  emit: (m) => {
    const finish = finishFunction(m);
    m.kernel("conv_weight_gradient_finish", (f, params, item, scratch) => {
      const p = f.readParams(params, SUMS_PARAMS);
      const units = i32.mul(i32.divU(i32.add(p.groupA, CHUNK - 1), CHUNK), i32.divU(p.groupB, PANEL));
      const unit = f.local("i32", i32.remU(item, units));
      const group = f.local("i32", i32.divU(item, units));
      const g = locateGroup(f, p, f.local("i32", group));
      const sums = groupSums(f, p.sums, g, f.local("i32", 0));
      f.call(finish, params, sums, p.chunks, group, unit, scratch);
    });
  },
};
