/**
 * The pictures of a running training, drawn beside it: progress.png and a report in HTML, in a thread of their own, so that the engine
 * never waits for them. What can't be drawn or written is said, and the training goes on.
 */
import { messageOf } from "../../base/errors.ts";
import { type JobThread, startJobThread, type ThreadStart } from "../../base/worker_thread.ts";
import type { RunDescription, RunState } from "./html_report.ts";

export const TRAINING_REPORT_FILES = { html: "training_report.html", png: "progress.png" } as const;

/** What the thread is given. */
export interface ReportJob {
  readonly folder: string;
  readonly run: RunDescription;
  readonly state: RunState;
}

const DRAWING: ThreadStart<undefined> = {
  does: "draws the training's pictures",
  startWorker: () => new Worker(new URL("./report_worker.ts", import.meta.url), { type: "module" }),
  setting: undefined,
};

/** Disposing draws what is left to draw, and ends the thread. */
export interface TrainingReport extends AsyncDisposable {
  /** Has the pictures drawn anew; returns at once. A state that comes while one is drawn waits, and only the last one that waits is drawn. */
  update(state: RunState): void;
  /** When all that it was told of is drawn. */
  drawn(): Promise<void>;
}

/** @param folder The fold's folder, which is there. */
export function startTrainingReport(
  folder: string,
  run: RunDescription,
  onWarning: (message: string) => void,
): TrainingReport {
  let thread: JobThread<ReportJob, void> | undefined;
  let waiting: RunState | undefined;
  let drawing: Promise<void> | undefined;

  const drawAll = async (): Promise<void> => {
    while (waiting) {
      const state = waiting;
      waiting = undefined;
      try {
        thread ??= startJobThread<undefined, ReportJob, void>(DRAWING);
        await thread.run({ folder, run, state });
      } catch (error) {
        onWarning(`the training's pictures could not be drawn: ${messageOf(error)}`);
        thread?.[Symbol.dispose]();
        thread = undefined;
      }
    }
    drawing = undefined;
  };
  return {
    update(state) {
      waiting = state;
      drawing ??= drawAll();
    },
    drawn: async () => await drawing,
    async [Symbol.asyncDispose]() {
      await drawing;
      thread?.[Symbol.dispose]();
    },
  };
}
