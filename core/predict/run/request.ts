/** What a prediction run is asked for and what it gives back, as plain data: the line between the commands and the predictor. */
import type { UserErrorParts } from "../../base/errors.ts";
import type { Vec3 } from "../../base/shape.ts";
import type { Engine, Precision, StepCost } from "../../engine/engine.ts";
import type { NonFinitePolicy } from "../../preprocess/non_finite.ts";
import type { Model } from "../model/model_folder.ts";
import type { PrecisionCache } from "../model/precision.ts";
import type { ObjectDetails } from "./case_outputs.ts";
import type { CaseOutput } from "./output_formats.ts";
import type { StoredCaseFolders } from "./stored_case.ts";
import type { MemoryForecast, RingPlacement } from "../stream/stream.ts";

/** One case to be predicted. */
export interface CaseToPredict {
  readonly id: string;
  /** The channels' files in channel order; none for a case that is preprocessed. */
  readonly files: readonly string[];
  /** Instead of `files`: where the case is preprocessed. */
  readonly stored?: StoredCaseFolders;
  /** The cascade's previous stage: its segmentation of this case. */
  readonly previousStageFile?: string;
  /** The segmentation to write, file ending included; <case>.npz and <case>.pkl go beside it. */
  readonly output: string;
  /** Files to write in formats of their own; where `output` is not among them, it is written too, in the model's. */
  readonly outputs?: readonly CaseOutput[];
}

/** How a prediction is made; defaults are upstream's. */
export interface PredictionOptions {
  /** Tile step as a share of the patch, 0 < x <= 1. Default 0.5. */
  readonly stepSize?: number;
  /** Test-time mirroring over the axes the checkpoint allows. Default true. */
  readonly mirroring?: boolean;
  /** Also write <case>.npz and <case>.pkl. Default false. */
  readonly saveProbabilities?: boolean;
  /** Leave out cases whose output (with saveProbabilities: and .npz, .pkl) is there. Default false. */
  readonly continuePrediction?: boolean;
  /**
   * Other processes predict the same cases into the same folder: each is done by one of them, and those that are there are left out.
   * Needs `outputFolder`. Default false.
   */
  readonly share?: boolean;
  /** Default "refuse". */
  readonly nonFinite?: NonFinitePolicy;
  /** Bytes the run may take on engine and host together; undefined: what the machine has to give. */
  readonly maxMemory?: number;
  /**
   * How a GPU stores activations; it must support it, "auto" asks for both: then the first tile decides (precision.ts). A CPU engine
   * computes in f32 whatever is said. Default f32.
   */
  readonly precision?: Precision | "auto";
  /** Where "auto" keeps what it found. */
  readonly precisionCache?: PrecisionCache;
  /** False: reading and export run in this thread, one case after the other (as -npp 0). Default true. */
  readonly overlap?: boolean;
  /** SHA-256 of inputs and outputs in the records. Default false. */
  readonly checksums?: boolean;
  /** Folder for the spilled ring and for raw probabilities; default: beside the outputs. */
  readonly scratchFolder?: string;
}

/** The arguments of upstream's predict_from_files, written to predict_from_raw_data_args.json. */
export interface PredictFromFilesArguments {
  readonly list_of_lists_or_source_folder: string | readonly (readonly string[])[];
  readonly output_folder_or_list_of_truncated_output_files: string | readonly string[];
  readonly save_probabilities: boolean;
  readonly overwrite: boolean;
  readonly num_processes_preprocessing: number;
  readonly num_processes_segmentation_export: number;
  readonly folder_with_segs_from_prev_stage: string | null;
  readonly num_parts: number;
  readonly part_id: number;
}

export interface PredictionRequest {
  readonly engine: Engine;
  readonly model: Model;
  /** The cases of this part, in order. */
  readonly cases: readonly CaseToPredict[];
  /** Where dataset.json, plans.json and predict_from_raw_data_args.json go; undefined: they are not written. */
  readonly outputFolder?: string;
  /** Needed with `outputFolder`. */
  readonly arguments?: PredictFromFilesArguments;
  readonly options?: PredictionOptions;
  /** What DICOM objects say; needed where cases have such outputs. */
  readonly details?: ObjectDetails;
  /**
   * Closes the engine and opens its like, so that memory it can't give back otherwise is free; undefined where it gives everything back
   * as it goes. The engines stay the caller's.
   */
  readonly renew?: () => (() => Promise<Engine>) | undefined;
  /**
   * Asked when a case has failed, for the `attempt`th time: if that was the engine's fault and another one may do it, what opens that one.
   * The engines stay the caller's.
   */
  readonly recover?: (error: unknown, attempt: number) => (() => Promise<Engine>) | undefined;
}

/** What is going on, for a progress display. */
export type PredictionEvent = EventKinds & {
  /** Where several GPUs share the cases: which one it is about, as it was chosen. */
  readonly gpu?: string;
};

type EventKinds =
  | { readonly kind: "start"; readonly cases: number; readonly skipped: number }
  /** The case is preprocessed and goes to the network. */
  | {
    readonly kind: "case";
    readonly id: string;
    readonly index: number;
    readonly grid: Vec3;
    readonly tiles: number;
    readonly memory: MemoryForecast;
    readonly forecastSeconds: number;
  }
  /** Network runs of the case that are done, of all (tiles x mirrorings x folds). */
  | { readonly kind: "progress"; readonly id: string; readonly done: number; readonly of: number }
  /** What `precision: "auto"` came to, from a trial or the cache. */
  | { readonly kind: "precision"; readonly precision: Precision; readonly why: string }
  | { readonly kind: "warning"; readonly id: string; readonly message: string }
  | { readonly kind: "done"; readonly record: CaseRecord }
  | { readonly kind: "failed"; readonly id: string; readonly error: UserErrorParts; readonly message: string };

export interface PredictionHooks {
  readonly onEvent?: (event: PredictionEvent) => void;
  /** Aborting it stops the run between enqueues; the promise then rejects with {@link Interrupted}. */
  readonly signal?: AbortSignal;
}

/** Seconds of wall time per stage of one case; stages of neighbouring cases overlap. */
export interface CaseTimings {
  readonly read: number;
  readonly preprocess: number;
  readonly network: number;
  readonly export: number;
}

/** Voxels of one label of a segmentation. */
export interface LabelCount {
  readonly label: number;
  readonly name?: string;
  readonly voxels: number;
  /** Millilitres by the image's spacing; 2-D images have none. */
  readonly ml?: number;
}

/** What was done to one case. */
export interface CaseRecord {
  readonly id: string;
  readonly files: readonly string[];
  readonly output: string;
  /** All files of the segmentation, where other formats than the model's were asked for. */
  readonly outputs?: readonly string[];
  /** Shape of the image as read, (z, y, x), and spacing in mm. */
  readonly shape: Vec3;
  readonly spacing: Vec3;
  /** Shape the network saw. */
  readonly networkGrid: Vec3;
  readonly tiles: number;
  readonly networkRuns: number;
  readonly batch: number;
  /** Where the open planes of logits were. */
  readonly placement: RingPlacement;
  readonly memory: MemoryForecast;
  readonly forecastSeconds: number;
  readonly timings: CaseTimings;
  readonly labels: readonly LabelCount[];
  readonly warnings: readonly string[];
  /** NaN and infinite voxels replaced, per channel. */
  readonly replacedVoxels: readonly number[];
  /** Where several GPUs shared the cases: which one predicted it. */
  readonly gpu?: string;
  /** With `checksums`: file -> SHA-256 in hex. */
  readonly checksums?: Readonly<Record<string, string>>;
}

export interface FailedCase {
  readonly id: string;
  readonly error: UserErrorParts;
  readonly message: string;
}

export interface PredictionSummary {
  readonly done: readonly CaseRecord[];
  /** Ids left out because their output is there (continuePrediction). */
  readonly skipped: readonly string[];
  readonly failed: readonly FailedCase[];
  readonly seconds: number;
  /** The engine's cost forecast of one program run, for reports. */
  readonly steps: readonly StepCost[];
}
