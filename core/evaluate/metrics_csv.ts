/** The metrics of an evaluation as a table: a line for each case and label. */
import type { CaseMetrics, Metrics } from "./summary.ts";
import type { SurfaceMetrics } from "./surface/surface_metrics.ts";

const OVERLAP = [
  "Dice",
  "IoU",
  "TP",
  "FP",
  "FN",
  "TN",
  "n_pred",
  "n_ref",
] as const satisfies readonly (keyof Metrics)[];
const SURFACE = [
  ["SurfaceDice", "SurfaceDice"],
  ["HD95", "HD95_mm"],
  ["ASSD", "ASSD_mm"],
] as const satisfies readonly (readonly [keyof SurfaceMetrics, string])[];

/**
 * Text of a CSV file (RFC 4180, but for lines that end in \n). Numbers have all their digits; NaN and inf as Python and R read them.
 * @param names Of labels and regions by their key
 * @param caseOf The case of a prediction's file
 */
export function metricsCsv(
  cases: readonly CaseMetrics[],
  names: ReadonlyMap<string, string>,
  caseOf: (predictionFile: string) => string,
): string {
  const withSurfaces = cases.some(({ surfaces }) => surfaces);
  const head = ["case", "label", "name", ...OVERLAP, ...(withSurfaces ? SURFACE.map(([, column]) => column) : [])];
  const lines = [[...head, "prediction_file", "reference_file"]];
  for (const { metrics, surfaces, predictionFile, referenceFile } of cases) {
    for (const [key, one] of metrics) {
      const surface = surfaces?.get(key);
      lines.push([
        caseOf(predictionFile),
        key,
        names.get(key) ?? "",
        ...OVERLAP.map((name) => number(one[name])),
        ...(surface ? SURFACE.map(([name]) => number(surface[name])) : []),
        predictionFile,
        referenceFile,
      ]);
    }
  }
  return lines.map((fields) => `${fields.map(quote).join(",")}\n`).join("");
}

function number(value: number): string {
  return value === Infinity ? "inf" : String(value);
}

/** A field as it stands between commas. */
export function quote(field: string): string {
  return /[",\r\n]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field;
}
