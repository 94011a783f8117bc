/**
 * Where each class of a training case is: voxels that training places its patches on. The same voxels as upstream's, drawn with
 * numpy's legacy random numbers. Source: _sample_foreground_locations of
 * nnunetv2/preprocessing/preprocessors/default_preprocessor.py.
 */
import { createRandomState } from "../base/numpy_random.ts";
import type { Labels } from "../dataset/dataset_json.ts";
import type { ClassKey, ClassLocations } from "../formats/training_data.ts";

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
  return keys.map((key) => {
    const wanted = [...new Set(key.labels)];
    const total = wanted.reduce((sum, label) => sum + (counts.get(label) ?? 0), 0);
    if (total === 0) return { key, voxels: new Uint32Array(0) };
    const all = voxelsOf(segmentation, wanted, total);
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

function countLabels(segmentation: Int8Array | Int16Array): Map<number, number> {
  const counts = new Float64Array(65536);
  for (let i = 0; i < segmentation.length; i++) counts[segmentation[i] + 32768]++;
  const result = new Map<number, number>();
  counts.forEach((count, at) => {
    if (count > 0) result.set(at - 32768, count);
  });
  return result;
}

/** Indices of the voxels that have one of the labels, ascending. */
function voxelsOf(segmentation: Int8Array | Int16Array, labels: readonly number[], count: number): Uint32Array {
  const voxels = new Uint32Array(count);
  let at = 0;
  if (labels.length === 1) {
    const [label] = labels;
    for (let i = 0; i < segmentation.length; i++) if (segmentation[i] === label) voxels[at++] = i;
    return voxels;
  }
  const wanted = new Uint8Array(65536);
  for (const label of labels) wanted[label + 32768] = 1;
  for (let i = 0; i < segmentation.length; i++) if (wanted[segmentation[i] + 32768] === 1) voxels[at++] = i;
  return voxels;
}
