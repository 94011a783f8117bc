/** What is measured of a dataset's segmentations. Source: nnunetv2/utilities/label_handling/label_handling.py, foreground_regions. */
import type { DatasetJson } from "../dataset/dataset_json.ts";
import type { Evaluation } from "./evaluate_folder.ts";
import type { Target } from "./overlap.ts";

/** A plain label as a target. */
export function labelTarget(label: number): Target {
  return { key: String(label), labels: [label] };
}

/** A region as a target; its key is the text of Python's tuple. */
export function regionTarget(labels: readonly number[]): Target {
  return { key: labels.length === 1 ? `(${labels[0]},)` : `(${labels.join(", ")})`, labels };
}

/** The dataset's regions or, without any, its labels but background; in the order of dataset.json. */
export function targetsOf({ labels, json }: DatasetJson): Target[] {
  if (!labels.hasRegions) return labels.foregroundLabels.map(labelTarget);
  // A region that dataset.json writes as a plain integer is a label to Python, a list of one integer is a tuple.
  const written = (json as { readonly labels: Readonly<Record<string, unknown>> }).labels;
  return labels.regions.map((region) =>
    !Array.isArray(written[region.name]) ? labelTarget(region.labels[0]) : regionTarget(region.labels)
  );
}

/** What an evaluation takes of a dataset.json. */
export function evaluatedOf(dataset: DatasetJson): Pick<Evaluation, "fileEnding" | "targets" | "ignoreLabel"> {
  const { fileEnding, labels: { ignoreLabel } } = dataset;
  return { fileEnding, targets: targetsOf(dataset), ...(ignoreLabel !== undefined && { ignoreLabel }) };
}

/** Names of labels and regions by their key. */
export function targetNames(dataset: DatasetJson): ReadonlyMap<string, string> {
  const { labels } = dataset;
  if (labels.hasRegions) return new Map(targetsOf(dataset).map(({ key }, i) => [key, labels.regions[i].name]));
  return new Map([...labels.names].map(([label, name]) => [String(label), name]));
}
