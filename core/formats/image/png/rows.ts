/**
 * The rows of a picture out of its unpacked data: row filters undone, interlaced passes spread, each pixel straight into the planes of
 * the caller's array as pillow gives it. Source: PNG specification, third edition, sections 8 (interlacing) and 9 (filtering).
 */
import { PngDamage, type PngHeader } from "./chunks.ts";

/** Where the picture goes: planes of width x height, one a channel, from `offset` on. */
export interface PictureTarget {
  readonly data: Float32Array;
  readonly offset: number;
  readonly channels: number;
}

/** The pixels of one pass: first column and row in the picture, the steps, and how many. A picture that is not interlaced is one pass. */
interface Pass {
  readonly x0: number;
  readonly y0: number;
  readonly dx: number;
  readonly dy: number;
  readonly columns: number;
  readonly rows: number;
  /** Without the filter byte before each row. */
  readonly rowBytes: number;
}

const ADAM7 = [
  [0, 0, 8, 8],
  [4, 0, 8, 8],
  [0, 4, 4, 8],
  [2, 0, 4, 4],
  [0, 2, 2, 4],
  [1, 0, 2, 2],
  [0, 1, 1, 2],
] as const;

function passesOf({ width, height, depth, samples, interlaced }: PngHeader): Pass[] {
  const grids = interlaced ? ADAM7 : [[0, 0, 1, 1]] as const;
  return grids.map(([x0, y0, dx, dy]) => {
    const columns = Math.ceil((width - x0) / dx);
    return {
      x0,
      y0,
      dx,
      dy,
      columns,
      rows: Math.ceil((height - y0) / dy),
      rowBytes: Math.ceil(columns * samples * depth / 8),
    };
  }).filter(({ columns, rows }) => columns > 0 && rows > 0);
}

/** Bytes of a picture's data, unpacked. */
export function unpackedBytes(header: PngHeader): number {
  return passesOf(header).reduce((sum, { rows, rowBytes }) => sum + rows * (rowBytes + 1), 0);
}

export interface RowReader {
  /** Takes further unpacked bytes; gives how many of them are behind the last row. */
  take(piece: Uint8Array): number;
  /** True once all rows are there. */
  isDone(): boolean;
}

/**
 * Reads rows into `target` as their bytes come.
 * @param palette Gives the colours (768 bytes) of a picture that has a palette; asked for with the first row
 */
export function readRows(header: PngHeader, target: PictureTarget, palette: () => Uint8Array): RowReader {
  const passes = passesOf(header);
  const pixelBytes = Math.max(1, header.samples * header.depth / 8);
  let pass = 0;
  let y = 0;
  let filled = 0;
  let row = new Uint8Array(passes[0].rowBytes + 1);
  let above = new Uint8Array(passes[0].rowBytes + 1);
  const finishRow = () => {
    const { rows } = passes[pass];
    undoFilter(row, above, pixelBytes);
    putRow(row, passes[pass], y, header, target, palette);
    [row, above] = [above, row];
    filled = 0;
    if (++y < rows) return;
    y = 0;
    if (++pass === passes.length) return;
    row = new Uint8Array(passes[pass].rowBytes + 1);
    above = new Uint8Array(passes[pass].rowBytes + 1);
  };
  return {
    take(piece) {
      let at = 0;
      while (at < piece.length && pass < passes.length) {
        const part = piece.subarray(at, at + row.length - filled);
        row.set(part, filled);
        at += part.length;
        filled += part.length;
        if (filled === row.length) finishRow();
      }
      return piece.length - at;
    },
    isDone: () => pass === passes.length,
  };
}

/** Undoes the filter of a row in place. Byte 0 is the filter's number; the byte to the left is one pixel away. */
function undoFilter(row: Uint8Array, above: Uint8Array, pixelBytes: number): void {
  const { length } = row;
  const first = Math.min(length, 1 + pixelBytes);
  switch (row[0]) {
    case 0:
      return;
    case 1:
      for (let i = first; i < length; i++) row[i] += row[i - pixelBytes];
      return;
    case 2:
      for (let i = 1; i < length; i++) row[i] += above[i];
      return;
    case 3:
      for (let i = 1; i < first; i++) row[i] += above[i] >> 1;
      for (let i = first; i < length; i++) row[i] += (row[i - pixelBytes] + above[i]) >> 1;
      return;
    case 4:
      for (let i = 1; i < first; i++) row[i] += above[i];
      for (let i = first; i < length; i++) {
        const [left, up, corner] = [row[i - pixelBytes], above[i], above[i - pixelBytes]];
        const [a, b] = [Math.abs(up - corner), Math.abs(left - corner)];
        const c = Math.abs(left + up - 2 * corner);
        row[i] += a <= b && a <= c ? left : b <= c ? up : corner;
      }
      return;
    default:
      throw new PngDamage(`unknown row filter ${row[0]}`);
  }
}

/** Puts the pixels of row `y` of a pass in their places. Byte 0 of `row` is no sample. */
function putRow(
  row: Uint8Array,
  { x0, y0, dx, dy, columns }: Pass,
  y: number,
  { width, height, depth, samples, colours }: PngHeader,
  { data, offset, channels }: PictureTarget,
  palette: () => Uint8Array,
): void {
  const start = offset + (y0 + y * dy) * width + x0;
  const plane = width * height;
  const table = colours === "palette" ? palette() : undefined;
  if (depth < 8) {
    const mask = (1 << depth) - 1;
    // pillow spreads 2 and 4 bits over 0..255, and leaves 1 bit as it is.
    const factor = depth === 1 ? 1 : 255 / mask;
    for (let x = 0; x < columns; x++) {
      const bit = x * depth;
      const sample = (row[1 + (bit >> 3)] >> (8 - depth - (bit & 7))) & mask;
      if (!table) data[start + x * dx] = sample * factor;
      else for (let c = 0; c < 3; c++) data[start + c * plane + x * dx] = table[3 * sample + c];
    }
    return;
  }
  const pixelBytes = samples * depth / 8;
  for (let c = 0; c < channels; c++) {
    const to = start + c * plane;
    if (table) { for (let x = 0; x < columns; x++) data[to + x * dx] = table[3 * row[1 + x] + c]; }
    else if (depth === 16 && channels === 1) {
      for (let x = 0; x < columns; x++) data[to + x * dx] = (row[1 + 2 * x] << 8) | row[2 + 2 * x];
    } else {
      // Colours have 8 bits in pillow: of 16 only the high byte is kept. Grey with alpha becomes RGBA.
      const sample = samples === 2 ? (c === 3 ? 1 : 0) : c;
      const first = 1 + sample * depth / 8;
      for (let x = 0; x < columns; x++) data[to + x * dx] = row[first + x * pixelBytes];
    }
  }
}
