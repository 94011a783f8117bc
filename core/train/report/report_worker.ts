/** The thread that draws a training's pictures beside it. Started from one static URL so that bundlers find it. */
/// <reference lib="deno.worker" />
import { writeAtomically } from "../../base/files.ts";
import { answerJobs, type JobPort } from "../../base/worker_thread.ts";
import { join } from "../../base/path.ts";
import { htmlReport } from "./html_report.ts";
import { progressPng } from "./progress_plot.ts";
import { loadRasteriser, type Rasterise } from "./rasterise.ts";
import { type ReportJob, TRAINING_REPORT_FILES } from "./training_report.ts";

let rasteriser: Promise<Rasterise> | undefined;

async function draw({ folder, run, state }: ReportJob): Promise<void> {
  rasteriser ??= loadRasteriser();
  const html = await htmlReport(run, state, new Date());
  await writeAtomically(join(folder, TRAINING_REPORT_FILES.html), html, { doing: "writing the training's report" });
  if (state.log.length === 0) return;
  const png = await progressPng(state.log, await rasteriser);
  await writeAtomically(join(folder, TRAINING_REPORT_FILES.png), png, { doing: "writing the training's curves" });
}

answerJobs(self as JobPort, () => draw);
