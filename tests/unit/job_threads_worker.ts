/** The thread of job_threads_test.ts: a job says what becomes of it. */
/// <reference lib="deno.worker" />
import { UserError } from "../../core/base/errors.ts";
import { answerJobs, type JobPort } from "../../core/base/worker_thread.ts";
import type { TestJob } from "./job_threads_test.ts";

let started = 0;

answerJobs(self as JobPort, (setting: string) => {
  started++;
  return async (
    { name, does = "answer", milliseconds = 0 }: TestJob,
    signal: AbortSignal,
    tell: (news: string) => void,
  ) => {
    if (does === "tell") tell(`${name} begins`);
    await new Promise((resolve) => setTimeout(resolve, milliseconds));
    if (does === "tell") tell(`${name} ends`);
    if (does === "fail") throw new UserError({ doing: "testing", caseId: name, problem: "it was to fail" });
    if (does === "defect") throw new TypeError("a defect");
    if (does === "end") {
      setTimeout(() => {
        throw new Error("the thread was to end");
      });
      await new Promise(() => {});
    }
    if (does === "wait" && !signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve));
    return `${setting} ${name} ${started}`;
  };
});
