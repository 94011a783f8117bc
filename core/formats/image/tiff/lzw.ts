/** LZW as TIFF has it: codes of 9 to 12 bits, the highest bit first, one code earlier than GIF. Source: TIFF 6.0, section 13. */
import { TiffDamage } from "./problem.ts";

const CLEAR = 256;
const END = 257;
const FIRST_FREE = 258;
const MOST_CODES = 4096;

/** Bytes that are given at a time; more than the longest string. */
const OUT_BYTES = 1 << 16;

/** A code packs at most so many bytes: strings grow by one with each code. */
export const LZW_RATIO = MOST_CODES;

/** What the pieces of packed bytes unpack to; each piece given is only valid until the next is asked for. */
export async function* unpackLzw(packed: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, void> {
  const prefix = new Uint16Array(MOST_CODES);
  const last = new Uint8Array(MOST_CODES);
  const first = new Uint8Array(MOST_CODES);
  const lengths = new Uint16Array(MOST_CODES);
  for (let code = 0; code < 256; code++) {
    last[code] = first[code] = code;
    lengths[code] = 1;
  }
  const out = new Uint8Array(OUT_BYTES);
  let filled = 0;
  let free = FIRST_FREE;
  let width = 9;
  let before = CLEAR;
  let held = 0;
  let bits = 0;
  for await (const piece of packed) {
    for (let at = 0; at < piece.length;) {
      while (bits < width && at < piece.length) {
        held = (held << 8 | piece[at++]) & 0xffffff;
        bits += 8;
      }
      if (bits < width) break;
      bits -= width;
      let code = (held >>> bits) & ((1 << width) - 1);
      if (code === END) {
        if (filled > 0) yield out.subarray(0, filled);
        return;
      }
      if (code === CLEAR) {
        free = FIRST_FREE;
        width = 9;
        before = CLEAR;
        continue;
      }
      if (before === CLEAR ? code > 255 : code > free) {
        throw new TiffDamage("LZW data with a code that stands for nothing");
      }
      if (before !== CLEAR && free < MOST_CODES) {
        prefix[free] = before;
        first[free] = first[before];
        last[free] = first[code === free ? before : code];
        lengths[free] = lengths[before] + 1;
        free++;
        if (free + 1 >= 1 << width && width < 12) width++;
      } else if (code >= free) throw new TiffDamage("LZW data with a code that stands for nothing");
      const length = lengths[code];
      if (filled + length > OUT_BYTES) {
        yield out.subarray(0, filled);
        filled = 0;
      }
      filled += length;
      before = code;
      for (let i = filled - 1; i >= filled - length; i--) {
        out[i] = last[code];
        code = prefix[code];
      }
    }
  }
  if (filled > 0) yield out.subarray(0, filled);
}
