/** Preprocesses cases on several threads, as many at a time as memory allows; a case that fails does not stop the others. */
import { createBudget } from "../base/memory_budget.ts";
import { Interrupted } from "../base/errors.ts";
import type { PreprocessRequest } from "./preprocess_worker.ts";
import {
  outOfMemory,
  type PreprocessJob,
  type PreprocessReply,
  type PreprocessSetting,
  runPreprocessJob,
} from "./preprocess_worker_job.ts";

export interface PreprocessPoolOptions {
  /** 1: in the calling thread. */
  readonly threads: number;
  /** Bytes that cases being worked on may take together; a case larger than that is worked on alone. */
  readonly memory: number;
  readonly signal?: AbortSignal;
}

/** A job and what it takes at most. */
export interface SizedJob {
  readonly job: PreprocessJob;
  /** Of memory. */
  readonly bytes: number;
  /** Bytes that it writes. */
  readonly disk: number;
}

type Reply = Exclude<PreprocessReply, { readonly kind: "defect" }>;

/**
 * Runs all jobs, the first ones first, and gives each reply to `onReply` as it comes.
 * @throws Interrupted if `signal` aborts; errors that are defects of the program; what `onReply` throws, which ends the work
 */
export async function preprocessCases(
  setting: PreprocessSetting,
  jobs: readonly SizedJob[],
  options: PreprocessPoolOptions,
  onReply: (job: PreprocessJob, reply: Reply) => Promise<void>,
): Promise<void> {
  const { signal } = options;
  const threads = Math.max(1, Math.min(options.threads, jobs.length));
  const budget = createBudget(options.memory);
  let next = 0;
  let failure: { readonly error: unknown } | undefined;
  let told: Promise<void> = Promise.resolve();

  const lane = async (run: (job: PreprocessJob) => Promise<PreprocessReply>): Promise<void> => {
    while (next < jobs.length && !failure) {
      const { job, bytes } = jobs[next++];
      const taken = threads === 1 ? 0 : bytes;
      await budget.take(taken);
      try {
        if (signal?.aborted) throw interrupted();
        if (failure) return;
        const reply = await run(job);
        if (reply.kind === "defect") throw defect(reply);
        // Also after a failure: what the other threads have made by then is told.
        const telling = told.then(() => onReply(job, reply));
        told = telling.catch(() => {});
        await telling;
      } catch (error) {
        failure ??= { error };
      } finally {
        budget.give(taken);
      }
    }
  };
  if (threads === 1) {
    await lane(async (job) => {
      const reply = await runPreprocessJob(setting, job);
      // Signals come in only between cases here.
      await new Promise((resolve) => setTimeout(resolve));
      return reply;
    });
  } else {
    using stack = new DisposableStack();
    // Each thread ends its case even when another has failed, so that no file is left half-written; a signal stops it at once.
    await Promise.all(Array.from({ length: threads }, () => {
      const thread = startThread(setting, signal);
      stack.use(thread);
      return lane(thread.run);
    }));
  }
  if (failure) throw failure.error;
}

interface Thread extends Disposable {
  readonly run: (job: PreprocessJob) => Promise<PreprocessReply>;
}

function startThread(setting: PreprocessSetting, signal?: AbortSignal): Thread {
  let pending: PromiseWithResolvers<PreprocessReply> | undefined;
  let running: PreprocessJob | undefined;
  const start = (): Worker => {
    const worker = new Worker(new URL("./preprocess_worker.ts", import.meta.url), { type: "module" });
    worker.onmessage = ({ data }: MessageEvent<PreprocessReply>) => pending?.resolve(data);
    worker.onerror = (event) => {
      event.preventDefault();
      // A thread ends like this when its heap is full. The next case gets a new one.
      pending?.resolve({ kind: "failed", made: [], parts: outOfMemory(running?.case.id ?? "", event.message) });
      thread = undefined;
    };
    worker.postMessage({ kind: "setting", setting } satisfies PreprocessRequest);
    return worker;
  };
  let thread: Worker | undefined = start();
  const stop = () => pending?.reject(interrupted());
  signal?.addEventListener("abort", stop);
  return {
    run: (job) => {
      pending = Promise.withResolvers<PreprocessReply>();
      running = job;
      thread ??= start();
      thread.postMessage({ kind: "job", job } satisfies PreprocessRequest);
      return pending.promise;
    },
    [Symbol.dispose]: () => {
      signal?.removeEventListener("abort", stop);
      thread?.terminate();
    },
  };
}

function interrupted(): Interrupted {
  return new Interrupted("stopped while preprocessing; run the same command again to continue with the cases left");
}

function defect({ message, stack }: Extract<PreprocessReply, { readonly kind: "defect" }>): Error {
  const error = new Error(message);
  if (stack !== undefined) error.stack = stack;
  return error;
}
