/**
 * Interlaced (Adam7) PNGs of less than 8 bits a sample, which fast-png does not decode. Only grey and palette pictures can be so.
 * Source: PNG specification, third edition, sections 8 (interlacing) and 9 (filtering).
 */
import zlib from "node:zlib";
import { type PngImage, unpackBits } from "./png_samples.ts";

/** The seven passes: first column and row, and the steps. */
const PASSES = [
  [0, 0, 8, 8],
  [4, 0, 8, 8],
  [0, 4, 4, 8],
  [2, 0, 4, 4],
  [0, 2, 2, 4],
  [1, 0, 2, 2],
  [0, 1, 1, 2],
] as const;

/** True if the IHDR chunk says: interlaced, and 1, 2 or 4 bits. */
export function isPackedInterlaced(bytes: Uint8Array): boolean {
  return bytes.length > 28 && bytes[24] < 8 && bytes[28] === 1;
}

/** Decodes such a picture; throws an Error if it is damaged. */
export function decodePackedInterlaced(bytes: Uint8Array): PngImage {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [width, height, depth] = [view.getUint32(16), view.getUint32(20), bytes[24]];
  if (depth !== 1 && depth !== 2 && depth !== 4) throw new Error(`a depth of ${depth} bits`);
  const { data, palette } = chunksOf(bytes, view);
  const raw = new Uint8Array(zlib.inflateSync(data));
  const samples = new Uint8Array(width * height);
  let at = 0;
  for (const [x0, y0, dx, dy] of PASSES) {
    const [columns, rows] = [Math.ceil((width - x0) / dx), Math.ceil((height - y0) / dy)];
    if (columns <= 0 || rows <= 0) continue;
    const rowBytes = Math.ceil(columns * depth / 8);
    if (at + rows * (rowBytes + 1) > raw.length) throw new RangeError("the picture data end too early");
    const packed = unfilter(raw.subarray(at, at + rows * (rowBytes + 1)), rows, rowBytes);
    at += rows * (rowBytes + 1);
    const pass = unpackBits(packed, columns, rows, depth);
    for (let y = 0; y < rows; y++) {
      for (let x = 0; x < columns; x++) samples[(y0 + y * dy) * width + x0 + x * dx] = pass[y * columns + x];
    }
  }
  return { width, height, channels: 1, depth, samples, palette };
}

function chunksOf(bytes: Uint8Array, view: DataView): { data: Uint8Array; palette?: number[][] } {
  const parts: Uint8Array[] = [];
  let palette: number[][] | undefined;
  for (let at = 8;;) {
    const length = view.getUint32(at);
    const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    const body = bytes.subarray(at + 8, at + 8 + length);
    if (zlib.crc32(bytes.subarray(at + 4, at + 8 + length)) !== view.getUint32(at + 8 + length)) {
      throw new Error(`CRC mismatch for chunk ${type}`);
    }
    if (type === "IDAT") parts.push(body);
    if (type === "PLTE") {
      palette = Array.from({ length: length / 3 }, (_, i) => [...body.subarray(3 * i, 3 * i + 3)]);
    }
    if (type === "IEND") break;
    at += 12 + length;
  }
  const data = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let filled = 0;
  for (const part of parts) {
    data.set(part, filled);
    filled += part.length;
  }
  return { data, palette };
}

/** Undoes the row filters of one pass (a filter byte before each row); the byte to the left is one pixel group away. */
function unfilter(raw: Uint8Array, rows: number, rowBytes: number): Uint8Array {
  const out = new Uint8Array(rows * rowBytes);
  for (let y = 0; y < rows; y++) {
    const filter = raw[y * (rowBytes + 1)];
    for (let x = 0; x < rowBytes; x++) {
      const left = x > 0 ? out[y * rowBytes + x - 1] : 0;
      const up = y > 0 ? out[(y - 1) * rowBytes + x] : 0;
      const corner = x > 0 && y > 0 ? out[(y - 1) * rowBytes + x - 1] : 0;
      out[y * rowBytes + x] = raw[y * (rowBytes + 1) + 1 + x] + predict(filter, left, up, corner);
    }
  }
  return out;
}

function predict(filter: number, left: number, up: number, corner: number): number {
  switch (filter) {
    case 0:
      return 0;
    case 1:
      return left;
    case 2:
      return up;
    case 3:
      return (left + up) >> 1;
    case 4: {
      const estimate = left + up - corner;
      const [a, b, c] = [Math.abs(estimate - left), Math.abs(estimate - up), Math.abs(estimate - corner)];
      return a <= b && a <= c ? left : b <= c ? up : corner;
    }
    default:
      throw new Error(`unknown row filter ${filter}`);
  }
}
