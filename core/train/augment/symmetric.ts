/** Index of 0..count-1 that continues them by reflection with the edge repeated, however far: scipy's mode "reflect". */
export function symmetricIndex(index: number, count: number): number {
  const period = 2 * count;
  const folded = ((index % period) + period) % period;
  return folded < count ? folded : period - 1 - folded;
}
