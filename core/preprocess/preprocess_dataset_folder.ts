/**
 * A folder of preprocessed cases in the making: a hidden folder beside the final one, with a record of the cases that are done, so
 * that a stopped run continues. It takes the final name once it is complete; until then what was there before stays.
 */
import { UserError } from "../base/errors.ts";
import { ensureFolder, writeAtomically, writeError } from "../base/files.ts";
import { takeLock } from "../base/folder_lock.ts";
import { refuseSpecialFile } from "../base/odd_file.ts";
import { join } from "../base/path.ts";
import { absentFile, readError } from "../base/read_error.ts";
import type { RawCase } from "../dataset/raw_dataset.ts";
import { filesOfImage } from "../formats/image/readers.ts";
import {
  appendRecord,
  type CaseFiles,
  type CaseRecord,
  type InputStates,
  isCurrent,
  NOTING,
  readRecord,
  writeRecord,
} from "./data_record.ts";
import {
  hideRecord,
  isRecord,
  RECORD,
  RECORD_FOLDER,
  removeDataFolder,
  removeOtherFiles,
  requireRemovable,
  requireReplaceable,
} from "./data_folder_files.ts";

const OPENING = "opening the folder of preprocessed data";
const TIDYING = "removing what an earlier run left half-written";
const DOING = "replacing the preprocessed data";

export interface DataFolder extends Disposable {
  /** The final folder. */
  readonly path: string;
  /** Where cases are written. */
  readonly work: string;
  /** Cases that are there already, made of the same files in the same way. */
  readonly done: ReadonlySet<string>;
  /** True if the final folder is complete as it is. */
  readonly complete: boolean;
  /** Notes a case as done. */
  record(id: string, files: CaseFiles): void;
  /** Gives the folder its final name. */
  finish(): Promise<void>;
}

export interface DataFolderOptions {
  /** What the data depend on beside the case's files, as text. */
  readonly setting: string;
  readonly inputs: ReadonlyMap<string, InputStates>;
  /** True: nothing that is there is used again. */
  readonly redo: boolean;
}

/** States of a case's files. @throws UserError if one is not there */
export async function inputStates({ id, images, label }: RawCase): Promise<InputStates> {
  const states = [...images, label].map(async (named) => {
    const files = await filesOfImage(named);
    return await Promise.all(files.map((file) => stateOf(file, named, id)));
  });
  return (await Promise.all(states)).flat().flatMap((state) => (state ? [state] : []));
}

/** Null for a file that is not there and that only goes with the image `named`: reading the image will say if it needs it. */
async function stateOf(file: string, named: string, caseId: string): Promise<InputStates[number] | null> {
  try {
    refuseSpecialFile(file, "looking for the case's files");
    const { size, mtime } = await Deno.stat(file);
    return [file, size, mtime?.getTime() ?? 0];
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) {
      const other = readError(error, file, "looking for the case's files");
      throw other instanceof UserError ? other.withCase(caseId) : other;
    }
    if (file !== named) return null;
    throw new UserError({
      doing: "looking for the case's files",
      caseId,
      file,
      ...absentFile(file, "put the file there, or remove the case's other files"),
    });
  }
}

/** Where a folder of data, its making, what it replaces and its lock are. */
export interface DataPlaces {
  readonly path: string;
  readonly work: string;
  readonly old: string;
  readonly lock: string;
}

export function placesOf(parent: string, name: string): DataPlaces {
  const hidden = (ending: string) => join(parent, `.${name}.${ending}`);
  return { path: join(parent, name), work: hidden("partial"), old: hidden("replaced"), lock: hidden("lock") };
}

/** What is said where another run has the lock. */
export const AT_WORK = {
  doing: OPENING,
  problem: "another run is preprocessing these data at this moment",
  remedy: "wait until it ends, or stop it; what it has done is kept",
} as const;

/** First line of a record: what the data depend on. */
export function settingLine({ setting }: Pick<DataFolderOptions, "setting">): string {
  return JSON.stringify({ setting });
}

/**
 * Opens the folder `name` in `parent`, taking over what an earlier run has done.
 * @throws UserError if another run is at it, or a folder of that name is read-only or holds what preprocessing does not write
 */
export async function openDataFolder(parent: string, name: string, options: DataFolderOptions): Promise<DataFolder> {
  const places = placesOf(parent, name);
  await ensureFolder(parent, "making the folder of preprocessed data");
  const lock = takeLock(places.lock, AT_WORK);
  return await openLocked(places, options, lock);
}

/** As {@link openDataFolder}, by whom has the lock; the folder gives it back when it is disposed, or if this fails. */
export async function openLocked(
  places: DataPlaces,
  options: DataFolderOptions,
  lock: Disposable,
): Promise<DataFolder> {
  try {
    for (const folder of [places.path, places.work, places.old]) requireReplaceable(folder, OPENING);
    return await open(places, options, lock);
  } catch (error) {
    lock[Symbol.dispose]();
    throw error;
  }
}

/** True if a folder has all cases, and no others. */
export function isComplete(path: string, options: Omit<DataFolderOptions, "redo">): boolean {
  const recorded = readRecord(path, settingLine(options));
  const { inputs } = options;
  return inputs.size > 0 && recorded.length === inputs.size && recorded.every((one) => isCurrent(path, one, inputs));
}

/**
 * How many cases of a folder {@link openDataFolder} would take over from it, and from a run that was stopped. Nothing is made or changed.
 */
export function countDone(parent: string, name: string, options: Omit<DataFolderOptions, "redo">): number {
  const { path, work } = placesOf(parent, name);
  const first = settingLine(options);
  const current = [path, work].flatMap((folder) =>
    readRecord(folder, first).filter((one) => isCurrent(folder, one, options.inputs))
  );
  return new Set(current.map(({ id }) => id)).size;
}

async function open(
  { path, work, old }: DataPlaces,
  options: DataFolderOptions,
  lock: Disposable,
): Promise<DataFolder> {
  const { inputs, redo } = options;
  const first = settingLine(options);
  const recorded = redo ? [] : readRecord(path, first);
  const there = recorded.filter((one) => isCurrent(path, one, inputs));
  // A case that has left the dataset must not stay in the folder.
  const complete = !redo && isComplete(path, options);
  for (const folder of complete ? [work, old] : [path, work, old]) await requireRemovable(folder, OPENING);
  if (complete) {
    // Of a run that was killed while it replaced this folder, or made others of it.
    for (const folder of [work, old]) removeDataFolder(folder, DOING);
    return {
      path,
      work: path,
      done: new Set(inputs.keys()),
      complete,
      record: () => {},
      finish: () => Promise.resolve(),
      [Symbol.dispose]: () => lock[Symbol.dispose](),
    };
  }
  const left = redo ? [] : readRecord(work, first).filter((one) => isCurrent(work, one, inputs));
  if (left.length === 0) removeDataFolder(work, DOING);
  await ensureFolder(work, "making the folder of preprocessed data");
  // First of all, as it says whose the folder is.
  if (left.length === 0) await writeAtomically(join(work, RECORD), `${first}\n`, { doing: NOTING });
  const kept = new Map(left.map((one) => [one.id, one]));
  for (const one of there) if (!kept.has(one.id) && takeOver(path, work, one)) kept.set(one.id, one);

  await keepOnly(work, first, [...kept.values()]);
  const log = appendRecord(join(work, RECORD));
  return {
    path,
    work,
    done: new Set(kept.keys()),
    complete,
    record: (id, files) => log.add({ id, inputs: inputs.get(id) ?? [], files }),
    finish: async () => await replaceFolder(path, work, old),
    [Symbol.dispose]: () => {
      log[Symbol.dispose]();
      lock[Symbol.dispose]();
    },
  };
}

/** Gives a case's files a second name in `work`; false where the disk has no hard links. */
function takeOver(path: string, work: string, { files }: CaseRecord): boolean {
  try {
    for (const [name] of files) Deno.linkSync(join(path, name), join(work, name));
    return true;
  } catch {
    return false;
  }
}

/** Leaves these cases of a folder in the making, and notes them in one record. */
export async function keepOnly(work: string, first: string, kept: readonly CaseRecord[]): Promise<void> {
  const ours = new Set([RECORD, ...kept.flatMap(({ files }) => files.map(([name]) => name))]);
  // Records go last, so that nothing that is done is forgotten.
  const records = Array.from(Deno.readDirSync(work), ({ name }) => name)
    .filter((name) => isRecord(name) || name === RECORD_FOLDER);
  removeOtherFiles(work, new Set([...ours, ...records]), TIDYING);
  await writeRecord(work, first, kept);
  removeOtherFiles(work, ours, TIDYING);
}

export function replaceFolder(path: string, work: string, old: string): void {
  try {
    removeDataFolder(old, DOING);
    requireReplaceable(path, DOING);
    hideRecord(work, DOING);
    let moved = false;
    try {
      Deno.renameSync(path, old);
      moved = true;
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
    try {
      Deno.renameSync(work, path);
    } catch (error) {
      if (moved) Deno.renameSync(old, path);
      throw error;
    }
    removeDataFolder(old, DOING);
  } catch (error) {
    throw writeError(error, path, DOING);
  }
}
