/** How far a folder of segmentations agrees with another program's of the same images, case by case and class by class. */
import { outOfMemory } from "../../base/allocation.ts";
import { UserError } from "../../base/errors.ts";
import { type JobKind, runJobs } from "../../base/job_threads.ts";
import { shareMemory } from "../../base/memory_allowance.ts";
import { voxelsOfFile } from "../../dataset/case_size.ts";
import type { ReaderName } from "../../formats/image/image.ts";
import type { Target } from "../overlap.ts";
import {
  BYTES_PER_VOXEL,
  compareCase,
  type ComparedCase,
  type ComparisonJob,
  type ComparisonOutcome,
} from "./compare_case.ts";

export interface CaseFiles {
  readonly id: string;
  readonly file: string;
  readonly referenceFile: string;
}

export interface AgreementOptions {
  readonly cases: readonly CaseFiles[];
  readonly reader: ReaderName;
  readonly targets: readonly Target[];
  readonly knownLabels: readonly number[];
  /** Threads; 1: in the calling thread. Default: one for each core. */
  readonly threads?: number;
  /** Bytes that the run may take; undefined: what the machine has to give. */
  readonly maxMemory?: number;
  readonly signal?: AbortSignal;
  readonly onCase?: (done: number, of: number) => void;
  readonly onWarning?: (message: string) => void;
}

export interface CaseAgreement extends CaseFiles {
  readonly agreement: ComparedCase;
}

export interface FailedComparison {
  readonly id: string;
  readonly error: UserError;
}

export interface FolderAgreement {
  /** In the order in which they were given, without those that failed. */
  readonly cases: readonly CaseAgreement[];
  readonly failed: readonly FailedComparison[];
}

const COMPARISON: JobKind<undefined, ComparisonJob, ComparisonOutcome> = {
  does: "compares segmentations with other ones",
  interrupted: "stopped while comparing segmentations; no report was written",
  startWorker: () => new Worker(new URL("./comparison_worker.ts", import.meta.url), { type: "module" }),
  setting: undefined,
  runHere: compareCase,
  bytesOf: async ({ reader, file }) => BYTES_PER_VOXEL * await voxelsOfFile(reader, file),
  threadEnded: ({ caseId, referenceFile }, detail) => ({
    error: outOfMemory({ doing: "comparing with the reference", caseId, file: referenceFile }, detail),
  }),
};

/** Each case by itself: one that fails is among the results. @throws Interrupted if the signal aborts */
export async function compareFolders(options: AgreementOptions): Promise<FolderAgreement> {
  const { reader, targets, knownLabels, signal } = options;
  const { allowance, ...threads } = shareMemory(options.maxMemory, options.threads ?? navigator.hardwareConcurrency);
  const files = new Map<ComparisonJob, CaseFiles>(options.cases.map((one) => [{
    caseId: one.id,
    reader,
    file: one.file,
    referenceFile: one.referenceFile,
    targets,
    knownLabels,
    ...(allowance && { memory: allowance }),
  }, one]));
  const jobs = [...files.keys()];
  const outcomes = new Map<ComparisonJob, ComparisonOutcome>();
  await runJobs(COMPARISON, jobs, { ...threads, ...(signal && { signal }) }, (outcome, job) => {
    if ("warning" in outcome && outcome.warning !== undefined) options.onWarning?.(outcome.warning);
    outcomes.set(job, outcome);
    options.onCase?.(outcomes.size, jobs.length);
  });
  const cases: CaseAgreement[] = [];
  const failed: FailedComparison[] = [];
  for (const [job, one] of files) {
    const outcome = outcomes.get(job);
    if (outcome === undefined) continue;
    if ("error" in outcome) failed.push({ id: one.id, error: new UserError(outcome.error) });
    else cases.push({ ...one, agreement: outcome });
  }
  return { cases, failed };
}

/** What is asked for; without any, nothing is judged. */
export interface AgreementLimits {
  /** The lowest Dice that a class of a case may have. */
  readonly minDice?: number;
  /** The most voxels of a case that may differ. */
  readonly maxVoxels?: number;
}

/** The least good of a measure, and the case it is of. */
export interface Extreme {
  readonly value: number;
  readonly id: string;
}

export interface TargetSummary {
  readonly key: string;
  /** Cases that have it, here or in the reference. */
  readonly cases: number;
  /** Over those; NaN without any. */
  readonly meanDice: number;
  readonly lowestDice?: Extreme;
  /** Voxels in one of the two only, of all cases. */
  readonly differing: number;
  /** The largest difference of the volumes in ml, without its sign. */
  readonly largestMl?: Extreme;
}

export interface AgreementSummary {
  readonly voxels: number;
  readonly differing: number;
  /** Cases in which no voxel differs. */
  readonly identical: number;
  readonly targets: readonly TargetSummary[];
  /** Of all classes and cases. */
  readonly lowestDice?: Extreme;
  readonly mostVoxels?: Extreme;
  /** The case with the lowest Dice; of equal ones, that with more differing voxels. */
  readonly worst?: CaseAgreement;
}

export function summariseAgreement(cases: readonly CaseAgreement[], targets: readonly Target[]): AgreementSummary {
  const summaries = targets.map(({ key }, t) => summariseTarget(cases, key, t));
  const lowest = cases.flatMap((one) => {
    const value = lowestDiceOf(one);
    return value === undefined ? [] : [{ value, id: one.id }];
  });
  const worst = cases.reduce<CaseAgreement | undefined>((a, b) => a === undefined || isWorse(b, a) ? b : a, undefined);
  return {
    voxels: cases.reduce((sum, { agreement }) => sum + agreement.voxels, 0),
    differing: cases.reduce((sum, { agreement }) => sum + agreement.differing, 0),
    identical: cases.filter(({ agreement }) => agreement.differing === 0).length,
    targets: summaries,
    ...optional("lowestDice", extreme(lowest, (a, b) => a < b)),
    ...optional(
      "mostVoxels",
      extreme(cases.map(({ id, agreement }) => ({ value: agreement.differing, id })), (a, b) => a > b),
    ),
    ...optional("worst", worst),
  };
}

function summariseTarget(cases: readonly CaseAgreement[], key: string, t: number): TargetSummary {
  const all = cases.map(({ id, agreement }) => ({ id, ml: agreement.voxelMl, of: agreement.targets[t] }));
  const present = all.filter(({ of }) => !Number.isNaN(of.dice));
  const volumes = all.flatMap(({ id, ml, of }) =>
    ml === undefined ? [] : [{ id, value: ml * Math.abs(of.voxels - of.referenceVoxels) }]
  );
  return {
    key,
    cases: present.length,
    meanDice: present.reduce((sum, { of }) => sum + of.dice, 0) / present.length,
    ...optional("lowestDice", extreme(present.map(({ id, of }) => ({ id, value: of.dice })), (a, b) => a < b)),
    differing: all.reduce((sum, { of }) => sum + of.voxels + of.referenceVoxels - 2 * of.common, 0),
    ...optional("largestMl", extreme(volumes, (a, b) => a > b)),
  };
}

/** The lowest Dice of a case's classes; undefined where no class is in it. */
export function lowestDiceOf({ agreement }: CaseAgreement): number | undefined {
  const known = agreement.targets.map(({ dice }) => dice).filter((dice) => !Number.isNaN(dice));
  return known.length === 0 ? undefined : known.reduce((a, b) => Math.min(a, b));
}

function isWorse(a: CaseAgreement, b: CaseAgreement): boolean {
  const [diceOfA, diceOfB] = [lowestDiceOf(a) ?? 1, lowestDiceOf(b) ?? 1];
  return diceOfA !== diceOfB ? diceOfA < diceOfB : a.agreement.differing > b.agreement.differing;
}

function extreme(values: readonly Extreme[], isBeyond: (a: number, b: number) => boolean): Extreme | undefined {
  return values.reduce<Extreme | undefined>((a, b) => a === undefined || isBeyond(b.value, a.value) ? b : a, undefined);
}

function optional<K extends string, V>(name: K, value: V | undefined): { readonly [P in K]?: V } {
  return value === undefined ? {} : { [name]: value } as { readonly [P in K]: V };
}

/** What keeps the limits from being met, a sentence each without a full stop; none where they are. */
export function limitsMissed({ lowestDice, mostVoxels }: AgreementSummary, limits: AgreementLimits): string[] {
  const reasons: string[] = [];
  if (limits.minDice !== undefined && lowestDice !== undefined && lowestDice.value < limits.minDice) {
    reasons.push(
      `the Dice of a class of ${lowestDice.id} is ${lowestDice.value}, below the ${limits.minDice} asked for`,
    );
  }
  if (limits.maxVoxels !== undefined && mostVoxels !== undefined && mostVoxels.value > limits.maxVoxels) {
    reasons.push(
      `${mostVoxels.value.toLocaleString("en-US")} voxels of ${mostVoxels.id} differ, more than the ` +
        `${limits.maxVoxels.toLocaleString("en-US")} allowed`,
    );
  }
  return reasons;
}
