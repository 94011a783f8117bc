/**
 * One process at a time, or several of one kind: a lock file that the system frees when its process ends, however it ends. A killed
 * run's lock file is left, unlocked; the next run takes it and removes it.
 *
 * A network disk may keep each machine's locks to itself. So the file also says whose it is, and is written anew as long as its process
 * lives: another machine's counts until it has been left alone for {@link SILENT_MS}, by the clock of the disk.
 */
import { UserError, type UserErrorParts } from "./errors.ts";
import { tryLock, unchangedFor } from "./leftovers.ts";
import { hostname, machineMark } from "./machine.ts";
import { dirname } from "./path.ts";

const BEAT_MS = 10_000;
/** Many beats: a process that swaps, or a file server that restarts, has not ended. */
const SILENT_MS = 180_000;
/** What is written is always as long. */
const BYTES = 256;

export interface LockOptions {
  /** True: others that share it as well may have it at the same time. */
  readonly shared?: boolean;
  readonly beatMs?: number;
}

/**
 * Takes the lock `path`, or refuses; disposing gives it back and removes the file. Where the disk may not be written to, nothing is
 * locked.
 * @param error What is being done, and who may be at it
 * @throws UserError if another process has it
 */
export function takeLock(path: string, error: Omit<UserErrorParts, "file">, options: LockOptions = {}): Disposable {
  const { lock, owner } = take(path, options);
  if (lock) return lock;
  throw new UserError({ ...error, file: path, ...owner && describe(error, owner) });
}

/** As {@link takeLock}; undefined if another process has it. */
export function tryTakeLock(path: string, options: LockOptions = {}): Disposable | undefined {
  return take(path, options).lock;
}

/** The lock, or, where that is known, the other machine's process that has it. */
function take(
  path: string,
  { shared = false, beatMs = BEAT_MS }: LockOptions,
): { readonly lock?: Disposable; readonly owner?: Owner } {
  for (;;) {
    const file = open(path);
    if (!file) return { lock: { [Symbol.dispose]: () => {} } };
    const locked = tryLock(file, !shared);
    if (locked === false) {
      file.close();
      return {};
    }
    // Whoever had it before may have removed the file between its opening and its locking here.
    if (locked && !isSame(file.statSync(), path)) {
      file.close();
      continue;
    }
    const owner = ownerElsewhere(file, path);
    if (owner && !(shared && owner.shared)) {
      file.close();
      return { owner };
    }
    const beating = startBeating(file, { shared, beatMs });
    const giving = () => giveBack(file, path, shared, beating.stop() || owner !== undefined);
    return { lock: { [Symbol.dispose]: giving } };
  }
}

/** True while a process has the lock `path`: another one, or this one by {@link takeLock}. It is left as it is. */
export function isLocked(path: string): boolean {
  try {
    using file = Deno.openSync(path, { read: true, write: true });
    return tryLock(file) === false || ownerElsewhere(file, path) !== undefined;
  } catch {
    return false; // Not there.
  }
}

/** Removes the lock file that a killed process has left. */
export function removeAbandonedLock(path: string): void {
  try {
    Deno.lstatSync(path);
  } catch {
    return; // Not there, as it should be.
  }
  tryTakeLock(path)?.[Symbol.dispose]();
}

interface Owner {
  readonly host: string;
  readonly shared: boolean;
  /** Since it was last written to. */
  readonly seconds: number;
}

function describe({ problem }: Omit<UserErrorParts, "file">, { host, seconds }: Owner) {
  return {
    problem: `${problem}, on the machine ${host}, which has written to this file ${seconds} s ago`,
    remedy:
      `stop it, or wait until it ends; a run that was killed there is taken to have ended ${SILENT_MS / 1000} s ` +
      "after it last wrote to this file",
  };
}

function open(path: string): Deno.FsFile | undefined {
  try {
    return Deno.openSync(path, { read: true, write: true, create: true });
  } catch {
    return undefined; // What is written beside it says why, if anything has to be.
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

interface Said {
  readonly machine: string;
  readonly shared: boolean;
  readonly host: string;
}

function readOwner(file: Deno.FsFile): Said | undefined {
  const bytes = new Uint8Array(BYTES);
  file.seekSync(0, Deno.SeekMode.Start);
  const text = new TextDecoder().decode(bytes.subarray(0, file.readSync(bytes) ?? 0));
  const [, machine, use, host] = /^([0-9a-f]{8}) (alone|shared) (\S+) \d+ \d+ *$/.exec(text) ?? [];
  return machine === undefined ? undefined : { machine, shared: use === "shared", host };
}

/** A process of another machine that has the lock, whatever this one's system says. */
function ownerElsewhere(file: Deno.FsFile, path: string): Owner | undefined {
  const said = readOwner(file);
  if (!said || said.machine === machineMark()) return undefined;
  const unchanged = unchangedFor(dirname(path), file.statSync().mtime);
  if (unchanged === undefined || unchanged > SILENT_MS) return undefined;
  return { host: said.host, shared: said.shared, seconds: Math.max(0, Math.round(unchanged / 1000)) };
}

/**
 * Writes again and again that this process has the lock. Those that share one write over each other: one that lives is enough.
 * @returns `stop` tells whether another machine has written as well
 */
function startBeating(file: Deno.FsFile, { shared, beatMs }: Required<LockOptions>): { readonly stop: () => boolean } {
  let count = 0;
  let others = false;
  const beat = () => {
    const host = hostname().replace(/\s/g, "_").slice(0, 180);
    const text = `${machineMark()} ${shared ? "shared" : "alone"} ${host} ${Deno.pid} ${count++}`;
    try {
      others ||= count > 1 && (readOwner(file)?.machine ?? machineMark()) !== machineMark();
      file.seekSync(0, Deno.SeekMode.Start);
      file.writeSync(new TextEncoder().encode(text.padEnd(BYTES)).subarray(0, BYTES));
      file.syncDataSync();
    } catch {
      // A full disk, a server that is away.
    }
  };
  beat();
  const beating = setInterval(beat, beatMs);
  Deno.unrefTimer(beating);
  return {
    stop() {
      clearInterval(beating);
      try {
        return others || (readOwner(file)?.machine ?? machineMark()) !== machineMark();
      } catch {
        return true; // Not to be read: it stays.
      }
    },
  };
}

/** Removed while it is locked, so that nobody else's is; of those that share it the last one does so, if all are of this machine. */
function giveBack(file: Deno.FsFile, path: string, shared: boolean, isElsewhere: boolean): void {
  try {
    if (!shared || (!isElsewhere && tryLock(file))) Deno.removeSync(path);
  } catch {
    // Windows does not remove open files: it stays, unlocked.
  }
  file.close();
}
