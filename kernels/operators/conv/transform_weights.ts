/** Weights in the transform domain. */
import type { Matrix } from "./scheme.ts";

/** target[a][i][b] = sum over k of matrix[i][k] source[a][k][b]. */
export function transformAxis(
  matrix: Matrix,
  source: Float64Array,
  target: Float64Array,
  outer: number,
  inner: number,
): void {
  const taps = matrix[0].length;
  for (let a = 0; a < outer; a++) {
    matrix.forEach((row, i) => {
      for (let b = 0; b < inner; b++) {
        let total = 0;
        for (let k = 0; k < taps; k++) total += row[k] * source[(a * taps + k) * inner + b];
        target[(a * matrix.length + i) * inner + b] = total;
      }
    });
  }
}
