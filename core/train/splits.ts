/**
 * Which cases a fold trains on and which it validates on. Source: do_split of nnunetv2/training/nnUNetTrainer/nnUNetTrainer.py (2.5.1)
 * and utilities/crossval_split.py: sklearn's KFold with numpy's legacy random numbers, so the folds are upstream's.
 */
import { statOrNull } from "../base/stat_or_null.ts";
import { z } from "zod";
import { UserError } from "../base/errors.ts";
import { checkFields } from "../base/fields.ts";
import { writeAtomically } from "../base/files.ts";
import { readJsonFile, stringifyJson } from "../base/json.ts";
import { createRandomState } from "../base/numpy_random.ts";
import { removeLeftovers } from "../base/leftovers.ts";
import { join } from "../base/path.ts";
import { PATH_NAME } from "../base/path_name.ts";
import { compareNames } from "../dataset/raw_dataset.ts";

export const SPLITS_FILE = "splits_final.json";
const FOLDS = 5;
const SEED = 12345;

export interface Split {
  readonly train: readonly string[];
  readonly val: readonly string[];
}

export interface ChosenSplit extends Split {
  /** What is to be noted in the log. */
  readonly notes: readonly string[];
  readonly warnings: readonly string[];
}

export type Fold = number | "all";

/**
 * Five folds over the cases, which are sorted first. @throws UserError with fewer cases than folds
 * @example
 * ```ts
 * import { strictEqual } from "node:assert";
 *
 * const ids = Array.from({ length: 10 }, (_, i) => `case_${i}`);
 * const splits = createSplits(ids, "nnUNet_preprocessed/Dataset004_Hippocampus");
 * strictEqual(splits.length, 5);
 * strictEqual(splits[0].val.length, 2);
 * ```
 */
export function createSplits(ids: readonly string[], file: string): Split[] {
  const sorted = [...ids].sort(compareNames);
  const count = sorted.length;
  if (count < FOLDS) {
    throw new UserError({
      doing: "splitting the cases into folds",
      file,
      problem: `there ${count === 1 ? "is 1 case" : `are ${count} cases`}; ${FOLDS} folds need at least ${FOLDS}`,
      remedy: `train on all cases with the fold "all", or write ${SPLITS_FILE} by hand: ` +
        `[{"train": ["case_a", ...], "val": ["case_b", ...]}, ...]`,
    });
  }
  const shuffled = createRandomState(SEED).permutation(count);
  let start = 0;
  return Array.from({ length: FOLDS }, (_, fold) => {
    const size = Math.floor(count / FOLDS) + (fold < count % FOLDS ? 1 : 0);
    const tested = new Set(shuffled.subarray(start, start + size));
    start += size;
    return { train: sorted.filter((_, i) => !tested.has(i)), val: sorted.filter((_, i) => tested.has(i)) };
  });
}

/** Of a fold that the file does not have: 80 % of the cases, drawn. */
export function randomSplit(ids: readonly string[], fold: number): Split {
  const sorted = [...ids].sort(compareNames);
  const drawn = createRandomState(SEED + fold).permutation(sorted.length).subarray(0, Math.floor(sorted.length * 0.8));
  const chosen = new Set(drawn);
  return { train: Array.from(drawn, (i) => sorted[i]), val: sorted.filter((_, i) => !chosen.has(i)) };
}

/**
 * The cases of a fold. Without splits_final.json in `folder`, the folder of the preprocessed dataset, the file is made.
 * @param ids Cases that are preprocessed
 * @param drawsFurther True: a fold that the file does not have is drawn at random, as upstream does
 * @throws UserError if the fold is not there, the file is damaged, a case of the fold is not preprocessed, or a part of the fold is empty
 */
export async function chooseSplit(
  folder: string,
  ids: readonly string[],
  fold: Fold,
  drawsFurther = false,
): Promise<ChosenSplit> {
  if (fold === "all") return allCases(folder, ids);
  const file = join(folder, SPLITS_FILE);
  const there = await readSplits(file);
  const splits = there ?? createSplits(ids, folder);
  if (!there) {
    removeLeftovers(folder);
    await writeAtomically(file, stringifyJson(splits, { sortKeys: true }), { doing: "writing the folds" });
  }
  const origin = there
    ? `Using splits from existing split file: ${file}`
    : "Creating new 5-fold cross-validation split...";
  const chosen = foldOf(splits, file, ids, fold, drawsFurther);
  return { ...chosen, notes: [origin, ...chosen.notes] };
}

/** As {@link chooseSplit}, and nothing is written: without a file it is the split that would be made. */
export async function expectSplit(
  folder: string,
  ids: readonly string[],
  fold: Fold,
  drawsFurther = false,
): Promise<Split> {
  if (fold === "all") return allCases(folder, ids);
  const file = join(folder, SPLITS_FILE);
  return foldOf(await readSplits(file) ?? createSplits(ids, folder), file, ids, fold, drawsFurther);
}

function allCases(folder: string, ids: readonly string[]): ChosenSplit {
  return { ...checked({ train: ids, val: ids }, ids, folder), notes: [], warnings: [] };
}

function foldOf(
  splits: readonly Split[],
  file: string,
  ids: readonly string[],
  fold: number,
  drawsFurther: boolean,
): ChosenSplit {
  const notes = [`The split file contains ${splits.length} splits.`, `Desired fold for training: ${fold}`];
  if (fold >= splits.length) {
    if (!drawsFurther) throw noSuchFold(fold, splits.length, file);
    notes.push(
      `INFO: You requested fold ${fold} for training but splits contain only ${splits.length} folds. I am now ` +
        "creating a random (but seeded) 80:20 split!",
    );
  }
  const split = checked(splits.at(fold) ?? randomSplit(ids, fold), ids, file);
  notes.push(
    `This ${
      fold >= splits.length ? "random 80:20 " : ""
    }split has ${split.train.length} training and ${split.val.length} validation cases.`,
  );
  const trained = new Set(split.train);
  const both = split.val.filter((id) => trained.has(id));
  const drawn = fold < splits.length ? [] : [
    `FOLD ${fold} IS NONE OF THE ${splits.length} FOLDS of ${file}: IT IS TRAINED ON 80 % OF THE CASES, DRAWN AT RANDOM, ` +
    "and its validation cases are in other folds too",
  ];
  const warnings = both.length === 0 ? drawn : [
    ...drawn,
    `${both.length} of ${split.val.length} validation cases of fold ${fold} are also trained on (${
      listed(both)
    }): their Dice says nothing about new images. See ${file}`,
  ];
  return { ...split, notes, warnings };
}

function noSuchFold(fold: number, count: number, file: string): UserError {
  return new UserError({
    doing: "choosing the fold's cases",
    file,
    problem: `there is no fold ${fold}; it has ${count === 1 ? "fold 0 only" : `the folds 0 to ${count - 1}`}`,
    remedy:
      `train ${count === 1 ? "fold 0" : `one of 0 to ${count - 1}`}, all cases with the fold "all", or, on 80 % of ` +
      "the cases drawn at random, add --random-split",
  });
}

/** Folds of the split in `folder`, or of the one that would be made. @throws UserError if the file is damaged */
export async function countFolds(folder: string): Promise<number> {
  return (await readSplits(join(folder, SPLITS_FILE)))?.length ?? FOLDS;
}

const SPLITS = z.array(z.object({ train: z.array(PATH_NAME), val: z.array(PATH_NAME) })).min(1);

async function readSplits(file: string): Promise<Split[] | undefined> {
  const doing = "reading the folds";
  if (await statOrNull(file, doing) === null) return undefined;
  const { value } = await readJsonFile(file, doing);
  const remedy = `write [{"train": [CASE, ...], "val": [CASE, ...]}, ...], or remove it: five folds are then made anew`;
  return checkFields(SPLITS, value, { doing, file, path: [], remedy });
}

/** Sorted, without repetitions, and all there. */
function checked(split: Split, ids: readonly string[], file: string): Split {
  const there = new Set(ids);
  const doing = "choosing the fold's cases";
  const missing = [...new Set([...split.train, ...split.val])].filter((id) => !there.has(id));
  if (missing.length > 0) {
    throw new UserError({
      doing,
      file,
      problem: `${missing.length} of its cases are not preprocessed: ${listed(missing)}`,
      remedy: "run preprocess for this configuration again, or take them out of the file",
    });
  }
  for (const [part, name] of [[split.train, "train on"], [split.val, "validate on"]] as const) {
    if (part.length > 0) continue;
    throw new UserError({ doing, file, problem: `the fold has no case to ${name}`, remedy: "put some into the file" });
  }
  const sorted = (part: readonly string[]) => [...new Set(part)].sort(compareNames);
  return { train: sorted(split.train), val: sorted(split.val) };
}

function listed(ids: readonly string[]): string {
  return ids.slice(0, 5).join(", ") + (ids.length > 5 ? `, and ${ids.length - 5} more` : "");
}
