/** The files of a fold's folder, and which checkpoint a training goes on from. */
import { readFolder } from "../base/read_folder.ts";
import { UserError } from "../base/errors.ts";
import { ensureFolder, writeAtomically } from "../base/files.ts";
import { removeLeftovers } from "../base/leftovers.ts";
import { reformatJson } from "../base/json.ts";
import { join } from "../base/path.ts";
import { type CheckpointFile, openCheckpoint } from "../formats/torch/torch_checkpoint.ts";
import { isLogFile } from "./log_file.ts";
import type { TrainingSetup } from "./setup.ts";

export const CHECKPOINTS = {
  final: "checkpoint_final.pth",
  latest: "checkpoint_latest.pth",
  best: "checkpoint_best.pth",
} as const;

/** Of a fold's folder, there or not. */
export function checkpointPaths(foldFolder: string): string[] {
  return Object.values(CHECKPOINTS).map((name) => join(foldFolder, name));
}

/**
 * The checkpoint to continue from: the final one, else the latest or the best, whichever has more finished epochs (the latest of
 * equals). Undefined if there is none, and no training has finished an epoch here.
 * @throws UserError if the one to continue from can't be read, or none is there although epochs were finished
 */
export async function openLastCheckpoint(folder: string): Promise<CheckpointFile | undefined> {
  const names = await namesIn(folder);
  if (names.has(CHECKPOINTS.final)) return await openOrOffer(folder, CHECKPOINTS.final, names);
  let last: CheckpointFile | undefined;
  for (const name of [CHECKPOINTS.latest, CHECKPOINTS.best]) {
    if (!names.has(name)) continue;
    // A best one that can't be read is no loss where the latest can.
    const one = last ? await openCheckpoint(join(folder, name)).catch(() => undefined) : await openOrOffer(
      folder,
      name,
      names,
    );
    if (!one) continue;
    if (last && epochsOf(one) <= epochsOf(last)) one[Symbol.dispose]();
    else {
      last?.[Symbol.dispose]();
      last = one;
    }
  }
  if (!last) refuseLostTraining(folder, names);
  return last;
}

/** A warning where a training that starts anew will replace another's checkpoints. */
export async function earlierTraining(folder: string): Promise<string[]> {
  const names = await namesIn(folder);
  const there = Object.values(CHECKPOINTS).filter((name) => names.has(name));
  if (there.length === 0) return [];
  return [
    `${folder} holds ${there.join(" and ")} of an earlier training, which this one replaces; stop it and add --c to ` +
    "continue that one, or give this one a --name of its own",
  ];
}

function epochsOf({ members }: CheckpointFile): number {
  return Number(members.get("current_epoch") ?? 0);
}

async function namesIn(folder: string): Promise<Set<string>> {
  const entries = await readFolder(folder, "looking for checkpoints") ?? [];
  return new Set(entries.map(({ name }) => name));
}

async function openOrOffer(folder: string, name: string, names: ReadonlySet<string>): Promise<CheckpointFile> {
  try {
    return await openCheckpoint(join(folder, name));
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const others = Object.values(CHECKPOINTS).filter((other) => other !== name && names.has(other));
    throw new UserError({
      doing: "continuing the training",
      file: join(folder, name),
      problem: `it can't be read: ${error.parts.problem}`,
      remedy: others.length > 0
        ? `to go on from ${others.join(" or ")}, move this file away and run the same command again`
        : "copy it again from a backup, or start anew without --c",
    }, { cause: error });
  }
}

/** Without a checkpoint but with finished epochs in a log, starting anew would overwrite what is left of them. */
function refuseLostTraining(folder: string, names: ReadonlySet<string>): void {
  for (const name of [...names].filter(isLogFile).sort()) {
    const file = join(folder, name);
    const finished = [...Deno.readTextFileSync(file).matchAll(/: Epoch time: /g)].length;
    if (finished === 0) continue;
    throw new UserError({
      doing: "continuing the training",
      file,
      problem: `${finished} epoch${
        finished === 1 ? " was" : "s were"
      } finished according to it, but the folder holds no checkpoint`,
      remedy: "copy the checkpoint back (checkpoint_latest.pth or checkpoint_best.pth), or start anew without --c",
    });
  }
}

/** plans.json, dataset.json and dataset_fingerprint.json of the model's folder; what a killed training left half-written goes. */
export async function writeModelFiles(setup: TrainingSetup): Promise<void> {
  const { modelFolder, foldFolder, texts, task } = setup;
  await ensureFolder(foldFolder, "making the results folder");
  for (const folder of [foldFolder, modelFolder]) removeLeftovers(folder);
  const doing = "writing the model's files";
  const write = (name: string, text: string) => writeAtomically(join(modelFolder, name), text, { doing });
  await write("plans.json", reformatJson(texts.plans, "plans.json"));
  await write("dataset.json", reformatJson(texts.dataset, "dataset.json"));
  const fingerprint = join(task.preprocessed, "dataset_fingerprint.json");
  try {
    await write("dataset_fingerprint.json", await Deno.readTextFile(fingerprint));
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error; // plans may have come from elsewhere
  }
}
