/**
 * Random numbers by counter: a stream is named by five numbers and nothing else, so what is drawn for a sample of an iteration of an
 * epoch does not depend on what was drawn before, on threads, or on a run having been resumed in between.
 * Source: Philox4x32-10 of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).
 */

/** Names a stream. All are whole and not negative. */
export interface StreamKey {
  /** Of the run; up to 2^53 - 1. */
  readonly seed: number;
  readonly epoch: number;
  readonly iteration: number;
  /** Place in the batch. */
  readonly sample: number;
  /** What is drawn: 0..255. */
  readonly purpose: number;
}

/** A stream of random numbers; drawing moves it on. */
export interface RandomStream {
  /** The next 32 bits, 0..2^32-1. */
  uint32(): number;
  /** Uniform in [low, high), with 53 bits. */
  uniform(low: number, high: number): number;
  /** Uniform among 0..count-1; `count` is 1..2^32. */
  below(count: number): number;
  /** True with probability `p`. */
  chance(p: number): boolean;
}

/** The stream of this name, from its start. It has 2^26 words. */
export function createRandomStream(key: StreamKey): RandomStream {
  const counter = new Uint32Array([key.purpose << 24, key.sample, key.iteration, key.epoch]);
  const seed = new Uint32Array([key.seed, key.seed / 2 ** 32]);
  const words = new Uint32Array(4);
  let at = 4;

  const uint32 = (): number => {
    if (at === 4) {
      philox(counter, seed, words);
      counter[0]++;
      at = 0;
    }
    return words[at++];
  };
  const unit = (): number => {
    const high = uint32() >>> 5;
    return (high * 2 ** 26 + (uint32() >>> 6)) / 2 ** 53;
  };
  return {
    uint32,
    uniform: (low, high) => low + (high - low) * unit(),
    below: (count) => Math.floor(unit() * count),
    chance: (p) => unit() < p,
  };
}

/** Philox4x32 with 10 rounds: four words from a counter of four and a key of two. */
export function philox(counter: Uint32Array, key: Uint32Array, words: Uint32Array): void {
  let a = counter[0];
  let b = counter[1];
  let c = counter[2];
  let d = counter[3];
  let left = key[0];
  let right = key[1];
  for (let round = 0; round < 10; round++) {
    const highA = multiplyHigh(0xd2511f53, a);
    const lowA = Math.imul(0xd2511f53, a);
    const highC = multiplyHigh(0xcd9e8d57, c);
    const lowC = Math.imul(0xcd9e8d57, c);
    a = (highC ^ b ^ left) >>> 0;
    b = lowC >>> 0;
    c = (highA ^ d ^ right) >>> 0;
    d = lowA >>> 0;
    left = (left + 0x9e3779b9) >>> 0;
    right = (right + 0xbb67ae85) >>> 0;
  }
  words[0] = a;
  words[1] = b;
  words[2] = c;
  words[3] = d;
}

/** The upper 32 bits of the product of two numbers of 32 bits, by halves; every sum stays below 2^32. */
function multiplyHigh(a: number, b: number): number {
  const aHigh = a >>> 16;
  const aLow = a & 0xffff;
  const bHigh = b >>> 16;
  const bLow = b & 0xffff;
  const middle = (Math.imul(aHigh, bLow) >>> 0) + (Math.imul(aLow, bLow) >>> 16);
  const carried = (Math.imul(aLow, bHigh) >>> 0) + (middle & 0xffff);
  return (Math.imul(aHigh, bHigh) + (middle >>> 16) + (carried >>> 16)) >>> 0;
}
