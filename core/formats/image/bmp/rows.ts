/** The rows of a BMP, bottom or top first, into the planes of the caller's array as pillow gives them. */
import { type ByteSource, PIECE_BYTES } from "../../archive/gzip.ts";
import { BmpDamage, type BmpHeader } from "./header.ts";
import { unpackRuns } from "./runs.ts";

/** Where the picture goes: planes of width x height, one a channel, from `offset` on. */
export interface PictureTarget {
  readonly data: Float32Array;
  readonly offset: number;
}

/** Channels of the array. */
export function channelsOf({ pixels }: BmpHeader): number {
  if (pixels.kind === "bits" || pixels.kind === "grey") return 1;
  return pixels.kind === "bytes" ? pixels.places.length : 3;
}

/** Bytes of a stored row, which ends at a multiple of four. */
export function storedRowBytes({ width, bits }: BmpHeader): number {
  return 4 * Math.ceil(width * bits / 32);
}

/** Bytes of all rows; what fills up the last one may be missing. */
export function leastBytes(header: BmpHeader): number {
  return (header.height - 1) * storedRowBytes(header) + Math.ceil(header.width * header.bits / 8);
}

/** Reads all rows; what follows them is left. @throws BmpDamage if the file ends before */
export async function readRows(source: ByteSource, header: BmpHeader, target: PictureTarget): Promise<void> {
  await skip(source, header.skip);
  const { width, height, topDown } = header;
  const lineOf = (row: number) => topDown ? row : height - 1 - row;
  if (header.packing !== "none") {
    await unpackRuns(source, header, (row, values) => putValues(header, values, 8, width, lineOf(row), target));
    return;
  }
  const rowBytes = storedRowBytes(header);
  const perPiece = Math.max(1, Math.floor(PIECE_BYTES / rowBytes));
  const piece = new Uint8Array(Math.min(perPiece, height) * rowBytes);
  for (let row = 0; row < height; row += perPiece) {
    const rows = piece.subarray(0, Math.min(perPiece, height - row) * rowBytes);
    const missing = rows.length - await source.read(rows);
    if (missing > (row + perPiece < height ? 0 : rowBytes - Math.ceil(width * header.bits / 8))) {
      throw new BmpDamage("it ends before its pixels do", "cut short");
    }
    for (let i = 0; i * rowBytes < rows.length; i++) {
      putRow(header, rows.subarray(i * rowBytes, (i + 1) * rowBytes), lineOf(row + i), target);
    }
  }
}

async function skip(source: ByteSource, bytes: number): Promise<void> {
  const piece = new Uint8Array(Math.min(bytes, PIECE_BYTES));
  for (let left = bytes; left > 0;) {
    const part = piece.subarray(0, Math.min(left, piece.length));
    if (await source.read(part) < part.length) throw new BmpDamage("it ends before its pixels begin", "cut short");
    left -= part.length;
  }
}

function putRow(header: BmpHeader, row: Uint8Array, y: number, target: PictureTarget): void {
  const { width, height, bits, pixels } = header;
  const { data, offset } = target;
  const [start, plane] = [offset + y * width, width * height];
  if (pixels.kind === "packed") {
    const most = (1 << pixels.greenBits) - 1;
    const red = 5 + pixels.greenBits;
    for (let x = 0; x < width; x++) {
      const pixel = row[2 * x] | row[2 * x + 1] << 8;
      data[start + x] = Math.trunc(((pixel >> red) & 31) * 255 / 31);
      data[start + plane + x] = Math.trunc(((pixel >> 5) & most) * 255 / most);
      data[start + 2 * plane + x] = Math.trunc((pixel & 31) * 255 / 31);
    }
  } else if (pixels.kind === "bytes") {
    const step = bits / 8;
    pixels.places.forEach((place, c) => {
      for (let x = 0; x < width; x++) data[start + c * plane + x] = row[x * step + place];
    });
  } else putValues(header, row, bits, width, y, target);
}

/** Puts values of `bits` bits, of which each row begins at a byte. */
function putValues(
  { height, pixels }: BmpHeader,
  row: Uint8Array,
  bits: number,
  width: number,
  y: number,
  { data, offset }: PictureTarget,
): void {
  const [start, plane] = [offset + y * width, width * height];
  const mask = (1 << bits) - 1;
  const table = pixels.kind === "palette" ? pixels.table : null;
  for (let x = 0; x < width; x++) {
    const bit = x * bits;
    const value = (row[bit >> 3] >> (8 - bits - (bit & 7))) & mask;
    if (!table) data[start + x] = value;
    else for (let c = 0; c < 3; c++) data[start + c * plane + x] = table[4 * value + 2 - c];
  }
}
