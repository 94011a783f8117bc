/** Which fold is trained next, several runs working on the same ones. */
import { taskName } from "./experiment.ts";
import type { Experiment } from "./experiment.ts";
import type { FoldState } from "./fold_state.ts";

export type NextFold =
  | { readonly kind: "train"; readonly state: FoldState }
  /** All that could be done is being done by other runs. */
  | { readonly kind: "wait"; readonly busy: readonly FoldState[] }
  /** Nothing is left but what failed, and what needs it. */
  | { readonly kind: "end" };

/** @param failed Names of folds that failed in this run, and are not tried again */
export function nextFold(
  states: readonly FoldState[],
  { configurations }: Pick<Experiment, "configurations">,
  failed: ReadonlySet<string>,
): NextFold {
  const isDone = ({ progress }: FoldState) => progress.kind === "done";
  const isReady = ({ task }: FoldState) => {
    const previous = configurations.find(({ name }) => name === task.configuration)?.previousStage;
    return states.every((other) => other.task.configuration !== previous || isDone(other));
  };
  const left = states.filter((state) => !isDone(state) && !failed.has(taskName(state.task)));
  const state = left.find((one) => !one.isBusy && isReady(one));
  if (state) return { kind: "train", state };
  const busy = left.filter(({ isBusy }) => isBusy);
  return busy.length > 0 ? { kind: "wait", busy } : { kind: "end" };
}
