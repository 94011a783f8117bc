/** What the predictor's thread and its case worker say to each other: jobs, results, and errors as plain data. */
import type { PlainError } from "../../base/plain_error.ts";
import type { CaseJob, ExportedCase, PreparedCase } from "./case_jobs.ts";

/** To the worker. */
export type WorkerRequest =
  | { readonly kind: "job"; readonly number: number; readonly job: CaseJob }
  /** Stops all jobs. */
  | { readonly kind: "abort" };

/** From the worker. */
export type WorkerReply =
  | { readonly kind: "result"; readonly number: number; readonly result: PreparedCase | ExportedCase }
  | { readonly kind: "error"; readonly number: number; readonly error: PlainError };
