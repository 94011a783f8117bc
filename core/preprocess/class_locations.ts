/**
 * Where each class of a training case is: voxels that training places its patches on. The same voxels as upstream's, drawn with
 * numpy's legacy random numbers. Source: _sample_foreground_locations of
 * nnunetv2/preprocessing/preprocessors/default_preprocessor.py.
 */
import { createRandomState } from "../base/numpy_random.ts";
import type { Labels } from "../dataset/dataset_json.ts";
import type { ClassKey, ClassLocations } from "../formats/preprocessed/training_data.ts";

const SEED = 1234;
const SAMPLES = 10_000;
/** Large classes get more samples than that: this share of their voxels. */
const SHARE = 0.01;

/**
 * What locations are collected for: labels or regions without background, and with an ignore label all labels together, so that
 * patches can be drawn from annotated voxels.
 * @param json dataset.json, whose `labels` tell a region of one label from that label
 */
export function classKeys(labels: Labels, json: unknown): readonly ClassKey[] {
  const written = (json as { labels?: Readonly<Record<string, unknown>> } | null)?.labels ?? {};
  const keys: ClassKey[] = labels.hasRegions
    ? labels.regions.map(({ name, labels }) => ({ kind: Array.isArray(written[name]) ? "region" : "integer", labels }))
    : labels.foregroundLabels.map((label) => ({ kind: "label", labels: [label] }));
  if (labels.ignoreLabel !== undefined) keys.push({ kind: "allLabels", labels: labels.allLabels });
  return keys;
}

/** Locations of all keys in a segmentation; none of a class that is not there. Draws follow upstream's order. */
export function sampleClassLocations(
  segmentation: Int8Array | Int16Array,
  keys: readonly ClassKey[],
): readonly ClassLocations[] {
  const random = createRandomState(SEED);
  const counts = countLabels(segmentation);
  const single = voxelsOfLabels(
    segmentation,
    counts,
    keys.flatMap(({ labels }) => (new Set(labels).size === 1 ? labels : [])),
  );
  return keys.map((key) => {
    const wanted = [...new Set(key.labels)];
    const total = wanted.reduce((sum, label) => sum + counts[label + LABEL_OFFSET], 0);
    if (total === 0) return { key, voxels: new Uint32Array(0) };
    const [label] = wanted;
    const all = wanted.length === 1 && single.get(label) || voxelsOfUnion(segmentation, wanted, total);
    // It is shuffled in place; the same label in another key is looked for anew.
    single.delete(label);
    const samples = Math.max(Math.min(SAMPLES, total), Math.ceil(total * SHARE));
    // choice(total, samples, replace=False) is the start of a shuffle of everything.
    for (let i = total - 1; i > 0; i--) {
      const j = random.randint(i + 1);
      const voxel = all[i];
      all[i] = all[j];
      all[j] = voxel;
    }
    return { key, voxels: all.slice(0, samples) };
  });
}

/** Tables by label start at the lowest int16. */
const LABEL_OFFSET = 32768;
const LABELS = 65536;

/** Voxels of each label. Runs are counted, not voxels: neighbours are mostly equal, and one counter's additions wait for each other. */
function countLabels(segmentation: Int8Array | Int16Array): Uint32Array {
  const counts = new Uint32Array(LABELS);
  let start = 0;
  for (let i = 1; i <= segmentation.length; i++) {
    if (i < segmentation.length && segmentation[i] === segmentation[start]) continue;
    counts[segmentation[start] + LABEL_OFFSET] += i - start;
    start = i;
  }
  return counts;
}

/** Indices of the voxels of each label, ascending; one pass for all labels. */
function voxelsOfLabels(
  segmentation: Int8Array | Int16Array,
  counts: Uint32Array,
  labels: readonly number[],
): Map<number, Uint32Array> {
  const result = new Map<number, Uint32Array>();
  // Where the next voxel of a label goes in one array of all labels; -1 for labels that are not wanted.
  const next = new Float64Array(LABELS).fill(-1);
  let total = 0;
  const starts = new Map<number, number>();
  for (const label of new Set(labels)) {
    starts.set(label, total);
    next[label + LABEL_OFFSET] = total;
    total += counts[label + LABEL_OFFSET];
  }
  const all = new Uint32Array(total);
  for (let i = 0; i < segmentation.length; i++) {
    const at = next[segmentation[i] + LABEL_OFFSET];
    if (at < 0) continue;
    all[at] = i;
    next[segmentation[i] + LABEL_OFFSET] = at + 1;
  }
  for (const [label, start] of starts) result.set(label, all.subarray(start, start + counts[label + LABEL_OFFSET]));
  return result;
}

/** Indices of the voxels that have one of the labels, ascending. */
function voxelsOfUnion(segmentation: Int8Array | Int16Array, labels: readonly number[], count: number): Uint32Array {
  const voxels = new Uint32Array(count);
  const wanted = new Uint8Array(LABELS);
  for (const label of labels) wanted[label + LABEL_OFFSET] = 1;
  let at = 0;
  for (let i = 0; i < segmentation.length; i++) if (wanted[segmentation[i] + LABEL_OFFSET] === 1) voxels[at++] = i;
  return voxels;
}
