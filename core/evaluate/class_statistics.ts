/** What an evaluation says of each class: the statistics of each metric over cases. */
import type { Target } from "./overlap.ts";
import { describeValues, type Statistics } from "./statistics.ts";
import type { CaseMetrics } from "./summary.ts";

export interface MetricKind {
  readonly id: "Dice" | "SurfaceDice" | "HD95" | "ASSD";
  /** For tables and axes. */
  readonly title: string;
  readonly worse: "small" | "large";
}

const DICE: MetricKind = { id: "Dice", title: "Dice", worse: "small" };

/** The metrics that `cases` have; `tolerance` is that of their surfaces, which are absent without it. */
export function metricKinds(tolerance: number | undefined): readonly MetricKind[] {
  if (tolerance === undefined) return [DICE];
  return [
    DICE,
    { id: "SurfaceDice", title: `surface Dice (${tolerance} mm)`, worse: "small" },
    { id: "HD95", title: "HD95 (mm)", worse: "large" },
    { id: "ASSD", title: "ASSD (mm)", worse: "large" },
  ];
}

/** A metric of a target in a case; NaN where there is none. */
export function valueOf({ metrics, surfaces }: CaseMetrics, key: string, { id }: MetricKind): number {
  return (id === "Dice" ? metrics.get(key)?.Dice : surfaces?.get(key)?.[id]) ?? NaN;
}

export interface ClassStatistics {
  /** The key of the target. */
  readonly key: string;
  readonly statistics: Statistics;
}

/** In the order of `targets`. */
export function classStatistics(
  cases: readonly CaseMetrics[],
  targets: readonly Target[],
  kind: MetricKind,
  caseOf: (predictionFile: string) => string,
): ClassStatistics[] {
  return targets.map(({ key }) => {
    const values = cases.map((one) => ({ caseId: caseOf(one.predictionFile), value: valueOf(one, key, kind) }));
    return { key, statistics: describeValues(values, kind.worse) };
  });
}
