/** The script of a thread with an engine of its own, a GPU or the CPU. */
/// <reference lib="deno.worker" />
import { answerRuns, type GpuThreadPort } from "./answer_runs.ts";

answerRuns(self as GpuThreadPort);
