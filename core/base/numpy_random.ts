/**
 * numpy's legacy random numbers: RandomState, an MT19937 seeded with one integer, and what nnU-Net draws from it. Streams are those of
 * numpy's frozen legacy interface, so sampled intensities and voxels are the same as in Python.
 * Sources: numpy/random/src/mt19937/mt19937.c, distributions.c (masked rejection), mtrand.pyx (choice, permutation).
 */

const LENGTH = 624;
const SHIFT = 397;
const UPPER = 0x80000000 | 0;
const LOWER = 0x7fffffff;
const MATRIX = 0x9908b0df | 0;

/** A stream of random numbers; drawing moves it on. */
export interface RandomState {
  /** The next 32 bits, 0..2^32-1. */
  nextUint32(): number;
  /** randint(0, high): below `high`, which is 1..2^32-1. Nothing is drawn for high 1. */
  randint(high: number): number;
  /** Counts `draws` draws of randint(0, counts.length): adds 1 to the element drawn. As choice(..., replace=True) of that many. */
  countDraws(counts: Uint32Array, draws: number): void;
  /** permutation(n): 0..n-1 shuffled; its first k are choice(n, k, replace=False). */
  permutation(n: number): Uint32Array;
}

/** numpy.random.RandomState(seed), seed 0..2^32-1. */
export function createRandomState(seed: number): RandomState {
  const key = seeded(seed);
  const words = new Int32Array(LENGTH);
  let at = LENGTH;

  const nextUint32 = (): number => {
    if (at === LENGTH) {
      refill(key, words);
      at = 0;
    }
    return words[at++] >>> 0;
  };
  const randint = (high: number): number => {
    const most = high - 1;
    if (most === 0) return 0;
    const mask = maskOf(most);
    for (;;) {
      const value = (nextUint32() & mask) >>> 0;
      if (value <= most) return value;
    }
  };
  return {
    nextUint32,
    randint,
    countDraws(counts, draws) {
      const most = counts.length - 1;
      if (most > 0x7ffffffe) {
        throw new RangeError(`Drawing from ${counts.length} elements: at most 2^31 - 1 are counted`);
      }
      if (most === 0) {
        counts[0] += draws;
        return;
      }
      const mask = maskOf(most);
      // Rejected draws are counted too, behind the accepted ones: a branch here would be guessed wrong every third time.
      const all = new Uint32Array(counts.length + 1);
      let left = draws;
      while (left > 0) {
        if (at === LENGTH) {
          refill(key, words);
          at = 0;
        }
        const accepted = left < LENGTH ? -1 : countWords(words, at, mask | 0, most, all);
        if (accepted >= 0) {
          left -= accepted;
          at = LENGTH;
        } else {
          const value = (words[at++] & mask) >>> 0;
          if (value <= most) left--;
          all[Math.min(value, most + 1)]++;
        }
      }
      for (let i = 0; i <= most; i++) counts[i] += all[i];
    },
    permutation(n) {
      const result = new Uint32Array(n);
      for (let i = 0; i < n; i++) result[i] = i;
      for (let i = n - 1; i > 0; i--) {
        const j = randint(i + 1);
        const value = result[i];
        result[i] = result[j];
        result[j] = value;
      }
      return result;
    },
  };
}

/** Counts the masked words from `from` on; gives how many are not above `most`. */
function countWords(words: Int32Array, from: number, mask: number, most: number, counts: Uint32Array): number {
  let accepted = 0;
  for (let i = from; i < LENGTH; i++) {
    const value = words[i] & mask;
    const rejected = (most - value) >> 31; // all bits, or none
    counts[value + (rejected & (most + 1 - value))]++;
    accepted += 1 + rejected;
  }
  return accepted;
}

/** The smallest 2^k - 1 that is not below `value`. */
function maskOf(value: number): number {
  return 0xffffffff >>> Math.clz32(value);
}

function seeded(seed: number): Int32Array {
  const key = new Int32Array(LENGTH);
  key[0] = seed;
  for (let i = 1; i < LENGTH; i++) key[i] = Math.imul(1812433253, key[i - 1] ^ (key[i - 1] >>> 30)) + i;
  return key;
}

/** The generator's next state, and its 624 tempered outputs. */
function refill(key: Int32Array, words: Int32Array): void {
  for (let i = 0; i < LENGTH - SHIFT; i++) key[i] = key[i + SHIFT] ^ twisted(key[i], key[i + 1]);
  for (let i = LENGTH - SHIFT; i < LENGTH - 1; i++) key[i] = key[i + SHIFT - LENGTH] ^ twisted(key[i], key[i + 1]);
  key[LENGTH - 1] = key[SHIFT - 1] ^ twisted(key[LENGTH - 1], key[0]);
  for (let i = 0; i < LENGTH; i++) {
    let y = key[i];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & (0xefc60000 | 0);
    words[i] = y ^ (y >>> 18);
  }
}

function twisted(a: number, b: number): number {
  const y = (a & UPPER) | (b & LOWER);
  return (y >>> 1) ^ (-(y & 1) & MATRIX);
}
