/** What of a segmentation is measured: the dataset's regions, and its labels. */
import type { DatasetJson } from "../dataset/dataset_json.ts";
import type { Target } from "../evaluate/overlap.ts";
import { labelTarget, targetsOf } from "../evaluate/targets.ts";

export interface MeasuredClass extends Target {
  /** Of dataset.json; a label that has none there is `label 3`. */
  readonly name: string;
}

/** The regions in the order of dataset.json, then the labels but background that are none of them; or, without regions, the labels. */
export function classesOfDataset(dataset: DatasetJson): MeasuredClass[] {
  const { labels } = dataset;
  const named = (label: number) => ({ ...labelTarget(label), name: labels.names.get(label) ?? `label ${label}` });
  if (!labels.hasRegions) return labels.foregroundLabels.map(named);
  const regions = targetsOf(dataset).map((target, i) => ({ ...target, name: labels.regions[i].name }));
  const single = new Set(regions.flatMap(({ labels: of }) => of.length === 1 ? of : []));
  return [...regions, ...labels.foregroundLabels.filter((label) => !single.has(label)).map(named)];
}

/** Labels without names. */
export function classesOfLabels(labels: readonly number[]): MeasuredClass[] {
  return [...new Set(labels)].map((label) => ({ ...labelTarget(label), name: `label ${label}` }));
}
