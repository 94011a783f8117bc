/** PNG pictures out of samples, through fast-png. */
import { encode } from "fast-png";

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

/** An 8-bit RGB PNG with an alpha of 255, as matplotlib writes pictures; `rgba` has width x height x 4 bytes, rows from the top. */
export function encodeRgbaPng(width: number, height: number, rgba: Uint8Array): Uint8Array {
  return encode({ width, height, data: rgba, channels: 4, depth: 8 });
}
