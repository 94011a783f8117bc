/** Opening a preprocessed case for training, whatever its format. */
import { readFolder } from "../base/read_folder.ts";
import { UserError } from "../base/errors.ts";
import { join } from "../base/path.ts";
import { B2ND_ENDING } from "../formats/preprocessed/b2nd_case.ts";
import { openB2ndCase } from "../formats/preprocessed/b2nd_case_reader.ts";
import { BRICKS_ENDING } from "../formats/preprocessed/bricks.ts";
import { openBricks } from "../formats/preprocessed/bricks_reader.ts";
import { openNpyCase, openNpzCase } from "../formats/preprocessed/npy_case_reader.ts";
import type { StoredCase } from "../formats/preprocessed/training_data.ts";

const DOING = "reading the preprocessed case";

/**
 * Opens the case `id` of a folder of preprocessed data (nnUNet_preprocessed/DATASET/DATA_IDENTIFIER): bricks, else npy, else b2nd,
 * else npz.
 * @throws UserError if it is in none of these formats, or damaged
 */
export async function openPreprocessedCase(folder: string, id: string): Promise<StoredCase> {
  const stem = join(folder, id);
  if (isFile(stem + BRICKS_ENDING)) return openBricks(stem + BRICKS_ENDING);
  if (isFile(`${stem}.npy`) && isFile(`${stem}_seg.npy`)) return await openNpyCase(stem);
  if (isFile(stem + B2ND_ENDING)) return await openB2ndCase(stem);
  if (isFile(`${stem}.npz`)) return await openNpzCase(stem);
  throw new UserError({
    doing: DOING,
    caseId: id,
    file: stem + BRICKS_ENDING,
    problem: "there is no such file, nor one of the formats npy, b2nd and npz",
    remedy: "run preprocess",
  });
}

/**
 * The cases of a folder of preprocessed data, sorted.
 * @throws UserError if there is none
 */
export async function listPreprocessedCases(folder: string): Promise<string[]> {
  const ids = new Set<string>();
  const doing = "listing the preprocessed cases";
  for (const { name } of await readFolder(folder, doing) ?? []) {
    if (name.includes("segFromPrevStage") || name.startsWith(".")) continue;
    const ending = [BRICKS_ENDING, ".npz", "_seg.npy", `_seg${B2ND_ENDING}`].find((one) => name.endsWith(one));
    if (ending !== undefined) ids.add(name.slice(0, -ending.length));
  }
  if (ids.size > 0) return [...ids].sort();
  const problem = "it holds no preprocessed case";
  throw new UserError({ doing, file: folder, problem, remedy: "run preprocess" });
}

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}
