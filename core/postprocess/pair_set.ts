/** A set of pairs of numbers in typed arrays: a hash table with open addressing. */

export interface PairSet {
  /** Adds the pair in whatever order it is given; numbers of 31 bits that differ. */
  add(a: number, b: number): void;
  /** All pairs, one after the other, the smaller number first, in the order in which they were added. */
  pairs(): Uint32Array;
}

export function createPairSet(): PairSet {
  let pairs = new Uint32Array(64);
  let count = 0;
  /** Index of a pair + 1; 0: free. At most half of it is used. */
  let table = new Uint32Array(64);

  /** The place of the pair, or the free one where it belongs. */
  function find(low: number, high: number): number {
    const mask = table.length - 1;
    let at = (Math.imul(low, 0x9e3779b1) ^ Math.imul(high, 0x85ebca6b)) >>> 0;
    at = (at ^ (at >>> 15)) & mask;
    for (; table[at] !== 0; at = (at + 1) & mask) {
      const pair = 2 * (table[at] - 1);
      if (pairs[pair] === low && pairs[pair + 1] === high) break;
    }
    return at;
  }
  function grow(): void {
    const larger = new Uint32Array(2 * pairs.length);
    larger.set(pairs);
    pairs = larger;
    table = new Uint32Array(pairs.length);
    for (let i = 0; i < count; i++) table[find(pairs[2 * i], pairs[2 * i + 1])] = i + 1;
  }
  return {
    add(a, b) {
      const low = Math.min(a, b);
      const high = Math.max(a, b);
      let at = find(low, high);
      if (table[at] !== 0) return;
      if (2 * count === pairs.length) {
        grow();
        at = find(low, high);
      }
      pairs[2 * count] = low;
      pairs[2 * count + 1] = high;
      table[at] = ++count;
    },
    pairs: () => pairs.slice(0, 2 * count),
  };
}
