/**
 * A folder of preprocessed cases that several processes make together, on one machine or several: they claim cases
 * (core/base/claims.ts), each notes in a record of its own what it has done, and one of those that end last gives the folder its name.
 */
import { type ClaimResult, type Claims, openClaims } from "../base/claims.ts";
import { Interrupted, UserError } from "../base/errors.ts";
import { ensureFolder, writeError } from "../base/files.ts";
import { takeLock } from "../base/folder_lock.ts";
import { join } from "../base/path.ts";
import { RECORD, removeDataFolder } from "./data_folder_files.ts";
import {
  appendRecord,
  type InputStates,
  isCurrent,
  NOTING,
  parseLine,
  readRecord,
  type RecordLog,
  recordsIn,
} from "./data_record.ts";
import {
  AT_WORK,
  type DataFolder,
  type DataFolderOptions,
  type DataPlaces,
  isComplete,
  keepOnly,
  openLocked,
  placesOf,
  replaceFolder,
  settingLine,
} from "./preprocess_dataset_folder.ts";

const DOING = "sharing the cases with other runs";
const POLL_MS = 200;

export interface SharedDataFolder extends DataFolder {
  /** Claims a case for this process, or says why it can't be. */
  take(id: string): ClaimResult | "done";
  /** A case that this process has claimed has failed. */
  fail(id: string): void;
}

/**
 * Opens the folder `name` in `parent`, or joins those that are at it.
 * @throws UserError if a run that does not share is at it, or one with other settings; as `openDataFolder`. Interrupted
 */
export async function openSharedDataFolder(
  parent: string,
  name: string,
  options: DataFolderOptions,
  signal: AbortSignal | undefined,
): Promise<SharedDataFolder> {
  const places = placesOf(parent, name);
  await ensureFolder(parent, "making the folder of preprocessed data");
  using _turn = await waitForTurn(parent, name, signal);
  if (isComplete(places.path, options) || await prepareAlone(places, options)) return completeFolder(places, options);
  const lock = takeLock(places.lock, AT_WORK, { shared: true });
  try {
    requireSameSetting(places, options);
    return joinOthers(parent, name, options, signal, lock);
  } catch (error) {
    lock[Symbol.dispose]();
    throw error;
  }
}

/** One process at a time opens or finishes a folder. */
async function waitForTurn(parent: string, name: string, signal: AbortSignal | undefined): Promise<Claims> {
  const claims = openClaims(parent);
  try {
    while (claims.claim(name) !== "ours") await pause(signal);
    return claims;
  } catch (error) {
    claims[Symbol.dispose]();
    throw error;
  }
}

/** Waits a moment. @throws Interrupted if `signal` aborts or has aborted */
export async function pause(signal: AbortSignal | undefined, milliseconds = POLL_MS): Promise<void> {
  if (!signal?.aborted) await new Promise((resolve) => setTimeout(resolve, milliseconds));
  if (signal?.aborted) {
    throw new Interrupted("stopped while waiting for other runs; run the same command again to continue");
  }
}

/** As long as nobody is at it: clears away what killed runs have left. @returns true if the folder is complete then */
async function prepareAlone(places: DataPlaces, options: DataFolderOptions): Promise<boolean> {
  let lock: Disposable;
  try {
    lock = takeLock(places.lock, AT_WORK);
  } catch (error) {
    if (error instanceof UserError) return false; // Others that share, or one that does not: the next lock will tell.
    throw error;
  }
  using folder = await openLocked(places, options, lock);
  return folder.complete;
}

function completeFolder({ path }: DataPlaces, { inputs }: DataFolderOptions): SharedDataFolder {
  return {
    path,
    work: path,
    done: new Set(inputs.keys()),
    complete: true,
    record: () => {},
    finish: () => Promise.resolve(),
    take: () => "done",
    fail: () => {},
    [Symbol.dispose]: () => {},
  };
}

/** @throws UserError if those that are at it make other data */
function requireSameSetting({ work }: DataPlaces, options: DataFolderOptions): void {
  let text = "";
  try {
    text = Deno.readTextFileSync(join(work, RECORD));
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw writeError(error, work, DOING);
  }
  if (text.split("\n", 1)[0] === settingLine(options)) return;
  throw new UserError({
    doing: DOING,
    file: work,
    problem: "another run is preprocessing these data at this moment, by other plans or with other settings",
    remedy: AT_WORK.remedy,
  });
}

function joinOthers(
  parent: string,
  name: string,
  options: DataFolderOptions,
  signal: AbortSignal | undefined,
  lock: Disposable,
): SharedDataFolder {
  const { path, work, old } = placesOf(parent, name);
  const { inputs } = options;
  const first = settingLine(options);
  const tracker = trackDone(path, work, first, inputs);
  const claims = openClaims(work);
  const own = join(work, `preprocessed.${crypto.randomUUID().slice(0, 8)}.jsonl`);
  let log: RecordLog | undefined;
  return {
    path,
    work,
    done: new Set(inputs.keys().filter(tracker)),
    complete: false,
    record(id, files) {
      log ??= createLog(own, first);
      log.add({ id, inputs: inputs.get(id) ?? [], files });
      claims.release(id);
    },
    take(id) {
      if (tracker(id)) return "done";
      const result = claimIn(claims, id, work);
      // Whoever had it may have done it between the two questions; or all are done, and the folder has its name.
      if ((result !== "ours" && result !== "gone") || !tracker(id)) return requireThere(result, work);
      if (result === "ours") claims.release(id);
      return "done";
    },
    fail: claims.fail,
    async finish() {
      for (;; await pause(signal)) {
        using _turn = await waitForTurn(parent, name, signal);
        if (isComplete(path, options)) return removeDataFolder(old, DOING);
        if (claims.othersAtWork()) continue;
        const kept = readRecord(work, first).filter((one) => isCurrent(work, one, inputs));
        if (kept.length < inputs.size) throw folderGone(work);
        log?.[Symbol.dispose]();
        log = undefined;
        await keepOnly(work, first, kept);
        return replaceFolder(path, work, old);
      }
    },
    [Symbol.dispose]() {
      log?.[Symbol.dispose]();
      claims[Symbol.dispose]();
      lock[Symbol.dispose]();
    },
  };
}

function claimIn(claims: Claims, id: string, work: string): ClaimResult | "gone" {
  try {
    return claims.claim(id);
  } catch (error) {
    try {
      Deno.statSync(work);
    } catch {
      return "gone";
    }
    throw error;
  }
}

function requireThere(result: ClaimResult | "gone", work: string): ClaimResult {
  if (result !== "gone") return result;
  throw folderGone(work);
}

function folderGone(work: string): UserError {
  return new UserError({
    doing: DOING,
    file: work,
    problem: "its cases were removed while they were being made",
    remedy: "run the same command again",
  });
}

function createLog(file: string, first: string): RecordLog {
  try {
    Deno.writeTextFileSync(file, `${first}\n`, { createNew: true });
  } catch (error) {
    throw writeError(error, file, NOTING);
  }
  return appendRecord(file);
}

/** Tells whether a case is done, by whomever; reads of the records what has been added since the last question. */
function trackDone(path: string, work: string, first: string, inputs: ReadonlyMap<string, InputStates>) {
  const done = new Set<string>();
  const read = new Map<string, number>();
  const look = (): void => {
    const names = recordsIn(work);
    for (const name of names) {
      const text = readQuietly(join(work, name));
      // The first line is there at once or the file counts as empty; the last one may be half-written.
      const from = read.get(name) ?? 0;
      const to = text.lastIndexOf("\n") + 1;
      if (to <= from || !text.startsWith(`${first}\n`)) continue;
      read.set(name, to);
      for (const one of text.slice(from, to).split("\n").flatMap(parseLine)) {
        if (isCurrent(work, one, inputs)) done.add(one.id);
      }
    }
    // It has its name.
    if (names.length > 0) return;
    for (const one of readRecord(path, first)) if (isCurrent(path, one, inputs)) done.add(one.id);
  };
  return (id: string): boolean => {
    if (!done.has(id)) look();
    return done.has(id);
  };
}

function readQuietly(file: string): string {
  try {
    return Deno.readTextFileSync(file);
  } catch {
    return ""; // Merged with the others at this moment.
  }
}
