/**
 * Test-time mirroring: the flips whose predictions are averaged. Source: _internal_maybe_mirror_and_predict in
 * nnunetv2/inference/predict_from_raw_data.py: the identity, then all non-empty subsets of the allowed axes by size, each size in
 * the order of itertools.combinations.
 */

/** Which of the axes (z, y, x) are flipped. */
export type Mirroring = readonly [boolean, boolean, boolean];

/**
 * The flips in upstream's order of summation, the identity first.
 * @param axes Axes of the network input as the checkpoint names them: for 2-D networks 0 and 1 are y and x. null: identity only.
 * @throws RangeError if an axis does not exist.
 */
export function mirrorings(axes: readonly number[] | null, dimensions: 2 | 3): Mirroring[] {
  const subsets: number[][] = [[]];
  const allowed = axes ?? [];
  for (let size = 1; size <= allowed.length; size++) combinations(allowed, size, 0, [], subsets);
  return subsets.map((subset) => {
    const flips: [boolean, boolean, boolean] = [false, false, false];
    for (const axis of subset) {
      if (!Number.isInteger(axis) || axis < 0 || axis >= dimensions) {
        throw new RangeError(`Mirroring: a ${dimensions}-D network has no axis ${axis}`);
      }
      flips[axis + 3 - dimensions] = true;
    }
    return flips;
  });
}

function combinations(axes: readonly number[], size: number, from: number, chosen: number[], into: number[][]): void {
  if (chosen.length === size) {
    into.push([...chosen]);
    return;
  }
  for (let i = from; i < axes.length; i++) combinations(axes, size, i + 1, [...chosen, axes[i]], into);
}
