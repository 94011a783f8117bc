/** Cases one after the other as several processes on one output folder take them: none twice, none left out. */
import { UserError } from "../../base/errors.ts";
import { createOnce, ensureFolder } from "../../base/files.ts";
import { readJsonFile, stringifyJson } from "../../base/json.ts";
import { basename, join } from "../../base/path.ts";
import { readError } from "../../base/read_error.ts";
import type { Model } from "../model/model_folder.ts";
import { type Claims, openClaims } from "../../base/claims.ts";
import type { CaseToPredict } from "./request.ts";

/** What all processes of a folder must agree on. */
const RECORD = "predict_shared_run.json";
/** Bytes at a checkpoint's end: the archive's directory, with the check sums of all its weights. */
const DIRECTORY_BYTES = 1 << 18;
const POLL_MS = 1000;

export interface SharedCases extends Disposable {
  /** The next case that nobody else is at, now this process's; undefined where there is none at this moment. */
  take(): Promise<CaseToPredict | undefined>;
  /** Waits for a case that another process has left; undefined once all are done or have failed. */
  wait(signal: AbortSignal | undefined): Promise<CaseToPredict | undefined>;
  done(id: string): void;
  failed(id: string): void;
  /** Cases that other processes have done since. */
  readonly elsewhere: readonly string[];
}

/** @param isPredicted Whether all that a case gives is there */
export function shareCases(
  folder: string,
  cases: readonly CaseToPredict[],
  isPredicted: (one: CaseToPredict) => Promise<boolean>,
): SharedCases {
  const claims: Claims = openClaims(folder);
  const open = new Map(cases.map((one) => [one.id, one]));
  const elsewhere: string[] = [];
  const take = async (): Promise<CaseToPredict | undefined> => {
    for (const one of [...open.values()]) {
      const result = await isPredicted(one) ? "done" : claims.claim(one.id);
      // Whoever had it may have written it between the two questions.
      const isDone = result === "done" || (result === "ours" && await isPredicted(one));
      if (isDone) {
        claims.release(one.id);
        elsewhere.push(one.id);
      }
      if (result !== "taken") open.delete(one.id);
      if (result === "ours" && !isDone) return one;
    }
    return undefined;
  };
  return {
    take,
    async wait(signal) {
      while (!signal?.aborted) {
        const one = await take();
        if (one || open.size === 0) return one;
        await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      }
      return undefined;
    },
    done: claims.release,
    failed: claims.fail,
    elsewhere,
    [Symbol.dispose]: () => claims[Symbol.dispose](),
  };
}

/**
 * Notes in the folder what its cases are predicted with, or compares.
 * @param settings What the segmentations depend on beside the model
 * @throws UserError if other processes predict with another model or other settings
 */
export async function requireSameRun(folder: string, model: Model, settings: Readonly<Record<string, unknown>>) {
  const path = join(folder, RECORD);
  const texts = ["plans.json", "dataset.json"].map((name) => readJsonFile(join(model.folder, name), `reading ${name}`));
  const json = (await Promise.all(texts)).map(({ value }) => stringifyJson(value, { sortKeys: true })).join("\n");
  const ours = stringifyJson({
    dataset: model.plans.datasetName,
    trainer: model.trainerName,
    configuration: model.configuration.name,
    plans: await digest(new TextEncoder().encode(json)),
    checkpoints: await Promise.all(model.folds.map(async ({ name, file }) => ({
      fold: name,
      name: basename(file),
      weights: await digest(lastBytes(file)),
    }))),
    settings,
  });
  await ensureFolder(folder, "making the output folder");
  await createOnce(path, ours, "noting what the folder's cases are predicted with");
  const { text } = await readJsonFile(path, "comparing this run with the folder's others");
  if (text === ours) return;
  throw new UserError({
    doing: "comparing this run with the folder's others",
    file: path,
    problem: "the cases in this folder are predicted with another model or other settings than this run's",
    remedy: "name another folder with -o, or empty this one",
  });
}

function lastBytes(path: string): Uint8Array<ArrayBuffer> {
  try {
    using file = Deno.openSync(path);
    const { size } = file.statSync();
    const bytes = new Uint8Array(Math.min(size, DIRECTORY_BYTES));
    file.seekSync(size - bytes.length, Deno.SeekMode.Start);
    for (let at = 0; at < bytes.length;) {
      const read = file.readSync(bytes.subarray(at));
      if (read === null) break; // It has become shorter meanwhile: its sum says so.
      at += read;
    }
    return bytes;
  } catch (error) {
    throw readError(error, path, "reading the checkpoint");
  }
}

async function digest(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}
