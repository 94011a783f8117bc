/** Lossless JPEG (processes 14 and 14 SV1), by jpeg-lossless-decoder-js. */
import { Decoder } from "jpeg-lossless-decoder-js";

/** @returns The pixels, of 1 or 2 bytes. @throws Error if the stream is damaged */
export function decodeLosslessJpeg(stream: Uint8Array): Uint8Array {
  const decoder = new Decoder();
  // The decoder reads on in words, which need a buffer of their own.
  const decoded = decoder.decode(stream.slice().buffer, 0, stream.length);
  return new Uint8Array(decoded.buffer, decoded.byteOffset, decoded.byteLength);
}
