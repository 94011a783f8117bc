/**
 * What may be removed of a folder of preprocessed data: files that preprocessing writes, this program's or Python's, and nothing else.
 * A folder that holds anything else is somebody's, and stays as it is.
 */
import { readError } from "../base/read_error.ts";
import { UserError } from "../base/errors.ts";
import { requireWritable, writeError } from "../base/files.ts";
import { join } from "../base/path.ts";
import { BRICKS_ENDING } from "../formats/preprocessed/bricks.ts";

/** In every folder that this program has made; one line a case, after a line with what the data depend on. */
export const RECORD = "preprocessed.jsonl";

/**
 * A folder in the folder, for the record of data that Python trains from: nnU-Net 2.6 and later takes the format from the endings of
 * all files there.
 */
export const RECORD_FOLDER = ".preprocessed";

/** What each of several processes that share a folder has done, until the folder gets its name. */
const PROCESS_RECORD = /^preprocessed\.[0-9a-f]{8}\.jsonl$/;

/** True for a file that says which cases are done. */
export function isRecord(name: string): boolean {
  return name === RECORD || PROCESS_RECORD.test(name);
}

const CASE_ENDINGS = [BRICKS_ENDING, ".npz", ".npy", ".pkl", ".b2nd"];
/** What writing and claiming cases leave when they are killed, and what file managers and network disks put anywhere. */
const PASSING = /^(\..*\.tmp|\..*\.claim-\d{1,9}|\._.*|\.DS_Store|\.nfs.*|Thumbs\.db|desktop\.ini)$/;

/**
 * Refuses a folder that is not preprocessing's to replace. A symbolic link is: it is replaced, and where it leads to is left alone.
 * @throws UserError if `path` is a file, or a folder with other content
 */
export function requireReplaceable(path: string, doing: string): void {
  const there = lstat(path);
  if (!there || there.isSymlink) return;
  if (there.isDirectory) {
    const { foreign } = contentOf(path);
    if (foreign.length > 0) throw notOurs(path, foreign, doing);
    return;
  }
  throw new UserError({
    doing,
    file: path,
    problem: "a file has that name, and the preprocessed data need a folder",
    remedy: "move it away, or give the configuration another data_identifier in the plans",
  });
}

/**
 * Refuses a folder whose files may not be removed, before the work of replacing them.
 * @throws UserError if `path` is a folder that may not be written to
 */
export async function requireRemovable(path: string, doing: string): Promise<void> {
  // A link is replaced itself.
  if (!lstat(path)?.isDirectory) return;
  try {
    await requireWritable(path, doing, 0);
  } catch (error) {
    if (!(error instanceof UserError && error.cause instanceof Deno.errors.PermissionDenied)) throw error;
    throw new UserError({
      doing,
      file: path,
      problem: "the folder may not be written to, so the data in it are not replaced or removed; they stay as they are",
      remedy: "make it writable (chmod u+w), or give the configuration another data_identifier in the plans",
    }, { cause: error.cause });
  }
}

/**
 * Removes a folder of preprocessed data, file by file; nothing if it is not there.
 * @throws UserError if it holds anything else; then it is as before
 */
export function removeDataFolder(path: string, doing: string): void {
  requireReplaceable(path, doing);
  const there = lstat(path);
  if (!there) return;
  try {
    if (!there.isSymlink) {
      const { known } = contentOf(path);
      // While the record is there, what a killed run leaves of the folder is known for ours. Python makes none.
      if (known.length > 0) Deno.writeTextFileSync(join(path, RECORD), "", { append: true });
      for (const name of known) if (name !== RECORD) removeKnown(path, name);
      if (known.length > 0) Deno.removeSync(join(path, RECORD));
    }
    Deno.removeSync(path);
  } catch (error) {
    throw writeError(error, path, doing);
  }
}

/** Removes preprocessing's files from a folder, but those of `kept`. @throws UserError as {@link removeDataFolder} */
export function removeOtherFiles(path: string, kept: ReadonlySet<string>, doing: string): void {
  requireReplaceable(path, doing);
  try {
    for (const name of contentOf(path).known) if (!kept.has(name)) removeKnown(path, name);
  } catch (error) {
    throw writeError(error, path, doing);
  }
}

function removeKnown(path: string, name: string): void {
  if (name === RECORD_FOLDER) {
    for (const record of recordsInside(path)) Deno.removeSync(join(path, record));
  }
  Deno.removeSync(join(path, name));
}

/** Puts the record into its folder if the data are in a format of Python's. @throws UserError if it can't be moved */
export function hideRecord(path: string, doing: string): void {
  try {
    const names = Array.from(Deno.readDirSync(path), ({ name }) => name);
    if (!names.includes(RECORD) || !names.some((name) => name.endsWith(".pkl"))) return;
    Deno.mkdirSync(join(path, RECORD_FOLDER), { recursive: true });
    Deno.renameSync(join(path, RECORD), join(path, RECORD_FOLDER, RECORD));
  } catch (error) {
    throw writeError(error, path, doing);
  }
}

/** The record in its folder, by its path from the folder of data; none if it is not there. */
export function recordsInside(path: string): string[] {
  const record = join(RECORD_FOLDER, RECORD);
  return lstat(join(path, record))?.isFile ? [record] : [];
}

/** Names of a folder, by whether preprocessing writes such files. */
function contentOf(folder: string): { readonly known: readonly string[]; readonly foreign: readonly string[] } {
  const entries = [...Deno.readDirSync(folder)];
  const names = new Set(entries.map(({ name }) => name));
  const known: string[] = [];
  const foreign: string[] = [];
  for (const { name, isDirectory } of entries) {
    const ours = isDirectory
      ? name === RECORD_FOLDER && isOnlyRecord(folder)
      : isRecord(name) || PASSING.test(name) || isOfCase(name, names);
    (ours ? known : foreign).push(name);
  }
  return { known, foreign };
}

function isOnlyRecord(folder: string): boolean {
  return Array.from(Deno.readDirSync(join(folder, RECORD_FOLDER)), ({ name }) => name).every((name) => name === RECORD);
}

/** Without the record, as Python leaves it, arrays alone could be anybody's: each has its case's properties beside it. */
function isOfCase(name: string, names: ReadonlySet<string>): boolean {
  const ending = CASE_ENDINGS.find((one) => name.endsWith(one) && name !== one);
  if (ending === undefined) return false;
  if (ending === BRICKS_ENDING || names.has(RECORD) || names.has(RECORD_FOLDER)) return true;
  const stem = name.slice(0, -ending.length);
  const arrays = [".npz", ".npy", ".b2nd"].some((one) => names.has(stem + one));
  return ending === ".pkl" ? arrays : names.has(`${stem.replace(/_(seg|segFromPrevStage)$/, "")}.pkl`);
}

function notOurs(path: string, foreign: readonly string[], doing: string): UserError {
  const shown = [...foreign].sort().slice(0, 3).join(", ") + (foreign.length > 3 ? `, ... (${foreign.length})` : "");
  return new UserError({
    doing,
    file: path,
    problem: `it holds what preprocessing does not write (${shown}); such a folder is neither replaced nor removed`,
    remedy: "move that away, or give the configuration another data_identifier in the plans",
  });
}

function lstat(path: string): Deno.FileInfo | undefined {
  try {
    return Deno.lstatSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw readError(error, path, "looking for the preprocessed data");
  }
}
