/** Weights in the transform domain. */
import { productOf } from "../arithmetic.ts";
import type { Matrix, SchemeTriple } from "./scheme.ts";

/** target[a][i][b] = sum over k of matrix[i][k] source[a][k][b]. */
function transformAxis(
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

/**
 * Hands on the transformed weights U of every pair of channels, [z][y][x], computed in f64 from torch's (out, in, z, y, x). The array is
 * used again for the next pair.
 */
export function eachTransformed(
  schemes: SchemeTriple,
  [inputs, outputs]: readonly [number, number],
  weight: Float32Array,
  put: (input: number, output: number, transformed: Float64Array) => void,
): void {
  const [gz, gy, gx] = schemes.map((s) => s.weight);
  const [tz, ty, tx] = schemes.map((s) => s.taps);
  const taps = tz * ty * tx;
  const count = productOf([gz.length, gy.length, gx.length]);
  const [a, b, c] = [new Float64Array(taps), new Float64Array(count), new Float64Array(count)];
  for (let output = 0; output < outputs; output++) {
    for (let input = 0; input < inputs; input++) {
      const start = (output * inputs + input) * taps;
      for (let t = 0; t < taps; t++) a[t] = weight[start + t];
      transformAxis(gz, a, b, 1, ty * tx);
      transformAxis(gy, b, c, gz.length, tx);
      transformAxis(gx, c, b, gz.length * gy.length, 1);
      put(input, output, b);
    }
  }
}
