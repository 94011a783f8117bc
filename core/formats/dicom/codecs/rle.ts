/** DICOM's run-length encoding (PS3.5, annex G): one segment for each byte of a pixel, that of the high bytes first. */

/**
 * Unpacks a frame of one sample a pixel into little-endian pixels of `bytesPerPixel` bytes.
 * @throws Error saying what is wrong with the frame
 */
export function decodeRle(frame: Uint8Array, pixels: number, bytesPerPixel: number): Uint8Array {
  if (frame.length < 64) throw new Error("its RLE header is cut short");
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
  const segments = view.getUint32(0, true);
  if (segments !== bytesPerPixel) {
    throw new Error(`it has ${segments} RLE segments, and its pixels ${bytesPerPixel} bytes`);
  }
  const unpacked = new Uint8Array(pixels * bytesPerPixel);
  for (let segment = 0; segment < segments; segment++) {
    const start = view.getUint32(4 + 4 * segment, true);
    const end = segment + 1 < segments ? view.getUint32(8 + 4 * segment, true) : frame.length;
    if (!(start >= 64 && start <= end && end <= frame.length)) throw new Error("an RLE segment lies outside the frame");
    const byte = bytesPerPixel - 1 - segment;
    const got = unpackSegment(frame.subarray(start, end), unpacked, byte, bytesPerPixel);
    if (got < pixels) throw new Error(`an RLE segment ends after ${got} of ${pixels} pixels`);
  }
  return unpacked;
}

/** PackBits; gives how many bytes there were, at most as many as there is room for. */
function unpackSegment(packed: Uint8Array, into: Uint8Array, first: number, step: number): number {
  let at = first;
  for (let i = 0; i < packed.length && at < into.length;) {
    const control = packed[i++];
    if (control < 128) {
      const end = Math.min(i + control + 1, packed.length);
      for (; i < end && at < into.length; at += step) into[at] = packed[i++];
    } else if (control > 128 && i < packed.length) {
      const value = packed[i++];
      for (let count = 257 - control; count > 0 && at < into.length; count--, at += step) into[at] = value;
    }
  }
  return Math.floor((at - first) / step);
}
