/** From torch's weights to those of kernels, on the host. */
import type { WeightPacker } from "../operator.ts";
import { type Matrix, type SchemeTriple, weightCount } from "./scheme.ts";

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

/** Where kernels have their weights. */
export interface PackedPlaces {
  /** Of the first tap or transformed weight of a pair of channels, and how far the next ones are. */
  readonly placeOf: (input: number, output: number) => number;
  readonly step: number;
  /** Of the bias. */
  readonly biasAt: number;
}

/** Puts torch's taps, (out, in, z, y, x) or transposed (in, out, z, y, x), where kernels read them, and zeros everywhere else. */
export function tapPacker(
  [inputs, outputs]: readonly [number, number],
  taps: number,
  transposed: boolean,
  { placeOf, step, biasAt }: PackedPlaces,
): WeightPacker["pack"] {
  return (weight, bias, out) => {
    out.fill(0);
    for (let o = 0; o < outputs; o++) {
      for (let i = 0; i < inputs; i++) {
        const from = (transposed ? i * outputs + o : o * inputs + i) * taps;
        const to = placeOf(i, o);
        for (let t = 0; t < taps; t++) out[to + t * step] = weight[from + t];
      }
    }
    if (bias) out.set(bias, biasAt);
  };
}

/** The same with transformed weights [z][y][x] of torch's (out, in, z, y, x), computed in f64. */
export function transformPacker(
  [inputs, outputs]: readonly [number, number],
  schemes: SchemeTriple,
  { placeOf, step, biasAt }: PackedPlaces,
): WeightPacker["pack"] {
  const [gz, gy, gx] = schemes.map((s) => s.weight);
  const [tz, ty, tx] = schemes.map((s) => s.taps);
  const [taps, count] = [tz * ty * tx, weightCount(schemes)];
  return (weight, bias, out) => {
    const [a, b, c] = [new Float64Array(taps), new Float64Array(count), new Float64Array(count)];
    out.fill(0);
    for (let o = 0; o < outputs; o++) {
      for (let i = 0; i < inputs; i++) {
        const start = (o * inputs + i) * taps;
        for (let t = 0; t < taps; t++) a[t] = weight[start + t];
        transformAxis(gz, a, b, 1, ty * tx);
        transformAxis(gy, b, c, gz.length, tx);
        transformAxis(gx, c, b, gz.length * gy.length, 1);
        const to = placeOf(i, o);
        for (let u = 0; u < count; u++) out[to + u * step] = b[u];
      }
    }
    if (bias) out.set(bias, biasAt);
  };
}
