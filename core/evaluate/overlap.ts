/** Overlap of a segmentation with its reference, counted as nnunetv2/evaluation/evaluate_predictions.py does. */

/** What is measured: a label, or a region, which is the union of several. */
export interface Target {
  /** The target as Python prints it: "1", "(1, 2)", "(3,)". Its name in summary.json. */
  readonly key: string;
  readonly labels: readonly number[];
}

/** Voxels of one target: true positives, false positives, false negatives, true negatives. */
export interface Overlap {
  readonly TP: number;
  readonly FP: number;
  readonly FN: number;
  readonly TN: number;
}

/**
 * Counts of every target, in its order, in one pass over two label volumes of equal length. Voxels whose reference is `ignoreLabel`
 * count nowhere.
 * @throws RangeError if the lengths differ.
 */
export function countOverlaps(
  prediction: ArrayLike<number>,
  reference: ArrayLike<number>,
  targets: readonly Target[],
  ignoreLabel?: number,
): Overlap[] {
  if (prediction.length !== reference.length) {
    throw new RangeError(`Comparing segmentations: ${prediction.length} and ${reference.length} voxels do not match`);
  }
  const wanted = targets.flatMap(({ labels }) => labels);
  const labels = [...new Set(ignoreLabel === undefined ? wanted : [...wanted, ignoreLabel])];
  // Pairs of (prediction, reference) among the labels; class 0 is every other value.
  const classes = labels.length + 1;
  const lowest = labels.reduce((a, b) => Math.min(a, b), 0);
  const classOf = new Uint16Array(labels.reduce((a, b) => Math.max(a, b), 0) - lowest + 1);
  labels.forEach((label, i) => classOf[label - lowest] = i + 1);
  const pairs = new Float64Array(classes * classes);
  for (let i = 0; i < prediction.length; i++) {
    // Values beyond the table are undefined there, and | 0 makes them class 0.
    const p = classOf[prediction[i] - lowest] | 0;
    const r = classOf[reference[i] - lowest] | 0;
    pairs[p * classes + r]++;
  }
  if (ignoreLabel !== undefined) {
    const ignored = classOf[ignoreLabel - lowest];
    for (let p = 0; p < classes; p++) pairs[p * classes + ignored] = 0;
  }
  return targets.map(({ labels }) =>
    overlapOf(pairs, classes, new Set(labels.map((label) => classOf[label - lowest])))
  );
}

/**
 * As {@link countOverlaps}, for plain labels and by label.
 * @example
 * ```ts
 * import { strictEqual } from "node:assert";
 *
 * const overlap = labelOverlaps([0, 1, 1, 2], [0, 1, 2, 2], [1, 2]).get(2);
 * strictEqual(overlap && dice(overlap), 2 / 3);
 * ```
 */
export function labelOverlaps(
  prediction: ArrayLike<number>,
  reference: ArrayLike<number>,
  labels: readonly number[],
): Map<number, Overlap> {
  const overlaps = countOverlaps(prediction, reference, labels.map((label) => ({ key: `${label}`, labels: [label] })));
  return new Map(labels.map((label, i) => [label, overlaps[i]]));
}

/** 2 TP / (2 TP + FP + FN); NaN where the target is in neither. */
export function dice({ TP, FP, FN }: Overlap): number {
  return 2 * TP / (2 * TP + FP + FN);
}

function overlapOf(pairs: Float64Array, classes: number, members: ReadonlySet<number>): Overlap {
  let [TP, FP, FN, TN] = [0, 0, 0, 0];
  for (let p = 0; p < classes; p++) {
    for (let r = 0; r < classes; r++) {
      const count = pairs[p * classes + r];
      if (members.has(p)) members.has(r) ? TP += count : FP += count;
      else members.has(r) ? FN += count : TN += count;
    }
  }
  return { TP, FP, FN, TN };
}
