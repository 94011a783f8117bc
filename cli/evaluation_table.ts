/** Tables of an evaluation for the terminal: what a metric is for each class over all cases. */
import type { ClassStatistics, MetricKind } from "../core/evaluate/class_statistics.ts";

const HEAD = ["cases", "mean", "std", "median", "worst", "in case"];

/**
 * One metric's table, a line for each class.
 * @param names Of labels and regions by their key
 */
export function statisticsTable(
  { title }: MetricKind,
  classes: readonly ClassStatistics[],
  names: ReadonlyMap<string, string>,
): string {
  const anyInfinite = classes.some(({ statistics }) => statistics.infinite > 0);
  const rows = classes.map(({ key, statistics: { count, infinite, mean, std, median, worst } }) => [
    [key, names.get(key)].filter(Boolean).join(" "),
    String(count),
    ...[mean, std, median, worst?.value ?? NaN].map(shown),
    worst?.caseId ?? "",
    ...(anyInfinite ? [infinite > 0 ? String(infinite) : ""] : []),
  ]);
  const head = [title, ...HEAD, ...(anyInfinite ? ["infinite"] : [])];
  const lines = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...lines.map((line) => line[column].length)));
  // Names stand at the left, numbers at the right.
  const isText = (column: number) => column === 0 || column === HEAD.length;
  return lines.map((line) =>
    line.map((text, column) => isText(column) ? text.padEnd(widths[column]) : text.padStart(widths[column]))
      .join("  ").trimEnd()
  ).join("\n");
}

function shown(value: number): string {
  if (Number.isNaN(value)) return "-";
  if (!Number.isFinite(value)) return "inf";
  return value.toFixed(4);
}
