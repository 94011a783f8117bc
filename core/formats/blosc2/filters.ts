/**
 * Blosc2's filters, undone: byte shuffle and bit shuffle. Truncation of precision needs no undoing.
 * Source: blosc/shuffle-generic.h and blosc/bitshuffle-generic.c of c-blosc2.
 */

/** Gathers byte k of every element from the k-th part of `from`; bytes after the last whole element stay where they are. */
export function unshuffle(from: Uint8Array, into: Uint8Array, elementBytes: number): void {
  const elements = Math.floor(from.length / elementBytes);
  const isAligned = elements % 4 === 0 && from.byteOffset % 4 === 0 && into.byteOffset % 4 === 0;
  if (elementBytes === 4 && isAligned) unshuffleWords(from, into, elements);
  else if (elementBytes === 2 && isAligned) unshuffleHalves(from, into, elements);
  else {
    for (let k = 0; k < elementBytes; k++) {
      const part = k * elements;
      for (let i = 0; i < elements; i++) into[i * elementBytes + k] = from[part + i];
    }
  }
  const rest = elements * elementBytes;
  into.set(from.subarray(rest), rest);
}

/** Four elements at a time: a word of each part, as a 4 x 4 matrix of bytes, transposed. */
function unshuffleWords(from: Uint8Array, into: Uint8Array, elements: number): void {
  const part = elements >>> 2;
  const words = new Int32Array(from.buffer, from.byteOffset, elements);
  const out = new Int32Array(into.buffer, into.byteOffset, elements);
  for (let i = 0; i < part; i++) {
    const to = 4 * i;
    const [a, b, c, d] = [words[i], words[part + i], words[2 * part + i], words[3 * part + i]];
    const lowAb = (a & 0x00ff00ff) | ((b & 0x00ff00ff) << 8);
    const highAb = ((a >>> 8) & 0x00ff00ff) | (b & 0xff00ff00);
    const lowCd = (c & 0x00ff00ff) | ((d & 0x00ff00ff) << 8);
    const highCd = ((c >>> 8) & 0x00ff00ff) | (d & 0xff00ff00);
    out[to] = (lowAb & 0xffff) | (lowCd << 16);
    out[to + 1] = (highAb & 0xffff) | (highCd << 16);
    out[to + 2] = (lowAb >>> 16) | (lowCd & 0xffff0000);
    out[to + 3] = (highAb >>> 16) | (highCd & 0xffff0000);
  }
}

/** The same of elements of two bytes. */
function unshuffleHalves(from: Uint8Array, into: Uint8Array, elements: number): void {
  const part = elements >>> 2;
  const words = new Int32Array(from.buffer, from.byteOffset, elements >>> 1);
  const out = new Int32Array(into.buffer, into.byteOffset, elements >>> 1);
  for (let i = 0; i < part; i++) {
    const to = 2 * i;
    const [a, b] = [words[i], words[part + i]];
    const even = (a & 0x00ff00ff) | ((b & 0x00ff00ff) << 8);
    const odd = ((a >>> 8) & 0x00ff00ff) | (b & 0xff00ff00);
    out[to] = (even & 0xffff) | (odd << 16);
    out[to + 1] = (even >>> 16) | (odd & 0xffff0000);
  }
}

/** The reverse of {@link unshuffle}. */
export function shuffle(from: Uint8Array, into: Uint8Array, elementBytes: number): void {
  const elements = Math.floor(from.length / elementBytes);
  for (let k = 0; k < elementBytes; k++) {
    const part = k * elements;
    for (let i = 0; i < elements; i++) into[part + i] = from[i * elementBytes + k];
  }
  const rest = elements * elementBytes;
  into.set(from.subarray(rest), rest);
}

/** Bit b of byte k of every element lies in row 8 k + b of `from`, eight elements a byte; as unshuffle, after the last eight. */
export function unshuffleBits(from: Uint8Array, into: Uint8Array, elementBytes: number): void {
  const row = Math.floor(from.length / elementBytes / 8);
  for (let k = 0; k < elementBytes; k++) {
    for (let group = 0; group < row; group++) {
      const at = 8 * k * row + group;
      // Eight bytes, as an 8 x 8 matrix of bits in two words, transposed (Hacker's Delight, 7-3, from the low end).
      let low = from[at] | (from[at + row] << 8) | (from[at + 2 * row] << 16) | (from[at + 3 * row] << 24);
      let high = from[at + 4 * row] | (from[at + 5 * row] << 8) | (from[at + 6 * row] << 16) |
        (from[at + 7 * row] << 24);
      let swap = (low ^ (low >>> 7)) & 0x00aa00aa;
      low ^= swap ^ (swap << 7);
      swap = (high ^ (high >>> 7)) & 0x00aa00aa;
      high ^= swap ^ (swap << 7);
      swap = (low ^ (low >>> 14)) & 0x0000cccc;
      low ^= swap ^ (swap << 14);
      swap = (high ^ (high >>> 14)) & 0x0000cccc;
      high ^= swap ^ (swap << 14);
      const first = (low & 0x0f0f0f0f) | ((high << 4) & 0xf0f0f0f0);
      const second = ((low >>> 4) & 0x0f0f0f0f) | (high & 0xf0f0f0f0);
      const to = 8 * group * elementBytes + k;
      for (let i = 0; i < 4; i++) {
        into[to + i * elementBytes] = first >>> (8 * i);
        into[to + (4 + i) * elementBytes] = second >>> (8 * i);
      }
    }
  }
  const rest = 8 * row * elementBytes;
  into.set(from.subarray(rest), rest);
}
