/** 3x3 matrices, rotations and quaternions, in the arithmetic of nifti_clib (float32 results of float64 formulas) and in float64. */

/** Three rows of three. */
export type Matrix3 = readonly (readonly [number, number, number])[];

const f = Math.fround;

function build(cell: (row: number, column: number) => number): [number, number, number][] {
  return [0, 1, 2].map((row) => [cell(row, 0), cell(row, 1), cell(row, 2)]);
}

/** Determinant. */
export function determinant(m: Matrix3): number {
  return m[0][0] * m[1][1] * m[2][2] - m[0][0] * m[2][1] * m[1][2] - m[1][0] * m[0][1] * m[2][2] +
    m[1][0] * m[2][1] * m[0][2] + m[2][0] * m[0][1] * m[1][2] - m[2][0] * m[1][1] * m[0][2];
}

/** Inverse; of a singular matrix all zeros, as nifti_clib's. */
export function inverse(m: Matrix3): [number, number, number][] {
  const whole = determinant(m);
  const factor = whole === 0 ? 0 : 1 / whole;
  const cofactor = (row: number, column: number) => {
    const [a, b] = [(row + 1) % 3, (row + 2) % 3];
    const [c, d] = [(column + 1) % 3, (column + 2) % 3];
    return m[a][c] * m[b][d] - m[a][d] * m[b][c];
  };
  return build((row, column) => factor * cofactor(column, row));
}

/** Lengths of the columns. */
export function columnLengths(m: Matrix3): [number, number, number] {
  const length = (j: number) => Math.sqrt(m[0][j] * m[0][j] + m[1][j] * m[1][j] + m[2][j] * m[2][j]);
  return [length(0), length(1), length(2)];
}

/** m with column j divided by divisors[j]. */
export function divideColumns(m: Matrix3, divisors: readonly number[]): [number, number, number][] {
  return build((i, j) => m[i][j] / divisors[j]);
}

/**
 * The nearest rotation (with or without reflection) of a regular matrix: the orthogonal factor of its polar decomposition, by
 * Newton's iteration (Higham, Computing the Polar Decomposition, 1986).
 */
export function nearestOrthogonal(m: Matrix3): [number, number, number][] {
  let x = build((i, j) => m[i][j]);
  for (let step = 0; step < 100; step++) {
    const y = inverse(x);
    const next = build((i, j) => 0.5 * (x[i][j] + y[j][i]));
    let change = 0;
    for (let i = 0; i < 3; i++) for (let j = 0; j < 3; j++) change += Math.abs(next[i][j] - x[i][j]);
    x = next;
    if (!(change > 1e-15)) break;
  }
  return x;
}

/** nifti_clib's nifti_mat33_polar: the same in float32, with its scaling and its stopping rule. */
export function polarFloat32(m: Matrix3): [number, number, number][] {
  let x = build((i, j) => f(m[i][j]));
  let gamma = f(determinant(x));
  while (gamma === 0) {
    gamma = f(0.00001 * (0.001 + rowNorm(x)));
    for (let i = 0; i < 3; i++) x[i][i] = f(x[i][i] + gamma);
    gamma = f(determinant(x));
  }
  let change = 1;
  for (let step = 0; step <= 100; step++) {
    const exact = inverse(x);
    const y = build((i, j) => f(exact[i][j]));
    let [grow, shrink] = [1, 1];
    if (change > 0.3) {
      const alpha = f(Math.sqrt(f(rowNorm(x) * columnNorm(x))));
      const beta = f(Math.sqrt(f(rowNorm(y) * columnNorm(y))));
      grow = f(Math.sqrt(f(beta / alpha)));
      shrink = f(1 / grow);
    }
    const z = build((i, j) => f(0.5 * f(f(grow * x[i][j]) + f(shrink * y[j][i]))));
    change = 0;
    for (let i = 0; i < 3; i++) for (let j = 0; j < 3; j++) change += Math.abs(f(z[i][j] - x[i][j]));
    change = f(change);
    x = z;
    if (change < 3e-6) break;
  }
  return x;
}

function rowNorm(m: Matrix3): number {
  return Math.max(...m.map((row) => f(Math.abs(row[0]) + Math.abs(row[1]) + Math.abs(row[2]))));
}

function columnNorm(m: Matrix3): number {
  return rowNorm(build((i, j) => m[j][i]));
}

/** nifti_clib's nifti_quatern_to_mat44 without the offset: rotation of the quaternion times voxel sizes, in float32. */
export function quaternionToMatrixFloat32(
  quaternion: readonly [number, number, number],
  size: readonly [number, number, number],
  qfac: number,
): [number, number, number][] {
  let [b, c, d] = quaternion;
  let a = 1 - (b * b + c * c + d * d);
  if (a < 1e-7) {
    const scale = 1 / Math.sqrt(b * b + c * c + d * d);
    [b, c, d] = [b * scale, c * scale, d * scale];
    a = 0;
  } else {
    a = Math.sqrt(a);
  }
  const [x, y, positiveZ] = size.map((value) => value > 0 ? value : 1);
  const z = qfac < 0 ? -positiveZ : positiveZ;
  return [
    [f((a * a + b * b - c * c - d * d) * x), f(2 * (b * c - a * d) * y), f(2 * (b * d + a * c) * z)],
    [f(2 * (b * c + a * d) * x), f((a * a + c * c - b * b - d * d) * y), f(2 * (c * d - a * b) * z)],
    [f(2 * (b * d - a * c) * x), f(2 * (c * d + a * b) * y), f((a * a + d * d - c * c - b * b) * z)],
  ];
}

/** Rotation matrix of a quaternion (w, x, y, z) of any length: nibabel's quat2mat. */
export function quaternionToMatrix(q: readonly [number, number, number, number]): [number, number, number][] {
  const [w, x, y, z] = q;
  const squared = w * w + x * x + y * y + z * z;
  if (squared < Number.EPSILON) return [[1, 0, 0], [0, 1, 0], [0, 0, 1]];
  const s = 2 / squared;
  const [X, Y, Z] = [x * s, y * s, z * s];
  return [
    [1 - (y * Y + z * Z), x * Y - w * Z, x * Z + w * Y],
    [x * Y + w * Z, 1 - (x * X + z * Z), y * Z - w * X],
    [x * Z - w * Y, y * Z + w * X, 1 - (x * X + y * Y)],
  ];
}

/**
 * The quaternion (b, c, d) of a proper rotation, with a >= 0: nifti_clib's nifti_mat44_to_quatern. Where a is 0 the sign of the
 * rest is arbitrary: positive here for the largest.
 */
export function matrixToQuaternion(r: Matrix3): [number, number, number] {
  const trace = r[0][0] + r[1][1] + r[2][2] + 1;
  if (trace > 0.5) {
    const a = 0.5 * Math.sqrt(trace);
    return [0.25 * (r[2][1] - r[1][2]) / a, 0.25 * (r[0][2] - r[2][0]) / a, 0.25 * (r[1][0] - r[0][1]) / a];
  }
  const x = 1 + r[0][0] - (r[1][1] + r[2][2]);
  const y = 1 + r[1][1] - (r[0][0] + r[2][2]);
  const z = 1 + r[2][2] - (r[0][0] + r[1][1]);
  // The largest component first, then the others from it; [a, b, c, d].
  const [a, b, c, d] = x > 1
    ? largestB(r, 0.5 * Math.sqrt(x))
    : y > 1
    ? largestC(r, 0.5 * Math.sqrt(y))
    : largestD(r, 0.5 * Math.sqrt(z));
  return a < 0 ? [-b, -c, -d] : [b, c, d];
}

type Quaternion = [number, number, number, number];

function largestB(r: Matrix3, b: number): Quaternion {
  return [0.25 * (r[2][1] - r[1][2]) / b, b, 0.25 * (r[0][1] + r[1][0]) / b, 0.25 * (r[0][2] + r[2][0]) / b];
}

function largestC(r: Matrix3, c: number): Quaternion {
  return [0.25 * (r[0][2] - r[2][0]) / c, 0.25 * (r[0][1] + r[1][0]) / c, c, 0.25 * (r[1][2] + r[2][1]) / c];
}

function largestD(r: Matrix3, d: number): Quaternion {
  return [0.25 * (r[1][0] - r[0][1]) / d, 0.25 * (r[0][2] + r[2][0]) / d, 0.25 * (r[1][2] + r[2][1]) / d, d];
}
