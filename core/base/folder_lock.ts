/**
 * One process at a time: a lock file that the system frees when its process ends, however it ends. A killed run's lock file is left,
 * unlocked; the next run takes it and removes it.
 */
import { UserError, type UserErrorParts } from "./errors.ts";

/**
 * Takes the lock `path`, or refuses; disposing gives it back and removes the file. Where the disk knows no locks, or may not be
 * written to, nothing is locked.
 * @param error What is being done, and who may be at it
 * @throws UserError if another process has it
 */
export function takeLock(path: string, error: Omit<UserErrorParts, "file">): Disposable {
  for (;;) {
    const file = open(path);
    if (!file) return { [Symbol.dispose]: () => {} };
    const locked = tryLock(file);
    if (locked === false) {
      file.close();
      throw new UserError({ ...error, file: path });
    }
    // Whoever had it before may have removed the file between its opening and its locking here.
    if (locked === undefined || isSame(file.statSync(), path)) return { [Symbol.dispose]: () => giveBack(file, path) };
    file.close();
  }
}

function open(path: string): Deno.FsFile | undefined {
  try {
    return Deno.openSync(path, { write: true, create: true });
  } catch {
    return undefined; // What is written beside it says why, if anything has to be.
  }
}

/** Undefined where the disk knows no locks. */
function tryLock(file: Deno.FsFile): boolean | undefined {
  try {
    return file.tryLockSync(true);
  } catch {
    return undefined;
  }
}

function isSame({ dev, ino }: Deno.FileInfo, path: string): boolean {
  try {
    const there = Deno.statSync(path);
    return ino === null || (there.ino === ino && there.dev === dev);
  } catch {
    return false;
  }
}

/** Removed while it is locked, so that nobody else's is. */
function giveBack(file: Deno.FsFile, path: string): void {
  try {
    Deno.removeSync(path);
  } catch {
    // Windows does not remove open files: it stays, unlocked.
  }
  file.close();
}
