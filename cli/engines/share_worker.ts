/** The thread of a GPU that trains a share of every batch. Started from one static URL so that bundlers find it. */
/// <reference lib="deno.worker" />
import { answerJobs, type JobPort } from "../../core/base/worker_thread.ts";
import { buffersOf, serveShare } from "../../core/train/parallel/share_jobs.ts";
import { shareEngines, type ShareWish } from "./training_gpus.ts";

answerJobs(self as JobPort, (wish: ShareWish) => serveShare(shareEngines(wish)), buffersOf);
