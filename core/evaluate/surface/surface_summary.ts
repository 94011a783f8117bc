/** surface.json: the surface metrics of every case, beside summary.json, whose keys are upstream's alone. */
import { JsonFloat, stringifyJson } from "../../base/json.ts";
import { basename, dirname, join } from "../../base/path.ts";
import type { Target } from "../overlap.ts";
import { type CaseMetrics, nanMean, plainMean } from "../summary.ts";
import type { SurfaceMetrics, SurfaceSetting } from "./surface_metrics.ts";

const METRICS = ["ASSD", "HD95", "SurfaceDice"] as const satisfies readonly (keyof SurfaceMetrics)[];

/** What the numbers are, for those who read the file. */
const DEFINITIONS = {
  ASSD: "average symmetric surface distance in mm, as MONAI's compute_average_surface_distance(symmetric=True)",
  HD95: "95 % Hausdorff distance in mm, as MONAI's compute_hausdorff_distance(percentile=95)",
  SurfaceDice: "surface Dice at tolerance_mm, as compute_surface_dice_at_tolerance of DeepMind's surface-distance",
  in_both: "cases that have the label in reference and prediction: the means of distances are over these",
  only_in_prediction: "cases that have it in the prediction only: SurfaceDice is 0, distances are Infinity",
  only_in_reference: "cases that have it in the reference only: SurfaceDice is 0, distances are Infinity",
};

/** Where the surface metrics lie of which the summary is `summary`: surface.json, or NAME_surface.json for NAME.json. */
export function surfaceFile(summary: string): string {
  const name = basename(summary);
  return join(dirname(summary), name === "summary.json" ? "surface.json" : name.replace(/\.json$/, "_surface.json"));
}

/** Means of one target over cases. */
interface SurfaceMeans extends SurfaceMetrics {
  readonly inBoth: number;
  readonly onlyInPrediction: number;
  readonly onlyInReference: number;
}

/** The text of surface.json. */
export function surfaceText(
  cases: readonly CaseMetrics[],
  targets: readonly Target[],
  { tolerance }: SurfaceSetting,
): string {
  const means = targets.map(({ key }) => [key, meansOf(cases, key)] as const);
  const foreground = means.filter(([key]) => key !== "0").map(([, metrics]) => metrics);
  return stringifyJson({
    definitions: DEFINITIONS,
    foreground_mean: floats({
      ASSD: plainMean(foreground.map(({ ASSD }) => ASSD)),
      HD95: plainMean(foreground.map(({ HD95 }) => HD95)),
      SurfaceDice: plainMean(foreground.map(({ SurfaceDice }) => SurfaceDice)),
    }),
    mean: Object.fromEntries(means.map(([key, one]) => [key, {
      ...floats(one),
      in_both: one.inBoth,
      only_in_prediction: one.onlyInPrediction,
      only_in_reference: one.onlyInReference,
    }])),
    metric_per_case: cases.map(({ surfaces, predictionFile, referenceFile }) => ({
      metrics: Object.fromEntries([...surfaces ?? []].map(([key, metrics]) => [key, floats(metrics)])),
      prediction_file: predictionFile,
      reference_file: referenceFile,
    })),
    tolerance_mm: new JsonFloat(tolerance),
  }, { sortKeys: true });
}

function meansOf(cases: readonly CaseMetrics[], key: string): SurfaceMeans {
  const all = cases.flatMap(({ surfaces }) => surfaces?.get(key) ?? []);
  const counts = cases.flatMap(({ metrics }) => metrics.get(key) ?? []);
  const finite = (values: readonly number[]) => nanMean(values.map((value) => value === Infinity ? NaN : value));
  return {
    ASSD: finite(all.map(({ ASSD }) => ASSD)),
    HD95: finite(all.map(({ HD95 }) => HD95)),
    SurfaceDice: nanMean(all.map(({ SurfaceDice }) => SurfaceDice)),
    inBoth: counts.filter(({ n_pred, n_ref }) => n_pred > 0 && n_ref > 0).length,
    onlyInPrediction: counts.filter(({ n_pred, n_ref }) => n_pred > 0 && n_ref === 0).length,
    onlyInReference: counts.filter(({ n_pred, n_ref }) => n_pred === 0 && n_ref > 0).length,
  };
}

function floats(metrics: SurfaceMetrics): Record<string, JsonFloat> {
  return Object.fromEntries(METRICS.map((name) => [name, new JsonFloat(metrics[name])]));
}
