/** The files of a fold's folder, and which checkpoint a training goes on from. */
import { refuseSpecialFile } from "../base/odd_file.ts";
import { readError } from "../base/read_error.ts";
import { readFolder } from "../base/read_folder.ts";
import { UserError } from "../base/errors.ts";
import { ensureFolder, writeAtomically } from "../base/files.ts";
import { removeLeftovers } from "../base/leftovers.ts";
import { readTextOrNull } from "../base/read_text.ts";
import { reformatJson } from "../base/json.ts";
import { join } from "../base/path.ts";
import { type CheckpointFile, openCheckpoint } from "../formats/torch/torch_checkpoint.ts";
import { isLogFile } from "./log_file.ts";
import type { TrainingSetup } from "./setup.ts";
import { RUN_MEMBER } from "./write_checkpoint.ts";

export const CHECKPOINTS = {
  final: "checkpoint_final.pth",
  latest: "checkpoint_latest.pth",
  best: "checkpoint_best.pth",
} as const;

/** A lock in a fold's folder, which a process that trains it has. */
export const TRAINING_LOCK = ".training.lock";

/** Of a fold's folder, there or not. */
export function checkpointPaths(foldFolder: string): string[] {
  return Object.values(CHECKPOINTS).map((name) => join(foldFolder, name));
}

/** The checkpoint that a training goes on from. */
export interface LastCheckpoint extends Disposable {
  readonly checkpoint: CheckpointFile;
  /** It is checkpoint_final.pth: nothing is left to train. */
  readonly isFinal: boolean;
  readonly warnings: readonly string[];
}

/**
 * The checkpoint to continue from: the final one, else the latest or the best, whichever has more finished epochs (the latest of
 * equals). Of two trainings in one folder, the later having begun to replace the earlier, it is the later one's: that of the file
 * written last. Undefined if there is none, and no training has finished an epoch here.
 * @throws UserError if the one to continue from can't be read, or none is there although epochs were finished
 */
export async function openLastCheckpoint(folder: string): Promise<LastCheckpoint | undefined> {
  const names = await namesIn(folder);
  const opened: { readonly name: string; readonly checkpoint: CheckpointFile }[] = [];
  for (const name of Object.values(CHECKPOINTS)) {
    if (!names.has(name)) continue;
    // One that can't be read is no loss where one before it can.
    const checkpoint = opened.length > 0
      ? await openCheckpoint(join(folder, name)).catch(() => undefined)
      : await openOrOffer(folder, name, names);
    if (checkpoint) opened.push({ name, checkpoint });
  }
  if (opened.length === 0) {
    refuseLostTraining(folder, names);
    return undefined;
  }
  const times = opened.map(({ checkpoint }) => Deno.statSync(checkpoint.file).mtime?.getTime() ?? 0);
  const newest = opened[times.indexOf(Math.max(...times))].checkpoint;
  const ofTraining = opened.filter(({ checkpoint }) => isOfSameTraining(checkpoint, newest));
  const last = ofTraining.find(({ name }) => name === CHECKPOINTS.final) ??
    ofTraining.reduce((most, one) => (epochsOf(one.checkpoint) > epochsOf(most.checkpoint) ? one : most));
  for (const one of opened) if (one !== last) one.checkpoint[Symbol.dispose]();
  const others = opened.filter((one) => !ofTraining.includes(one)).map(({ name }) => name);
  return {
    checkpoint: last.checkpoint,
    isFinal: last.name === CHECKPOINTS.final,
    warnings: others.length === 0
      ? []
      : [`${others.join(" and ")} in ${folder} are of an earlier training, which this one replaces`],
    [Symbol.dispose]: () => last.checkpoint[Symbol.dispose](),
  };
}

/** True where a checkpoint is of the training that one written later is of: with its first epoch, or written before that had ended. */
function isOfSameTraining(one: CheckpointFile, later: CheckpointFile): boolean {
  const [{ run, begun }, other] = [trainingOf(one), trainingOf(later)];
  return run === other.run && (begun === undefined || begun === other.begun);
}

/**
 * What tells trainings of this program apart: seed and recipe, and when the first epoch began, once it has ended. The same for all that
 * Python wrote.
 */
function trainingOf({ members }: CheckpointFile): { readonly run: string; readonly begun?: unknown } {
  const run = members.get(RUN_MEMBER);
  if (!(run instanceof Map)) return { run: "" };
  const logging = members.get("logging");
  const starts = logging instanceof Map ? logging.get("epoch_start_timestamps") : undefined;
  return {
    run: `${run.get("seed")} ${run.get("recipe")}`,
    ...(Array.isArray(starts) && { begun: starts[0] }),
  };
}

/** Checkpoints that are in a fold's folder. */
export async function checkpointsIn(folder: string): Promise<ReadonlySet<keyof typeof CHECKPOINTS>> {
  const names = await namesIn(folder);
  const kinds = ["final", "latest", "best"] as const;
  return new Set(kinds.filter((kind) => names.has(CHECKPOINTS[kind])));
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

function readLog(file: string): string {
  const doing = "reading the log of an earlier run";
  refuseSpecialFile(file, doing, "move it away");
  try {
    return Deno.readTextFileSync(file);
  } catch (error) {
    throw readError(error, file, doing, "move it away");
  }
}

/** Without a checkpoint but with finished epochs in a log, starting anew would overwrite what is left of them. */
function refuseLostTraining(folder: string, names: ReadonlySet<string>): void {
  for (const name of [...names].filter(isLogFile).sort()) {
    const file = join(folder, name);
    const finished = [...readLog(file).matchAll(/: Epoch time: /g)].length;
    // The first epoch is noted before its checkpoint is written: a run that was killed between the two has lost no more than it.
    if (finished < 2) continue;
    throw new UserError({
      doing: "continuing the training",
      file,
      problem: `${finished} epochs were finished according to it, but the folder holds no checkpoint`,
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
  const text = await readTextOrNull(fingerprint, doing);
  if (text !== null) await write("dataset_fingerprint.json", text); // plans may have come from elsewhere
}
