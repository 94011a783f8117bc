/** The script of a thread that predicts cases of a cascade's next stage on a GPU of its own. */
/// <reference lib="deno.worker" />
import { answerJobs, type JobPort } from "../../core/base/worker_thread.ts";
import { type NextStageSetting, serveNextStages } from "../../core/train/next_stage_threads.ts";
import { type EngineWish, selectEngine } from "../engines/select_engine.ts";

/** What the thread opens. */
export type NextStageWish = NextStageSetting & { readonly wish: EngineWish };

answerJobs(
  self as JobPort,
  ({ wish, ...setting }: NextStageWish) => serveNextStages(setting, async () => (await selectEngine(wish)).engine),
);
