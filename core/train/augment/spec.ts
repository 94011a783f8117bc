/**
 * What augmentation does with the samples of a configuration, as plain data: derived once from the plans and the trainer's options.
 * Sources: configure_rotation_dummyDA_mirroring_and_inital_patch_size and get_dataloaders of
 * nnunetv2/training/nnUNetTrainer/nnUNetTrainer.py (2.5.1), training/data_augmentation/compute_initial_patch_size.py,
 * and the trainers of training/nnUNetTrainer/variants/data_augmentation.
 */
import type { Vec3 } from "../../base/shape.ts";
import type { Labels } from "../../dataset/dataset_json.ts";
import type { Configuration } from "../../plan/plans.ts";
import type { AugmentationOptions } from "../../trainers/training_recipe.ts";

/** Axes are (z, y, x) of the transposed image; 2-D configurations have z = 1. */
export interface AugmentationSpec {
  readonly recipe: AugmentationOptions["recipe"];
  readonly dimensions: 2 | 3;
  /** Channels of the image without those of the previous stage. */
  readonly channels: number;
  /** What the network takes. */
  readonly patch: Vec3;
  /** What is loaded for training. Validation loads `patch`. */
  readonly loadPatch: Vec3;
  /** True: rotated and scaled slice by slice; so are 2-D configurations, and 3-D ones with thick slices (dummy 2D). */
  readonly planar: boolean;
  /** Radians: rotations are drawn from -maxRotation to maxRotation. */
  readonly maxRotation: number;
  readonly labelInterpolation: AugmentationOptions["labelInterpolation"];
  readonly imageInterpolation: "linear" | "cubic" | "nearest";
  /** Recipe "da5": axes of (z, y, x) that are turned into each other, two or more of equal length, or none. */
  readonly turnableAxes: readonly number[];
  /** Axes of (z, y, x) that are flipped at random. */
  readonly mirrorAxes: readonly number[];
  /** Image channels that are 0 outside the nonzero region. */
  readonly maskedChannels: readonly number[];
  /** With a previous stage: the labels whose masks are appended to the image, in this order. */
  readonly cascadeLabels?: readonly number[];
}

/** What training needs of a configuration to load and augment its samples. */
export interface DerivedAugmentation {
  readonly spec: AugmentationSpec;
  /** As the checkpoint stores it (axes of the network input: 0 and 1 are y and x in 2-D); null: no mirroring at inference. */
  readonly inferenceMirrorAxes: readonly number[] | null;
}

/** Slices are thick where the longest edge of the patch is more than this times the edge along z. */
const THICK_SLICES = 3;
/** Of a patch whose edges differ more than this times, 2-D rotations are small. */
const LONG_PATCH = 1.5;
/** Patches are loaded larger by this, so that shrinking objects does not show the border; upstream's min(0.85, 1.25), min(0.7, 1.43). */
const LOADED_SCALE = 0.85;
const DA5_LOADED_SCALE = 0.7;

/**
 * Derives what augmentation does.
 * @param channels Channels of the image
 */
export function deriveAugmentation(
  configuration: Pick<Configuration, "dimensions" | "patchSize" | "useMaskForNorm" | "previousStage">,
  channels: number,
  labels: Pick<Labels, "foregroundLabels">,
  options: AugmentationOptions,
): DerivedAugmentation {
  const { dimensions, patchSize: patch } = configuration;
  const augmented = options.recipe !== "none";
  const [z, y, x] = patch;
  const dummy2d = dimensions === 3 && !options.volumetric && Math.max(z, y, x) / z > THICK_SLICES;
  const degrees = dimensions === 2 ? (Math.max(y, x) / Math.min(y, x) > LONG_PATCH ? 15 : 180) : dummy2d ? 180 : 30;
  const maxRotation = degrees / 360 * 2 * Math.PI;
  const mirrorAxes = !augmented ? [] : allowedAxes(dimensions, options.mirroring);
  const offset = 3 - dimensions;
  const isDa5 = options.recipe === "da5";
  const loadedScale = isDa5 ? DA5_LOADED_SCALE : LOADED_SCALE;
  return {
    spec: {
      recipe: options.recipe,
      dimensions,
      channels,
      patch,
      loadPatch: augmented ? initialPatch(patch, dimensions, maxRotation, dummy2d, loadedScale) : patch,
      planar: dimensions === 2 || dummy2d,
      maxRotation,
      labelInterpolation: options.labelInterpolation,
      imageInterpolation: isDa5 ? options.imageInterpolation ?? "cubic" : "linear",
      turnableAxes: isDa5 ? equalAxes(patch, dimensions) : [],
      mirrorAxes: mirrorAxes.map((axis) => axis + offset),
      // nnUNetTrainerNoDA does not mask either: its images are as they were normalised.
      maskedChannels: augmented ? indicesOfTrue(configuration.useMaskForNorm) : [],
      ...(configuration.previousStage === undefined ? {} : { cascadeLabels: labels.foregroundLabels }),
    },
    inferenceMirrorAxes: mirrorAxes.length > 0 ? mirrorAxes : null,
  };
}

function allowedAxes(dimensions: 2 | 3, mirroring: AugmentationOptions["mirroring"]): number[] {
  const all = dimensions === 2 ? [0, 1] : [0, 1, 2];
  return mirroring === "none" ? [] : mirroring === "all" ? all : all.slice(0, -1);
}

/** Edges that hold the patch turned about each axis, one at a time, and scaled. */
function initialPatch(
  patch: Vec3,
  dimensions: 2 | 3,
  maxRotation: number,
  dummy2d: boolean,
  loadedScale: number,
): Vec3 {
  const angle = Math.min(90 / 360 * 2 * Math.PI, maxRotation);
  const [s, c] = [Math.sin(angle), Math.cos(angle)];
  const [z, y, x] = patch;
  const edge = (...lengths: number[]) => Math.trunc(Math.max(...lengths.map(Math.abs)) / loadedScale);
  // Row vector times rotation matrix, as upstream has it.
  if (dimensions === 2) return [1, edge(y, c * y + s * x), edge(x, c * x - s * y)];
  const grown: Vec3 = [
    edge(z, c * z - s * x, c * z + s * y),
    edge(y, c * y + s * x, c * y - s * z),
    edge(x, c * x - s * y, c * x + s * z),
  ];
  return dummy2d ? [z, grown[1], grown[2]] : grown;
}

/** The axes whose length the most axes have, if that is more than one. */
function equalAxes(patch: Vec3, dimensions: 2 | 3): number[] {
  const axes = [0, 1, 2].slice(3 - dimensions);
  const sharing = axes.map((axis) => axes.filter((other) => patch[other] === patch[axis]).length);
  const most = Math.max(...sharing);
  return most > 1 ? axes.filter((_, i) => sharing[i] === most) : [];
}

function indicesOfTrue(flags: readonly boolean[]): number[] {
  return flags.flatMap((flag, index) => flag ? [index] : []);
}
