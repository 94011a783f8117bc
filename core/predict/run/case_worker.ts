/**
 * The thread that reads and preprocesses the next case and writes the previous one while the network works on the current one.
 * Jobs run one after the other, so that no two cases are unpacked at a time. It is started from one static URL so that bundlers
 * find it.
 */
/// <reference lib="deno.worker" />
import { runCaseJob, transferables } from "./case_jobs.ts";
import { toPlainError } from "../../base/plain_error.ts";
import type { WorkerReply, WorkerRequest } from "./case_messages.ts";

const port = self as unknown as DedicatedWorkerGlobalScope;
const stop = new AbortController();
let queue: Promise<void> = Promise.resolve();

port.onmessage = ({ data }: MessageEvent<WorkerRequest>) => {
  if (data.kind === "abort") return stop.abort();
  const { number, job } = data;
  queue = queue.then(async () => {
    try {
      const result = await runCaseJob(job, stop.signal);
      port.postMessage({ kind: "result", number, result } satisfies WorkerReply, transferables(result));
    } catch (error) {
      port.postMessage({ kind: "error", number, error: toPlainError(error) } satisfies WorkerReply);
    }
  });
};
