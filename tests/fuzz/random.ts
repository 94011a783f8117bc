/** Random numbers that a seed repeats: a mutation is known by the target's name, the seed and its number. */
export interface Random {
  /** A whole number from 0 to n - 1. */
  int(n: number): number;
  chance(probability: number): boolean;
  pick<T>(items: readonly T[]): T;
}

/** mulberry32, seeded by a hash (FNV-1a) of `parts`. */
export function createRandom(...parts: readonly (string | number)[]): Random {
  let state = 0x811c9dc5;
  for (const letter of parts.join("\n")) state = Math.imul(state ^ letter.charCodeAt(0), 0x01000193);
  const next = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const int = (n: number) => Math.floor(next() * n);
  return { int, chance: (probability) => next() < probability, pick: (items) => items[int(items.length)] };
}
