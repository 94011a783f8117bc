/**
 * Left singular vectors and singular values of a 3x3 matrix in float32, by the very steps of LINPACK's SSVDC (Dongarra et al.,
 * LINPACK Users' Guide, 1979, chapter 11; Golub-Kahan bidiagonalisation and implicit QR). ITK compares a qform with an sform through
 * these vectors, whose signs and order depend on the steps and not only on the matrix, so another SVD would choose another form.
 */

const f = Math.fround;

/** `u[row][column]`, and the singular values in descending order. */
export interface LeftSingular {
  readonly u: number[][];
  readonly values: number[];
}

/** Decomposes `matrix` (three rows of three float32 numbers). */
export function leftSingularVectors(matrix: readonly (readonly number[])[]): LeftSingular {
  const x = matrix.map((row) => row.map(f));
  const u = [[0, 0, 0], [0, 0, 0], [0, 0, 0]];
  const s = [0, 0, 0];
  const e = [0, 0, 0];
  bidiagonalise(x, s, e, u);
  generateLeft(s, u);
  diagonalise(s, e, u);
  return { u, values: s };
}

/** Householder steps from left and right; the left ones stay in `u`. */
function bidiagonalise(x: number[][], s: number[], e: number[], u: number[][]): void {
  for (let l = 0; l < 2; l++) {
    s[l] = norm([0, 1, 2].slice(l).map((i) => x[i][l]));
    if (s[l] !== 0) {
      if (x[l][l] !== 0) s[l] = withSign(s[l], x[l][l]);
      const scale = f(1 / s[l]);
      for (let i = l; i < 3; i++) x[i][l] = f(scale * x[i][l]);
      x[l][l] = f(1 + x[l][l]);
    }
    s[l] = -s[l];
    for (let j = l + 1; j < 3; j++) {
      if (s[l] !== 0) reflect(x, l, x, j);
      e[j] = x[l][j];
    }
    for (let i = l; i < 3; i++) u[i][l] = x[i][l];
    if (l === 0) reflectRows(x, e);
  }
  s[2] = x[2][2];
  e[1] = x[1][2];
  e[2] = 0;
}

/** The one row transformation of a 3x3 matrix, from its first row. */
function reflectRows(x: number[][], e: number[]): void {
  e[0] = norm([e[1], e[2]]);
  if (e[0] !== 0) {
    if (e[1] !== 0) e[0] = withSign(e[0], e[1]);
    const scale = f(1 / e[0]);
    e[1] = f(scale * e[1]);
    e[2] = f(scale * e[2]);
    e[1] = f(1 + e[1]);
  }
  e[0] = -e[0];
  if (e[0] === 0) return;
  const work = [0, 0, 0];
  for (let j = 1; j < 3; j++) {
    for (let i = 1; i < 3; i++) work[i] = f(work[i] + f(e[j] * x[i][j]));
  }
  for (let j = 1; j < 3; j++) {
    const t = f(-e[j] / e[1]);
    for (let i = 1; i < 3; i++) x[i][j] = f(x[i][j] + f(t * work[i]));
  }
}

/** Column `j` of `target` reflected by the Householder vector in column `l` of `vectors`. */
function reflect(vectors: number[][], l: number, target: number[][], j: number): void {
  let dot = 0;
  for (let i = l; i < 3; i++) dot = f(dot + f(vectors[i][l] * target[i][j]));
  const t = f(-dot / vectors[l][l]);
  for (let i = l; i < 3; i++) target[i][j] = f(target[i][j] + f(t * vectors[i][l]));
}

function generateLeft(s: number[], u: number[][]): void {
  for (let i = 0; i < 3; i++) u[i][2] = i === 2 ? 1 : 0;
  for (let l = 1; l >= 0; l--) {
    if (s[l] === 0) {
      for (let i = 0; i < 3; i++) u[i][l] = i === l ? 1 : 0;
      continue;
    }
    for (let j = l + 1; j < 3; j++) reflect(u, l, u, j);
    for (let i = l; i < 3; i++) u[i][l] = -u[i][l];
    u[l][l] = f(1 + u[l][l]);
    for (let i = 0; i < l; i++) u[i][l] = 0;
  }
}

/** Implicit QR on the bidiagonal matrix until its super-diagonal is negligible, then the order is made descending. */
function diagonalise(s: number[], e: number[], u: number[][]): void {
  let m = 3;
  for (let iterations = 0; m > 0 && iterations < 1000;) {
    // Indices are LINPACK's, from 1, with the array accesses shifted.
    let l = m - 1;
    for (; l > 0; l--) {
      const test = f(Math.abs(s[l - 1]) + Math.abs(s[l]));
      if (f(test + Math.abs(e[l - 1])) === test) {
        e[l - 1] = 0;
        break;
      }
    }
    if (l === m - 1) {
      converge(s, u, l);
      iterations = 0;
      m--;
      continue;
    }
    let ls = m;
    for (; ls > l; ls--) {
      let test = 0;
      if (ls !== m) test = f(test + Math.abs(e[ls - 1]));
      if (ls !== l + 1) test = f(test + Math.abs(e[ls - 2]));
      if (f(test + Math.abs(s[ls - 1])) === test) {
        s[ls - 1] = 0;
        break;
      }
    }
    if (ls === l) {
      qrStep(s, e, u, l + 1, m);
      iterations++;
    } else if (ls === m) {
      deflate(s, e, l + 1, m);
    } else {
      split(s, e, u, ls + 1, m);
    }
  }
}

function deflate(s: number[], e: number[], l: number, m: number): void {
  let g = e[m - 2];
  e[m - 2] = 0;
  for (let k = m - 1; k >= l; k--) {
    const { r, cos, sin } = givens(s[k - 1], g);
    s[k - 1] = r;
    if (k !== l) {
      g = f(-sin * e[k - 2]);
      e[k - 2] = f(cos * e[k - 2]);
    }
  }
}

function split(s: number[], e: number[], u: number[][], l: number, m: number): void {
  let g = e[l - 2];
  e[l - 2] = 0;
  for (let k = l; k <= m; k++) {
    const { r, cos, sin } = givens(s[k - 1], g);
    s[k - 1] = r;
    g = f(-sin * e[k - 1]);
    e[k - 1] = f(cos * e[k - 1]);
    rotateColumns(u, k - 1, l - 2, cos, sin);
  }
}

function qrStep(s: number[], e: number[], u: number[][], l: number, m: number): void {
  const scale = Math.max(...[s[m - 1], s[m - 2], e[m - 2], s[l - 1], e[l - 1]].map(Math.abs));
  const sm = f(s[m - 1] / scale);
  const smm1 = f(s[m - 2] / scale);
  const emm1 = f(e[m - 2] / scale);
  const sl = f(s[l - 1] / scale);
  const el = f(e[l - 1] / scale);
  const b = f(f(f(f(smm1 + sm) * f(smm1 - sm)) + f(emm1 * emm1)) / 2);
  const c = f(f(sm * emm1) * f(sm * emm1));
  let shift = 0;
  if (b !== 0 || c !== 0) {
    shift = f(Math.sqrt(f(f(b * b) + c)));
    if (b < 0) shift = -shift;
    shift = f(c / f(b + shift));
  }
  let first = f(f(f(sl + sm) * f(sl - sm)) + shift);
  let g = f(sl * el);
  for (let k = l; k < m; k++) {
    const right = givens(first, g);
    if (k !== l) e[k - 2] = right.r;
    first = f(f(right.cos * s[k - 1]) + f(right.sin * e[k - 1]));
    e[k - 1] = f(f(right.cos * e[k - 1]) - f(right.sin * s[k - 1]));
    g = f(right.sin * s[k]);
    s[k] = f(right.cos * s[k]);
    const left = givens(first, g);
    s[k - 1] = left.r;
    first = f(f(left.cos * e[k - 1]) + f(left.sin * s[k]));
    s[k] = f(f(-left.sin * e[k - 1]) + f(left.cos * s[k]));
    g = f(left.sin * e[k]);
    e[k] = f(left.cos * e[k]);
    rotateColumns(u, k - 1, k, left.cos, left.sin);
  }
  e[m - 2] = first;
}

function converge(s: number[], u: number[][], l: number): void {
  if (s[l] < 0) s[l] = -s[l];
  for (let k = l; k < 2 && s[k] < s[k + 1]; k++) {
    [s[k], s[k + 1]] = [s[k + 1], s[k]];
    for (const row of u) [row[k], row[k + 1]] = [row[k + 1], row[k]];
  }
}

function rotateColumns(u: number[][], a: number, b: number, cos: number, sin: number): void {
  for (const row of u) {
    const t = f(f(cos * row[a]) + f(sin * row[b]));
    row[b] = f(f(cos * row[b]) - f(sin * row[a]));
    row[a] = t;
  }
}

/** BLAS SROTG. */
function givens(a: number, b: number): { r: number; cos: number; sin: number } {
  const scale = f(Math.abs(a) + Math.abs(b));
  if (scale === 0) return { r: 0, cos: 1, sin: 0 };
  const [p, q] = [f(a / scale), f(b / scale)];
  // The root is taken in float64, as by C's sqrt.
  const length = f(scale * Math.sqrt(f(f(p * p) + f(q * q))));
  const r = withSign(length, Math.abs(a) > Math.abs(b) ? a : b);
  return { r, cos: f(a / r), sin: f(b / r) };
}

/** BLAS SNRM2, which scales as it goes. */
function norm(values: readonly number[]): number {
  let scale = 0;
  let squares = 1;
  for (const value of values) {
    const size = Math.abs(value);
    if (size === 0) continue;
    if (scale < size) {
      const ratio = f(scale / size);
      squares = f(1 + f(squares * f(ratio * ratio)));
      scale = size;
    } else {
      const ratio = f(size / scale);
      squares = f(squares + f(ratio * ratio));
    }
  }
  return f(scale * Math.sqrt(squares));
}

function withSign(size: number, sign: number): number {
  return sign < 0 ? -Math.abs(size) : Math.abs(size);
}
