/**
 * summary.json: the metrics of every case, their mean over cases, and the mean of those over labels. Numbers are those of upstream to
 * the last bit: sums run in numpy's order. Source: compute_metrics_on_folder in nnunetv2/evaluation/evaluate_predictions.py.
 */
import { JsonFloat, stringifyJson } from "../base/json.ts";
import { type Overlap, type Target } from "./overlap.ts";
import type { SurfaceMetrics } from "./surface/surface_metrics.ts";

/** The metrics of a target, in upstream's names; n_pred and n_ref are its voxels in the prediction and in the reference. */
export interface Metrics extends Overlap {
  /** NaN where the target is in neither. */
  readonly Dice: number;
  readonly IoU: number;
  readonly n_pred: number;
  readonly n_ref: number;
}

const METRICS = [
  "Dice",
  "FN",
  "FP",
  "IoU",
  "TN",
  "TP",
  "n_pred",
  "n_ref",
] as const satisfies readonly (keyof Metrics)[];

export interface CaseMetrics {
  /** By {@link Target.key}. */
  readonly metrics: ReadonlyMap<string, Metrics>;
  /** As well, where they were asked for; not in summary.json. */
  readonly surfaces?: ReadonlyMap<string, SurfaceMetrics>;
  readonly predictionFile: string;
  readonly referenceFile: string;
}

export interface Summary {
  /** Means over the targets but label 0; NaN as soon as one target has no value. */
  readonly foregroundMean: Metrics;
  /** Means over cases by {@link Target.key}; cases in which a metric is NaN don't count. */
  readonly mean: ReadonlyMap<string, Metrics>;
  readonly cases: readonly CaseMetrics[];
}

export function metricsOf({ TP, FP, FN, TN }: Overlap): Metrics {
  return {
    Dice: 2 * TP / (2 * TP + FP + FN),
    IoU: TP / (TP + FP + FN),
    TP,
    FP,
    FN,
    TN,
    n_pred: FP + TP,
    n_ref: FN + TP,
  };
}

/** The means of `cases`, of which there is at least one. */
export function summarise(cases: readonly CaseMetrics[], targets: readonly Target[]): Summary {
  const mean = new Map<string, Metrics>();
  for (const { key } of targets) {
    const ofCases = cases.flatMap(({ metrics }) => metrics.get(key) ?? []);
    mean.set(key, average(ofCases, nanMean));
  }
  const foreground = [...mean].filter(([key]) => key !== "0").map(([, metrics]) => metrics);
  return { foregroundMean: average(foreground, plainMean), mean, cases };
}

/** The text of summary.json. */
export function summaryText({ foregroundMean, mean, cases }: Summary): string {
  return stringifyJson({
    foreground_mean: asFloats(foregroundMean),
    mean: Object.fromEntries([...mean].map(([key, metrics]) => [key, asFloats(metrics)])),
    metric_per_case: cases.map(({ metrics, predictionFile, referenceFile }) => ({
      metrics: Object.fromEntries([...metrics].map(([key, one]) => [key, ofCase(one)])),
      prediction_file: predictionFile,
      reference_file: referenceFile,
    })),
  }, { sortKeys: true });
}

function average(all: readonly Metrics[], mean: (values: readonly number[]) => number): Metrics {
  const of = (name: keyof Metrics) => mean(all.map((metrics) => metrics[name]));
  return {
    Dice: of("Dice"),
    IoU: of("IoU"),
    TP: of("TP"),
    FP: of("FP"),
    FN: of("FN"),
    TN: of("TN"),
    n_pred: of("n_pred"),
    n_ref: of("n_ref"),
  };
}

/** numpy.nanmean of a list: NaN counts as 0 in the sum, and not in the number of values. */
export function nanMean(values: readonly number[]): number {
  const known = values.filter((value) => !Number.isNaN(value)).length;
  return pairwiseSum(values.map((value) => Number.isNaN(value) ? 0 : value), 0, values.length) / known;
}

export function plainMean(values: readonly number[]): number {
  return pairwiseSum(values, 0, values.length) / values.length;
}

/**
 * The sum in the order in which numpy adds: eight running sums in blocks of up to 128 values, and halves of longer lists. Source:
 * pairwise_sum in numpy/_core/src/umath/loops_utils.h.src.
 */
export function pairwiseSum(values: ArrayLike<number>, from: number, count: number): number {
  if (count < 8) {
    let sum = 0;
    for (let i = from; i < from + count; i++) sum += values[i];
    return sum;
  }
  if (count <= 128) {
    const r = Array.from({ length: 8 }, (_, k) => values[from + k]);
    let i = 8;
    for (; i < count - count % 8; i += 8) {
      for (let k = 0; k < 8; k++) r[k] += values[from + i + k];
    }
    let sum = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
    for (; i < count; i++) sum += values[from + i];
    return sum;
  }
  const half = Math.floor(count / 2);
  const left = half - half % 8;
  return pairwiseSum(values, from, left) + pairwiseSum(values, from + left, count - left);
}

/** Means are floats in the file even where they are whole. */
function asFloats(metrics: Metrics): Record<string, JsonFloat> {
  return Object.fromEntries(METRICS.map((name) => [name, new JsonFloat(metrics[name])]));
}

/** Of a case, only ratios are floats. */
function ofCase(metrics: Metrics): Record<string, JsonFloat | number> {
  return { ...metrics, Dice: new JsonFloat(metrics.Dice), IoU: new JsonFloat(metrics.IoU) };
}
