/**
 * Which label a voxel of a rotated patch gets: of the labels at the corners of its cell the one with the largest interpolated share.
 * Source: _apply_to_segmentation of batchgeneratorsv2/transforms/spatial/spatial.py (0.3.6), whose scores are 1000 times the share in
 * float16: shares that differ by less than that resolves are equal, and the nearest voxel's label decides. batchgenerators (0.25.5)
 * compares the shares themselves.
 */

/** Room for the corners of one cell. */
export interface Cell {
  readonly labels: Int32Array;
  /** Interpolation weights; they add up to 1. */
  readonly weights: Float64Array;
}

/** Room for the corners of a cell in up to three dimensions. */
export function createCell(): Cell {
  return { labels: new Int32Array(8), weights: new Float64Array(8) };
}

/**
 * The label of a cell's first `count` corners; the cell's contents are used up.
 * @param nearest Label of the voxel nearest to the position
 */
export function vote(
  { labels, weights }: Cell,
  count: number,
  nearest: number,
  shares: "float16" | "exact" = "float16",
): number {
  let distinct = 0;
  for (let i = 0; i < count; i++) {
    let j = 0;
    while (j < distinct && labels[j] !== labels[i]) j++;
    if (j < distinct) weights[j] += weights[i];
    else {
      labels[distinct] = labels[i];
      weights[distinct++] = weights[i];
    }
  }
  let winner = 0;
  let top = -1;
  for (let i = 0; i < distinct; i++) {
    const score = shares === "exact" ? weights[i] : Math.f16round(Math.fround(1000 * weights[i]));
    weights[i] = score;
    if (score > top || (score === top && labels[i] < winner)) [winner, top] = [labels[i], score];
  }
  for (let i = 0; i < distinct; i++) if (labels[i] === nearest && weights[i] === top) return nearest;
  return winner;
}

/** The integer nearest to a position, halves to the even one, as grid_sample rounds. */
export function nearestIndex(position: number): number {
  const low = Math.floor(position);
  const rest = position - low;
  return rest < 0.5 || (rest === 0.5 && (low & 1) === 0) ? low : low + 1;
}
