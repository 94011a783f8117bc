import type { DatasetJson } from "../dataset/dataset_json.ts";
import type { Checkpoint } from "../formats/torch_checkpoint.ts";
import type { Graph } from "../graph/graph.ts";
import type { Configuration, Plans } from "../plan/plans.ts";
export interface ModelFold {
  /** "0", "all". */
  readonly name: string;
  readonly file: string;
  readonly checkpoint: Checkpoint;
}
/** A trained model: its folder, read and checked. Disposing it closes the checkpoints. */
export interface Model extends Disposable {
  readonly folder: string;
  readonly plans: Plans;
  readonly dataset: DatasetJson;
  readonly configuration: Configuration;
  readonly trainerName: string;
  readonly mirrorAxes: readonly number[] | null;
  readonly folds: readonly ModelFold[];
  readonly inputChannels: number;
  readonly outputChannels: number;
  readonly graph: Graph;
}
export interface OpenModelOptions {
  /** Names as after fold_; undefined: all but fold_all that hold the checkpoint. */
  readonly folds: readonly string[] | undefined;
  readonly checkpointName: string;
  readonly assumePlansNetwork: boolean;
  readonly overrideConfiguration?: string;
}
export function openModel(_folder: string, _options: OpenModelOptions): Promise<Model> {
  throw new Error("being written");
}
