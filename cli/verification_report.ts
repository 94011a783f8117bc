/** The JSON report of a verification: all that the page shows and more, for programs. */
import { ensureFolder, writeAtomically } from "../core/base/files.ts";
import { stringifyJson } from "../core/base/json.ts";
import { dirname } from "../core/base/path.ts";
import {
  type AgreementLimits,
  type AgreementSummary,
  type CaseAgreement,
  type Extreme,
  type FailedComparison,
  lowestDiceOf,
} from "../core/evaluate/agreement/agreement.ts";
import type { Verdict } from "../core/evaluate/agreement/agreement_html.ts";
import type { Place } from "../core/evaluate/agreement/compare_labels.ts";
import { fileDigest } from "./program_digest.ts";

/** Raised when a field changes its meaning. */
const REPORT_FORMAT = 1;

/** What the prediction's report says of the run; its fields are copied as they are. */
export interface PredictionFacts {
  readonly program?: unknown;
  readonly commandLine?: unknown;
  readonly started?: unknown;
  readonly seconds?: unknown;
  readonly model?: unknown;
  readonly engine?: unknown;
  readonly overrides?: unknown;
}

export interface VerificationReport {
  readonly verdict: Verdict;
  readonly limits: AgreementLimits;
  readonly prediction: PredictionFacts;
  readonly against: string;
  readonly segmentations: string;
  readonly summary: AgreementSummary;
  readonly cases: readonly CaseAgreement[];
  readonly failed: readonly FailedComparison[];
  readonly names: ReadonlyMap<string, string>;
  readonly imagesOf: ReadonlyMap<string, readonly string[]>;
  readonly finished: Date;
}

/** Writes the report whole or not at all. @throws UserError if it cannot be written */
export async function writeVerificationReport(path: string, report: VerificationReport): Promise<void> {
  const { verdict, limits, prediction, against, segmentations, summary, failed, names, finished } = report;
  const { program, commandLine, started, seconds, model, engine, overrides } = prediction;
  const cases: unknown[] = [];
  for (const one of report.cases) cases.push(await describeCase(one, report));
  const text = stringifyJson({
    format: { name: "nnunet verification report", version: REPORT_FORMAT },
    verdict: verdict.state,
    sentence: verdict.sentence,
    reasons: verdict.reasons,
    limits: { minDice: limits.minDice ?? null, maxVoxels: limits.maxVoxels ?? null },
    program,
    commandLine,
    started,
    finished: finished.toISOString(),
    predictionSeconds: seconds,
    model,
    engine,
    overrides,
    against,
    segmentations,
    totals: {
      cases: report.cases.length,
      failed: failed.length,
      identicalCases: summary.identical,
      voxels: summary.voxels,
      differing: summary.differing,
      lowestDice: describeExtreme(summary.lowestDice),
      mostVoxels: describeExtreme(summary.mostVoxels),
    },
    classes: summary.targets.map(({ key, cases: count, meanDice, lowestDice, differing, largestMl }) => ({
      label: key,
      name: names.get(key),
      cases: count,
      meanDice: orNull(meanDice),
      lowestDice: describeExtreme(lowestDice),
      differing,
      largestDifferenceMl: describeExtreme(largestMl),
    })),
    cases,
    failed: failed.map(({ id, error }) => ({ id, ...error.parts, message: error.message })),
  });
  await ensureFolder(dirname(path), "making the report's folder");
  await writeAtomically(path, text, { doing: "writing the report", removesLeftovers: true });
}

async function describeCase(one: CaseAgreement, { names, imagesOf }: VerificationReport) {
  const { id, file, referenceFile, agreement } = one;
  const { voxelMl } = agreement;
  const volume = (voxels: number) => voxelMl === undefined ? undefined : voxels * voxelMl;
  return {
    id,
    images: imagesOf.get(id),
    segmentation: { file, sha256: await fileDigest(file) },
    reference: { file: referenceFile, sha256: await fileDigest(referenceFile) },
    voxels: agreement.voxels,
    differing: agreement.differing,
    lowestDice: lowestDiceOf(one) ?? null,
    where: describePlace(agreement.where),
    classes: agreement.targets.map(({ key, voxels, referenceVoxels, common, dice, where }) => ({
      label: key,
      name: names.get(key),
      dice: orNull(dice),
      voxels,
      referenceVoxels,
      common,
      ml: volume(voxels),
      referenceMl: volume(referenceVoxels),
      where: describePlace(where),
    })),
  };
}

/** Positions from 0 in the order z, y, x; `high` is excluded. */
function describePlace(where: Place | undefined): unknown {
  return where && { low: where.box.low, high: where.box.high, slice: where.slice, inSlice: where.inSlice };
}

function describeExtreme(extreme: Extreme | undefined): unknown {
  return extreme === undefined ? null : { value: extreme.value, case: extreme.id };
}

/** JSON knows no NaN. */
function orNull(value: number): number | null {
  return Number.isNaN(value) ? null : value;
}
