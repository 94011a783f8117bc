/** The nearest of several names, for "did you mean" after a typo. */

/**
 * The candidate with the smallest edit distance to `name`, if at most a third of its letters differ.
 * Letter case does not count: `3D_FULLRES` finds `3d_fullres`.
 */
export function nearestName(name: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined;
  let smallest = Infinity;
  for (const candidate of candidates) {
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase());
    if (distance <= Math.max(1, Math.floor(candidate.length / 3)) && distance < smallest) {
      [best, smallest] = [candidate, distance];
    }
  }
  return best;
}

/** Levenshtein's distance, with a swap of neighbours as one step. */
function editDistance(a: string, b: string): number {
  let older: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = previous[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1);
      let least = Math.min(change, previous[j] + 1, row[j - 1] + 1);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) least = Math.min(least, older[j - 2] + 1);
      row.push(least);
    }
    [older, previous] = [previous, row];
  }
  return previous[b.length];
}
