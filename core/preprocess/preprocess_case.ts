/**
 * From an image as read to the array the network sees: transpose, replace what is not finite, crop to the nonzero region,
 * normalise, resample. Source: run_case_npy in nnunetv2/preprocessing/preprocessors/default_preprocessor.py.
 */
import { UserError } from "../base/errors.ts";
import { freeArray } from "../base/free_array.ts";
import type { MemoryAllowance } from "../base/memory_allowance.ts";
import { contiguousStrides, equalVec3, permute, type Vec3, voxelCount } from "../base/shape.ts";
import type { CaseImage, ImageGeometry, LabelVolume } from "../formats/image/image.ts";
import type { Configuration, Plans } from "../plan/plans.ts";
import type { CaseProperties, PreprocessedCase } from "./case.ts";
import { type CaseWork, preprocessingBytes, requireGrid, targetGrid, trainingCaseBytes } from "./case_memory.ts";
import { type BoundingBox, copyCrop, type CropView, fillHoles, markNonzero, nonzeroBoundingBox } from "./crop.ts";
import { type NonFinitePolicy, replaceNonFinite } from "./non_finite.ts";
import { normalise } from "./normalise.ts";
import { checkPreviousStageGrid, cropPreviousStage } from "./previous_stage.ts";
import { resampleChannel, resampleLabels } from "./resample.ts";
import type { ResamplePlan } from "./resample_plan.ts";

export interface PreprocessOptions {
  /** Cascade: the previous stage's segmentation of this case, in the image's own geometry. */
  readonly previousStage?: { readonly labels: LabelVolume; readonly geometry: ImageGeometry };
  /** What to do about NaN and infinite voxels; "refuse" if absent. */
  readonly nan?: NonFinitePolicy;
  /** True if the image's array may be used as working memory, and given back: it then holds nothing of use, and one channel less is alive. */
  readonly overwriteImage?: boolean;
  /** The memory the case may take; a grid that needs more is refused before anything is made on it. */
  readonly memory?: MemoryAllowance;
  /** The image's files, named where the image as a whole is at fault. */
  readonly files?: readonly string[];
  /** It becomes a training case, which takes memory of its own: voxels of its segmentation that have a label. */
  readonly labelledVoxels?: number;
}

/**
 * Preprocesses one case. One channel is worked on at a time, so that beside the image and the result there is one cropped channel;
 * with `overwriteImage` and axes that are not transposed, none.
 * @throws UserError for voxels that are not finite, values or channel counts that don't fit the plans, a grid that would have no
 * voxels, or a previous stage on another grid.
 */
export function preprocessCase(
  id: string,
  image: CaseImage,
  plans: Plans,
  configuration: Configuration,
  options: PreprocessOptions,
): PreprocessedCase {
  try {
    return preprocess(id, image, plans, configuration, options);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const { caseId = id, file = options.files?.join(", ") } = error.parts;
    throw new UserError({ ...error.parts, caseId, file }, { cause: error.cause });
  }
}

function preprocess(
  id: string,
  image: CaseImage,
  plans: Plans,
  configuration: Configuration,
  options: PreprocessOptions,
): PreprocessedCase {
  const { geometry, channels } = image;
  checkChannels(channels, configuration);
  const warnings = [...image.warnings];
  const previous = options.previousStage;
  if (previous !== undefined) warnings.push(...checkPreviousStageGrid(geometry, previous.labels, previous.geometry));
  const finite = replaceNonFinite(image, configuration, options.nan ?? "refuse", id, options.overwriteImage);
  warnings.push(...finite.warnings);

  const forward = plans.transposeForward;
  const fileBox = nonzeroBoundingBox(finite.data, channels, geometry.shape);
  const view = cropView(geometry.shape, fileBox, forward);
  const properties: CaseProperties = {
    geometry,
    originalSpacing: permute(geometry.spacing, forward),
    shapeBeforeCropping: permute(geometry.shape, forward),
    boundingBox: [fileBox[forward[0]], fileBox[forward[1]], fileBox[forward[2]]],
    shapeAfterCropping: view.shape,
  };
  const { grid, target: spacing } = targetGrid(view.shape, properties.originalSpacing, configuration);
  const overwrites = options.overwriteImage === true;
  const keepsAxes = equalVec3(forward, [0, 1, 2]);
  const masked = (c: number) =>
    configuration.useMaskForNorm[c] && configuration.normalizationSchemes[c] === "ZScoreNormalization";
  const needsMask = previous !== undefined || configuration.normalizationSchemes.some((_, c) => masked(c));
  const work = {
    labelled: previous !== undefined,
    masked: needsMask,
    overwrites,
    inPlace: keepsAxes,
    copies: finite.data !== image.data,
  };
  requireFit({ channels, properties, grid, target: spacing }, work, configuration, options);
  const plan = (resampling: ResamplePlan["resampling"]): ResamplePlan => ({
    resampling,
    currentSpacing: properties.originalSpacing,
    newSpacing: spacing,
  });

  const fileVoxels = voxelCount(geometry.shape);
  const channelOf = (c: number) => finite.data.subarray(c * fileVoxels, (c + 1) * fileVoxels);
  let mask: Uint8Array | undefined;
  let cropped: Int16Array | undefined;
  if (needsMask) {
    mask = new Uint8Array(voxelCount(view.shape));
    for (let c = 0; c < channels; c++) markNonzero(channelOf(c), view, mask);
    fillHoles(mask, view.shape);
    // Where the previous stage found something counts as inside for the normalisation too.
    if (previous !== undefined) cropped = cropPreviousStage(previous.labels, view, mask);
  }

  const voxels = voxelCount(view.shape);
  const resamples = !equalVec3(view.shape, grid);
  const inPlace = overwrites && keepsAxes;
  const data = inPlace && !resamples && voxels === fileVoxels
    ? finite.data
    : new Float32Array(channels * voxelCount(grid));
  const buffer = resamples && !inPlace ? new Float32Array(voxels) : undefined;
  for (let c = 0; c < channels; c++) {
    const source = channelOf(c);
    const target = data.subarray(c * voxelCount(grid), (c + 1) * voxelCount(grid));
    // Cropping within the channel itself moves every row towards its start, never over one still to be read.
    const channel = !resamples ? target : buffer ?? source.subarray(0, voxels);
    copyCrop(source, view, channel);
    normalise(channel, {
      scheme: configuration.normalizationSchemes[c],
      intensities: plans.intensityProperties[c],
      mask: masked(c) ? mask : undefined,
      channel: c,
    });
    if (resamples) resampleChannel(channel, view.shape, target, grid, plan(configuration.resamplingData));
  }
  freeArray(buffer);
  // Its voxels are on the network's grid now.
  if (finite.data !== data && (overwrites || finite.data !== image.data)) freeArray(finite.data);
  if (overwrites && image.data !== data) freeArray(image.data);
  freeArray(mask);
  const previousStage = cropped && resampleLabels(cropped, view.shape, grid, plan(configuration.resamplingSeg));
  if (previousStage !== cropped) freeArray(cropped);
  return {
    id,
    data,
    channels,
    grid,
    previousStage,
    properties,
    warnings,
    replacedVoxels: finite.replacedVoxels,
  };
}

/** @throws UserError for a grid without voxels, or one that the case has no memory to get to */
function requireFit(
  { channels, properties, grid, target }: {
    readonly channels: number;
    readonly properties: CaseProperties;
    readonly grid: Vec3;
    readonly target: Vec3;
  },
  work: CaseWork,
  configuration: Configuration,
  { labelledVoxels, memory }: PreprocessOptions,
): void {
  const { geometry: { shape: file }, shapeAfterCropping: cropped, originalSpacing: spacing } = properties;
  const grids = { channels, file, cropped, spacing, grid, target };
  const bytes = preprocessingBytes(grids, work, configuration);
  if (labelledVoxels === undefined) return requireGrid(grids, bytes, memory);
  // Resampling may leave some more of them, and they may be listed twice: as a label and within a region.
  const share = Math.min(1, 2.5 * labelledVoxels / voxelCount(cropped));
  requireGrid(grids, Math.max(bytes, trainingCaseBytes(grids, work.overwrites, share)), memory);
}

function checkChannels(channels: number, configuration: Configuration): void {
  const expected = configuration.normalizationSchemes.length;
  if (channels === expected) return;
  throw new UserError({
    doing: "preprocessing the image",
    problem: `it has ${channels} channel${channels === 1 ? "" : "s"}; the model was trained on ${expected}`,
    remedy: "give one file for each of the model's channels (channel_names in dataset.json)",
  });
}

/** The box of the file's volume, its axes in the order of transpose_forward. */
function cropView(shape: Vec3, box: BoundingBox, forward: Vec3): CropView {
  const strides = contiguousStrides(shape);
  return {
    offset: box.reduce((sum, [low], axis) => sum + low * strides[axis], 0),
    strides: permute(strides, forward),
    shape: permute([box[0][1] - box[0][0], box[1][1] - box[1][0], box[2][1] - box[2][0]], forward),
  };
}
