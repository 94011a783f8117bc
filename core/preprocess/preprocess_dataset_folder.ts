/**
 * A folder of preprocessed cases in the making: a hidden folder beside the final one, with a record of the cases that are done, so
 * that a stopped run continues. It takes the final name once it is complete; until then what was there before stays.
 */
import { z } from "zod";
import { UserError } from "../base/errors.ts";
import { ensureFolder, writeAtomically, writeError } from "../base/files.ts";
import { takeLock } from "../base/folder_lock.ts";
import { refuseSpecialFile } from "../base/odd_file.ts";
import { join } from "../base/path.ts";
import { PATH_NAME } from "../base/path_name.ts";
import { absentFile, readError } from "../base/read_error.ts";
import type { RawCase } from "../dataset/raw_dataset.ts";
import { filesOfImage } from "../formats/image/readers.ts";
import {
  RECORD,
  removeDataFolder,
  removeOtherFiles,
  requireRemovable,
  requireReplaceable,
} from "./data_folder_files.ts";

const OPENING = "opening the folder of preprocessed data";
const DOING = "replacing the preprocessed data";
const NOTING = "noting which cases are preprocessed";

/** Path, bytes and time of change (ms) of a case's files. */
export type InputStates = readonly (readonly [path: string, bytes: number, changed: number])[];

type CaseFiles = readonly (readonly [name: string, bytes: number])[];

/** A line of the record. Its names become paths. */
const CASE_RECORD = z.object({
  id: PATH_NAME,
  inputs: z.array(z.tuple([z.string(), z.number(), z.number()])),
  files: z.array(z.tuple([PATH_NAME, z.number()])),
});

interface CaseRecord {
  readonly id: string;
  readonly inputs: InputStates;
  readonly files: CaseFiles;
}

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
  finish(): void;
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
  const states = [...images, label].flatMap((named) => filesOfImage(named).map((file) => stateOf(file, named, id)));
  return (await Promise.all(states)).flatMap((state) => (state ? [state] : []));
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

/**
 * Opens the folder `name` in `parent`, taking over what an earlier run has done.
 * @throws UserError if another run is at it, or a folder of that name is read-only or holds what preprocessing does not write
 */
export async function openDataFolder(parent: string, name: string, options: DataFolderOptions): Promise<DataFolder> {
  const path = join(parent, name);
  const work = join(parent, `.${name}.partial`);
  const old = join(parent, `.${name}.replaced`);
  await ensureFolder(parent, "making the folder of preprocessed data");
  const lock = takeLock(join(parent, `.${name}.lock`), {
    doing: OPENING,
    problem: "another run is preprocessing these data at this moment",
    remedy: "wait until it ends, or stop it; what it has done is kept",
  });
  try {
    for (const folder of [path, work, old]) requireReplaceable(folder, OPENING);
    return await open(path, work, old, options, lock);
  } catch (error) {
    lock[Symbol.dispose]();
    throw error;
  }
}

async function open(
  path: string,
  work: string,
  old: string,
  { setting, inputs, redo }: DataFolderOptions,
  lock: Disposable,
): Promise<DataFolder> {
  const first = JSON.stringify({ setting });
  const recorded = redo ? [] : readRecord(path, first);
  const there = recorded.filter((one) => isCurrent(path, one, inputs));
  // A case that has left the dataset must not stay in the folder.
  const complete = there.length === inputs.size && recorded.length === there.length && inputs.size > 0;
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
      finish: () => {},
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

  const file = join(work, RECORD);
  const ours = new Set([RECORD, ...kept.values().flatMap(({ files }) => files.map(([name]) => name))]);
  removeOtherFiles(work, ours, "removing what an earlier run left half-written");
  // Written anew beside, so that a full disk does not take the record of what is done.
  const lines = [first, ...Array.from(kept.values(), (one) => JSON.stringify(one))];
  await writeAtomically(file, `${lines.join("\n")}\n`, { doing: NOTING });
  const log = Deno.openSync(file, { append: true });
  const write = (line: string) => {
    const bytes = new TextEncoder().encode(`${line}\n`);
    try {
      for (let at = 0; at < bytes.length;) at += log.writeSync(bytes.subarray(at));
    } catch (error) {
      throw writeError(error, file, NOTING, bytes.length);
    }
  };
  return {
    path,
    work,
    done: new Set(kept.keys()),
    complete,
    record: (id, files) => write(JSON.stringify({ id, inputs: inputs.get(id) ?? [], files } satisfies CaseRecord)),
    finish: () => replaceFolder(path, work, old),
    [Symbol.dispose]: () => {
      log.close();
      lock[Symbol.dispose]();
    },
  };
}

/** The records of a folder made with that setting; the last of each case. */
function readRecord(folder: string, setting: string): CaseRecord[] {
  let text: string;
  try {
    text = Deno.readTextFileSync(join(folder, RECORD));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return [];
    throw error;
  }
  const [first, ...lines] = text.split("\n");
  if (first !== setting) return [];
  const records = new Map<string, CaseRecord>();
  for (const line of lines) {
    try {
      const one = CASE_RECORD.safeParse(JSON.parse(line));
      if (one.success) records.set(one.data.id, one.data);
    } catch {
      // The empty last line, or one that was being written when the machine stopped.
    }
  }
  return [...records.values()];
}

function isCurrent(folder: string, { id, inputs, files }: CaseRecord, now: DataFolderOptions["inputs"]): boolean {
  if (JSON.stringify(now.get(id)) !== JSON.stringify(inputs)) return false;
  return files.every(([name, bytes]) => {
    try {
      return Deno.statSync(join(folder, name)).size === bytes;
    } catch {
      return false;
    }
  });
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

function replaceFolder(path: string, work: string, old: string): void {
  try {
    removeDataFolder(old, DOING);
    requireReplaceable(path, DOING);
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
