/** A training case's labels against those that dataset.json declares. */
import { UserError } from "../base/errors.ts";
import type { Labels } from "../dataset/dataset_json.ts";

/** What dataset.json declares. */
export interface DeclaredLabels {
  /** All of them, the ignore label included. */
  readonly labels: readonly number[];
  /** Labels of no region are background; without regions every label is an output of the network. */
  readonly hasRegions: boolean;
  /** The dataset.json. */
  readonly file: string;
}

/** Values that a message lists. */
const LISTED = 8;

export function declaredLabels({ allLabels, ignoreLabel, hasRegions }: Labels, file: string): DeclaredLabels {
  return { labels: ignoreLabel === undefined ? allLabels : [...allLabels, ignoreLabel], hasRegions, file };
}

/**
 * @returns a warning where undeclared labels count as background
 * @throws UserError naming undeclared labels of a dataset without regions: no network has an output for them
 */
export function checkDeclaredLabels(
  data: Int16Array,
  segmentation: string,
  { labels, hasRegions, file }: DeclaredLabels,
): readonly string[] {
  const there = new Uint8Array(1 << 16);
  for (let i = 0; i < data.length; i++) there[data[i] & 0xffff] = 1;
  for (const label of labels) there[label & 0xffff] = 0;
  const found: number[] = [];
  // Negative ones, too: -1 is upstream's mark of what was cropped away, and a segmentation that holds it would train as background.
  for (let label = -(1 << 15); label < 1 << 15; label++) if (there[label & 0xffff]) found.push(label);
  if (found.length === 0) return [];
  const listed = found.slice(0, LISTED).join(", ") + (found.length > LISTED ? ", ..." : "");
  const problem = `it has labels that ${file} does not have: ${listed}`;
  if (hasRegions) return [`${segmentation}: ${problem}; they count as background`];
  throw new UserError({
    doing: "comparing the segmentation with dataset.json",
    file: segmentation,
    problem,
    remedy: "correct the segmentation, or add the labels to the raw dataset's dataset.json and plan anew " +
      "(plan_experiment copies it)",
  });
}
