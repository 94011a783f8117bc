/**
 * From mean probabilities to labels, one channel after the other, so that no more than one number a voxel is kept of them. Source:
 * convert_probabilities_to_segmentation of nnunetv2/utilities/label_handling/label_handling.py (2.8: 2.5.1 takes probabilities for
 * logits in ensembles, which makes regions of nearly every voxel).
 */
import type { Labels } from "../dataset/dataset_json.ts";
import type { BlockMerge, Labelled } from "./block_merge.ts";
import type { LabelMemory } from "./label_memory.ts";
import type { MeanBlock } from "./mean_probabilities.ts";

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
   * Takes the means of a channel from `voxel` on, which are in `merge`. Every voxel has its channels in their order.
   * @returns false if one of them is no number
   */
  take(merge: BlockMerge, block: MeanBlock): boolean;
  readonly labels: Uint8Array | Uint16Array;
}

/** Only a block of the labels is worked on in `merge`, so that its memory is as small as that. */
export function createLabeller(rule: LabelRule, voxels: number, memory: LabelMemory): Labeller {
  const bytes = bytesPerLabel(rule);
  const { labels, best } = memory.take(bytes, voxels, rule.kind === "labels" ? voxels : 0);
  return {
    labels,
    take(merge, { channel, voxel, count }) {
      const part = labels.subarray(voxel, voxel + count);
      const inMerge = merge.labels[bytes];
      inMerge.set(part);
      const { changed, noNumber } = rule.kind === "regions"
        ? merge.overwrite(bytes, count, rule.classOrder[channel])
        : raise(merge, bytes, best.subarray(voxel, voxel + count), channel, channel + 1 < rule.channels);
      if (changed) part.set(inMerge.subarray(0, count));
      return !noNumber;
    },
  };
}

/**
 * Of equal means the first one stays.
 * @param best Of the block's voxels; of channel 0 nothing is there yet
 * @param keep Whether another channel follows
 */
function raise(merge: BlockMerge, bytesPerLabel: 1 | 2, best: Float32Array, channel: number, keep: boolean): Labelled {
  if (channel === 0) merge.best.fill(-Infinity);
  else merge.best.set(best);
  const labelled = merge.raise(bytesPerLabel, best.length, channel);
  if (keep && (labelled.changed || channel === 0)) best.set(merge.best.subarray(0, best.length));
  return labelled;
}

function bytesPerLabel(rule: LabelRule): 1 | 2 {
  const highest = rule.kind === "regions" ? Math.max(0, ...rule.classOrder) : rule.channels - 1;
  return highest > 255 ? 2 : 1;
}
