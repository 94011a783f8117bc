/**
 * The chunks of a PNG file, in order and with their checksums checked: the header, then palette and packed picture data.
 * Source: PNG specification, third edition, sections 5 and 11.
 *
 * No library reads the pictures: fast-png (which writes ours) and pngjs unpack without a limit (the first the colour profile too, the
 * second interlaced pictures), fast-png refuses interlaced pictures of 1 to 4 bits and checks no Adler-32, pngjs makes RGBA of all.
 */
import zlib from "node:zlib";
import { type ByteSource, PIECE_BYTES } from "../../archive/gzip.ts";
import { ImageDamage } from "../damage.ts";

/** Damage of a PNG file; the message says what. */
export class PngDamage extends ImageDamage {
  override readonly name = "PngDamage";
}

export interface PngHeader {
  readonly width: number;
  readonly height: number;
  /** Bits of a sample: 1, 2, 4, 8, 16. */
  readonly depth: number;
  readonly colours: "grey" | "rgb" | "palette" | "grey and alpha" | "rgba";
  /** Samples of a pixel. */
  readonly samples: number;
  readonly interlaced: boolean;
}

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

/** Kinds of pixels by the header's number, with the depths they may have. */
const COLOURS: ReadonlyMap<number, Pick<PngHeader, "colours" | "samples"> & { readonly depths: readonly number[] }> =
  new Map([
    [0, { colours: "grey", samples: 1, depths: [1, 2, 4, 8, 16] }],
    [2, { colours: "rgb", samples: 3, depths: [8, 16] }],
    [3, { colours: "palette", samples: 1, depths: [1, 2, 4, 8] }],
    [4, { colours: "grey and alpha", samples: 2, depths: [8, 16] }],
    [6, { colours: "rgba", samples: 4, depths: [8, 16] }],
  ]);

/** True if `start` has a PNG file's first eight bytes. */
export function hasPngSignature(start: Uint8Array): boolean {
  return SIGNATURE.every((value, i) => start[i] === value);
}

/** Reads the first chunk, behind the signature. @throws PngDamage */
export async function readPngHeader(source: ByteSource): Promise<PngHeader> {
  const bytes = new Uint8Array(25);
  if (await source.read(bytes) < bytes.length) throw new PngDamage("it ends within its header", "cut short");
  const view = new DataView(bytes.buffer);
  if (typeOf(bytes.subarray(4, 8)) !== "IHDR" || view.getUint32(0) !== 13) throw new PngDamage("it has no header");
  checkSum(zlib.crc32(bytes.subarray(4, 21)), view.getUint32(21), "IHDR");
  const [width, height, depth] = [view.getUint32(8), view.getUint32(12), bytes[16]];
  const [compression, filter, interlace] = bytes.subarray(18, 21);
  const kind = COLOURS.get(bytes[17]);
  if (!kind) throw new PngDamage(`unknown colour type ${bytes[17]}`);
  if (!kind.depths.includes(depth)) throw new PngDamage(`${depth} bits a sample of colour type ${bytes[17]}`);
  if (compression !== 0 || filter !== 0 || interlace > 1) {
    throw new PngDamage(`unknown methods: compression ${compression}, filter ${filter}, interlace ${interlace}`);
  }
  if (width === 0 || height === 0) throw new PngDamage(`it is ${width} x ${height} pixels large`);
  return { width, height, depth, colours: kind.colours, samples: kind.samples, interlaced: interlace === 1 };
}

/**
 * The packed picture data piece by piece, to the end of the file; a palette (red, green, blue; 768 bytes, missing ones 0) is given to
 * `onPalette` before them. @throws PngDamage
 */
export async function* pictureData(
  source: ByteSource,
  onPalette: (colours: Uint8Array) => void,
): AsyncGenerator<Uint8Array, void, void> {
  const head = new Uint8Array(8);
  const tail = new Uint8Array(4);
  for (let type = ""; type !== "IEND";) {
    if (await source.read(head) < head.length) throw new PngDamage("it ends before its last chunk", "cut short");
    type = typeOf(head.subarray(4));
    const length = new DataView(head.buffer).getUint32(0);
    if (type === "IHDR") throw new PngDamage("it has a second header (IHDR)");
    if (type === "PLTE" && (length > 768 || length % 3 !== 0)) throw new PngDamage(`a palette of ${length} bytes`);
    let crc = zlib.crc32(head.subarray(4));
    for (let left = length; left > 0;) {
      // New memory for each piece: zlib may still be reading the last one.
      const piece = new Uint8Array(Math.min(PIECE_BYTES, left));
      if (await source.read(piece) < piece.length) throw new PngDamage(`it ends within a chunk (${type})`, "cut short");
      crc = zlib.crc32(piece, crc);
      left -= piece.length;
      if (type === "IDAT") yield piece;
      if (type === "PLTE") onPalette(colourTable(piece));
    }
    if (await source.read(tail) < tail.length) throw new PngDamage(`it ends within a chunk (${type})`, "cut short");
    checkSum(crc, new DataView(tail.buffer).getUint32(0), type);
  }
}

function colourTable(colours: Uint8Array): Uint8Array {
  const table = new Uint8Array(768);
  table.set(colours);
  return table;
}

function checkSum(found: number, stored: number, type: string): void {
  if (found !== stored) throw new PngDamage(`CRC mismatch for chunk ${type}`);
}

function typeOf(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}
