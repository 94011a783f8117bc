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

/** Labels further apart than this are not looked up in a table. */
const LARGEST_TABLE = 2 ** 22;

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
  const classOf = new Map(labels.map((label, i) => [label, i + 1]));
  const classes = labels.length + 1;
  const lowest = labels.reduce((a, b) => Math.min(a, b), 0);
  const span = labels.reduce((a, b) => Math.max(a, b), 0) - lowest + 1;
  const pairs = prediction instanceof Uint8Array && reference instanceof Uint8Array
    ? pairsOfBytes(prediction, reference, classOf)
    : span <= LARGEST_TABLE
    ? pairsByTable(prediction, reference, classOf, lowest, span)
    : pairsByMap(prediction, reference, classOf);
  if (ignoreLabel !== undefined) {
    const ignored = classOf.get(ignoreLabel) ?? 0;
    for (let p = 0; p < classes; p++) pairs[p * classes + ignored] = 0;
  }
  return targets.map(({ labels }) =>
    overlapOf(pairs, classes, new Set(labels.map((label) => classOf.get(label) ?? 0)))
  );
}

/** Voxels by pair of (prediction, reference) among the classes of labels; class 0 is every other value. */
function pairsByTable(
  prediction: ArrayLike<number>,
  reference: ArrayLike<number>,
  classOf: ReadonlyMap<number, number>,
  lowest: number,
  span: number,
): Float64Array {
  const classes = classOf.size + 1;
  const table = new Uint16Array(span);
  for (const [label, one] of classOf) table[label - lowest] = one;
  const pairs = new Float64Array(classes * classes);
  for (let i = 0; i < prediction.length; i++) {
    // Values beyond the table are undefined there, and | 0 makes them class 0.
    const p = table[prediction[i] - lowest] | 0;
    const r = table[reference[i] - lowest] | 0;
    pairs[p * classes + r]++;
  }
  return pairs;
}

/** As {@link pairsByTable}, for labels of 8 bits: four voxels at a time, and of those that repeat themselves their number. */
function pairsOfBytes(
  prediction: Uint8Array,
  reference: Uint8Array,
  classOf: ReadonlyMap<number, number>,
): Float64Array {
  const counts = new Float64Array(256 * 256); // by prediction and reference
  const [p, r] = [wordsOf(prediction), wordsOf(reference)];
  const words = Math.min(p.length, r.length);
  for (let i = 0; i < words;) {
    const [four, truth] = [p[i], r[i]];
    const first = i++;
    while (i < words && p[i] === four && r[i] === truth) i++;
    for (let shift = 0; shift < 32; shift += 8) {
      counts[((four >>> shift) & 255) << 8 | ((truth >>> shift) & 255)] += i - first;
    }
  }
  for (let i = 4 * words; i < prediction.length; i++) counts[prediction[i] << 8 | reference[i]]++;
  const classes = classOf.size + 1;
  const pairs = new Float64Array(classes * classes);
  for (let pair = 0; pair < counts.length; pair++) {
    if (counts[pair] === 0) continue;
    pairs[(classOf.get(pair >> 8) ?? 0) * classes + (classOf.get(pair & 255) ?? 0)] += counts[pair];
  }
  return pairs;
}

/** The whole words of 4 bytes; none where the bytes don't begin at one. */
function wordsOf({ buffer, byteOffset, length }: Uint8Array): Uint32Array {
  return byteOffset % 4 === 0 ? new Uint32Array(buffer, byteOffset, length >> 2) : new Uint32Array(0);
}

/** As {@link pairsByTable}, for labels that are far apart. */
function pairsByMap(
  prediction: ArrayLike<number>,
  reference: ArrayLike<number>,
  classOf: ReadonlyMap<number, number>,
): Float64Array {
  const classes = classOf.size + 1;
  const pairs = new Float64Array(classes * classes);
  for (let i = 0; i < prediction.length; i++) {
    pairs[(classOf.get(prediction[i]) ?? 0) * classes + (classOf.get(reference[i]) ?? 0)]++;
  }
  return pairs;
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
