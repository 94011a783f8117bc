/**
 * From a dataset's fingerprint to its plans: target spacing, axis order, patch sizes, batch sizes and U-Nets of every configuration.
 * Source: nnunetv2/experiment_planning/experiment_planners/default_experiment_planner.py and residual_encoder_unet_planners.py.
 */
import { argMax, median, percentile, roundHalfEven } from "../base/numeric.ts";
import { encoderBlocks, featureMapElements, featuresPerStage, type Planner } from "./planners.ts";
import type { NormalizationScheme } from "./plans.ts";
import { poolAndConvolve } from "./topology.ts";

/** What the planner needs of dataset_fingerprint.json; lists are per case, in the reader's axis order. */
export interface Fingerprint {
  readonly spacings: readonly (readonly number[])[];
  readonly shapesAfterCrop: readonly (readonly number[])[];
  readonly medianRelativeSizeAfterCropping: number;
  /** Copied into the plans. */
  readonly intensityProperties: unknown;
}

export interface PlanningRequest {
  readonly fingerprint: Fingerprint;
  readonly datasetName: string;
  readonly channelNames: readonly string[];
  /** Entries of `labels` in dataset.json, background, regions and ignore label included. */
  readonly labelCount: number;
  readonly trainingCases: number;
  readonly reader: string;
  readonly planner: Planner;
  readonly plansName?: string;
  readonly gpuMemoryTargetGB?: number;
  /** mm, in the reader's axis order. */
  readonly targetSpacing?: readonly number[];
  readonly preprocessor?: string;
}

/** A configuration as it stands in plans.json. */
export type PlannedConfiguration = Record<string, unknown> & {
  readonly patch_size: number[];
  readonly spacing: number[];
};

export const ANISOTROPY_THRESHOLD = 3;
/** A patch that holds less of the median image than this calls for a low-resolution configuration. */
export const LOWRES_THRESHOLD = 0.25;
const LOWRES_SPACING_STEP = 1.03;
const MIN_BATCH_SIZE = 2;
/** Batch size the reference networks' sizes belong to. */
export const REFERENCE_BATCH = { d2: 12, d3: 2 };

/** The plans as they are written to plans.json: same keys, same order. */
export function planExperiment(request: PlanningRequest): Record<string, unknown> {
  const { fingerprint, planner } = request;
  const plansName = request.plansName ?? planner.plansName;
  const spacing = fullresSpacing(fingerprint, request.targetSpacing);
  const worst = argMax(spacing);
  const forward = [worst, ...[0, 1, 2].filter((axis) => axis !== worst)];
  const transposed = (values: readonly number[]) => forward.map((axis) => values[axis]);
  const target = transposed(spacing);
  const shapes = fingerprint.spacings.map((from, i) =>
    fingerprint.shapesAfterCrop[i].map((n, axis) => roundHalfEven(from[axis] / spacing[axis] * n))
  );
  const shape = transposed(perAxis(shapes, median));
  const voxels = product(shape) * request.trainingCases;
  const identifier = (name: string) =>
    planner.sharesDefaultData && name !== "3d_lowres" ? `nnUNetPlans_${name}` : `${plansName}_${name}`;
  const plan = (spacing: readonly number[], shape: readonly number[], name: string, voxels: number) =>
    planConfiguration(request, spacing, shape, identifier(name), voxels);

  const configurations: Record<string, unknown> = {
    "2d": { ...plan(target.slice(1), shape.slice(1), "2d", voxels), batch_dice: true },
  };
  if (shape[0] !== 1) {
    const fullres = plan(target, shape, "3d_fullres", voxels);
    const lowres = planLowres(
      fullres,
      shape,
      (spacing, lowShape, lowVoxels) => plan(spacing, lowShape, "3d_lowres", lowVoxels * request.trainingCases),
    );
    if (lowres) configurations["3d_lowres"] = { ...lowres, batch_dice: false, next_stage: "3d_cascade_fullres" };
    configurations["3d_fullres"] = { ...fullres, batch_dice: lowres !== null };
    if (lowres) configurations["3d_cascade_fullres"] = { inherits_from: "3d_fullres", previous_stage: "3d_lowres" };
  }
  return {
    dataset_name: request.datasetName,
    plans_name: plansName,
    original_median_spacing_after_transp: transposed(perAxis(fingerprint.spacings, median)),
    original_median_shape_after_transp: transposed(perAxis(fingerprint.shapesAfterCrop, median)).map(roundHalfEven),
    image_reader_writer: request.reader,
    transpose_forward: forward,
    transpose_backward: [0, 1, 2].map((axis) => forward.indexOf(axis)),
    configurations,
    experiment_planner_used: planner.name,
    label_manager: "LabelManager",
    foreground_intensity_properties_per_channel: fingerprint.intensityProperties,
  };
}

/**
 * The spacing 3d_fullres works at: medians, but for datasets with one coarse axis of few slices the 10th percentile of that axis.
 * @returns mm in the reader's axis order
 */
export function fullresSpacing(fingerprint: Fingerprint, given: readonly number[] | undefined): number[] {
  if (given) return [...given];
  const target = perAxis(fingerprint.spacings, (values) => percentile(values, 50));
  const size = perAxis(fingerprint.shapesAfterCrop, (values) => percentile(values, 50));
  const worst = argMax(target);
  const others = [0, 1, 2].filter((axis) => axis !== worst);
  const coarsestOther = Math.max(...others.map((axis) => target[axis]));
  const anisotropicSpacing = target[worst] > ANISOTROPY_THRESHOLD * coarsestOther;
  const anisotropicShape = size[worst] * ANISOTROPY_THRESHOLD < Math.min(...others.map((axis) => size[axis]));
  if (anisotropicSpacing && anisotropicShape) {
    const tenth = percentile(fingerprint.spacings.map((one) => one[worst]), 10);
    target[worst] = tenth < coarsestOther ? coarsestOther + 1e-5 : tenth;
  }
  return target;
}

/** The coarser configuration a cascade starts with, or null where the image is small enough without it. */
function planLowres(
  fullres: PlannedConfiguration,
  shape: readonly number[],
  plan: (spacing: readonly number[], shape: readonly number[], voxels: number) => PlannedConfiguration,
): PlannedConfiguration | null {
  const spacing = [...fullres.spacing];
  let patchVoxels = product(fullres.patch_size);
  let imageVoxels = product(shape);
  let lowres: PlannedConfiguration | null = null;
  while (patchVoxels / imageVoxels < LOWRES_THRESHOLD) {
    // Finer axes grow first, until all are within a factor of two.
    const coarsest = Math.max(...spacing);
    const finer = spacing.map((one) => coarsest / one > 2);
    const all = !finer.includes(true);
    for (let axis = 0; axis < 3; axis++) if (all || finer[axis]) spacing[axis] *= LOWRES_SPACING_STEP;
    const lowShape = shape.map((n, axis) => fullres.spacing[axis] / spacing[axis] * n);
    imageVoxels = product(lowShape);
    lowres = plan([...spacing], lowShape.map(roundHalfEven), imageVoxels);
    patchVoxels = product(lowres.patch_size);
  }
  return product(shape) / imageVoxels < 2 ? null : lowres;
}

/** Patch size, batch size and U-Net for one spacing, as large as the memory target allows. */
function planConfiguration(
  request: PlanningRequest,
  spacing: readonly number[],
  shape: readonly number[],
  dataIdentifier: string,
  datasetVoxels: number,
): PlannedConfiguration {
  const { planner } = request;
  const dimension = spacing.length === 2 ? "d2" : "d3";
  const referenceBatch = REFERENCE_BATCH[dimension];
  const reference = planner.reference[dimension] *
    ((request.gpuMemoryTargetGB ?? planner.targetGB) / planner.reference.gigabytes);
  const estimate = (topology: ReturnType<typeof poolAndConvolve>) =>
    featureMapElements(planner, topology, request.labelCount);
  // The plain planner measures a batch of two, the residual ones a patch.
  const load = planner.family === "PlainConvUNet" ? 2 / referenceBatch : 1;

  let topology = poolAndConvolve(spacing, initialPatch(spacing, shape));
  let size = estimate(topology);
  while (size * load > reference) {
    topology = shrinkPatch(spacing, shape, topology);
    size = estimate(topology);
  }
  const voxelCap = roundHalfEven(datasetVoxels * planner.maxDatasetCovered / product(topology.patchSize));
  const batch = Math.max(Math.min(roundHalfEven(reference / size * referenceBatch), voxelCap), MIN_BATCH_SIZE);
  return {
    data_identifier: dataIdentifier,
    preprocessor_name: request.preprocessor ?? "DefaultPreprocessor",
    batch_size: batch,
    patch_size: [...topology.patchSize],
    median_image_size_in_voxels: [...shape],
    spacing: [...spacing],
    ...normalization(request),
    ...resampling(planner),
    architecture: architecture(planner, topology),
  };
}

/** A patch of the image's aspect ratio in mm and 256^3 (2048^2) voxels, cut to the median image. */
export function initialPatch(spacing: readonly number[], shape: readonly number[]): number[] {
  const inverse = spacing.map((one) => 1 / one);
  const volume = spacing.length === 3 ? 256 ** 3 : 2048 ** 2;
  const scale = Math.pow(volume / product(inverse), 1 / spacing.length);
  return inverse.map((one, axis) => Math.min(roundHalfEven(one * scale), shape[axis]));
}

/** Takes the smallest step that stays valid off the axis whose patch is largest against the image. */
export function shrinkPatch(
  spacing: readonly number[],
  shape: readonly number[],
  topology: ReturnType<typeof poolAndConvolve>,
) {
  const patch = [...topology.patchSize];
  const ratios = patch.map((n, axis) => n / shape[axis]);
  const axis = ratios.lastIndexOf(Math.max(...ratios));
  // A step of the present divisor could skip sizes that a net with fewer poolings would take: its divisor counts.
  const smaller = [...patch];
  smaller[axis] -= topology.divisibleBy[axis];
  patch[axis] -= poolAndConvolve(spacing, smaller).divisibleBy[axis];
  return poolAndConvolve(spacing, patch);
}

function architecture(planner: Planner, topology: ReturnType<typeof poolAndConvolve>): Record<string, unknown> {
  const stages = topology.strides.length;
  const dimensions = topology.patchSize.length;
  if (stages > planner.maxStages) {
    throw new RangeError(`Planning the network: ${stages} stages, ${planner.name} knows ${planner.maxStages}`);
  }
  const blocks = planner.family === "PlainConvUNet" ? "n_conv_per_stage" : "n_blocks_per_stage";
  return {
    network_class_name: `dynamic_network_architectures.architectures.unet.${planner.family}`,
    arch_kwargs: {
      n_stages: stages,
      features_per_stage: featuresPerStage(stages, dimensions),
      conv_op: `torch.nn.modules.conv.Conv${dimensions}d`,
      kernel_sizes: topology.kernelSizes,
      strides: topology.strides,
      [blocks]: encoderBlocks(planner, stages),
      n_conv_per_stage_decoder: Array(stages - 1).fill(planner.decoderBlocks),
      conv_bias: true,
      norm_op: `torch.nn.modules.instancenorm.InstanceNorm${dimensions}d`,
      norm_op_kwargs: { eps: 1e-5, affine: true },
      dropout_op: null,
      dropout_op_kwargs: null,
      nonlin: "torch.nn.LeakyReLU",
      nonlin_kwargs: { inplace: true },
    },
    _kw_requires_import: ["conv_op", "norm_op", "dropout_op", "nonlin"],
  };
}

const SCHEMES: Readonly<Record<string, NormalizationScheme>> = {
  ct: "CTNormalization",
  nonorm: "NoNormalization",
  zscore: "ZScoreNormalization",
  rescale_to_0_1: "RescaleTo01Normalization",
  rgb_to_0_1: "RGBTo01Normalization",
};
/** Below this share of the image the nonzero mask is used for z-scores. */
export const MASK_THRESHOLD = 3 / 4;

function normalization({ channelNames, fingerprint }: PlanningRequest): Record<string, unknown> {
  const schemes = channelNames.map((name) => SCHEMES[name.toLowerCase()] ?? "ZScoreNormalization");
  const masked = fingerprint.medianRelativeSizeAfterCropping < MASK_THRESHOLD;
  return {
    normalization_schemes: schemes,
    use_mask_for_norm: schemes.map((scheme) => masked && scheme === "ZScoreNormalization"),
  };
}

function resampling(planner: Planner): Record<string, unknown> {
  const name = planner.resampling === "spline" ? "resample_data_or_seg_to_shape" : "resample_torch_fornnunet";
  const options = (isSeg: boolean, order: number): Record<string, unknown> => {
    if (planner.resampling === "spline") return { is_seg: isSeg, order, order_z: 0, force_separate_z: null };
    if (planner.resampling === "torch") {
      return { is_seg: isSeg, force_separate_z: false, memefficient_seg_resampling: false };
    }
    return {
      is_seg: isSeg,
      force_separate_z: null,
      memefficient_seg_resampling: false,
      separate_z_anisotropy_threshold: ANISOTROPY_THRESHOLD,
    };
  };
  return {
    resampling_fn_data: name,
    resampling_fn_seg: name,
    resampling_fn_data_kwargs: options(false, 3),
    resampling_fn_seg_kwargs: options(true, 1),
    resampling_fn_probabilities: name,
    resampling_fn_probabilities_kwargs: options(false, 1),
  };
}

function perAxis(rows: readonly (readonly number[])[], reduce: (values: number[]) => number): number[] {
  return [0, 1, 2].map((axis) => reduce(rows.map((row) => row[axis])));
}

function product(values: readonly number[]): number {
  return values.reduce((result, value) => result * value, 1);
}
