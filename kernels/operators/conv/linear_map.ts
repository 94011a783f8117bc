/** How y = A x of a small constant matrix is computed: two rows that are equal but for signs share their work. */
import type { Matrix } from "./scheme.ts";

/** What a row is made of, in the order in which rows are computed. */
export type MappedRow =
  | { readonly row: number; readonly coefficients: readonly number[] }
  /** Rows `row` and `partner` are the sum and the difference of what both have alike and what they have with opposite signs. */
  | {
    readonly row: number;
    readonly partner: number;
    readonly even: readonly number[];
    readonly odd: readonly number[];
  };

/** True if both are equal but for signs. */
export const sameMagnitudes = (a: readonly number[], b: readonly number[]) =>
  a.every((x, k) => Math.abs(x) === Math.abs(b[k])) && a.some((x, k) => x !== b[k]);

/** F(4, 3)'s points +-a give such pairs. */
export function mappedRows(matrix: Matrix): MappedRow[] {
  const terms = (row: readonly number[]) => row.filter((x) => x !== 0).length;
  const done = new Set<number>();
  return matrix.flatMap((coefficients, row): MappedRow[] => {
    if (done.has(row)) return [];
    const partner = matrix.findIndex((other, j) => j > row && !done.has(j) && sameMagnitudes(coefficients, other));
    if (partner < 0) return [{ row, coefficients }];
    const even = coefficients.map((x, k) => x === matrix[partner][k] ? x : 0);
    const odd = coefficients.map((x, k) => x === matrix[partner][k] ? 0 : x);
    if (terms(even) === 0 || terms(odd) === 0 || terms(even) + terms(odd) < 3) return [{ row, coefficients }];
    done.add(partner);
    return [{ row, partner, even, odd }];
  });
}
