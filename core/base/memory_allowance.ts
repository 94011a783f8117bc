/**
 * The memory that a run may take, --max-memory or what the machine has to give, and what of it the program has at the moment. Plain
 * data, so that it can be sent to a thread with a job.
 */
import { collectGarbage } from "./collect_garbage.ts";
import { describeBytes } from "./describe_bytes.ts";
import { UserError, type UserErrorParts } from "./errors.ts";

export interface MemoryAllowance {
  /** Bytes of the whole process. */
  readonly limit: number;
  /** Bytes of it that are taken: by the program itself, and by what else is going on. */
  readonly taken: number;
  /** True where the limit is what the machine has, not what the user allows. */
  readonly isTheMachines: boolean;
}

/** Of what the machine has, left to the system. */
const MACHINE_SHARE = 0.95;

/** Bytes of main memory the process has at the moment; 0 where that is not known. */
export function residentBytes(): number {
  try {
    return Deno.memoryUsage().rss;
  } catch {
    return 0;
  }
}

/**
 * What may be taken from now on.
 * @param maxMemory The user's limit; undefined: what the machine can give without swapping
 * @param taken Bytes that are taken, or will be by others
 * @returns undefined where nothing is known of the machine
 */
export function allowMemory(maxMemory: number | undefined, taken: number): MemoryAllowance | undefined {
  if (maxMemory !== undefined) return { limit: maxMemory, taken, isTheMachines: false };
  const limit = machineMemory();
  return limit === undefined ? undefined : { limit, taken, isTheMachines: true };
}

/** What the machine can give without swapping: its available memory and what this program already has of it. */
export function machineMemory(): number | undefined {
  try {
    const { available } = Deno.systemMemoryInfo();
    return available > 0 ? MACHINE_SHARE * (available + residentBytes()) : undefined;
  } catch {
    return undefined; // Not permitted, or not known: then nothing is checked.
  }
}

/** Bytes that work may take. */
export function roomOf({ limit, taken }: MemoryAllowance): number {
  return limit - taken;
}

/** @throws UserError if `bytes` are more than there is room for. @param needs A sentence's start: "reading its 3 x 4 voxels takes" */
export function requireRoom(
  allowance: MemoryAllowance | undefined,
  bytes: number,
  needs: string,
  about: Pick<UserErrorParts, "doing" | "file" | "caseId">,
  remedy?: string,
): void {
  if (!allowance || bytes <= roomOf(allowance)) return;
  const { limit, taken, isTheMachines } = allowance;
  const may = `${describeBytes(limit)} ${isTheMachines ? "are free on this machine" : "may be used (--max-memory)"}`;
  const raised = `give it --max-memory ${Math.ceil((taken + bytes) / 2 ** 20)}M or more on a machine that has it`;
  const usual = isTheMachines ? "close other programs, or use a machine with more memory" : raised;
  throw new UserError({
    ...about,
    problem: `${needs} ${describeBytes(bytes)}, and ${may}, of which the program has ${describeBytes(taken)}`,
    remedy: remedy ?? `${usual}; or cut the image into smaller ones`,
    // By its cause it is told from what is wrong with the file, see lacksMemory.
  }, { cause: new RangeError("out of memory") });
}

/** Under a limit of the user's, what a job has left is collected at once: beside another thread's job it would count. */
export function collectUnderLimit(allowance: MemoryAllowance | undefined): void {
  if (allowance && !allowance.isTheMachines) collectGarbage();
}

/** How many jobs run at a time, and what they may take. */
export interface SharedMemory {
  readonly threads: number;
  /** Bytes that running jobs may take together; one that takes more runs alone. */
  readonly memory: number;
  /** What a job that runs alone may take. */
  readonly allowance: MemoryAllowance | undefined;
}

/** Of a thread beside its jobs' arrays: code, buffers, the decoder's pieces, what it has left to the collector; as measured. */
const THREAD_BYTES = 80 * 2 ** 20;

/**
 * Divides what a run may take among threads, of which there are fewer under a narrow limit.
 * @param maxMemory The user's limit; undefined: half of what is free, so that other programs go on, and all of it for a single job
 */
export function shareMemory(maxMemory: number | undefined, threads: number): SharedMemory {
  if (maxMemory === undefined) {
    const allowance = allowMemory(maxMemory, residentBytes());
    return { threads, memory: allowance ? Math.max(0, roomOf(allowance)) / 2 : Infinity, allowance };
  }
  const resident = residentBytes();
  // No more than a quarter of what is left goes to threads themselves.
  const most = Math.floor((maxMemory - resident) / (4 * THREAD_BYTES));
  const count = Math.max(1, Math.min(threads, most));
  const allowance = { limit: maxMemory, taken: resident + count * THREAD_BYTES, isTheMachines: false };
  return { threads: count, memory: Math.max(0, roomOf(allowance)), allowance };
}
