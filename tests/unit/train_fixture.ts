/** A small preprocessed dataset on disk: spheres in noise, tiny plans; and a training of it. */
import { join } from "../../core/base/path.ts";
import { type Vec3, voxelCount } from "../../core/base/shape.ts";
import { writeB2ndCase } from "../../core/formats/preprocessed/b2nd_case.ts";
import { BRICKS_ENDING, writeBricks } from "../../core/formats/preprocessed/bricks.ts";
import type { ImageGeometry } from "../../core/formats/image/image.ts";
import { writeNpzCase } from "../../core/formats/preprocessed/npy_case.ts";
import { type CheckpointFile, openCheckpoint } from "../../core/formats/torch/torch_checkpoint.ts";
import type { TrainingData } from "../../core/formats/preprocessed/training_data.ts";
import { writeLabels } from "../../core/formats/image/write_image.ts";
import { sampleClassLocations } from "../../core/preprocess/class_locations.ts";
import type { TrainHooks, TrainRequest } from "../../core/train/train_request.ts";
import { createCpuEngine } from "../../cpu/engine.ts";
import { plainUNet } from "./plans_fixture.ts";
import { randomNumbers } from "./predict_fixture.ts";

export const DATASET = "Dataset001_Spheres";
export const CASES = ["a", "b", "c", "d", "e", "f"] as const;

/** With two labels, spheres in spheres. */
export const DATASET_JSON = {
  channel_names: { "0": "MR" },
  labels: { background: 0, shell: 1, core: 2 },
  numTraining: CASES.length,
  file_ending: ".nii.gz",
};

const RESAMPLING = { order: 3, order_z: 0, force_separate_z: null };

/** Plans of one configuration, `tiny`: three stages, patches of 8 x 12 x 8. */
export function tinyPlans(): Record<string, unknown> {
  const kwargs = (isSeg: boolean) => ({ ...RESAMPLING, order: 1, is_seg: isSeg });
  return {
    dataset_name: DATASET,
    plans_name: "nnUNetPlans",
    original_median_spacing_after_transp: [1.0, 1.0, 1.0],
    original_median_shape_after_transp: [12, 16, 12],
    image_reader_writer: "SimpleITKIO",
    transpose_forward: [0, 1, 2],
    transpose_backward: [0, 1, 2],
    configurations: {
      tiny: {
        data_identifier: "nnUNetPlans_tiny",
        preprocessor_name: "DefaultPreprocessor",
        batch_size: 2,
        patch_size: [8, 12, 8],
        median_image_size_in_voxels: [12.0, 16.0, 12.0],
        spacing: [1.0, 1.0, 1.0],
        normalization_schemes: ["ZScoreNormalization"],
        use_mask_for_norm: [false],
        resampling_fn_data: "resample_data_or_seg_to_shape",
        resampling_fn_seg: "resample_data_or_seg_to_shape",
        resampling_fn_data_kwargs: { ...RESAMPLING, is_seg: false },
        resampling_fn_seg_kwargs: kwargs(true),
        resampling_fn_probabilities: "resample_data_or_seg_to_shape",
        resampling_fn_probabilities_kwargs: kwargs(false),
        architecture: plainUNet([4, 8, 8], 1),
        batch_dice: false,
      },
    },
    experiment_planner_used: "ExperimentPlanner",
    label_manager: "LabelManager",
    foreground_intensity_properties_per_channel: {
      "0": { max: 1, mean: 0, median: 0, min: -1, percentile_00_5: -1, percentile_99_5: 1, std: 1 },
    },
  };
}

export interface FixtureOptions {
  readonly cases?: readonly string[];
  readonly format?: "bricks" | "npz" | "b2nd";
  /** Labels of the spheres, outermost first. */
  readonly labels?: readonly number[];
  readonly plans?: Record<string, unknown>;
  readonly datasetJson?: Record<string, unknown>;
}

export interface Folders {
  readonly preprocessed: string;
  readonly results: string;
}

/** Writes the dataset into `folder`/preprocessed. */
export async function makePreprocessed(folder: string, options: FixtureOptions = {}): Promise<Folders> {
  const { cases = CASES, format = "bricks", plans = tinyPlans(), datasetJson = DATASET_JSON } = options;
  const preprocessed = join(folder, "preprocessed", DATASET);
  const data = join(preprocessed, "nnUNetPlans_tiny");
  const truth = join(preprocessed, "gt_segmentations");
  await Deno.mkdir(data, { recursive: true });
  await Deno.mkdir(truth);
  await Deno.writeTextFile(join(preprocessed, "nnUNetPlans.json"), JSON.stringify(plans));
  await Deno.writeTextFile(join(preprocessed, "dataset.json"), JSON.stringify(datasetJson));
  await Deno.writeTextFile(join(preprocessed, "dataset_fingerprint.json"), "{}");
  for (const [index, id] of cases.entries()) {
    const one = sphereCase(index, options.labels ?? [1, 2]);
    if (format === "bricks") await writeBricks(join(data, id + BRICKS_ENDING), one, 3);
    else if (format === "npz") await writeNpzCase(join(data, id), one);
    else await writeB2ndCase(join(data, id), one, { patchSize: [8, 12, 8], dimensions: 3 });
    const labels = { data: Int16Array.from(one.segmentation), shape: one.grid };
    await writeLabels("SimpleITKIO", join(truth, `${id}.nii.gz`), labels, one.properties.geometry);
  }
  return { preprocessed, results: join(folder, "results", DATASET) };
}

function sphereCase(index: number, labels: readonly number[]): TrainingData {
  const grid: Vec3 = [11 + (index % 2), 15, 12];
  const image = randomNumbers(voxelCount(grid), index + 1);
  const segmentation = new Int8Array(image.length);
  let at = 0;
  for (let z = 0; z < grid[0]; z++) {
    for (let y = 0; y < grid[1]; y++) {
      for (let x = 0; x < grid[2]; x++, at++) {
        const distance = Math.hypot(z - 5, y - 6 - (index % 3), x - 6);
        const rings = distance < 2.5 ? 2 : distance < 4.5 ? 1 : 0;
        segmentation[at] = rings === 0 ? 0 : labels[rings - 1];
        image[at] = 0.5 * image[at] + 2 * rings - 1;
      }
    }
  }
  const geometry: ImageGeometry = {
    reader: "SimpleITKIO",
    spacing: [1, 1, 1],
    shape: grid,
    sitk: { spacing: [1, 1, 1], origin: [0, 0, 0], direction: [1, 0, 0, 0, 1, 0, 0, 0, 1] },
  };
  return {
    image,
    channels: 1,
    grid,
    segmentation,
    classLocations: sampleClassLocations(segmentation, [1, 2].map((label) => ({ kind: "label", labels: [label] }))),
    properties: {
      geometry,
      shapeBeforeCropping: grid,
      boundingBox: grid.map((size) => [0, size] as const),
      shapeAfterCropping: grid,
    },
  };
}

/** A training of two epochs of three steps. */
export function trainRequest(folders: Folders, changes: Partial<TrainRequest> = {}): TrainRequest {
  return {
    task: { datasetName: DATASET, ...folders, plansName: "nnUNetPlans", configurationName: "tiny", fold: 0 },
    trainerName: "nnUNetTrainer",
    changes: { epochs: 2, iterations: 3, name: "test" },
    seed: 11,
    start: { kind: "new" },
    useBest: false,
    saveProbabilities: false,
    checkpointing: true,
    pictures: false,
    unpack: true,
    sampleThreads: 0,
    precision: "f32",
    assumePlansNetwork: false,
    openEngine: () => createCpuEngine({ threads: 1 }),
    ...changes,
  };
}

export interface Said extends TrainHooks {
  readonly infos: string[];
  readonly warnings: string[];
}

/** Hooks that keep what is said. */
export function listening(more: Partial<TrainHooks> = {}): Said {
  const infos: string[] = [];
  const warnings: string[] = [];
  return { infos, warnings, info: (text) => infos.push(text), warn: (text) => warnings.push(text), ...more };
}

/** Calls `run` with a folder that is removed afterwards. */
export async function inFolder(run: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "nnunet-train-" });
  try {
    await run(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Of a checkpoint: weights by name, the optimizer's tensors by parameter, and the numbers of the log. */
export async function checkpointContent(file: string): Promise<Record<string, unknown>> {
  using checkpoint: CheckpointFile = await openCheckpoint(file);
  const weights = Array.from(checkpoint.weights, ([name, tensor]) => [name, tensor.read()]);
  const optimizer = checkpoint.members.get("optimizer_state") as Map<string, Map<number, Map<string, unknown>>>;
  const states = Array.from(
    optimizer.get("state") ?? [],
    ([index, state]) => [index, Array.from(state, ([name, value]) => [name, checkpoint.tensor(value, name)?.read()])],
  );
  const logging = checkpoint.members.get("logging") as Map<string, unknown>;
  const losses = ["train_losses", "val_losses", "lrs", "dice_per_class_or_region", "ema_fg_dice"];
  return {
    weights,
    states,
    log: losses.map((name) => logging.get(name)),
    best: checkpoint.members.get("_best_ema"),
    epoch: checkpoint.members.get("current_epoch"),
  };
}
