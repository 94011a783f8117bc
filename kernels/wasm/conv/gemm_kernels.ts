/**
 * The register-tiled products at the heart of every convolution: up to six rows times a panel of eight columns, sums kept in twelve
 * vectors. The order of each sum is that of k alone, whatever the number of rows, so a row's result does not depend on its neighbours.
 */
import { f32x4, i32, i64, v128 } from "../emit/expression.ts";
import type { FunctionBuilder, FunctionReference, Local, ModuleBuilder } from "../emit/module_builder.ts";

export const MAXIMUM_ROWS = 6;
/** Columns of a weight panel, which is [k][8]. */
export const PANEL = 8;

/** Sets `sums` to zero, or adds rows * panel over `k` steps: rows at `a` (advanced), the panel at `b` (advanced). */
function emitProducts(
  f: FunctionBuilder,
  a: readonly Local<"i64">[],
  b: Local<"i64">,
  k: Local<"i32">,
  sums: readonly (readonly [Local<"v128">, Local<"v128">])[],
  work: readonly [Local<"v128">, Local<"v128">, Local<"v128">],
): void {
  const [left, right, value] = work;
  const steps = (count: number) => {
    for (let q = 0; q < count; q++) {
      f.set(left, v128.load(b, q * 32));
      f.set(right, v128.load(b, q * 32 + 16));
      sums.forEach(([s0, s1], r) => {
        f.set(value, v128.load32Splat(a[r], q * 4));
        f.set(s0, f32x4.madd(value, left, s0));
        f.set(s1, f32x4.madd(value, right, s1));
      });
    }
    a.forEach((pointer) => f.add(pointer, 4 * count));
    f.add(b, 32 * count);
  };
  f.countdown(i32.shrU(k, 2), () => steps(4));
  f.countdown(i32.and(k, 3), () => steps(1));
}

function productLocals(f: FunctionBuilder, rows: number) {
  return {
    a: Array.from({ length: rows }, () => f.local("i64")),
    sums: Array.from({ length: rows }, () => [f.local("v128"), f.local("v128")] as const),
    work: [f.local("v128"), f.local("v128"), f.local("v128")] as const,
  };
}

/** Stores the rows' sums from `target` on, `stride` apart; uses `pointer`. */
function storeSums(
  f: FunctionBuilder,
  sums: readonly (readonly [Local<"v128">, Local<"v128">])[],
  target: Local<"i64">,
  stride: Local<"i64">,
  pointer: Local<"i64">,
): void {
  f.set(pointer, target);
  sums.forEach(([s0, s1], r) => {
    if (r > 0) f.add(pointer, stride);
    f.storeV128(pointer, s0);
    f.storeV128(pointer, s1, 16);
  });
}

const clear = (f: FunctionBuilder, sums: readonly (readonly [Local<"v128">, Local<"v128">])[]) =>
  sums.forEach((pair) => pair.forEach((sum) => f.set(sum, v128.const(0, 0, 0, 0))));

/** (a, aStride, k, b, panelBytes, panels, target, targetStride, groups): groups * rows rows by panels * 8 columns. */
const PLAIN_PARAMS = ["i64", "i64", "i32", "i64", "i64", "i32", "i64", "i64", "i32"] as const;

function emitPlain(m: ModuleBuilder, rows: number): FunctionReference {
  return m.func(PLAIN_PARAMS, (f, a, aStride, k, b, panelBytes, panels, target, targetStride, groups) => {
    const locals = productLocals(f, rows);
    const [row, panel, out, pointer] = Array.from({ length: 4 }, () => f.local("i64"));
    f.countdown(panels, () => {
      f.set(row, a);
      f.set(out, target);
      f.countdown(groups, () => {
        locals.a.forEach((p, r) => f.set(p, r === 0 ? row : i64.add(locals.a[r - 1], aStride)));
        f.set(row, i64.add(locals.a[rows - 1], aStride));
        f.set(panel, b);
        clear(f, locals.sums);
        emitProducts(f, locals.a, panel, k, locals.sums, locals.work);
        storeSums(f, locals.sums, out, targetStride, pointer);
        f.set(out, i64.add(pointer, targetStride));
      });
      f.add(b, panelBytes);
      f.add(target, 32);
    });
  });
}

/**
 * (a, rowTable, runTable, runs, k, b, panelBytes, panels, target, targetStride, groups): row r starts at a + rowTable[r] and is `runs`
 * pieces of k floats, piece i at + runTable[i]. Tables hold i64 byte offsets.
 */
const GATHERED_PARAMS = ["i64", "i64", "i64", "i32", "i32", "i64", "i64", "i32", "i64", "i64", "i32"] as const;

function emitGathered(m: ModuleBuilder, rows: number): FunctionReference {
  return m.func(
    GATHERED_PARAMS,
    (f, a, rowTable, runTable, runs, k, b, panelBytes, panels, target, targetStride, groups) => {
      const locals = productLocals(f, rows);
      const [row, run, panel, out, base] = Array.from({ length: 5 }, () => f.local("i64"));
      f.countdown(panels, () => {
        f.set(row, rowTable);
        f.set(out, target);
        f.countdown(groups, () => {
          f.set(panel, b);
          f.set(run, runTable);
          clear(f, locals.sums);
          f.countdown(runs, () => {
            f.set(base, i64.add(a, i64.load(run)));
            f.add(run, 8);
            locals.a.forEach((p, r) => f.set(p, i64.add(base, i64.load(row, 8 * r))));
            emitProducts(f, locals.a, panel, k, locals.sums, locals.work);
          });
          storeSums(f, locals.sums, out, targetStride, base);
          f.set(out, i64.add(base, targetStride));
          f.add(row, 8 * rows);
        });
        f.add(b, panelBytes);
        f.add(target, 32);
      });
    },
  );
}

/** Calls the function for `rows` of 1..6 that the rows divide into most evenly: `each(function index, groups, first row)`. */
export function emitSplit(
  f: FunctionBuilder,
  rows: Local<"i32">,
  each: (size: number, groups: Local<"i32">, first: Local<"i32">) => void,
): void {
  f.if(i32.leS(rows, 0), () => f.return());
  const chunks = f.local("i32", i32.divU(i32.add(rows, MAXIMUM_ROWS - 1), MAXIMUM_ROWS));
  const small = f.local("i32", i32.divU(rows, chunks));
  const larger = f.local("i32", i32.remU(rows, chunks));
  const smaller = f.local("i32", i32.sub(chunks, larger));
  const first = f.local("i32", 0);
  for (let size = MAXIMUM_ROWS; size >= 1; size--) {
    f.if(i32.and(i32.eq(small, size - 1), i32.gtS(larger, 0)), () => {
      each(size, larger, first);
      f.set(first, i32.mul(larger, size));
    });
    f.if(i32.eq(small, size), () => each(size, smaller, first));
  }
}

export interface GemmFunctions {
  /** (a, aStride, k, b, panelBytes, panels, target, targetStride, rows) */
  readonly plain: FunctionReference;
  /** (a, rowTable, runTable, runs, k, b, panelBytes, panels, target, targetStride, rows) */
  readonly gathered: FunctionReference;
}

export function gemmFunctions(m: ModuleBuilder): GemmFunctions {
  return m.once("conv.gemm", () => {
    const sizes = Array.from({ length: MAXIMUM_ROWS }, (_, i) => i + 1);
    const plain = sizes.map((rows) => emitPlain(m, rows));
    const gathered = sizes.map((rows) => emitGathered(m, rows));
    const times = (stride: Local<"i64">, count: Local<"i32">) => i64.mul(stride, i64.extendS(count));
    return {
      plain: m.func(PLAIN_PARAMS, (f, a, aStride, k, b, panelBytes, panels, target, targetStride, rows) => {
        emitSplit(f, rows, (size, groups, first) => {
          const [from, to] = [i64.add(a, times(aStride, first)), i64.add(target, times(targetStride, first))];
          f.call(plain[size - 1], from, aStride, k, b, panelBytes, panels, to, targetStride, groups);
        });
      }),
      gathered: m.func(
        GATHERED_PARAMS,
        (f, a, rowTable, runTable, runs, k, b, panelBytes, panels, target, targetStride, rows) => {
          emitSplit(f, rows, (size, groups, first) => {
            const table = i64.add(rowTable, i64.shl(i64.extendS(first), 3));
            const to = i64.add(target, times(targetStride, first));
            f.call(gathered[size - 1], a, table, runTable, runs, k, b, panelBytes, panels, to, targetStride, groups);
          });
        },
      ),
    };
  });
}
