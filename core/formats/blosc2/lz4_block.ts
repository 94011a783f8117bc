/**
 * The LZ4 block format: sequences of a token, literals, and a match that repeats 4 or more bytes of what came before.
 * Source: lz4_Block_format.md of lz4.
 */

/** Bytes above which a match or a run of literals is copied by the runtime, not in a loop. */
const LONG = 32;

/**
 * Unpacks one block, which has to fill `into` exactly.
 * @returns false if it is no such block
 */
export function unpackLz4(from: Uint8Array, into: Uint8Array): boolean {
  const end = from.length;
  const full = into.length;
  let at = 0;
  let to = 0;
  while (at < end) {
    const token = from[at++];
    let literals = token >>> 4;
    if (literals === 15) {
      let more = 255;
      while (more === 255) {
        if (at >= end) return false;
        more = from[at++];
        literals += more;
      }
    }
    if (literals > end - at || literals > full - to) return false;
    if (literals > LONG) {
      into.set(from.subarray(at, at + literals), to);
      at += literals;
      to += literals;
    } else {
      for (const stop = at + literals; at < stop;) into[to++] = from[at++];
    }
    // The last sequence is literals alone.
    if (at === end) return to === full;

    if (end - at < 2) return false;
    const distance = from[at] | (from[at + 1] << 8);
    at += 2;
    let length = (token & 15) + 4;
    if (length === 19) {
      let more = 255;
      while (more === 255) {
        if (at >= end) return false;
        more = from[at++];
        length += more;
      }
    }
    if (distance === 0 || distance > to || length > full - to) return false;
    repeat(into, to, distance, length);
    to += length;
  }
  return false;
}

/** Copies `length` bytes from `distance` before `to`; what is copied may be part of what is written. */
export function repeat(into: Uint8Array, to: number, distance: number, length: number): void {
  const from = to - distance;
  if (length <= LONG) {
    for (let i = 0; i < length; i++) into[to + i] = into[from + i];
  } else if (distance === 1) {
    into.fill(into[from], to, to + length);
  } else {
    // Each round doubles what there is to copy from.
    let copied = Math.min(distance, length);
    into.copyWithin(to, from, from + copied);
    while (copied < length) {
      const more = Math.min(copied, length - copied);
      // From `to` on, a multiple of the distance away only while `copied` is one.
      into.copyWithin(to + copied, to, to + more);
      copied += more;
    }
  }
}
