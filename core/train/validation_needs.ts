/** What the validation after the last epoch needs, looked for before the first one: days lie between them. */
import { describeBytes } from "../base/describe_bytes.ts";
import { UserError } from "../base/errors.ts";
import { freeBytes } from "../base/files.ts";
import { dirname, join } from "../base/path.ts";
import { plural } from "../base/plural.ts";
import { voxelCount } from "../base/shape.ts";
import { probeImage } from "../formats/image/read_image.ts";
import { resolveConfiguration } from "../plan/read_plans.ts";
import { listPreprocessedCases } from "../preprocess/training_case_reader.ts";
import { preprocessAgain, type TrainingSetup } from "./setup.ts";

const DOING = "looking for what the validation needs";

/**
 * @param saveProbabilities They are to be written, too
 * @returns warnings of what will be left out, or may not find room
 * @throws UserError if a validation case's true segmentation is not there or damaged, or a case's probabilities have no room
 */
export async function requireValidation(setup: TrainingSetup, saveProbabilities: boolean): Promise<string[]> {
  const voxels = await voxelsOfTruths(setup);
  const room = saveProbabilities ? requireRoom(setup.foldFolder, setup.dataset.labels.headCount, voxels) : undefined;
  return [...(room === undefined ? [] : [room]), ...await missingNextStages(setup)];
}

/** Voxels of the true segmentation of each validation case, from its headers. */
async function voxelsOfTruths({ task, split, dataset, plans }: TrainingSetup): Promise<number[]> {
  const folder = join(task.preprocessed, "gt_segmentations");
  const remedy = `run ${preprocessAgain(task)}, which copies them from the raw dataset and keeps what is preprocessed`;
  const voxels: number[] = [];
  const missing: string[] = [];
  for (const id of split.val) {
    const file = join(folder, `${id}${dataset.fileEnding}`);
    try {
      voxels.push(voxelCount((await probeImage(plans.reader, file)).geometry.shape));
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      if (await isFile(file)) throw new UserError({ ...error.parts, caseId: id }, { cause: error });
      missing.push(`${id}${dataset.fileEnding}`);
    }
  }
  if (missing.length === 0) return voxels;
  const listed = missing.slice(0, 5).join(", ") + (missing.length > 5 ? ", ..." : "");
  throw new UserError({
    doing: DOING,
    file: folder,
    problem: `the true segmentations of ${missing.length} of ${plural(split.val.length, "validation case")} are not ` +
      `there: ${listed}`,
    remedy,
  });
}

/**
 * @param folder They come into it; it need not be there yet
 * @param channels Segmentation heads
 * @param voxels Of each case
 * @returns a warning where probabilities as large as they may become don't all find room
 * @throws UserError if one does not
 */
export function requireRoom(folder: string, channels: number, voxels: readonly number[]): string | undefined {
  const free = freeOnDiskOf(folder);
  if (free === null) return undefined;
  const bytes = voxels.map((count) => 4 * channels * count);
  // The raw array, and the .npz that is made of it.
  const largest = 2 * bytes.reduce((most, one) => Math.max(most, one), 0);
  if (largest > free) {
    throw new UserError({
      doing: DOING,
      file: folder,
      problem: `the probabilities of the largest validation case need up to ${describeBytes(largest)} while they are ` +
        `written, and ${describeBytes(free)} are free`,
      remedy: "free space there, set nnUNet_results to a larger disk, or leave --npz out",
    });
  }
  const all = bytes.reduce((sum, one) => sum + one, 0);
  if (all <= free) return undefined;
  return `the probabilities of ${plural(voxels.length, "validation case")} take up to ${describeBytes(all)} before ` +
    `compression, and ${describeBytes(free)} are free in ${folder}`;
}

/** Of the disk that a folder is on, or will be when it is made. */
function freeOnDiskOf(folder: string): number | null {
  for (let path = folder;; path = dirname(path)) {
    const free = freeBytes(path);
    if (free !== null || path === dirname(path)) return free;
  }
}

/** A warning for each configuration that takes this one's predictions and has not all validation cases yet. */
async function missingNextStages({ configuration, plans, split, task }: TrainingSetup): Promise<string[]> {
  const warnings: string[] = [];
  for (const name of configuration.nextStages) {
    const folder = join(task.preprocessed, resolveConfiguration(plans, name).dataIdentifier);
    const there = new Set(await preprocessedIn(folder));
    const missing = split.val.filter((id) => !there.has(id)).length;
    if (missing === 0) continue;
    warnings.push(
      `${name} is trained on what this training predicts, and ${missing} of ${
        plural(split.val.length, "validation case")
      } are not preprocessed for it: they will not be predicted for it unless, before this training ends, you run ` +
        preprocessAgain({ ...task, configurationName: name }),
    );
  }
  return warnings;
}

async function preprocessedIn(folder: string): Promise<readonly string[]> {
  try {
    return await listPreprocessedCases(folder);
  } catch (error) {
    if (error instanceof UserError) return [];
    throw error;
  }
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isFile;
  } catch {
    return false;
  }
}
