/**
 * Cases that several processes share without being told which are whose, on any disk: a case is its process's that has created the
 * claim file, which exactly one can (O_EXCL, on NFS as well). A claim whose process is gone is not removed but outbid, by the exclusive
 * creation of the next number, so that two that find it abandoned don't both have the case.
 *
 * A process is gone if its heartbeat in the file has not changed for a time measured here (clocks of machines differ), or, on the same
 * machine, as soon as the system has freed its lock.
 */
import { writeError } from "./files.ts";
import { shortened, tryLock } from "./leftovers.ts";
import { hostname, machineMark } from "./machine.ts";
import { join } from "./path.ts";

const BEAT_MS = 10_000;
/** Many beats: a process that swaps, or a file server that restarts, is not gone. */
const GONE_MS = 600_000;
/** A claim is written over at every beat, always as long. */
const BYTES = 512;

const CLAIM = /^\.(.+)\.claim-\d{1,9}$/;

/** What a claim came to: the case is ours, another process is at it, or it has failed in another process. */
export type ClaimResult = "ours" | "taken" | "failed";

export interface Claims extends Disposable {
  /** Claims a case, or says why it can't be. */
  claim(id: string): ClaimResult;
  /** A case is written, by whomever: the claims on it are removed. */
  release(id: string): void;
  /** Removes claims of processes that are gone, on cases that may be no more. Each is claimed for that, as whoever takes a case does. */
  releaseAbandoned(): void;
  /** Whether any case is another process's at this moment. */
  othersAtWork(): boolean;
  /** A case has failed: it stays claimed, for all that run, until these claims are disposed. */
  fail(id: string): void;
}

interface Held {
  readonly file: Deno.FsFile;
  readonly path: string;
  beat: number;
  failed: boolean;
}

interface Seen {
  readonly text: string;
  readonly since: number;
}

/** @param goneMs Without a heartbeat for so long, a process of another machine is gone */
export function openClaims(folder: string, goneMs = GONE_MS, beatMs = Math.min(BEAT_MS, goneMs / 10)): Claims {
  const owner = crypto.randomUUID();
  const held = new Map<string, Held>();
  const seen = new Map<string, Seen>();
  const beating = setInterval(() => held.forEach((one) => beat(one, owner)), beatMs);
  Deno.unrefTimer(beating);
  const drop = (id: string, upTo: number) => {
    const one = held.get(id);
    held.delete(id);
    // The lower numbers first, so that the case is never free while one is there.
    for (const path of claimsIfThere(folder, id)) if (numberOf(path) <= upTo) removeQuietly(path);
    one?.file.close();
  };
  const claim = (id: string): ClaimResult => {
    const last = claimsOf(folder, id).at(-1);
    const state = last === undefined ? "gone" : stateOf(last, seen, goneMs);
    if (state !== "gone") return state;
    const path = join(folder, `${prefixOf(id)}${numberOf(last) + 1}`);
    const file = createExclusively(path);
    if (!file) return "taken";
    const one: Held = { file, path, beat: 0, failed: false };
    tryLock(file);
    beat(one, owner);
    held.set(id, one);
    return "ours";
  };
  return {
    claim,
    release: (id) => drop(id, Infinity),
    othersAtWork() {
      const own = new Set(held.values().map(({ path }) => path));
      const names = Array.from(Deno.readDirSync(folder), ({ name }) => name).filter((name) => CLAIM.test(name));
      return names.map((name) => join(folder, name)).some((path) =>
        !own.has(path) && stateOf(path, seen, goneMs) === "taken"
      );
    },
    fail(id) {
      const one = held.get(id);
      if (!one) return;
      one.failed = true;
      beat(one, owner);
    },
    releaseAbandoned() {
      const ids = Array.from(Deno.readDirSync(folder), ({ name }) => CLAIM.exec(name)?.[1]);
      for (const id of new Set(ids)) if (id !== undefined && !held.has(id) && claim(id) === "ours") drop(id, Infinity);
    },
    [Symbol.dispose]() {
      clearInterval(beating);
      // Of a case that is not written, a claim that has outbid ours stays.
      for (const [id, { path }] of [...held]) drop(id, numberOf(path));
    },
  };
}

function prefixOf(id: string): string {
  return `.${shortened(id)}.claim-`;
}

function numberOf(path: string | undefined): number {
  return path === undefined ? 0 : Number(path.slice(path.lastIndexOf("-") + 1));
}

/** Paths of a case's claims, the valid one last. */
function claimsOf(folder: string, id: string): string[] {
  const prefix = prefixOf(id);
  const names = Array.from(Deno.readDirSync(folder), ({ name }) => name)
    .filter((name) => name.startsWith(prefix) && /^\d{1,9}$/.test(name.slice(prefix.length)));
  return names.map((name) => join(folder, name)).sort((a, b) => numberOf(a) - numberOf(b));
}

/** None where the folder itself has got another name. */
function claimsIfThere(folder: string, id: string): string[] {
  try {
    return claimsOf(folder, id);
  } catch {
    return [];
  }
}

function createExclusively(path: string): Deno.FsFile | undefined {
  try {
    return Deno.openSync(path, { read: true, write: true, createNew: true });
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists) return undefined;
    throw writeError(error, path, "claiming a case");
  }
}

function beat(one: Held, owner: string): void {
  const text = JSON.stringify({
    machine: machineMark(),
    host: hostname(),
    pid: Deno.pid,
    owner,
    beat: one.beat++,
    failed: one.failed,
  });
  try {
    one.file.seekSync(0, Deno.SeekMode.Start);
    one.file.writeSync(new TextEncoder().encode(text.padEnd(BYTES)).subarray(0, BYTES));
    one.file.syncDataSync();
  } catch {
    // A full disk, a server that is away: should it last, others take the case, and both write the same.
  }
}

function stateOf(path: string, seen: Map<string, Seen>, goneMs: number): "taken" | "failed" | "gone" {
  let text: string;
  try {
    text = Deno.readTextFileSync(path);
  } catch {
    return "taken"; // Released at this moment, or not to be read: the next look will tell.
  }
  const [machine, failed] = [/"machine":"([^"]*)"/.exec(text)?.[1], text.includes('"failed":true')];
  if (machine === machineMark() && isUnlocked(path)) return "gone";
  const before = seen.get(path);
  const now = performance.now();
  if (before?.text !== text) seen.set(path, { text, since: now });
  else if (now - before.since > goneMs) return "gone";
  return failed ? "failed" : "taken";
}

/** True if this machine's locks say that nobody holds the file; false where the disk knows no locks. */
function isUnlocked(path: string): boolean {
  try {
    using file = Deno.openSync(path, { read: true, write: true });
    return tryLock(file) === true;
  } catch {
    return false;
  }
}

function removeQuietly(path: string): void {
  try {
    Deno.removeSync(path);
  } catch {
    // Another process was quicker.
  }
}
