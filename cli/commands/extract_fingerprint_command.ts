/** The command `extract_fingerprint`: the statistics of datasets, and the check of their files. */
import { plural } from "../../core/base/plural.ts";
import { UsageError, UserError } from "../../core/base/errors.ts";
import { writeAtomically } from "../../core/base/files.ts";
import { stringifyJson } from "../../core/base/json.ts";
import { describeFinding, LACKS_MEMORY } from "../../core/dataset/integrity.ts";
import type { FingerprintOutcome } from "../../core/preprocess/fingerprint.ts";
import { type CommandContext, defineCommand } from "./command.ts";
import { foldersOf } from "../dataset_folders.ts";
import { EXTRACT_FINGERPRINT, type FingerprintValues } from "../flags/planning_flags.ts";
import { refuseReport } from "../report_place.ts";
import { formatSeconds, list } from "../terminal.ts";

export const extractFingerprintCommand = defineCommand({
  flags: EXTRACT_FINGERPRINT,
  examples: [
    { does: "Check two datasets and collect their statistics", args: "-d 4 5" },
    { does: "Anew, with all findings of the check in a file", args: "-d 4 --clean --report check.json" },
  ],
  upstreamIgnoresUnknown: true,
  details: [
    "Reads nnUNet_raw/DATASET and writes nnUNet_preprocessed/DATASET/dataset_fingerprint.json. The dataset is checked in the same " +
    "read: everything that is wrong with it is listed at once, and no fingerprint is written then.",
  ],
  check: checkFingerprints,
  run: (values, context) => runFingerprints(values, values.threads, context),
});

/** What the flags of fingerprints say together. @throws UserError for what can't be taken */
export function checkFingerprints({ extractor, verify, noVerify }: FingerprintValues): void {
  if (extractor !== "DatasetFingerprintExtractor") {
    throw new UserError({
      doing: "choosing the fingerprint extractor",
      problem: `there is no extractor "${extractor}"`,
      remedy: "leave -fpe out: DatasetFingerprintExtractor is the only one",
    });
  }
  if (verify && noVerify) throw new UsageError("--verify_dataset_integrity and --no_verify: leave one of them out");
}

export interface FingerprintRun extends FingerprintValues {
  readonly datasets: readonly string[];
  readonly verbose: boolean;
  readonly noProgressBar: boolean;
}

/** Makes and checks the fingerprints of all datasets; false if the check of one found errors. @param threads Default: all cores */
export async function runFingerprints(
  run: FingerprintRun,
  threads: number | undefined,
  context: CommandContext,
): Promise<boolean> {
  const outcomes: FingerprintOutcome[] = [];
  for (const dataset of run.datasets) outcomes.push(await fingerprintDataset(dataset, run, threads, context));
  if (run.report !== undefined) await writeReport(run.report, outcomes);
  return outcomes.every(({ state }) => state !== "refused");
}

/** Makes and checks the fingerprint of a dataset, and says what came of it. */
export async function fingerprintDataset(
  dataset: string,
  run: Omit<FingerprintRun, "datasets">,
  threads: number | undefined,
  context: CommandContext,
): Promise<FingerprintOutcome> {
  const folders = await foldersOf(dataset, context.environment);
  if (run.report !== undefined) await refuseReport(run.report, [folders.raw, folders.preprocessed]);
  // Loaded only now, so that --help and usage errors start nothing.
  const { extractFingerprint } = await import("../../core/preprocess/fingerprint.ts");
  const begin = performance.now();
  const outcome = await extractFingerprint(folders.raw, folders.preprocessed, {
    clean: run.clean,
    verify: !run.noVerify,
    allowGeometryMismatch: run.allowGeometryMismatch,
    threads: threads ?? navigator.hardwareConcurrency,
    maxMemory: run.maxMemory,
    signal: context.signal,
    onCase: context.count(`${folders.name}: cases read`, run.verbose || run.noProgressBar ? "lines" : "bar"),
    onWarning: context.warn,
  });
  await sayOutcome(outcome, folders.preprocessed, (performance.now() - begin) / 1000, context);
  return outcome;
}

async function sayOutcome(
  outcome: FingerprintOutcome,
  folder: string,
  seconds: number,
  { print, printError }: CommandContext,
): Promise<void> {
  const { dataset, findings, worstGeometry, reader } = outcome;
  // Of what memory was lacking for, nothing is known to be wrong.
  const [lacking, errors] = [true, false].map((lacks) =>
    findings.filter(({ severity, kind }) => severity === "error" && (kind === LACKS_MEMORY) === lacks)
  );
  const warnings = findings.filter(({ severity }) => severity === "warning");
  if (errors.length + warnings.length > 0) {
    const counts = [[errors.length, "error"], [warnings.length, "warning"]] as const;
    const text = counts.filter(([n]) => n > 0).map(([n, what]) => plural(n, what)).join(" and ");
    printError(list(`The check of ${dataset.name} found ${text}:`, [...errors, ...warnings].map(describeFinding)));
  }
  if (lacking.length > 0) {
    const what = `Memory is what is lacking to check ${dataset.name}, of which nothing is known to be wrong here:`;
    printError(list(what, lacking.map(describeFinding)));
  }
  if (worstGeometry && reader) {
    const { drawGeometryMismatch } = await import("../geometry_overlay.ts");
    const picture = await drawGeometryMismatch(worstGeometry.case, reader, folder);
    printError(
      `Case ${worstGeometry.case.id} is farthest apart; image, segmentation voxel on voxel, and as the headers place it: ${picture}`,
    );
  }
  if (outcome.state === "refused") {
    const remedies = [
      ...(lacking.length > 0 ? ["give the run more memory"] : []),
      ...(errors.length > 0 ? ["correct the errors above (--no_verify goes on without a check)"] : []),
    ];
    printError(`error: no fingerprint of ${dataset.name} was written; ${remedies.join(", and ")}.`);
    return;
  }
  const checked =
    { done: ", checked", remembered: ", unchanged since its check", skipped: ", not checked" }[outcome.check];
  const what = outcome.state === "kept"
    ? "there already, kept (--clean makes it anew)"
    : `made in ${formatSeconds(seconds)}`;
  print(`${dataset.name}: ${plural(dataset.cases.length, "case")}${checked}; fingerprint ${what}: ${outcome.file}`);
}

async function writeReport(file: string, outcomes: readonly FingerprintOutcome[]): Promise<void> {
  const report = outcomes.map(({ dataset, state, check, findings, reader }) => ({
    dataset: dataset.name,
    folder: dataset.folder,
    cases: dataset.cases.length,
    reader: reader ?? null,
    check,
    fingerprint: state,
    errors: findings.filter(({ severity }) => severity === "error").length,
    warnings: findings.filter(({ severity }) => severity === "warning").length,
    findings,
  }));
  await writeAtomically(file, stringifyJson(report), { doing: "writing the report", removesLeftovers: true });
}
