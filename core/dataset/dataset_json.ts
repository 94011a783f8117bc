/** dataset.json and the label rules that follow from it. Read by core/dataset/read_dataset_json.ts. */

/** One entry of `labels` that is a network output when the dataset has regions: the labels it unites. */
export interface Region {
  readonly name: string;
  readonly labels: readonly number[];
}

/** nnunetv2/utilities/label_handling/label_handling.py, as data. */
export interface Labels {
  /** True if any label is a list of more than one integer: sigmoid outputs, thresholded at 0.5. */
  readonly hasRegions: boolean;
  /** All integers but the ignore label, ascending, with 0. */
  readonly allLabels: readonly number[];
  /** allLabels without 0. */
  readonly foregroundLabels: readonly number[];
  readonly ignoreLabel?: number;
  /** With regions: in file order, without background and ignore. Empty otherwise. */
  readonly regions: readonly Region[];
  /** With regions: the label written for each region, in that order. */
  readonly regionsClassOrder: readonly number[];
  /** Network outputs: regions, or allLabels. */
  readonly headCount: number;
  /** Label name by integer, where a label is a single integer. */
  readonly names: ReadonlyMap<number, string>;
}

export interface DatasetJson {
  readonly channelNames: readonly string[];
  readonly labels: Labels;
  readonly fileEnding: string;
  /** The file's JSON, unchanged, to be copied beside predictions. */
  readonly json: unknown;
}
