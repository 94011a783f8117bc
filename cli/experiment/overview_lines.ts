/** The stages of `run` as lines and as an event: what is done, what is left, and when it ends. */
import { plural } from "../../core/base/plural.ts";
import type { ChoiceState } from "../../core/experiment/choice_state.ts";
import { taskName } from "../../core/experiment/experiment.ts";
import type { FoldState } from "../../core/experiment/fold_state.ts";
import type { ExperimentRequest, Overview, StaleStage } from "../../core/experiment/overview.ts";
import type { TimeLeft } from "../../core/experiment/time_left.ts";
import { formatSeconds } from "../terminal.ts";
import { diceText } from "../training_request.ts";

/** A stage to be shown. */
export interface ShownStage {
  readonly stage: string;
  readonly state: "done" | "left" | "part" | "running elsewhere" | "stale";
  readonly note: string;
  /** Seconds that are left of it, where that is known. */
  readonly secondsLeft?: number;
}

export function shownStages(request: ExperimentRequest, overview: Overview, time: TimeLeft): ShownStage[] {
  const { fingerprint, plans, experiment, data, folds } = overview;
  const planned = experiment?.configurations.map(({ name }) => name).join(", ");
  const stages: ShownStage[] = [
    { stage: "check and fingerprint", ...before(fingerprint), note: plural(overview.cases, "case") },
    {
      stage: "plans",
      ...before(plans),
      note: planned === undefined ? request.plansName : `${request.plansName}: ${planned}`,
    },
  ];
  for (const one of data) {
    const state = before(one);
    const isPart = state.state === "left" && one.cases > 0;
    stages.push({
      stage: `data of ${one.configuration}`,
      state: isPart ? "part" : state.state,
      note: `${one.cases} of ${plural(one.of, "case")}`,
    });
  }
  folds.forEach((fold, i) => stages.push(shownFold(fold, time.folds[i])));
  if (overview.choice) stages.push(shownChoice(overview.choice));
  return stages;
}

function before({ isDone, stale }: { readonly isDone: boolean; readonly stale: readonly string[] }) {
  return { state: stale.length > 0 ? "stale" : isDone ? "done" : "left" } as const;
}

function shownFold(fold: FoldState, seconds: number | undefined): ShownStage {
  const { task, progress, isBusy, stale } = fold;
  const left = seconds !== undefined && progress.kind !== "done" && { secondsLeft: seconds };
  const state = isBusy
    ? "running elsewhere"
    : stale.length > 0
    ? "stale"
    : progress.kind === "done"
    ? "done"
    : progress.kind === "left"
    ? "left"
    : "part";
  return { stage: taskName(task), state, note: noteOf(fold), ...left };
}

function shownChoice({ best, isReady }: ChoiceState): ShownStage {
  // As long as trainings are left, what was chosen is of other ones.
  if (!best || !isReady) return { stage: "choice, postprocessing", state: "left", note: "" };
  const note = `${best.configurations.join(" + ")}, Dice ${diceText(best.after)}`;
  return { stage: "choice, postprocessing", state: "done", note };
}

function noteOf({ progress }: FoldState): string {
  switch (progress.kind) {
    case "left":
      return "";
    case "unusable":
      return `it can't be gone on from: ${progress.problem}`;
    case "training":
      return `${progress.epoch} of ${plural(progress.epochs, "epoch")}`;
    case "validation":
      return "trained, its validation is left";
    case "done":
      return `Dice ${diceText(progress.dice)}`;
  }
}

/** A table: a line a stage. */
export function stageLines(stages: readonly ShownStage[]): string[] {
  const width = Math.max(...stages.map(({ stage }) => stage.length));
  const states = Math.max(...stages.map(({ state }) => state.length));
  return stages.map(({ stage, state, note, secondsLeft }) => {
    const time = secondsLeft === undefined ? "" : `about ${formatSeconds(secondsLeft)}`;
    const rest = [note, time].filter((text) => text !== "").join(", ");
    return `  ${stage.padEnd(width)}  ${state.padEnd(states)}  ${rest}`.trimEnd();
  });
}

/** How many trainings are left, and when they end. Empty if there is none. @param now Milliseconds since 1970 */
export function endLine(folds: readonly FoldState[], { total, isForecast }: TimeLeft, now: number): string {
  const left = folds.filter(({ progress }) => progress.kind !== "done").length;
  if (left === 0) return "";
  const what = `${left} of ${plural(folds.length, "training")} ${left === 1 ? "is" : "are"} left`;
  if (total === undefined) return what;
  const how = isForecast ? " by the forecast of a step" : "";
  return `${what}, about ${formatSeconds(total)}${how}: until ${localTime(new Date(now + 1000 * total))}`;
}

function localTime(date: Date): string {
  const two = (value: number) => String(value).padStart(2, "0");
  const day = [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())].join("-");
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}`;
}

/** All that is stale, stage by stage. */
export function staleStages({ fingerprint, plans, data, folds }: Overview): StaleStage[] {
  return [
    { what: "check and fingerprint", stale: fingerprint.stale },
    { what: "plans", stale: plans.stale },
    ...data.map(({ configuration, stale }) => ({ what: `data of ${configuration}`, stale })),
    ...staleFolds(folds),
  ].filter(({ stale }) => stale.length > 0);
}

/** What is stale of folds; those of a configuration of which the same is true together. */
export function staleFolds(folds: readonly FoldState[]): StaleStage[] {
  const stages = new Map<string, { readonly configuration: string; readonly folds: string[]; readonly text: string }>();
  for (const { task: { configuration, fold }, stale } of folds) {
    for (const text of stale) {
      const key = JSON.stringify([configuration, text]);
      const stage = stages.get(key) ?? { configuration, folds: [], text };
      stage.folds.push(String(fold));
      stages.set(key, stage);
    }
  }
  return Array.from(stages.values(), ({ configuration, folds, text }) => ({
    what: `${configuration}, ${folds.length === 1 ? "fold" : "folds"} ${folds.join(", ")}`,
    stale: [text],
  }));
}
