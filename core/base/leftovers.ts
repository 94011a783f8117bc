/**
 * Hidden files that are on their way to their names, and what is left of them when a run is killed. While its writer lives such a file
 * is locked by the system; one of this machine that is not locked is nobody's any more. A network disk may keep each machine's locks to
 * itself: another machine's file goes once it has not been written to for a day, and so does one on a disk that knows no locks.
 */
import { machineMark } from "./machine.ts";
import { join } from "./path.ts";

/** Ends of the names of files that live only as long as their run, with the machine's mark and the process's number. */
const HIDDEN = /^\..*[.-]([0-9a-f]{8})-\d+-[0-9a-f]{8}(\.tmp|\.probabilities|\.scratch)$/;
const ABANDONED_MS = 24 * 3600 * 1000;
/** Bytes of the final name that are kept: the longest names there are leave no room for more. */
const KEPT_BYTES = 180;

/** A name for a file that is to be renamed to `name`: hidden, beside it, of this process. */
export function hiddenName(name: string): string {
  return scratchName(`${shortened(name)}.`, "tmp");
}

/** A name for a file that goes with its run: hidden, of this process. */
export function scratchName(start: string, ending: "tmp" | "probabilities" | "scratch"): string {
  return `.${start}${machineMark()}-${Deno.pid}-${crypto.randomUUID().slice(0, 8)}.${ending}`;
}

/** As much of a name's beginning as leaves room for an addition of some letters. */
export function shortened(name: string): string {
  const encoder = new TextEncoder();
  const letters = [...name];
  while (encoder.encode(letters.join("")).length > KEPT_BYTES) letters.length = Math.floor(letters.length * 0.95);
  return letters.join("");
}

/** A hidden file that was just made, open to be read and written. */
export interface HiddenFile {
  readonly file: Deno.FsFile;
  readonly path: string;
}

/** Makes a hidden file that is to be renamed to `name`, in use until it is closed. */
export function createHidden(folder: string, name: string): HiddenFile {
  return createScratch(folder, `${shortened(name)}.`, "tmp");
}

/**
 * Makes a file that goes with its run, and marks it as being in use until it is closed. Another process that looks for leftovers at this
 * very moment may have taken it for one before it was marked: then another one is made.
 */
export function createScratch(folder: string, ...[start, ending]: Parameters<typeof scratchName>): HiddenFile {
  for (;;) {
    const path = join(folder, scratchName(start, ending));
    const file = createHeld(path);
    if (file) return { file, path };
  }
}

/** Makes a file and marks it as being in use until it is closed; undefined if it was taken for a leftover before. */
export function createHeld(path: string): Deno.FsFile | undefined {
  const file = Deno.openSync(path, { write: true, read: true, createNew: true });
  // Who looks for leftovers has it at this moment, and then either leaves or removes it.
  if (tryLock(file) === false) file.lockSync(true);
  if (file.statSync().nlink !== 0) return file;
  file.close();
  return undefined;
}

/**
 * Removes what killed runs have left in a folder; nothing of a run that lives. What can't be removed stays.
 * @param of Only what was to become the file of this name: in a folder that is the user's own
 */
export function removeLeftovers(folder: string, of?: string): void {
  let names: string[];
  try {
    names = Array.from(Deno.readDirSync(folder)).filter(({ isFile }) => isFile).map(({ name }) => name);
  } catch {
    return; // Not there, or not to be read: who writes there says so.
  }
  const start = of === undefined ? "." : `.${shortened(of)}.`;
  for (const name of names) {
    const machine = HIDDEN.exec(name)?.[1];
    if (machine !== undefined && name.startsWith(start)) removeAbandoned(folder, name, machine === machineMark());
  }
}

function removeAbandoned(folder: string, name: string, isOfThisMachine: boolean): void {
  const path = join(folder, name);
  try {
    using file = Deno.openSync(path, { read: true, write: true });
    const isFree = tryLock(file);
    if (isFree === false) return;
    if (!isFree || !isOfThisMachine) {
      const unchanged = unchangedFor(folder, file.statSync().mtime);
      if (unchanged === undefined || unchanged < ABANDONED_MS) return;
    }
    if (Deno.build.os === "windows") file.close();
    Deno.removeSync(path);
  } catch {
    // Of another user, or just renamed by its run.
  }
}

/** Undefined where the disk knows no locks. */
export function tryLock(file: Deno.FsFile, exclusive = true): boolean | undefined {
  try {
    return file.tryLockSync(exclusive);
  } catch {
    return undefined;
  }
}

/** Milliseconds since a file of `folder` was last written, by the clock of its disk; undefined where nothing can be written there. */
export function unchangedFor(folder: string, written: Date | null): number | undefined {
  const probe = join(folder, scratchName("write-test-", "tmp"));
  try {
    {
      using file = Deno.openSync(probe, { write: true, createNew: true });
      // Some disks stamp a file when it is written, not when it is made.
      file.writeSync(new Uint8Array(1));
      file.syncSync();
    }
    const now = Deno.statSync(probe).mtime;
    return now && written ? now.getTime() - written.getTime() : undefined;
  } catch {
    return undefined;
  } finally {
    try {
      Deno.removeSync(probe);
    } catch {
      // It could not be made.
    }
  }
}
