/** Rows of values that are packed as runs (RLE8, RLE4). Source: BmpRleDecoder of pillow 13, whose ways with odd data these are. */
import { type ByteSource, PIECE_BYTES } from "../../archive/gzip.ts";
import { BmpDamage, type BmpHeader } from "./header.ts";

/**
 * Gives each row, one value a byte, in the order of the file.
 * @throws BmpDamage if the data end before the rows do
 */
export async function unpackRuns(
  source: ByteSource,
  { width, height, packing, start }: BmpHeader,
  take: (row: number, values: Uint8Array) => void,
): Promise<void> {
  const half = packing === "runs of 4 bits";
  const total = width * height;
  const row = new Uint8Array(width);
  let done = 0;
  const put = (value: number) => {
    row[done % width] = value;
    if (++done % width === 0) take(done / width - 1, row);
  };
  const zeros = (count: number) => {
    for (let i = 0; i < count; i++) put(0);
  };
  const bytes = pieceOfBytes(source, start);
  // Where in its row pillow thinks that the next value is; runs end with the row.
  let x = 0;
  while (done < total) {
    await bytes.fill();
    const count = bytes.next();
    const byte = bytes.next();
    if (count < 0 || byte < 0) break;
    if (count > 0) {
      const kept = Math.min(count, Math.max(0, width - x), total - done);
      for (let i = 0; i < kept; i++) put(!half ? byte : i % 2 === 0 ? byte >> 4 : byte & 15);
      x += Math.min(count, Math.max(0, width - x));
    } else if (byte === 0) {
      zeros((width - done % width) % width);
      x = 0;
    } else if (byte === 1) break;
    else if (byte === 2) {
      const [right, up] = [bytes.next(), bytes.next()];
      if (up < 0) break;
      zeros(Math.min(total - done, right + up * width));
      x = done % width;
    } else {
      const values = Math.min(total - done, byte);
      const stored = half ? Math.ceil(values / 2) : values;
      for (let i = 0; i < stored; i++) {
        const value = bytes.next();
        if (value < 0) throw new BmpDamage("it ends within its pixels", "cut short");
        if (!half) put(value);
        else {
          put(value >> 4);
          if (2 * i + 1 < values) put(value & 15);
        }
      }
      x += byte;
      if (bytes.isAtOddPlace()) bytes.next();
    }
  }
  if (done < total) throw new BmpDamage("it ends before its pixels do", "cut short");
}

interface PieceOfBytes {
  /** Reads on, so that a whole code and what it stands for are there, if the file has them. */
  fill(): Promise<void>;
  /** The next byte, -1 behind the last. */
  next(): number;
  isAtOddPlace(): boolean;
}

/** More than two bytes and the 255 that may follow, and one. */
const LONGEST_CODE = 260;

function pieceOfBytes(source: ByteSource, start: number): PieceOfBytes {
  const buffer = new Uint8Array(PIECE_BYTES);
  let at = 0;
  let filled = 0;
  let place = start;
  let ended = false;
  return {
    async fill() {
      if (ended || filled - at >= LONGEST_CODE) return;
      buffer.copyWithin(0, at, filled);
      filled -= at;
      at = 0;
      filled += await source.read(buffer.subarray(filled));
      ended = filled < buffer.length;
    },
    next() {
      if (at === filled) return -1;
      place++;
      return buffer[at++];
    },
    isAtOddPlace: () => place % 2 === 1,
  };
}
