/** BloscLZ, blosc's own codec, of the family of FastLZ. Source: blosclz_decompress in blosc/blosclz.c of c-blosc2. */
import { repeat } from "./lz4_block.ts";

/** Distances beyond this are stored in two bytes more. */
const MAX_DISTANCE = 8191;

/**
 * Unpacks one stream, which has to fill `into` exactly.
 * @returns false if it is no such stream
 */
export function unpackBlosclz(from: Uint8Array, into: Uint8Array): boolean {
  const end = from.length;
  const full = into.length;
  if (end === 0) return false;
  let at = 1;
  let to = 0;
  let control = from[0] & 31;
  for (;;) {
    if (control < 32) {
      const literals = control + 1;
      if (literals > full - to || literals > end - at) return false;
      for (const stop = at + literals; at < stop;) into[to++] = from[at++];
    } else {
      let length = (control >>> 5) + 2;
      const high = (control & 31) << 8;
      if (length === 9) {
        let more = 255;
        while (more === 255) {
          if (at + 1 >= end) return false;
          more = from[at++];
          length += more;
        }
      } else if (at + 1 >= end) return false;
      const low = from[at++];
      let distance = high + low + 1;
      if (low === 255 && high === 31 << 8) {
        if (at + 1 >= end) return false;
        distance = ((from[at] << 8) | from[at + 1]) + MAX_DISTANCE + 1;
        at += 2;
      }
      if (length > full - to || distance > to) return false;
      // A match ends no stream, but the codec's own reader leaves here before it copies the last one.
      if (at >= end) return false;
      repeat(into, to, distance, length);
      to += length;
    }
    if (at >= end) return to === full;
    control = from[at++];
  }
}
