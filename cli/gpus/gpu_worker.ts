/** The script of a thread with an engine of its own, a GPU or the CPU. */
/// <reference lib="deno.worker" />
import { answerRuns, type GpuThreadPort } from "./answer_runs.ts";

// The service's permission to listen is not a thread's.
Deno.permissions.revokeSync({ name: "net" });
answerRuns(self as GpuThreadPort);
