/**
 * From mean probabilities to labels, one channel after the other, so that no more than one number a voxel is kept of them. Source:
 * convert_probabilities_to_segmentation of nnunetv2/utilities/label_handling/label_handling.py (2.8: 2.5.1 takes probabilities for
 * logits in ensembles, which makes regions of nearly every voxel).
 */
import type { Labels } from "../dataset/dataset_json.ts";

/** What a network's channels mean. */
export type LabelRule =
  /** Channel i is label i; a voxel has the first of those that are the most probable. */
  | { readonly kind: "labels"; readonly channels: number }
  /** Channel i is a region; where it is more probable than not, its label is written over those of the regions before. */
  | { readonly kind: "regions"; readonly classOrder: readonly number[] };

export function labelRule({ hasRegions, regionsClassOrder, headCount }: Labels): LabelRule {
  return hasRegions ? { kind: "regions", classOrder: regionsClassOrder } : { kind: "labels", channels: headCount };
}

export function channelsOf(rule: LabelRule): number {
  return rule.kind === "regions" ? rule.classOrder.length : rule.channels;
}

/** Bytes that {@link createLabeller} takes for each voxel. */
export function bytesPerVoxel(rule: LabelRule): number {
  return bytesPerLabel(rule) + (rule.kind === "labels" ? 4 : 0);
}

export interface Labeller {
  /**
   * Takes the means of a channel from `voxel` on. Every voxel has its channels in their order.
   * @returns how many of them are no numbers
   */
  take(channel: number, voxel: number, means: Float32Array): number;
  readonly labels: Uint8Array | Uint16Array;
}

export function createLabeller(rule: LabelRule, voxels: number): Labeller {
  const labels = bytesPerLabel(rule) === 1 ? new Uint8Array(voxels) : new Uint16Array(voxels);
  if (rule.kind === "regions") {
    return { labels, take: (channel, voxel, means) => overwrite(labels, rule.classOrder[channel], voxel, means) };
  }
  const best = new Float32Array(voxels);
  return {
    labels,
    take(channel, voxel, means) {
      if (channel > 0) return raise(best, labels, channel, voxel, means);
      best.set(means, voxel);
      return countNaN(means);
    },
  };
}

function bytesPerLabel(rule: LabelRule): 1 | 2 {
  const highest = rule.kind === "regions" ? Math.max(0, ...rule.classOrder) : rule.channels - 1;
  return highest > 255 ? 2 : 1;
}

/** The mean is above 1/2, not at it. */
function overwrite(labels: Uint8Array | Uint16Array, label: number, voxel: number, means: Float32Array): number {
  let none = 0;
  for (let i = 0; i < means.length; i++) {
    const mean = means[i];
    if (mean > 0.5) labels[voxel + i] = label;
    else if (mean !== mean) none++;
  }
  return none;
}

/** Of equal means the first one stays. */
function raise(
  best: Float32Array,
  labels: Uint8Array | Uint16Array,
  channel: number,
  voxel: number,
  means: Float32Array,
): number {
  // Of the voxels alone: an offset at every access takes as long as the comparison.
  const highest = best.subarray(voxel, voxel + means.length);
  const label = labels.subarray(voxel, voxel + means.length);
  let none = 0;
  for (let i = 0; i < means.length; i++) {
    const mean = means[i];
    if (mean <= highest[i]) continue;
    if (mean === mean) {
      highest[i] = mean;
      label[i] = channel;
    } else none++;
  }
  return none;
}

function countNaN(means: Float32Array): number {
  let none = 0;
  for (let i = 0; i < means.length; i++) if (means[i] !== means[i]) none++;
  return none;
}
