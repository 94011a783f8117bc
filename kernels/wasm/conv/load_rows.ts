/** How the rows of a block of tiles come from a tensor: all points along z of every row, transformed on load, padded with zeros. */
import { type I32, i32, i64 } from "../emit/expression.ts";
import type { FunctionBuilder, FunctionReference, Local } from "../emit/module_builder.ts";
import { MASK_TABLE } from "./transform_kernels.ts";
import { wide } from "./winograd_block.ts";

export interface RowLoad {
  /** A `load` or `loadGradient` of {@link transformFunctions}, its selector without a mask, and what a mask adds to it. */
  readonly load: FunctionReference;
  readonly selector: I32;
  readonly maskBit: number;
  /** Address of the sample's first voxel; bytes from voxel to voxel, row to row, plane to plane. */
  readonly sample: Local<"i64">;
  readonly voxel: Local<"i64">;
  readonly yStride: Local<"i64">;
  readonly zStride: Local<"i64">;
  readonly grid: readonly [Local<"i32">, Local<"i32">, Local<"i32">];
  /** First plane, row and column, and how many; some may lie outside the grid. */
  readonly start: readonly [Local<"i32">, Local<"i32">, Local<"i32">];
  readonly size: readonly [Local<"i32">, Local<"i32">, Local<"i32">];
  /** Points along z that the planes become, `plane` bytes apart from `to` on. */
  readonly points: Local<"i32">;
  readonly to: Local<"i64">;
  readonly plane: Local<"i64">;
  readonly vectors: Local<"i32">;
  /** Bytes of a loaded voxel, and where in it these channels begin: the others come from another tensor. */
  readonly pixel: Local<"i64">;
  readonly channelBytes?: Local<"i64">;
  readonly norm: Local<"i64">;
  readonly normStride: Local<"i64">;
  /** Scratch: see {@link MASK_TABLE}. */
  readonly table: Local<"i64">;
}

/** Emits the loading of one tile's planes: fills [z point][row][column][channel]. */
export function emitRowLoad(f: FunctionBuilder, r: RowLoad): void {
  const [startZ, startY, startX] = r.start;
  const [planes, rows, columns] = r.size;
  const [gridZ, gridY, gridX] = r.grid;
  const pitch = f.local("i64", i64.mul(r.pixel, wide(columns)));
  const left = f.local("i32", i32.max(i32.sub(0, startX), 0));
  const middle = f.local("i32", i32.max(i32.sub(i32.min(columns, i32.sub(gridX, startX)), left), 0));
  const masked = f.local("i32", i32.or(i32.ltS(startZ, 0), i32.gtS(i32.add(startZ, planes), gridZ)));
  f.if(masked, () => {
    f.for(0, planes, 1, (k) => {
      const z = f.local("i32", i32.add(startZ, k));
      const inside = i32.and(i32.geS(z, 0), i32.ltS(z, gridZ));
      const mask = f.local("i64", i64.sub(0, wide(inside)));
      const at = f.local("i64", i64.add(r.table, i64.shl(wide(k), 4)));
      f.storeI64(at, mask);
      f.storeI64(at, mask, 8);
      const clamped = i32.max(f.local("i32", i32.min(z, i32.sub(gridZ, 1))), 0);
      const offset = i64.mul(wide(clamped), r.zStride);
      f.storeI64(i64.add(i64.add(r.table, MASK_TABLE.offsets), i64.shl(wide(k), 3)), offset);
    });
  });
  const selector = f.local("i32", i32.add(r.selector, i32.mul(masked, r.maskBit)));
  const gap = f.local("i64", i64.sub(r.pixel, i64.shl(wide(r.vectors), 4)));
  f.for(0, rows, 1, (j) => {
    const y = f.local("i32", i32.add(startY, j));
    const to = f.local("i64", i64.add(r.to, i64.mul(pitch, wide(j))));
    const out = f.local("i64", to);
    const inside = i32.and(i32.and(i32.geS(y, 0), i32.ltS(y, gridY)), i32.gtS(middle, 0));
    f.if(inside, () => {
      const start = f.local("i64", i64.add(r.sample, i64.mul(wide(y), r.yStride)));
      f.set(start, i64.add(start, i64.mul(wide(i32.add(startX, left)), r.voxel)));
      f.if(i32.eqz(masked), () => f.set(start, i64.add(start, i64.mul(wide(startZ), r.zStride))));
      const margin = f.local("i64", i64.mul(r.pixel, wide(left)));
      const rest = f.local("i64", i64.mul(r.pixel, wide(i32.sub(i32.sub(columns, left), middle))));
      const behind = f.local("i64", i64.sub(pitch, rest));
      f.countdown(r.points, () => {
        f.if(left, () => f.zeroBytes(out, margin));
        f.if(i64.ne(rest, 0), () => f.zeroBytes(i64.add(out, behind), rest));
        f.set(out, i64.add(out, r.plane));
      });
      const into = i64.add(i64.add(to, margin), r.channelBytes ?? 0);
      const { load, zStride, voxel, vectors, plane, norm, normStride, table } = r;
      f.call(load, selector, start, zStride, voxel, middle, vectors, into, plane, gap, norm, normStride, table);
    }, () => {
      f.countdown(r.points, () => {
        f.zeroBytes(out, pitch);
        f.set(out, i64.add(out, r.plane));
      });
    });
  });
}
