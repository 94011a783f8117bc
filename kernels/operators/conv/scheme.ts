/**
 * One axis of a convolution as a bilinear algorithm: points = BT * inputs, products with U = G * taps, outputs = AT * products.
 * Winograd / Cook-Toom F(m, 3) for stride 1; for stride 2 the taps are split: even samples F(m, 2) with taps 0 and 2, odd samples
 * one tap, whose points are the samples themselves and share one U. A kernel-1 axis is the identity.
 * (Lavin and Gray, "Fast algorithms for convolutional neural networks", CVPR 2016; points after spikes on f32 error.)
 */
import { productOf } from "../arithmetic.ts";

/** A dense matrix by rows. */
export type Matrix = readonly (readonly number[])[];

export function transposed(matrix: Matrix): Matrix {
  return matrix[0].map((_, k) => matrix.map((row) => row[k]));
}

export interface AxisScheme {
  readonly id: number;
  readonly name: string;
  /** Taps and stride of the axis it computes. */
  readonly taps: number;
  readonly stride: number;
  /** Outputs a tile. */
  readonly outputs: number;
  /** Inputs a tile, and from one tile to the next. */
  readonly inputs: number;
  readonly step: number;
  readonly points: number;
  /** points x inputs. */
  readonly input: Matrix;
  /** transformed weights x taps. */
  readonly weight: Matrix;
  /** outputs x points. */
  readonly output: Matrix;
  /** Which transformed weight a point is multiplied with. */
  readonly weightOfPoint: readonly number[];
}

/** The schemes of z, y and x. */
export type SchemeTriple = readonly [AxisScheme, AxisScheme, AxisScheme];

/** Transformed weights of a pair of channels. */
export const weightCount = (schemes: SchemeTriple) => productOf(schemes.map((s) => s.weight.length));

/** F(m, r) with the finite points `points` (m + r - 2 of them) and infinity: monic input rows, weights carry the divisors. */
function cookToom(m: number, r: number, points: readonly number[]) {
  const n = m + r - 1;
  if (points.length !== n - 1) throw new RangeError(`F(${m}, ${r}) takes ${n - 1} finite points, not ${points.length}`);
  const product = (roots: readonly number[]) =>
    roots.reduce<number[]>((poly, root) => {
      const next = [0, ...poly];
      poly.forEach((c, i) => next[i] -= root * c);
      return next;
    }, [1]);
  const input = points.map((_, i) => [...product(points.filter((_, j) => j !== i)), 0]);
  input.push(product(points));
  const weight = points.map((a, i) => {
    const divisor = points.reduce((d, b, j) => j === i ? d : d * (a - b), 1);
    return Array.from({ length: r }, (_, j) => a ** j / divisor);
  });
  weight.push(Array.from({ length: r }, (_, j) => j === r - 1 ? 1 : 0));
  const output = Array.from({ length: m }, (_, i) => [...points.map((a) => a ** i), i === m - 1 ? 1 : 0]);
  return { input, weight, output };
}

function stride1(id: number, m: number, points: readonly number[]): AxisScheme {
  const n = m + 2;
  const weightOfPoint = Array.from({ length: n }, (_, i) => i);
  const sizes = { taps: 3, stride: 1, outputs: m, inputs: n, step: m, points: n };
  return { id, name: `${m}`, ...sizes, ...cookToom(m, 3, points), weightOfPoint };
}

/** Inputs 0..2m: evens through F(m, 2), odds as they are. */
function stride2(id: number, m: number, points: readonly number[]): AxisScheme {
  const even = cookToom(m, 2, points);
  const n = 2 * m + 1;
  const row = (fill: (k: number) => number) => Array.from({ length: n }, (_, k) => fill(k));
  const input = [
    ...even.input.map((coefficients) => row((k) => k % 2 === 0 ? coefficients[k / 2] : 0)),
    ...Array.from({ length: m }, (_, i) => row((k) => k === 2 * i + 1 ? 1 : 0)),
  ];
  const weight = [...even.weight.map(([first, last]) => [first, 0, last]), [0, 1, 0]];
  const output = even.output.map((coefficients, i) => row((p) => p <= m ? coefficients[p] : p === m + 1 + i ? 1 : 0));
  const weightOfPoint = row((p) => Math.min(p, m + 1));
  const sizes = { taps: 3, stride: 2, outputs: m, inputs: n, step: 2 * m, points: n };
  return { id, name: `${m}/2`, ...sizes, input, weight, output, weightOfPoint };
}

/**
 * The data gradient of a stride-2 axis, taps flipped: 2m outputs of inputs 0..m. Output 2i is tap 1 times input i, output 2i + 1 has
 * taps 0 and 2 and goes through F(m, 2); the points of the former are the inputs themselves and share one weight.
 */
function stride2Gradient(id: number, m: number, points: readonly number[]): AxisScheme {
  const odd = cookToom(m, 2, points);
  const n = 2 * m + 1;
  const row = (length: number, fill: (k: number) => number) => Array.from({ length }, (_, k) => fill(k));
  const input = [...odd.input, ...Array.from({ length: m }, (_, i) => row(m + 1, (k) => k === i ? 1 : 0))];
  const weight = [...odd.weight.map(([first, last]) => [first, 0, last]), [0, 1, 0]];
  const output = odd.output.flatMap((coefficients, i) => [
    row(n, (p) => p === m + 1 + i ? 1 : 0),
    row(n, (p) => p <= m ? coefficients[p] : 0),
  ]);
  const weightOfPoint = row(n, (p) => Math.min(p, m + 1));
  const sizes = { taps: 3, stride: 2, outputs: 2 * m, inputs: m + 1, step: m, points: n };
  return { id, name: `${m}*2`, ...sizes, input, weight, output, weightOfPoint };
}

const IDENTITY: AxisScheme = {
  id: 0,
  name: "1",
  taps: 1,
  stride: 1,
  outputs: 1,
  inputs: 1,
  step: 1,
  points: 1,
  input: [[1]],
  weight: [[1]],
  output: [[1]],
  weightOfPoint: [0],
};

/** Every algorithm of a convolution's axis; `id` is its index. */
export const SCHEMES: readonly AxisScheme[] = [
  IDENTITY,
  stride1(1, 2, [0, 1, -1]),
  stride1(2, 3, [0, 3 / 4, -3 / 4, 3 / 2]),
  stride1(3, 4, [0, 11 / 16, -11 / 16, 3 / 2, -3 / 2]),
  stride2(4, 2, [0, -1]),
  stride2(5, 3, [0, 1, -1]),
  stride2(6, 4, [0, 1, -1, 1 / 2]),
];

/** Algorithms of a data gradient's axis where it is not a convolution's; `id` counts on. */
export const GRADIENT_SCHEMES: readonly AxisScheme[] = [
  stride2Gradient(7, 2, [0, -1]),
  stride2Gradient(8, 3, [0, 1, -1]),
  stride2Gradient(9, 4, [0, 1, -1, 1 / 2]),
];

/** The schemes of an axis's data gradient, taps flipped. */
export function gradientSchemesFor(taps: number, stride: number): readonly AxisScheme[] {
  return stride === 1 ? schemesFor(taps, 1) : GRADIENT_SCHEMES.filter((s) => s.taps === taps && s.stride === stride);
}

/** The schemes that compute an axis of this kernel size and stride; none: only the direct form does. */
export function schemesFor(taps: number, stride: number): readonly AxisScheme[] {
  return SCHEMES.filter((s) => s.taps === taps && (s.stride === stride));
}
