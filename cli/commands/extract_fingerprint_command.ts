/** The command `extract_fingerprint`: the statistics of datasets, and the check of their files. */
import { UserError } from "../../core/base/errors.ts";
import { writeAtomically } from "../../core/base/files.ts";
import { stringifyJson } from "../../core/base/json.ts";
import type { Environment } from "../../core/dataset/environment.ts";
import { describeFinding } from "../../core/dataset/integrity.ts";
import type { FingerprintOutcome } from "../../core/preprocess/fingerprint.ts";
import type { Command } from "./command.ts";
import { createCountProgress, printList } from "../count_progress.ts";
import { environmentOfProcess, foldersOf } from "../dataset_folders.ts";
import { listenForInterrupts } from "../interrupt.ts";
import { parseCommandLine } from "../flags/parse_command_line.ts";
import { EXTRACT_FINGERPRINT, type FingerprintValues } from "../flags/planning_flags.ts";
import { formatSeconds, print, printError } from "../terminal.ts";

export const extractFingerprintCommand: Command & { readonly flags: typeof EXTRACT_FINGERPRINT } = {
  flags: EXTRACT_FINGERPRINT,
  upstreamIgnoresUnknown: true,
  details: [
    "Reads nnUNet_raw/DATASET and writes nnUNet_preprocessed/DATASET/dataset_fingerprint.json. The dataset is checked in the same " +
    "read: everything that is wrong with it is listed at once, and no fingerprint is written then.",
  ],
  async run(args, shownName) {
    const values = parseCommandLine("extract_fingerprint", extractFingerprintCommand, args, shownName);
    if (!values) return 0;
    const fine = await runFingerprints({ ...values, quietProgress: values.verbose }, environmentOfProcess());
    return fine ? 0 : 1;
  },
};

export interface FingerprintRun extends FingerprintValues {
  readonly datasets: readonly string[];
  /** Undefined: all cores. */
  readonly threads?: number;
  readonly quietProgress: boolean;
}

/** Makes and checks the fingerprints of all datasets; false if the check of one found errors. */
export async function runFingerprints(run: FingerprintRun, environment: Environment): Promise<boolean> {
  if (run.extractor !== "DatasetFingerprintExtractor") {
    throw new UserError({
      doing: "choosing the fingerprint extractor",
      problem: `there is no extractor "${run.extractor}"`,
      remedy: "leave -fpe out: DatasetFingerprintExtractor is the only one",
    });
  }
  if (run.threads !== undefined && run.threads < 1) {
    throw new UserError({ doing: "reading -np", problem: `it is ${run.threads}`, remedy: "give at least 1 thread" });
  }
  const outcomes: FingerprintOutcome[] = [];
  for (const dataset of run.datasets) outcomes.push(await runOne(dataset, run, environment));
  if (run.report !== undefined) await writeReport(run.report, outcomes);
  return outcomes.every(({ state }) => state !== "refused");
}

async function runOne(dataset: string, run: FingerprintRun, environment: Environment): Promise<FingerprintOutcome> {
  const folders = await foldersOf(dataset, environment);
  // Loaded only now, so that --help and usage errors start nothing.
  const { extractFingerprint } = await import("../../core/preprocess/fingerprint.ts");
  using progress = createCountProgress(`${folders.name}: cases read`, !run.quietProgress);
  using interruption = listenForInterrupts(progress.clear);
  const begin = performance.now();
  const outcome = await extractFingerprint(folders.raw, folders.preprocessed, {
    clean: run.clean,
    verify: !run.noVerify,
    allowGeometryMismatch: run.allowGeometryMismatch,
    threads: run.threads ?? navigator.hardwareConcurrency,
    memory: run.maxMemory ?? Deno.systemMemoryInfo().available / 2,
    signal: interruption.signal,
    onCase: progress.update,
    onWarning: (message) => {
      progress.clear();
      printError(`warning: ${message}`);
    },
  });
  progress.clear();
  await sayOutcome(outcome, folders.preprocessed, (performance.now() - begin) / 1000);
  return outcome;
}

async function sayOutcome(outcome: FingerprintOutcome, folder: string, seconds: number): Promise<void> {
  const { dataset, findings, worstGeometry, reader } = outcome;
  const errors = findings.filter(({ severity }) => severity === "error");
  const warnings = findings.filter(({ severity }) => severity === "warning");
  if (errors.length + warnings.length > 0) {
    const counts = [[errors.length, "error"], [warnings.length, "warning"]] as const;
    const text = counts.filter(([n]) => n > 0).map(([n, what]) => `${n} ${what}${n === 1 ? "" : "s"}`).join(" and ");
    printList(`The check of ${dataset.name} found ${text}:`, [...errors, ...warnings].map(describeFinding));
  }
  if (worstGeometry && reader) {
    const { drawGeometryMismatch } = await import("../geometry_overlay.ts");
    const picture = await drawGeometryMismatch(worstGeometry.case, reader, folder);
    printError(
      `Case ${worstGeometry.case.id} is farthest apart; image, segmentation voxel on voxel, and as the headers place it: ${picture}`,
    );
  }
  if (outcome.state === "refused") {
    printError(
      `error: no fingerprint of ${dataset.name} was written; correct the errors above (--no_verify goes on without a check).`,
    );
    return;
  }
  const checked =
    { done: ", checked", remembered: ", unchanged since its check", skipped: ", not checked" }[outcome.check];
  const what = outcome.state === "kept"
    ? "there already, kept (--clean makes it anew)"
    : `made in ${formatSeconds(seconds)}`;
  print(`${dataset.name}: ${dataset.cases.length} cases${checked}; fingerprint ${what}: ${outcome.file}`);
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
  await writeAtomically(file, stringifyJson(report), { doing: "writing the report" });
}
