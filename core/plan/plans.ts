/**
 * Plans as this program uses them: parsed, inherited, old keys translated, every field checked. Names follow plans.json;
 * `transposed` axes are those after transpose_forward. Read by core/plan/read_plans.ts.
 */
import type { Vec3 } from "../base/shape.ts";
import type { ReaderName } from "../formats/image/image.ts";
import type { NetworkArchitecture } from "../network/architecture.ts";

export type { NetworkArchitecture } from "../network/architecture.ts";

export type NormalizationScheme =
  | "CTNormalization"
  | "NoNormalization"
  | "ZScoreNormalization"
  | "RescaleTo01Normalization"
  | "RGBTo01Normalization";

/** Intensity statistics of the training foreground, per channel; CTNormalization uses them. */
export interface IntensityProperties {
  readonly max: number;
  readonly mean: number;
  readonly median: number;
  readonly min: number;
  readonly percentile_00_5: number;
  readonly percentile_99_5: number;
  readonly std: number;
}

/** How one kind of array (image, segmentation, logits) is resampled. */
export type Resampling =
  | {
    readonly kind: "spline"; // resample_data_or_seg_to_shape
    readonly isSeg: boolean;
    readonly order: number;
    readonly orderZ: number;
    readonly forceSeparateZ: boolean | null;
  }
  | {
    readonly kind: "torch"; // resample_torch_fornnunet, resample_torch_simple
    readonly isSeg: boolean;
    readonly forceSeparateZ: boolean | null;
    readonly memoryEfficientSeg: boolean;
    readonly separateZThreshold: number;
  }
  | { readonly kind: "none" }; // no_resampling_hack

/** One configuration of a plans file, inheritance resolved. */
export interface Configuration {
  readonly name: string;
  readonly dimensions: 2 | 3;
  /** (z, y, x) after transpose_forward; 2-D configurations have z = 1. */
  readonly patchSize: Vec3;
  /** As in the file: 2 or 3 numbers, transposed axes. */
  readonly spacing: readonly number[];
  readonly batchSize: number;
  readonly normalizationSchemes: readonly NormalizationScheme[];
  readonly useMaskForNorm: readonly boolean[];
  readonly resamplingData: Resampling;
  readonly resamplingSeg: Resampling;
  readonly resamplingProbabilities: Resampling;
  readonly architecture: NetworkArchitecture;
  readonly batchDice: boolean;
  readonly dataIdentifier: string;
  readonly previousStage?: string;
  readonly nextStages: readonly string[];
}

/** A plans file. */
export interface Plans {
  /** Where it was read from, for errors. */
  readonly file?: string;
  readonly datasetName: string;
  readonly plansName: string;
  readonly reader: ReaderName;
  readonly transposeForward: Vec3;
  readonly transposeBackward: Vec3;
  readonly intensityProperties: readonly IntensityProperties[];
  /** Names of all configurations in the file. */
  readonly configurationNames: readonly string[];
  /** The file's JSON, unchanged, to be copied beside predictions. */
  readonly json: unknown;
}
