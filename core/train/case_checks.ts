/** Before training: packed cases are unpacked, all cases opened once, and classes looked for that no case of the fold has. */
import { Interrupted, UserError } from "../base/errors.ts";
import { writeAll, writeAtomically } from "../base/files.ts";
import { removeLeftovers } from "../base/leftovers.ts";
import { join } from "../base/path.ts";
import { B2ND_ENDING } from "../formats/preprocessed/b2nd_case.ts";
import { BRICKS_ENDING } from "../formats/preprocessed/bricks.ts";
import { npyPreamble } from "../formats/archive/npy_header.ts";
import { readNpz } from "../formats/archive/npz.ts";
import type { ClassKey } from "../formats/preprocessed/training_data.ts";
import { classKeys } from "../preprocess/class_locations.ts";
import { keyDifferences } from "../preprocess/data_setting.ts";
import { openPreprocessedCase } from "../preprocess/training_case_reader.ts";
import { preprocessAgain, type TrainingSetup } from "./setup.ts";

/**
 * Unpacks cases of which there is only an .npz into .npy files beside, of which boxes can be read. Source: unpack_dataset of
 * nnunetv2/training/dataloading/utils.py.
 * @returns how many were unpacked
 */
export async function unpackCases(folder: string, ids: readonly string[], signal?: AbortSignal): Promise<number> {
  removeLeftovers(folder);
  let unpacked = 0;
  for (const id of ids) {
    if (signal?.aborted) throw new Interrupted("stopped while unpacking the preprocessed cases");
    const stem = join(folder, id);
    if (await isThere(stem + BRICKS_ENDING) || !await isThere(`${stem}.npz`)) continue;
    if (await isThere(stem + B2ND_ENDING) || await isThere(`${stem}.npy`) && await isThere(`${stem}_seg.npy`)) continue;
    const arrays = await readNpz(`${stem}.npz`, ["data", "seg"], "run preprocess again");
    for (const [name, path] of [["seg", `${stem}_seg.npy`], ["data", `${stem}.npy`]]) {
      const array = arrays.get(name);
      if (!array) continue; // said by the case's reader
      const { data } = array;
      await writeAtomically(path, async (file) => {
        await writeAll(file, npyPreamble(array));
        await writeAll(file, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
      }, { doing: "unpacking the preprocessed case", signal }).catch((error) => {
        throw error instanceof UserError ? withPackedReading(error, id) : error;
      });
    }
    unpacked++;
  }
  return unpacked;
}

/** Names the way out of a folder that cannot be written, or has no room. */
function withPackedReading(error: UserError, caseId: string): UserError {
  const remedy = "train with --use_compressed, which reads the .npz files as they are (slower). Or: " +
    (error.parts.remedy ?? "make the folder writable");
  return new UserError({ ...error.parts, caseId, remedy }, { cause: error });
}

/**
 * Opens every training case.
 * @returns a warning for each class that none of them has
 * @throws UserError if one is damaged, or was made for other classes
 */
export async function missingClasses(setup: TrainingSetup, signal?: AbortSignal): Promise<string[]> {
  const { dataset: { labels }, split, dataFolder, task } = setup;
  const names = new Map<string, string>();
  const present = new Set<string>();
  for (const id of split.train) {
    if (signal?.aborted) throw new Interrupted("stopped while opening the preprocessed cases");
    using stored = await openPreprocessedCase(dataFolder, id);
    requireSameClasses(setup, id, stored.classLocations.map(({ key }) => key));
    for (const { key, voxels } of stored.classLocations) {
      if (key.kind === "allLabels") continue;
      const text = key.labels.join(", ");
      names.set(text, nameOf(key));
      if (voxels.length > 0) present.add(text);
    }
  }
  return [...names].filter(([key]) => !present.has(key)).map(([, name]) =>
    `${name} has no voxel in any training case of fold ${task.fold}: it cannot be learnt, and its Dice will be NaN or 0`
  );

  function nameOf({ labels: members }: ClassKey): string {
    const name = labels.hasRegions
      ? labels.regions.find((region) => region.labels.join() === members.join())?.name
      : labels.names.get(members[0]);
    return `the class ${members.join(", ")}${name === undefined ? "" : ` (${name})`}`;
  }
}

/** Of data without a record of what they were made of, as Python leaves them. */
function requireSameClasses(
  { dataset, dataFolder, task }: TrainingSetup,
  caseId: string,
  made: readonly ClassKey[],
): void {
  const differences = keyDifferences(made, classKeys(dataset.labels, dataset.json));
  if (differences.length === 0) return;
  throw new UserError({
    doing: "opening the preprocessed cases",
    caseId,
    file: dataFolder,
    problem: `it was made for other classes than those of now: ${differences.join("; ")}`,
    remedy: `run ${preprocessAgain(task)}, or restore dataset.json`,
  });
}

async function isThere(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isFile;
  } catch {
    return false;
  }
}
