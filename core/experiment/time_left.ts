/** How long the trainings that are left will take: by the epochs that were measured, else by the forecast of a step. */
import type { FoldState } from "./fold_state.ts";

/** What is known of a configuration that has no measured epoch. */
export interface EpochForecast {
  /** Seconds of an epoch, by the engine's cost model. */
  readonly seconds: number;
}

export interface TimeLeft {
  /** Of each fold, seconds; undefined where nothing is known. 0 for those that are done. */
  readonly folds: readonly (number | undefined)[];
  /** Seconds until all are done, one after the other; those of other runs go on beside. Undefined where something is not known. */
  readonly total: number | undefined;
  /** True: part of it is by the forecast, no epoch having been measured. */
  readonly isForecast: boolean;
}

/**
 * @param epochs Of a training that has not begun
 * @param forecasts By configuration
 */
export function estimateTime(
  states: readonly FoldState[],
  epochs: number,
  forecasts: ReadonlyMap<string, EpochForecast>,
): TimeLeft {
  let isForecast = false;
  const folds = states.map((state) => {
    const { progress, task } = state;
    if (progress.kind === "done") return 0;
    const peers = states.filter((one) => one.task.configuration === task.configuration);
    // The smallest: what lies between a checkpoint and a summary may be a night in which nothing ran.
    const validations = peers.flatMap(({ validationSeconds }) => validationSeconds ?? []);
    const validation = validations.length === 0 ? 0 : Math.min(...validations);
    if (progress.kind === "validation") return validation;
    const left = progress.kind === "training" ? progress.epochs - progress.epoch : epochs;
    const measured = state.epochSeconds ?? mean(peers.flatMap(({ epochSeconds }) => epochSeconds ?? []));
    const seconds = measured ?? forecasts.get(task.configuration)?.seconds;
    if (seconds === undefined) return undefined;
    isForecast ||= measured === undefined;
    return left * seconds + validation;
  });
  const sumOf = (busy: boolean) =>
    folds.reduce<number>((sum, one, i) => states[i].isBusy === busy ? sum + (one ?? 0) : sum, 0);
  const mostOf = folds.reduce<number>((most, one, i) => states[i].isBusy ? Math.max(most, one ?? 0) : most, 0);
  const total = folds.includes(undefined) ? undefined : Math.max(sumOf(false), mostOf);
  return { folds, total, isForecast };
}

function mean(values: readonly number[]): number | undefined {
  return values.length === 0 ? undefined : values.reduce((sum, one) => sum + one, 0) / values.length;
}
