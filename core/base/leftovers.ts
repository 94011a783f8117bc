/**
 * Hidden files that are on their way to their names, and what is left of them when a run is killed. While its writer lives such a file
 * is locked by the system; one that is not is nobody's any more, whichever machine wrote it. Where the disk knows no locks, none is
 * removed.
 */
import { join } from "./path.ts";

/** Names that {@link hiddenName} gives, and those of the other files that live only as long as their run. */
const HIDDEN =
  /^\.(.+\.\d+-[0-9a-f]{8}\.tmp|.+-[0-9a-f]{8}\.probabilities|nnunet-logits-[0-9a-f-]{36}|intensities-.+\.tmp|write-test-[0-9a-f]{8}\.tmp)$/;
/** Bytes of the final name that are kept: the longest names there are leave no room for more. */
const KEPT_BYTES = 180;

/** A name for a file that is to be renamed to `name`: hidden, beside it, of this process. */
export function hiddenName(name: string): string {
  return `.${shortened(name)}.${Deno.pid}-${crypto.randomUUID().slice(0, 8)}.tmp`;
}

/** As much of a name's beginning as leaves room for an addition of some letters. */
export function shortened(name: string): string {
  const encoder = new TextEncoder();
  const letters = [...name];
  while (encoder.encode(letters.join("")).length > KEPT_BYTES) letters.length = Math.floor(letters.length * 0.95);
  return letters.join("");
}

/** Marks an open file as being in use until it is closed or the process ends. */
export function holdWhileOpen(file: Deno.FsFile): void {
  try {
    file.tryLockSync(true);
  } catch {
    // The disk knows no locks.
  }
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
  for (const name of names) if (HIDDEN.test(name) && name.startsWith(start)) removeAbandoned(join(folder, name));
}

function removeAbandoned(path: string): void {
  try {
    using file = Deno.openSync(path, { read: true, write: true });
    if (!file.tryLockSync(true)) return;
    if (Deno.build.os === "windows") file.close();
    Deno.removeSync(path);
  } catch {
    // Of another user, on a disk without locks, or just renamed by its run.
  }
}
