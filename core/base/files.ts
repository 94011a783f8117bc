/**
 * Writing files so that nothing half-written is ever left under its final name: the content goes to a hidden file beside, which
 * is then renamed. Whatever fails, the hidden file is removed.
 */
import { statfsSync } from "node:fs";
import { Interrupted, UserError, type UserErrorParts } from "./errors.ts";
import { createHidden, type HiddenFile, removeLeftovers, scratchName } from "./leftovers.ts";
import { isDiskError, lostDisk } from "./lost_disk.ts";
import { isOutOfFiles, OUT_OF_FILES } from "./open_files.ts";
import { basename, dirname, join } from "./path.ts";
import { readError } from "./read_error.ts";

export interface WriteOptions {
  /** What is being done, for errors: "writing the segmentation". */
  readonly doing?: string;
  /** True: the bytes are on the disk before the rename (fsync). */
  readonly sync?: boolean;
  /** What the file will take, for the error about a full disk; of text and bytes it is known. */
  readonly bytes?: number;
  /** What killed runs have left of this very file is removed first: for files that are written into folders of the user's. */
  readonly removesLeftovers?: boolean;
  /** When it aborts, the hidden file is removed at once (synchronously) and the write throws {@link Interrupted}. */
  readonly signal?: AbortSignal;
}

/** Bytes, text (UTF-8), or a function that writes to the opened (and seekable) file. */
export type FileContent = Uint8Array | string | ((file: Deno.FsFile) => Promise<void>);

/**
 * Writes `path` whole or not at all.
 * @throws UserError naming the file: folder missing, no permission, disk full, a folder of that name.
 * @throws Interrupted if `options.signal` aborts.
 */
export async function writeAtomically(path: string, data: FileContent, options: WriteOptions = {}): Promise<void> {
  const { doing = "writing a file", signal } = options;
  if (signal?.aborted) throw interrupted(path);
  const content = typeof data === "string" ? new TextEncoder().encode(data) : data;
  if (options.removesLeftovers) removeLeftovers(dirname(path), basename(path));
  let hidden: string | undefined;
  let file: Deno.FsFile | undefined;
  const discard = () => {
    closeQuietly(file);
    file = undefined;
    if (hidden !== undefined) removeQuietly(hidden);
  };
  signal?.addEventListener("abort", discard, { once: true });
  try {
    if (isFolder(path)) throw new Deno.errors.IsADirectory();
    const made = createHidden(dirname(path), basename(path));
    file = made.file;
    hidden = made.path;
    if (typeof content === "function") await content(made.file);
    else await writeAll(made.file, content);
    if (options.sync) await file?.sync();
    if (signal?.aborted) throw interrupted(path);
    // Open, it is locked until it has its name; Windows renames no open file.
    if (Deno.build.os === "windows") closeQuietly(file);
    await Deno.rename(made.path, path);
    closeQuietly(file);
    file = undefined;
  } catch (error) {
    discard();
    if (signal?.aborted) throw interrupted(path);
    throw writeError(error, path, doing, typeof content === "function" ? options.bytes : content.length);
  } finally {
    signal?.removeEventListener("abort", discard);
  }
}

/**
 * Creates a file whole unless it is there, which is exactly one process's on any disk with hard links.
 * @throws UserError as {@link writeAtomically}
 */
export async function createOnce(path: string, text: string, doing: string): Promise<void> {
  if (isFile(path)) return;
  const bytes = new TextEncoder().encode(text);
  let made: HiddenFile | undefined;
  try {
    // Locked until it has its name: nobody takes it for a leftover.
    made = createHidden(dirname(path), basename(path));
    await writeAll(made.file, bytes);
  } catch (error) {
    discardHidden(made);
    throw writeError(error, path, doing, bytes.length);
  }
  try {
    Deno.linkSync(made.path, path);
  } catch {
    // There by now; or a disk without hard links, where of two that write at this moment the later one stays.
    if (!isFile(path)) await writeAtomically(path, text, { doing });
  } finally {
    discardHidden(made);
  }
}

function discardHidden(made: HiddenFile | undefined): void {
  closeQuietly(made?.file);
  if (made) removeQuietly(made.path);
}

/**
 * Copies the bytes of a file, piece by piece, to `target`, whole or not at all.
 * @throws UserError naming the file that can't be read or written; Interrupted as {@link writeAtomically}
 */
export async function copyAtomically(source: string, target: string, options: WriteOptions = {}): Promise<void> {
  const { doing = "copying a file" } = options;
  await writeAtomically(target, async (file) => {
    const input = await Deno.open(source).catch((error) => {
      throw readError(error, source, doing);
    });
    await input.readable.pipeTo(file.writable, { preventClose: true });
  }, { ...options, doing });
}

function isLink(path: string): boolean {
  try {
    return Deno.lstatSync(path).isSymlink;
  } catch {
    return false;
  }
}

function isFile(path: string): boolean {
  try {
    return Deno.lstatSync(path).isFile;
  } catch {
    return false;
  }
}

/** @param look With links followed, or not */
function isFolder(path: string, look = Deno.lstatSync): boolean {
  try {
    return look(path).isDirectory;
  } catch {
    return false;
  }
}

/** Writes all of `data` at the file's position. */
export async function writeAll(file: Deno.FsFile, data: Uint8Array): Promise<void> {
  let done = 0;
  while (done < data.length) done += await file.write(done ? data.subarray(done) : data);
}

/** As {@link writeAll}, in a thread that has nothing else to do meanwhile. */
export function writeAllSync(file: Deno.FsFile, data: Uint8Array): void {
  for (let done = 0; done < data.length;) done += file.writeSync(done ? data.subarray(done) : data);
}

/**
 * Makes a folder and those above it, if they are not there.
 * @throws UserError if that fails, or a file has the name.
 */
export async function ensureFolder(path: string, doing: string): Promise<void> {
  try {
    await Deno.mkdir(path, { recursive: true });
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists || error instanceof Deno.errors.NotADirectory) {
      if (isLink(path)) {
        const remedy = "remove the link, or make the folder that it leads to";
        throw new UserError({ doing, file: path, problem: "it is a link that leads to no folder", remedy });
      }
      const remedy = "give another folder, or move that file away";
      throw new UserError({ doing, file: path, problem: "a file has that name, a folder is needed", remedy });
    }
    throw writeError(error, path, doing);
  }
}

/**
 * Removes a file or an empty folder, or with `recursive` a folder and all it holds, if it is there.
 * @throws UserError if that fails
 */
export async function removeIfThere(path: string, doing: string, options?: Deno.RemoveOptions): Promise<void> {
  try {
    await Deno.remove(path, options);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw writeError(error, path, doing);
  }
}

/**
 * Tries whether `folder` can be written to and has `bytes` free, before work whose result goes there.
 * @throws UserError if it is not there, the disk is full or read-only, or writing is not permitted
 */
export async function requireWritable(folder: string, doing: string, bytes: number): Promise<void> {
  const probe = join(folder, scratchName("write-test-", "tmp"));
  try {
    await Deno.writeFile(probe, new Uint8Array(bytes), { createNew: true });
  } catch (error) {
    removeQuietly(probe);
    if (error instanceof Deno.errors.NotFound) {
      const problem = "there is no such folder";
      throw new UserError({ doing, file: folder, problem, remedy: "make it, or check the path", endsRun: true });
    }
    throw writeError(error, folder, doing, bytes);
  }
  removeQuietly(probe);
}

/** Bytes that are free on the disk of a folder or file; null if it is not there or does not tell. */
export function freeBytes(path: string): number | null {
  try {
    const { bavail, bsize } = statfsSync(path);
    return bavail * bsize;
  } catch {
    return null;
  }
}

/** True where a disk that limits their number has room for no further file. */
function takesNoFiles(path: string): boolean {
  try {
    const { files, ffree } = statfsSync(path);
    return files > 0 && ffree === 0;
  } catch {
    return false;
  }
}

/** ENOSPC and EDQUOT; or Windows' ERROR_DISK_FULL, a number that elsewhere says that a host is down. */
const FULL = Deno.build.os === "windows" ? /os error (28|122|112)\b/ : /os error (28|122)\b/;

/**
 * The {@link UserError} for a failed write, or `error` itself where it is none of the user's. What was written has to be removed
 * before, as the free space is told.
 * @param bytes What was to be written, where it is known
 */
export function writeError(error: unknown, path: string, doing: string, bytes?: number): unknown {
  const user = (parts: Pick<UserErrorParts, "problem" | "remedy" | "endsRun">) =>
    new UserError({ doing, file: path, ...parts }, { cause: error });
  const output = (problem: string, remedy: string) => user({ problem, remedy, endsRun: true });
  const code = (error as { code?: string } | null)?.code;
  const text = error instanceof Error ? error.message : "";
  const size = (count: number) => `${count.toLocaleString("en-US")} bytes`;
  const needed = bytes === undefined ? "" : `${size(bytes)} are to be written`;
  const lost = lostDisk(error);
  if (lost) return output(lost.problem, lost.remedy);
  if (code === "ENOSPC" || code === "EDQUOT" || FULL.test(text) || /No space left|quota exceeded/i.test(text)) {
    const free = freeBytes(path) ?? freeBytes(dirname(path));
    const figures = [needed, free === null ? "" : `${size(free)} are free`].filter(Boolean).join(", ");
    if (takesNoFiles(path) || takesNoFiles(dirname(path))) {
      return output(
        "the disk takes no more files (its inodes are used up); nothing half-written was left behind",
        "remove some files there or give another output folder, and run the same command again",
      );
    }
    const name = code === "EDQUOT" || /os error 122\b|quota/i.test(text)
      ? "your quota of the disk is used up"
      : "the disk is full";
    return output(
      `${name}${figures ? ` (${figures})` : ""}; nothing half-written was left behind`,
      "free some space or give another output folder, and run the same command again",
    );
  }
  if (code === "EFBIG" || /os error 27\b|File too large/i.test(text)) {
    return output(
      `the file may not become so large there${needed ? ` (${needed})` : ""}; nothing half-written was left behind`,
      "give an output folder on a disk that takes larger files (FAT32 ends at 4 GiB), or raise the limit (ulimit -f)",
    );
  }
  if (code === "EROFS" || /os error 30\b/.test(text)) {
    return output("the disk is read-only", "make it writable or give a folder that may be written");
  }
  if (error instanceof Deno.errors.PermissionDenied || error instanceof Deno.errors.NotCapable) {
    return output("no permission to write there", "change its permissions or give a folder that may be written");
  }
  if (error instanceof Deno.errors.NotFound) {
    const folder = dirname(path);
    // Of a folder that is written into it is not the one above that is missing.
    const problem = isFolder(folder, Deno.statSync)
      ? "it is not there, or what was to be written there is gone"
      : `its folder ${folder} is not there`;
    return output(problem, "make the folder, or check the path");
  }
  if (error instanceof Deno.errors.IsADirectory) {
    const problem = "a folder has that name, a file is to be written";
    return user({ problem, remedy: "move the folder away or give another name" });
  }
  if (error instanceof Deno.errors.NotADirectory) {
    return output("a part of its path is a file, not a folder", "check the path");
  }
  if (isDiskError(error)) {
    return output(
      "the disk reports an error where it is written to",
      "check the disk, or give a folder on another one",
    );
  }
  if (isOutOfFiles(error)) return user(OUT_OF_FILES);
  if (code === "ENAMETOOLONG") {
    return user({ problem: "its name is too long for this disk", remedy: "give a shorter name" });
  }
  return error;
}

function interrupted(path: string): Interrupted {
  return new Interrupted(`stopped while writing ${path}; nothing half-written is left`);
}

function closeQuietly(file: Deno.FsFile | undefined): void {
  try {
    file?.close();
  } catch {
    // Already closed: by the abort listener, or by the function that wrote it.
  }
}

function removeQuietly(path: string): void {
  try {
    Deno.removeSync(path);
  } catch {
    // Never made, or already renamed.
  }
}
