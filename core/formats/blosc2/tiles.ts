/** An n-dimensional array in tiles: which of them a box meets, and copying what both have in common. */

/** A value is copied as its bits, whatever they mean. */
type Bits = Int8Array | Int16Array | Int32Array;

export function asIntegers({ buffer, byteOffset, byteLength }: ArrayBufferView, elementBytes: number): Bits {
  if (elementBytes === 4) return new Int32Array(buffer, byteOffset, byteLength / 4);
  return elementBytes === 2
    ? new Int16Array(buffer, byteOffset, byteLength / 2)
    : new Int8Array(buffer, byteOffset, byteLength);
}

/** Visits the tiles of `tile` elements that the box from `low` to before `high` meets, by their counts from 0, in C order. */
export function forEachTile(
  low: readonly number[],
  high: readonly number[],
  tile: readonly number[],
  visit: (at: readonly number[]) => void,
): void {
  const first = low.map((one, axis) => Math.floor(one / tile[axis]));
  const last = high.map((one, axis) => Math.floor((one - 1) / tile[axis]));
  const at = [...first];
  for (let axis = 0; axis >= 0;) {
    visit(at);
    for (axis = at.length - 1; axis >= 0 && ++at[axis] > last[axis]; axis--) at[axis] = first[axis];
  }
}

export function indexOf(at: readonly number[], counts: readonly number[]): number {
  return at.reduce((index, one, axis) => index * counts[axis] + one, 0);
}

/** Copies what the block at `blockOrigin` and the box have in common, from `low` to before `end`. */
export function copyBlock(
  values: Bits,
  block: readonly number[],
  blockOrigin: readonly number[],
  end: readonly number[],
  low: readonly number[],
  into: Bits,
  origin: readonly number[],
  size: readonly number[],
): void {
  const first = blockOrigin.map((at, axis) => Math.max(at, low[axis]));
  const x = block.length - 1;
  const length = end[x] - first[x];
  // Rows of the last axis but one are copied in a loop of their own: they are many and short.
  const rows = x === 0 ? 1 : end[x - 1] - first[x - 1];
  const planeEnd = end.map((one, axis) => (axis < x - 1 ? one : first[axis] + 1));
  forEachTile(first, planeEnd, block.map(() => 1), (at) => {
    let from = 0;
    let to = 0;
    for (let axis = 0; axis <= x; axis++) {
      from = from * block[axis] + at[axis] - blockOrigin[axis];
      to = to * size[axis] + at[axis] - origin[axis];
    }
    copyRows(values, from, block[x], into, to, size[x], rows, length);
  });
}

/** Longer rows are copied by the runtime. */
const SHORT_ROW = 24;

function copyRows(
  values: Bits,
  from: number,
  fromStride: number,
  into: Bits,
  to: number,
  toStride: number,
  rows: number,
  length: number,
): void {
  for (let row = 0; row < rows; row++, from += fromStride, to += toStride) {
    if (length > SHORT_ROW) into.set(values.subarray(from, from + length), to);
    else for (let i = 0; i < length; i++) into[to + i] = values[from + i];
  }
}
