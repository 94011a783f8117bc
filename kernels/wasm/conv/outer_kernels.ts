/**
 * Sums of outer products, the heart of every weight gradient: up to six rows times a panel of eight columns, sums kept in twelve vectors
 * and added to what is there. The order of each sum is that of the steps alone.
 */
import { f32x4, i32, i64, v128 } from "../emit/expression.ts";
import type { FunctionReference, ModuleBuilder } from "../emit/module_builder.ts";
import { emitSplit, MAXIMUM_ROWS, PANEL } from "./gemm_kernels.ts";

/** Bytes of a row of a panel, and of an entry of a table of runs. */
export const ROW_BYTES = PANEL * 4;
export const RUN_BYTES = 16;

/**
 * (a, aStep, b, bStep, steps, table, runs, target, panelBytes, panels, rows): target[panel][row][8] += the sum over all runs and steps of
 * a[row] * b[panel][8]. Rows are neighbours at `a`, panels at `b`; a step moves both on; run i begins at a + table[i][0] and
 * b + table[i][1], i64 byte offsets.
 */
const OUTER_PARAMS = ["i64", "i64", "i64", "i64", "i32", "i64", "i32", "i64", "i64", "i32", "i32"] as const;

/** Takes groups of `size` rows in place of rows. */
function emitOuter(m: ModuleBuilder, size: number): FunctionReference {
  return m.func(OUTER_PARAMS, (f, a, aStep, b, bStep, steps, table, runs, target, panelBytes, panels, groups) => {
    const sums = Array.from({ length: size }, () => [f.local("v128"), f.local("v128")] as const);
    const [left, right, value] = f.locals("v128", 3);
    const [row, to, run, rowAt, panelAt] = Array.from({ length: 5 }, () => f.local("i64"));
    const step = () => {
      f.set(left, v128.load(panelAt));
      f.set(right, v128.load(panelAt, 16));
      sums.forEach(([s0, s1], r) => {
        f.set(value, v128.load32Splat(rowAt, r * 4));
        f.set(s0, f32x4.madd(value, left, s0));
        f.set(s1, f32x4.madd(value, right, s1));
      });
      f.add(rowAt, aStep);
      f.add(panelAt, bStep);
    };
    f.countdown(panels, () => {
      f.set(row, a);
      f.set(to, target);
      f.countdown(groups, () => {
        sums.forEach(([s0, s1], r) => {
          f.set(s0, v128.load(to, r * ROW_BYTES));
          f.set(s1, v128.load(to, r * ROW_BYTES + 16));
        });
        f.set(run, table);
        f.countdown(runs, () => {
          f.set(rowAt, i64.add(row, i64.load(run)));
          f.set(panelAt, i64.add(b, i64.load(run, 8)));
          f.countdown(i32.shrU(steps, 2), () => {
            for (let i = 0; i < 4; i++) step();
          });
          f.countdown(i32.and(steps, 3), step);
          f.add(run, RUN_BYTES);
        });
        sums.forEach(([s0, s1], r) => {
          f.storeV128(to, s0, r * ROW_BYTES);
          f.storeV128(to, s1, r * ROW_BYTES + 16);
        });
        f.add(row, size * 4);
        f.add(to, size * ROW_BYTES);
      });
      f.add(b, ROW_BYTES);
      f.set(target, i64.add(target, panelBytes));
    });
  });
}

export function outerProduct(m: ModuleBuilder): FunctionReference {
  return m.once("conv.outer", () => {
    const sizes = Array.from({ length: MAXIMUM_ROWS }, (_, i) => emitOuter(m, i + 1));
    return m.func(
      OUTER_PARAMS,
      (f, a, aStep, b, bStep, steps, table, runs, target, panelBytes, panels, rows) => {
        emitSplit(f, rows, (size, groups, first) => {
          const from = i64.add(a, i64.shl(i64.extendS(first), 2));
          const to = i64.add(target, i64.mul(i64.extendS(first), ROW_BYTES));
          f.call(sizes[size - 1], from, aStep, b, bStep, steps, table, runs, to, panelBytes, panels, groups);
        });
      },
    );
  });
}
