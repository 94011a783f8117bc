/** Runs the analysis of training cases on several threads, as many cases at a time as memory allows. */
import { createBudget } from "../base/memory_budget.ts";
import { Interrupted } from "../base/errors.ts";
import { bytesOfCase } from "../dataset/case_size.ts";
import { analyseCase, type AnalysedCase, type FingerprintJob } from "./fingerprint_case.ts";
import { errorOfReply, type FingerprintReply, type FingerprintRequest } from "./fingerprint_messages.ts";

export interface FingerprintPoolOptions {
  /** 1: in the calling thread. */
  readonly threads: number;
  /** Bytes that images being analysed may take together; a case larger than that is analysed alone. */
  readonly memory: number;
  readonly signal?: AbortSignal;
}

/**
 * Analyses all jobs and gives each result to `onResult`, in the order in which they are done.
 * @throws the first error of a job; Interrupted if `signal` aborts
 */
export async function analyseCases(
  jobs: readonly FingerprintJob[],
  options: FingerprintPoolOptions,
  onResult: (result: AnalysedCase) => Promise<void>,
): Promise<void> {
  const { signal } = options;
  const threads = Math.max(1, Math.min(options.threads, jobs.length));
  const budget = createBudget(options.memory);
  let next = 0;
  let failed = false;
  let delivered: Promise<void> = Promise.resolve();

  const lane = async (analyse: (job: FingerprintJob) => Promise<AnalysedCase>): Promise<void> => {
    while (next < jobs.length && !failed) {
      const job = jobs[next++];
      // In the calling thread there is nothing beside it; foreground and counts come on top of image and segmentation.
      const bytes = threads === 1 ? 0 : 2 * await bytesOfCase(job.case);
      await budget.take(bytes);
      try {
        if (signal?.aborted) throw new Interrupted("stopped while reading the dataset; nothing was written");
        const result = await analyse(job);
        delivered = delivered.then(() => onResult(result));
        await delivered;
      } catch (error) {
        failed = true;
        throw error;
      } finally {
        budget.give(bytes);
      }
    }
  };
  if (threads === 1) return await lane(analyseCase);
  using stack = new DisposableStack();
  const lanes = Array.from({ length: threads }, () => {
    const thread = startThread(signal);
    stack.use(thread);
    return lane(thread.analyse);
  });
  await Promise.all(lanes);
}

interface Thread extends Disposable {
  readonly analyse: (job: FingerprintJob) => Promise<AnalysedCase>;
}

function startThread(signal?: AbortSignal): Thread {
  const worker = new Worker(new URL("./fingerprint_worker.ts", import.meta.url), { type: "module" });
  let pending: PromiseWithResolvers<AnalysedCase> | undefined;
  const stop = () => pending?.reject(new Interrupted("stopped while reading the dataset; nothing was written"));
  worker.onmessage = ({ data }: MessageEvent<FingerprintReply>) => {
    if (data.kind === "result") pending?.resolve(data.result);
    else pending?.reject(errorOfReply(data));
  };
  worker.onerror = (event) => {
    event.preventDefault();
    pending?.reject(new Error(`A thread that reads training cases ended: ${event.message}`));
  };
  signal?.addEventListener("abort", stop);
  return {
    analyse: (job) => {
      pending = Promise.withResolvers<AnalysedCase>();
      worker.postMessage(job satisfies FingerprintRequest);
      return pending.promise;
    },
    [Symbol.dispose]: () => {
      signal?.removeEventListener("abort", stop);
      worker.terminate();
    },
  };
}
