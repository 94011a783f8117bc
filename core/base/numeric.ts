/** numpy's and Python's arithmetic where it differs from JavaScript's. */

/** Python's round() to an integer: halves go to the even neighbour. */
export function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}

/** numpy.percentile with linear interpolation; `percent` is 0..100. NaN of an empty list. */
export function percentile(values: readonly number[], percent: number): number {
  if (values.length === 0) return NaN;
  const sorted = Float64Array.from(values).sort();
  const position = (sorted.length - 1) * (percent / 100);
  const below = Math.floor(position);
  const t = position - below;
  const [a, b] = [sorted[below], sorted[Math.min(below + 1, sorted.length - 1)]];
  return t < 0.5 ? a + (b - a) * t : b - (b - a) * (1 - t); // numpy's _lerp, which is exact at both ends
}

/** numpy.median. */
export function median(values: readonly number[]): number {
  const sorted = Float64Array.from(values).sort();
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

/** Index of the largest value, the first of equals. */
export function argMax(values: readonly number[]): number {
  return values.indexOf(Math.max(...values));
}
