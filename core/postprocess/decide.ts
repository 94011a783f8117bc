/**
 * Which steps of postprocessing help: all foreground together, then each label or region, in their order. Everything is worked out on
 * the graphs of the cases' components; no volume is looked at. Source: determine_postprocessing in
 * nnunetv2/postprocessing/remove_connected_components.py.
 */
import type { Target } from "../evaluate/overlap.ts";
import { type CaseMetrics, metricsOf, summarise, type Summary } from "../evaluate/summary.ts";
import { keepLargest } from "./component_graph.ts";
import { type MeasuredCase, overlapsOf } from "./measure_case.ts";
import type { SummaryScores } from "./postprocessing_file.ts";
import { foregroundStep, type PostprocessingStep, targetStep } from "./steps.ts";

/** A case with the names that its files have in summaries. */
export interface CandidateCase {
  readonly measured: MeasuredCase;
  /** Without the folder. */
  readonly fileName: string;
  readonly predictionFile: string;
  readonly referenceFile: string;
}

/** What was found out about one step. */
export interface Decision {
  /** The label or region as in summary.json; "foreground" for all together. */
  readonly key: string;
  readonly accepted: boolean;
  /** Mean Dice of the label, or of the foreground, without the step and with it. */
  readonly before: number;
  readonly after: number;
}

export interface Decisions {
  readonly steps: readonly PostprocessingStep[];
  readonly all: readonly Decision[];
  /** The summary with all accepted steps; undefined if there is none. */
  readonly summary?: Summary;
}

export interface DecisionOptions {
  readonly cases: readonly CandidateCase[];
  readonly targets: readonly Target[];
  readonly foregroundLabels: readonly number[];
  /** The scores of the folder's summary.json. */
  readonly baseline: SummaryScores;
  /** Folders that prediction_file of the summary names, for the step of all foreground and for the others. */
  readonly foregroundFolder: string;
  readonly targetFolder: string;
  readonly onDecision?: (decision: Decision) => void;
}

/** The summary of the cases as they are. */
export function summaryOf(cases: readonly CandidateCase[], targets: readonly Target[]): Summary {
  return summaryWith(cases, targets, cases.map(({ measured }) => measured.graph.labels), (one) => one.predictionFile);
}

export function decideSteps(options: DecisionOptions): Decisions {
  const { cases, targets } = options;
  const steps: PostprocessingStep[] = [];
  const all: Decision[] = [];
  let current = cases.map(({ measured }) => measured.graph.labels);
  let scores = options.baseline;
  let summary: Summary | undefined;

  const attempt = (
    key: string,
    step: PostprocessingStep,
    folder: string,
    compare: (candidate: SummaryScores) => Omit<Decision, "key">,
  ) => {
    const labels = current.map((before, i) => {
      const after = before.slice();
      keepLargest(cases[i].measured.graph, after, step);
      return after;
    });
    const candidate = summaryWith(cases, targets, labels, ({ fileName }) => `${folder}/${fileName}`);
    const candidateScores = scoresOf(candidate);
    const decision = { key, ...compare(candidateScores) };
    all.push(decision);
    options.onDecision?.(decision);
    if (!decision.accepted) return;
    steps.push(step);
    [current, scores, summary] = [labels, candidateScores, candidate];
  };

  attempt("foreground", foregroundStep(options.foregroundLabels), options.foregroundFolder, (candidate) => {
    // Comparisons with NaN are false, as in Python: a label without a score forbids nothing.
    const worse = targets.some(({ key }) => scoreOf(candidate, key) < scoreOf(scores, key));
    const [before, after] = [scores.foreground, candidate.foreground];
    return { before, after, accepted: after > before && !worse };
  });
  if (targets.length > 1) {
    for (const target of targets) {
      attempt(target.key, targetStep(target), options.targetFolder, (candidate) => {
        const [before, after] = [scoreOf(scores, target.key), scoreOf(candidate, target.key)];
        return { before, after, accepted: after > before };
      });
    }
  }
  return summary ? { steps, all, summary } : { steps, all };
}

function summaryWith(
  cases: readonly CandidateCase[],
  targets: readonly Target[],
  labels: readonly Int32Array[],
  predictionFile: (one: CandidateCase) => string,
): Summary {
  const metrics = cases.map((one, i): CaseMetrics => {
    const overlaps = overlapsOf(one.measured, labels[i], targets);
    return {
      metrics: new Map(targets.map(({ key }, t) => [key, metricsOf(overlaps[t])])),
      predictionFile: predictionFile(one),
      referenceFile: one.referenceFile,
    };
  });
  return summarise(metrics, targets);
}

function scoresOf({ foregroundMean, mean }: Summary): SummaryScores {
  return { foreground: foregroundMean.Dice, mean: new Map([...mean].map(([key, { Dice }]) => [key, Dice])) };
}

function scoreOf({ mean }: SummaryScores, key: string): number {
  return mean.get(key) ?? NaN;
}
