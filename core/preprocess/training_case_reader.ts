/** Opening a preprocessed case for training, whatever its format. */
import { readFolder } from "../base/read_folder.ts";
import { UserError } from "../base/errors.ts";
import { join } from "../base/path.ts";
import { BRICKS_ENDING } from "../formats/preprocessed/bricks.ts";
import { openBricks } from "../formats/preprocessed/bricks_reader.ts";
import { openNpyCase, openNpzCase } from "../formats/preprocessed/npy_case_reader.ts";
import type { StoredCase } from "../formats/preprocessed/training_data.ts";

const DOING = "reading the preprocessed case";

/**
 * Opens the case `id` of a folder of preprocessed data (nnUNet_preprocessed/DATASET/DATA_IDENTIFIER): bricks, else npy, else npz.
 * @throws UserError if it is in none of these formats, or damaged
 */
export async function openPreprocessedCase(folder: string, id: string): Promise<StoredCase> {
  const stem = join(folder, id);
  if (isFile(stem + BRICKS_ENDING)) return openBricks(stem + BRICKS_ENDING);
  if (isFile(`${stem}.npy`) && isFile(`${stem}_seg.npy`)) return await openNpyCase(stem);
  if (isFile(`${stem}.npz`)) return await openNpzCase(stem);
  if (isFile(`${stem}.b2nd`)) throw blosc(folder);
  throw new UserError({
    doing: DOING,
    caseId: id,
    file: stem + BRICKS_ENDING,
    problem: "there is no such file, nor one of the formats npy and npz",
    remedy: "run preprocess",
  });
}

/**
 * The cases of a folder of preprocessed data, sorted.
 * @throws UserError if there is none, or they are in a format that is not read here
 */
export async function listPreprocessedCases(folder: string): Promise<string[]> {
  const ids = new Set<string>();
  let other = false;
  const doing = "listing the preprocessed cases";
  for (const { name } of await readFolder(folder, doing) ?? []) {
    if (name.includes("segFromPrevStage") || name.startsWith(".")) continue;
    const ending = [BRICKS_ENDING, ".npz", "_seg.npy"].find((one) => name.endsWith(one));
    if (ending !== undefined) ids.add(name.slice(0, -ending.length));
    other ||= name.endsWith(".b2nd");
  }
  if (ids.size > 0) return [...ids].sort();
  if (other) throw blosc(folder);
  const problem = "it holds no preprocessed case";
  throw new UserError({ doing, file: folder, problem, remedy: "run preprocess" });
}

/** Python's nnU-Net from 2.6 on stores blosc2 files. */
function blosc(folder: string): UserError {
  const configuration = /_([^_]*(?:_(?:fullres|lowres))?)$/.exec(folder)?.[1] ?? "CONFIG";
  return new UserError({
    doing: DOING,
    file: folder,
    problem: "its data are .b2nd files of nnU-Net 2.6 or later, which are not read here",
    remedy: `make them anew from the raw data: nnunet preprocess -d ID -plans_name PLANS -c ${configuration}`,
  });
}

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}
