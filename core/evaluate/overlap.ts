/** Overlap of a segmentation with its reference, label by label, as nnunetv2/evaluation/evaluate_predictions.py counts it. */

/** Voxels of one label: true positives, false positives, false negatives, true negatives. */
export interface Overlap {
  readonly TP: number;
  readonly FP: number;
  readonly FN: number;
  readonly TN: number;
}

/**
 * Counts of every label of `labels` in one pass over two label volumes of equal length.
 * @throws RangeError if the lengths differ.
 */
export function labelOverlaps(
  prediction: ArrayLike<number>,
  reference: ArrayLike<number>,
  labels: readonly number[],
): Map<number, Overlap> {
  if (prediction.length !== reference.length) {
    throw new RangeError(`Comparing segmentations: ${prediction.length} and ${reference.length} voxels do not match`);
  }
  const top = Math.max(0, ...labels) + 1; // larger values are counted together: they belong to no label asked for
  const predicted = new Float64Array(top + 1);
  const present = new Float64Array(top + 1);
  const both = new Float64Array(top + 1);
  for (let i = 0; i < prediction.length; i++) {
    const p = Math.min(prediction[i], top);
    const r = Math.min(reference[i], top);
    predicted[p]++;
    present[r]++;
    if (p === r) both[p]++;
  }
  const total = prediction.length;
  return new Map(labels.map((label) => {
    const TP = both[label];
    const FP = predicted[label] - TP;
    const FN = present[label] - TP;
    return [label, { TP, FP, FN, TN: total - TP - FP - FN }];
  }));
}

/** 2 TP / (2 TP + FP + FN); NaN where the label is in neither. */
export function dice({ TP, FP, FN }: Overlap): number {
  return 2 * TP / (2 * TP + FP + FN);
}
