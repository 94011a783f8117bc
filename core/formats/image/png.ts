/**
 * PNG pictures as plain samples, through fast-png: all bit depths, palettes, interlaced or not. Checksums are required to be right;
 * fast-png's own messages are turned into the user's terms.
 */
import { decode, type DecodedPng, encode } from "fast-png";
import { UserError } from "../../base/errors.ts";
import { type PngImage, unpackBits } from "./png_samples.ts";
import { decodePackedInterlaced, isPackedInterlaced } from "./png_adam7.ts";

/** Decodes a PNG file's bytes. Throws a {@link UserError} that names `file` if they are damaged or no PNG. */
export function decodePng(bytes: Uint8Array, file: string, doing = "reading the image"): PngImage {
  const signature = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
  if (!signature.every((value, i) => bytes[i] === value)) {
    const problem = bytes.length === 0 ? "the file is empty" : "it is not a PNG file: the signature is not there";
    throw new UserError({ doing, file, problem, remedy: "convert the image to PNG, or copy the file again" });
  }
  try {
    if (isPackedInterlaced(bytes)) return decodePackedInterlaced(bytes);
    const png = decode(bytes, { checkCrc: true });
    return { ...png, samples: unpack(png) };
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    const cut = error instanceof RangeError || /decompress|bounds|end/i.test(detail);
    const problem = cut ? "the PNG file is cut short or damaged" : `the PNG file is damaged (${detail})`;
    throw new UserError({ doing, file, problem, remedy: "copy or export the picture again" }, { cause: error });
  }
}

/** One element per sample; fast-png leaves samples of less than 8 bits packed, rows starting at whole bytes. */
function unpack(png: DecodedPng): Uint8Array | Uint16Array {
  const { width, height, depth } = png;
  if (depth >= 8) return png.data instanceof Uint16Array ? png.data : Uint8Array.from(png.data);
  return unpackBits(Uint8Array.from(png.data), width, height, depth);
}

/** An 8-bit grey PNG (not interlaced), as upstream writes label maps. */
export function encodeGreyPng(width: number, height: number, grey: Uint8Array): Uint8Array {
  return encode({ width, height, data: grey, channels: 1, depth: 8 });
}

/** A 16-bit grey PNG (not interlaced), for label maps beyond 255. */
export function encodeGrey16Png(width: number, height: number, grey: Uint16Array): Uint8Array {
  return encode({ width, height, data: grey, channels: 1, depth: 16 });
}

/** An 8-bit RGB PNG; `rgb` has width x height x 3 bytes, rows from the top. */
export function encodeRgbPng(width: number, height: number, rgb: Uint8Array): Uint8Array {
  return encode({ width, height, data: rgb, channels: 3, depth: 8 });
}
