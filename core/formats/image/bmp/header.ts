/**
 * The header and colour table of a BMP file as pillow reads them. Source: BmpImagePlugin.py of pillow 13; Microsoft's BITMAPINFOHEADER,
 * BITMAPV4HEADER and BITMAPV5HEADER.
 *
 * No library reads the pictures: fast-bmp and bmp-ts make one array of the file and another of the pixels, and give RGBA of all.
 */
import type { ByteSource } from "../../archive/gzip.ts";
import { ImageDamage } from "../damage.ts";

/** Damage of a BMP file; the message says what. */
export class BmpDamage extends ImageDamage {
  override readonly name = "BmpDamage";
}

/** A kind of BMP that is not read; the message says which. */
export class BmpRefusal extends Error {
  override readonly name = "BmpRefusal";
}

/** What a pixel is in the array. */
export type BmpPixels =
  /** One bit, 0 or 1. */
  | { readonly kind: "bits" }
  /** The stored value. */
  | { readonly kind: "grey" }
  /** Blue, green, red and one more for each value. */
  | { readonly kind: "palette"; readonly table: Uint8Array }
  /** 16 bits: red, green and blue of 5, 6 or 5, and 5. */
  | { readonly kind: "packed"; readonly greenBits: 5 | 6 }
  /** Where in the pixel's bytes red, green, blue, and alpha where it has it, are. */
  | { readonly kind: "bytes"; readonly places: readonly number[] };

export interface BmpHeader {
  readonly width: number;
  readonly height: number;
  /** True: the first stored row is the top one. */
  readonly topDown: boolean;
  readonly bits: 1 | 4 | 8 | 16 | 24 | 32;
  /** How the values are packed. */
  readonly packing: "none" | "runs of 8 bits" | "runs of 4 bits";
  readonly pixels: BmpPixels;
  /** Place of the first pixel in the file, and bytes between it and what was read. */
  readonly start: number;
  readonly skip: number;
}

const FILE_HEADER_BYTES = 14;
const HEADER_BYTES = [12, 40, 52, 56, 64, 108, 124];

/** Masks of 32 bits (red, green, blue, alpha) that pillow takes, with the places of their bytes. */
const MASKS: readonly (readonly [masks: readonly number[], places: readonly number[]])[] = [
  [[0xff0000, 0xff00, 0xff, 0], [2, 1, 0]],
  [[0xff000000, 0xff0000, 0xff00, 0], [3, 2, 1]],
  [[0xff000000, 0xff00, 0xff, 0], [3, 1, 0]],
  [[0xff000000, 0xff0000, 0xff00, 0xff], [3, 2, 1, 0]],
  [[0xff, 0xff00, 0xff0000, 0xff000000], [0, 1, 2, 3]],
  [[0xff0000, 0xff00, 0xff, 0xff000000], [2, 1, 0, 3]],
  [[0xff000000, 0xff00, 0xff, 0xff0000], [3, 1, 0, 2]],
  [[0, 0, 0, 0], [2, 1, 0, 3]],
];

/** Reads header and colour table. @throws BmpDamage, BmpRefusal */
export async function readBmpHeader(source: ByteSource): Promise<BmpHeader> {
  const start = await bytes(source, FILE_HEADER_BYTES + 4);
  if (start[0] !== 0x42 || start[1] !== 0x4d) throw new BmpRefusal("it is not a BMP file: the signature is not there");
  const offset = viewOf(start).getUint32(10, true);
  const headerBytes = viewOf(start).getUint32(14, true);
  if (!HEADER_BYTES.includes(headerBytes)) throw new BmpDamage(`its header has ${headerBytes} bytes`);
  const rest = viewOf(await bytes(source, headerBytes - 4));
  const old = headerBytes === 12;
  const height = old ? rest.getUint16(2, true) : rest.getUint32(4, true);
  const topDown = !old && rest.getUint8(7) === 0xff;
  const size = {
    width: old ? rest.getUint16(0, true) : rest.getUint32(0, true),
    height: topDown ? 2 ** 32 - height : height,
  };
  if (size.width === 0 || size.height === 0) throw new BmpDamage(`it is ${size.width} x ${size.height} pixels large`);
  const bits = bitsOf(rest.getUint16(old ? 6 : 10, true));
  const compression = old ? 0 : rest.getUint32(12, true);
  let read = FILE_HEADER_BYTES + headerBytes;
  const masks = compression === 3 ? await readMasks(source, rest) : null;
  if (masks && headerBytes === 40) read += 12;
  const colours = (old ? 0 : rest.getUint32(28, true)) || 2 ** bits;
  const entryBytes = old ? 3 : 4;
  let table: Uint8Array | null = null;
  if (bits <= 8) {
    if (colours > 65536) throw new BmpDamage(`a colour table of ${colours.toLocaleString("en-US")} colours`);
    // A table may have fewer colours than it says, where the pixels begin.
    const room = offset > read ? offset - read : Infinity;
    table = await bytes(source, Math.min(entryBytes * colours, room));
    read += table.length;
  }
  // Some files give the place of the colour table as that of the pixels.
  const first = offset === FILE_HEADER_BYTES + headerBytes && table ? offset + table.length : offset || read;
  if (first < read) throw new BmpDamage("its pixels begin within its header");
  const packing = packingOf(compression, bits);
  return {
    ...size,
    topDown,
    bits,
    packing,
    pixels: table ? tablePixels(table, colours, entryBytes, bits, packing !== "none") : directPixels(bits, masks),
    start: first,
    skip: first - read,
  };
}

function bitsOf(bits: number): BmpHeader["bits"] {
  if (bits === 1 || bits === 4 || bits === 8 || bits === 16 || bits === 24 || bits === 32) return bits;
  throw new BmpDamage(`${bits} bits a pixel`);
}

/** Red, green, blue and alpha; those of the oldest header lie behind it and have no alpha. */
async function readMasks(source: ByteSource, header: DataView): Promise<readonly number[]> {
  if (header.byteLength < 48) {
    const behind = viewOf(await bytes(source, 12));
    return [0, 4, 8].map((at) => behind.getUint32(at, true)).concat(0);
  }
  return [36, 40, 44, 48].map((at) => at + 4 <= header.byteLength ? header.getUint32(at, true) : 0);
}

function packingOf(compression: number, bits: number): BmpHeader["packing"] {
  if (compression === 0 || (compression === 3 && bits >= 16)) return "none";
  if (compression === 1 && bits === 8) return "runs of 8 bits";
  if (compression === 2 && bits === 4) return "runs of 4 bits";
  const names = ["", "runs of 8 bits", "runs of 4 bits", "bit fields", "JPEG", "PNG"];
  const name = names[compression] ?? `method ${compression}`;
  throw new BmpRefusal(`its pixels of ${bits} bits are packed by ${name}, which is not read`);
}

/** A table that counts up is none: the values are grey. */
function tablePixels(
  table: Uint8Array,
  colours: number,
  entryBytes: number,
  bits: number,
  isPacked: boolean,
): BmpPixels {
  const isGrey = (value: number, i: number) => [0, 1, 2].every((k) => table[entryBytes * i + k] === value);
  const grey = colours === 2
    ? isGrey(0, 0) && isGrey(255, 1)
    : colours <= 256 && Array.from({ length: colours }, (_, i) => isGrey(i, i)).every(Boolean);
  if (grey && colours <= 2 && bits === 1) return { kind: "bits" };
  if (grey && (bits === 8 || isPacked) && colours > 2) return { kind: "grey" };
  if (grey) {
    throw new BmpRefusal(
      `it has ${bits} bits a pixel and a grey colour table of ${colours} colours, which Python misreads`,
    );
  }
  const four = new Uint8Array(4 * 2 ** bits);
  for (let i = 0; i < Math.min(colours, 2 ** bits); i++) {
    four.set(table.subarray(entryBytes * i, entryBytes * i + 3), 4 * i);
  }
  return { kind: "palette", table: four };
}

function directPixels(bits: number, masks: readonly number[] | null): BmpPixels {
  const refusal = () => new BmpRefusal("its colours lie in the pixels' bits in a way that is not read");
  const same = (a: readonly number[]) => masks?.slice(0, a.length).every((mask, i) => mask === a[i]);
  if (bits === 16) {
    if (!masks || same([0x7c00, 0x3e0, 0x1f])) return { kind: "packed", greenBits: 5 };
    if (same([0xf800, 0x7e0, 0x1f])) return { kind: "packed", greenBits: 6 };
    throw refusal();
  }
  if (!masks) return { kind: "bytes", places: [2, 1, 0] };
  if (bits === 24 && same([0xff0000, 0xff00, 0xff])) return { kind: "bytes", places: [2, 1, 0] };
  const found = bits === 32 ? MASKS.find(([one]) => same(one)) : undefined;
  if (!found) throw refusal();
  return { kind: "bytes", places: found[1] };
}

async function bytes(source: ByteSource, length: number): Promise<Uint8Array> {
  const into = new Uint8Array(length);
  if (await source.read(into) < length) throw new BmpDamage("it ends within its header", "cut short");
  return into;
}

function viewOf({ buffer, byteOffset, byteLength }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, byteLength);
}
