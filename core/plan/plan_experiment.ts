/**
 * From a dataset's fingerprint to its plans: target spacing, axis order, patch sizes, batch sizes and U-Nets of every configuration.
 * Source: nnunetv2/experiment_planning/experiment_planners/default_experiment_planner.py and residual_encoder_unet_planners.py.
 */
import { UserError } from "../base/errors.ts";
import { argMax, median, percentile, roundHalfEven } from "../base/numeric.ts";
import { encoderBlocks, featureMapElements, featuresPerStage, type Planner } from "./planners.ts";
import type { NormalizationScheme } from "./plans.ts";
import { poolAndConvolve, type Topology } from "./topology.ts";

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

/** A configuration, or why there is none that a network could be trained with. */
type Attempt =
  | { readonly configuration: PlannedConfiguration; readonly why?: undefined }
  | { readonly configuration?: undefined; readonly why: string };

/**
 * The plans as they are written to plans.json: same keys, same order. A configuration that would be none (a median image or patch
 * without voxels, a network without a decoder; upstream fails there, or writes what it can't train) is left out.
 * @param onLeftOut Is told of each, and why
 * @throws UserError if none is left, naming why for each
 */
export function planExperiment(
  request: PlanningRequest,
  onLeftOut: (name: string, why: string) => void = () => {},
): Record<string, unknown> {
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
  const leftOut: string[] = [];
  const kept = (name: string, { configuration, why }: Attempt): PlannedConfiguration | undefined => {
    if (configuration) return configuration;
    leftOut.push(`${name}: ${why}`);
    onLeftOut(name, why);
    return undefined;
  };

  const configurations: Record<string, unknown> = {};
  const slices = kept("2d", plan(target.slice(1), shape.slice(1), "2d", voxels));
  if (slices) configurations["2d"] = { ...slices, batch_dice: true };
  const fullres = shape[0] === 1 ? undefined : kept("3d_fullres", plan(target, shape, "3d_fullres", voxels));
  if (fullres) {
    const attempt = planLowres(
      fullres,
      shape,
      (spacing, lowShape, lowVoxels) => plan(spacing, lowShape, "3d_lowres", lowVoxels * request.trainingCases),
    );
    const lowres = attempt && kept("3d_lowres", attempt);
    if (lowres) configurations["3d_lowres"] = { ...lowres, batch_dice: false, next_stage: "3d_cascade_fullres" };
    configurations["3d_fullres"] = { ...fullres, batch_dice: lowres !== undefined };
    if (lowres) configurations["3d_cascade_fullres"] = { inherits_from: "3d_fullres", previous_stage: "3d_lowres" };
  }
  if (Object.keys(configurations).length === 0) {
    throw new UserError({
      doing: "planning the experiment",
      problem: `no configuration can be trained on these images. ${leftOut.join(". ")}`,
      remedy: request.targetSpacing
        ? "give a finer -overwrite_target_spacing, or leave it out"
        : leftOut.some((why) => why.includes("GPU memory target"))
        ? "give a larger -gpu_memory_target, or leave it out"
        : "check the sizes and spacings of the images",
    });
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

/** The coarser configuration a cascade starts with; undefined where the image is small enough without it. */
function planLowres(
  fullres: PlannedConfiguration,
  shape: readonly number[],
  plan: (spacing: readonly number[], shape: readonly number[], voxels: number) => Attempt,
): Attempt | undefined {
  const spacing = [...fullres.spacing];
  let patchVoxels = product(fullres.patch_size);
  let imageVoxels = product(shape);
  let lowres: Attempt | undefined;
  while (patchVoxels / imageVoxels < LOWRES_THRESHOLD) {
    // Finer axes grow first, until all are within a factor of two.
    const coarsest = Math.max(...spacing);
    const finer = spacing.map((one) => coarsest / one > 2);
    const all = !finer.includes(true);
    for (let axis = 0; axis < 3; axis++) if (all || finer[axis]) spacing[axis] *= LOWRES_SPACING_STEP;
    const lowShape = shape.map((n, axis) => fullres.spacing[axis] / spacing[axis] * n);
    imageVoxels = product(lowShape);
    lowres = plan([...spacing], lowShape.map(roundHalfEven), imageVoxels);
    if (!lowres.configuration) return lowres;
    patchVoxels = product(lowres.configuration.patch_size);
  }
  return product(shape) / imageVoxels < 2 ? undefined : lowres;
}

/** Patch size, batch size and U-Net for one spacing, as large as the memory target allows. */
function planConfiguration(
  request: PlanningRequest,
  spacing: readonly number[],
  shape: readonly number[],
  dataIdentifier: string,
  datasetVoxels: number,
): Attempt {
  if (!shape.every((size) => size >= 1)) {
    return { why: `at a spacing of ${by(spacing)} mm the median image would be ${by(shape)} voxels` };
  }
  const { planner } = request;
  const dimension = spacing.length === 2 ? "d2" : "d3";
  const referenceBatch = REFERENCE_BATCH[dimension];
  const reference = planner.reference[dimension] *
    ((request.gpuMemoryTargetGB ?? planner.targetGB) / planner.reference.gigabytes);
  const estimate = (topology: Topology) => featureMapElements(planner, topology, request.labelCount);
  // The plain planner measures a batch of two, the residual ones a patch.
  const load = planner.family === "PlainConvUNet" ? 2 / referenceBatch : 1;

  let topology = poolAndConvolve(spacing, initialPatch(spacing, shape));
  let size = estimate(topology);
  while (size * load > reference) {
    topology = shrinkPatch(spacing, shape, topology);
    size = estimate(topology);
  }
  const why = unfit(request, topology);
  if (why !== undefined) return { why };
  const voxelCap = roundHalfEven(datasetVoxels * planner.maxDatasetCovered / product(topology.patchSize));
  const batch = Math.max(Math.min(roundHalfEven(reference / size * referenceBatch), voxelCap), MIN_BATCH_SIZE);
  const configuration = {
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
  return { configuration };
}

/** Why no network can be trained on a patch; undefined where one can. */
function unfit({ planner, gpuMemoryTargetGB }: PlanningRequest, { patchSize, strides }: Topology): string | undefined {
  if (!patchSize.every((size) => size >= 1)) {
    const target = gpuMemoryTargetGB ?? planner.targetGB;
    return `shrunk until it fits the GPU memory target of ${target} GB, the patch would be ${by(patchSize)} voxels`;
  }
  const patch = `the patch would be ${by(patchSize)} voxels`;
  if (strides.length > planner.maxStages) {
    return `${patch} and its network have ${strides.length} stages; ${planner.name} knows up to ${planner.maxStages}`;
  }
  if (strides.length > 1) return undefined;
  return `${patch}, too few to be halved even once, as the smallest U-Net does: it takes 8 on two axes, or 12 on one`;
}

/** "0.5 x 0.5 x 3". */
function by(values: readonly number[]): string {
  return values.map((value) => Number(value.toPrecision(4))).join(" x ");
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
  topology: Topology,
): Topology {
  const patch = [...topology.patchSize];
  const ratios = patch.map((n, axis) => n / shape[axis]);
  const axis = ratios.lastIndexOf(Math.max(...ratios));
  // A step of the present divisor could skip sizes that a net with fewer poolings would take: its divisor counts.
  const smaller = [...patch];
  smaller[axis] -= topology.divisibleBy[axis];
  patch[axis] -= poolAndConvolve(spacing, smaller).divisibleBy[axis];
  return poolAndConvolve(spacing, patch);
}

function architecture(planner: Planner, topology: Topology): Record<string, unknown> {
  const stages = topology.strides.length;
  const dimensions = topology.patchSize.length;
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

const SCHEMES: ReadonlyMap<string, NormalizationScheme> = new Map<string, NormalizationScheme>([
  ["ct", "CTNormalization"],
  ["nonorm", "NoNormalization"],
  ["zscore", "ZScoreNormalization"],
  ["rescale_to_0_1", "RescaleTo01Normalization"],
  ["rgb_to_0_1", "RGBTo01Normalization"],
]);
/** Below this share of the image the nonzero mask is used for z-scores. */
export const MASK_THRESHOLD = 3 / 4;

function normalization({ channelNames, fingerprint }: PlanningRequest): Record<string, unknown> {
  const schemes = channelNames.map((name) => SCHEMES.get(name.toLowerCase()) ?? "ZScoreNormalization");
  const masked = fingerprint.medianRelativeSizeAfterCropping < MASK_THRESHOLD;
  return {
    normalization_schemes: schemes,
    use_mask_for_norm: schemes.map((scheme) => masked && scheme === "ZScoreNormalization"),
  };
}

function resampling(planner: Planner): Record<string, unknown> {
  const name = {
    spline: "resample_data_or_seg_to_shape",
    torch: "resample_torch_fornnunet",
    torchSeparateZ: "resample_torch_fornnunet",
    none: "no_resampling_hack",
  }[planner.resampling];
  const options = (isSeg: boolean, order: number): Record<string, unknown> => {
    if (planner.resampling === "none") return {};
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
