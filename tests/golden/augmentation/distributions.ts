/** Whether two samples of random values can be of one distribution. */
import { assert } from "../../assert.ts";

/** Kolmogorov's and Smirnov's probability that two samples are at least `distance` apart. @param size n m / (n + m) of their sizes */
export function ksProbability(distance: number, size: number): number {
  const lambda = (Math.sqrt(size) + 0.12 + 0.11 / Math.sqrt(size)) * distance;
  if (lambda < 0.2) return 1;
  let sum = 0;
  for (let k = 1; k <= 100; k++) sum += 2 * (k % 2 ? 1 : -1) * Math.exp(-2 * k * k * lambda * lambda);
  return Math.min(1, sum);
}

/** Largest distance of the values' distribution to the one with these evenly spaced quantiles. */
export function distanceToQuantiles(values: readonly number[], quantiles: readonly number[]): number {
  const sorted = Float64Array.from(values).sort();
  let at = 0;
  let largest = 0;
  quantiles.forEach((quantile, i) => {
    while (at < sorted.length && sorted[at] <= quantile) at++;
    largest = Math.max(largest, Math.abs(at / sorted.length - i / (quantiles.length - 1)));
  });
  return largest;
}

/** The same of how often each value was drawn. */
export function distanceOfCounts(a: ReadonlyMap<number, number>, b: ReadonlyMap<number, number>): number {
  const total = (counts: ReadonlyMap<number, number>) => counts.values().reduce((sum, times) => sum + times, 0);
  const [ofA, ofB] = [total(a), total(b)];
  let [sumA, sumB, largest] = [0, 0, 0];
  for (const value of [...new Set([...a.keys(), ...b.keys()])].sort((one, other) => one - other)) {
    sumA += a.get(value) ?? 0;
    sumB += b.get(value) ?? 0;
    largest = Math.max(largest, Math.abs(sumA / ofA - sumB / ofB));
  }
  return largest;
}

/** Asserts that two counts out of `of` each can be of the same probability, one in a thousand times not. */
export function assertSameShare(what: string, a: number, b: number, of: number): void {
  const share = (a + b) / (2 * of);
  const deviation = Math.sqrt(2 * share * (1 - share) / of) || 1;
  assert(Math.abs(a - b) / of <= 3.3 * deviation, `${what}: ${a} and upstream's ${b} of ${of}`);
}
