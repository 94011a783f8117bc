/**
 * The threads of the shares of a batch: what they are asked, which of them an error comes from, and how they end. A GPU that hangs holds its
 * thread: the thread is given up then, so that the others and the program end.
 */
import { UserError } from "../../base/errors.ts";
import { type JobThread, startJobThread, ThreadEnded, type ThreadStart } from "../../base/worker_thread.ts";
import { failShares, lastShares, type ShareMemory } from "./share_exchange.ts";
import type { ShareCall, ShareJob, ShareJobOf, ShareResult, ShareResults } from "./share_jobs.ts";
import { watchSilence } from "./silence.ts";

/** How a share's thread is started, whose script answers with `serveShare`. */
export interface ShareStart<Setting> extends ThreadStart<Setting> {
  /** Of its engine, for messages: "GPU 1, NVIDIA T4". */
  readonly name: string;
}

export interface ShareThread extends JobThread<ShareJob, ShareResult> {
  readonly name: string;
  answers: number;
  /** True once it was given up: its GPU hangs. */
  isSilent: boolean;
}

export interface ParallelOptions {
  /** A GPU that has work and answers nothing for so many seconds is taken to hang. */
  readonly patienceSeconds?: number;
}

/** As torch's gloo waits for the others of a group; compiling, too, takes minutes at most. */
const PATIENCE_SECONDS = 30 * 60;
/** Seconds that shares may take to end themselves before their threads are ended. */
const CLOSING_SECONDS = 10;

export function startThread<Setting>({ name, ...start }: ShareStart<Setting>): ShareThread {
  return { name, answers: 0, isSilent: false, ...startJobThread(start) };
}

export interface WatchedThreads extends Disposable {
  /** What they exchange through, once they do. */
  memory: ShareMemory | undefined;
}

/** Makes the jobs of a thread fail whose GPU hangs. */
export function watchThreads(
  threads: readonly ShareThread[],
  { patienceSeconds = PATIENCE_SECONDS }: ParallelOptions,
): WatchedThreads {
  const silence = watchSilence(threads, patienceSeconds, (silent) => {
    const hanging = watched.memory ? lastShares(watched.memory, silent) : silent;
    for (const thread of hanging.map((share) => threads[share])) {
      thread.isSilent = true;
      thread.reject(hangs(thread.name, patienceSeconds));
    }
  });
  const watched: WatchedThreads = { memory: undefined, [Symbol.dispose]: () => silence[Symbol.dispose]() };
  return watched;
}

/** @throws what the share throws, saying which it is */
export async function ask<Call extends ShareCall>(
  thread: ShareThread,
  job: ShareJobOf<Call>,
  transfer: ArrayBuffer[] = [],
): Promise<ShareResults[Call]> {
  try {
    return await thread.run(job as ShareJob, transfer) as ShareResults[Call];
  } catch (error) {
    if (error instanceof ThreadEnded) throw ended(thread.name, error);
    if (!(error instanceof UserError) || thread.isSilent) throw error;
    throw new UserError({ ...error.parts, doing: `${error.parts.doing}, on ${thread.name}` }, { cause: error });
  } finally {
    thread.answers++;
  }
}

/** The same call to all shares; where one fails the others do not wait for it. @throws what it failed of */
export async function everyone<Call extends ShareCall>(
  threads: readonly ShareThread[],
  memory: ShareMemory | undefined,
  jobOf: (share: number) => ShareJobOf<Call>,
): Promise<ShareResults[Call][]> {
  const answers = threads.map((thread, share) => ask(thread, jobOf(share)));
  for (const answer of answers) answer.catch(() => memory && failShares(memory));
  await firstCause(answers);
  return await Promise.all(answers);
}

/** Waits for all. @throws the first error that is not of another share having failed */
export async function firstCause(all: readonly Promise<unknown>[]): Promise<void> {
  const settled = await Promise.allSettled(all);
  const errors = settled.flatMap((one) => (one.status === "rejected" ? [one.reason] : []));
  if (errors.length > 0) {
    throw errors.find((error) => !(error instanceof Error && error.name === "ShareFailed")) ?? errors[0];
  }
}

/** Ends all threads, those whose GPUs hang as well. @returns true if the device of one was lost */
export async function end(threads: readonly ShareThread[]): Promise<boolean> {
  let isLost = false;
  const close = async (thread: ShareThread) => {
    const ended = await ask(thread, { kind: "close" });
    isLost ||= ended.isLost;
  };
  const closing = threads.filter(({ isSilent }) => !isSilent).map(close);
  const late = Promise.withResolvers<void>();
  const timer = setTimeout(late.resolve, 1000 * CLOSING_SECONDS);
  await Promise.race([Promise.allSettled(closing), late.promise]);
  clearTimeout(timer);
  for (const thread of threads) thread[Symbol.dispose]();
  return isLost;
}

/** @param name Of the GPU */
export function hangs(name: string, seconds: number): UserError {
  return new UserError({
    doing: `training on ${name}`,
    problem: `it hangs: it has answered nothing for ${Math.round(seconds / 6) / 10} minutes`,
    remedy: GO_ON,
  });
}

function ended(name: string, { detail }: ThreadEnded): UserError {
  return new UserError({
    doing: `training on ${name}`,
    problem: `its thread ended (${detail})`,
    remedy: GO_ON,
  });
}

const GO_ON = "it can go on from its last checkpoint (`train` with --c); the system's log (dmesg) may say what it was";
