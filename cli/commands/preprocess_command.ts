/** The command `preprocess`: from raw datasets and their plans to training data. */
import { UserError } from "../../core/base/errors.ts";
import { writeAtomically } from "../../core/base/files.ts";
import { stringifyJson } from "../../core/base/json.ts";
import type { Environment } from "../../core/dataset/environment.ts";
import type { PreprocessOutcome } from "../../core/preprocess/preprocess_dataset.ts";
import type { Command } from "./command.ts";
import { createCountProgress, printList } from "../count_progress.ts";
import { environmentOfProcess, foldersOf } from "../dataset_folders.ts";
import { listenForInterrupts } from "../interrupt.ts";
import { parseCommandLine } from "../flags/parse_command_line.ts";
import { PREPROCESS, type PreprocessValues } from "../flags/preprocess_flags.ts";
import { formatSeconds, print, printError } from "../terminal.ts";

export const preprocessCommand: Command & { readonly flags: typeof PREPROCESS } = {
  flags: PREPROCESS,
  upstreamIgnoresUnknown: true,
  details: [
    "Reads nnUNet_raw/DATASET and the plans in nnUNet_preprocessed/DATASET, and writes a folder a configuration beside the plans, and " +
    "gt_segmentations. A folder that is there is replaced once its replacement is complete. Stopped and run again, it continues " +
    "with the cases left; cases made of the same files with the same settings are kept.",
  ],
  async run(args, shownName) {
    const values = parseCommandLine("preprocess", preprocessCommand, args, shownName);
    if (!values) return 0;
    const outcomes = await runPreprocessing(values, environmentOfProcess());
    if (values.report !== undefined) await writeReport(values.report, outcomes.map(describeOutcome));
    return outcomes.every(({ failures }) => failures.length === 0) ? 0 : 1;
  },
};

export type PreprocessRun = Omit<PreprocessValues, "report">;

/** Preprocesses all datasets, one after the other. */
export async function runPreprocessing(run: PreprocessRun, environment: Environment): Promise<PreprocessOutcome[]> {
  const threads = parseProcesses(run.processes, run.configurations);
  const outcomes: PreprocessOutcome[] = [];
  for (const dataset of run.datasets) outcomes.push(await runOne(dataset, run, threads, environment));
  return outcomes;
}

/** Threads of `-np`: one number, or one a configuration. */
export function parseProcesses(processes: readonly string[] | undefined, configurations: readonly string[]): number {
  if (processes === undefined) return navigator.hardwareConcurrency;
  const doing = "reading -np";
  const wrong = processes.find((word) => !/^[0-9]+$/.test(word) || Number(word) < 1);
  if (wrong !== undefined) {
    throw new UserError({
      doing,
      problem: `"${wrong}" is no number of threads`,
      remedy: "give whole numbers from 1 on",
    });
  }
  if (processes.length !== 1 && processes.length !== configurations.length) {
    throw new UserError({
      doing,
      problem: `there are ${processes.length} numbers for ${configurations.length} configurations (${
        configurations.join(", ")
      })`,
      remedy: "give one number, or as many as configurations",
    });
  }
  return Math.max(...processes.map(Number));
}

async function runOne(
  dataset: string,
  run: PreprocessRun,
  threads: number,
  environment: Environment,
): Promise<PreprocessOutcome> {
  const folders = await foldersOf(dataset, environment);
  // Loaded only now, so that --help and usage errors start nothing.
  const { preprocessDataset } = await import("../../core/preprocess/preprocess_dataset.ts");
  using progress = createCountProgress(`${folders.name}: cases preprocessed`, !run.verbose);
  using interruption = listenForInterrupts(progress.clear);
  const begin = performance.now();
  const outcome = await preprocessDataset(folders.raw, folders.preprocessed, {
    plansName: run.plansName,
    configurations: run.configurations,
    format: run.format,
    threads,
    memory: run.maxMemory ?? Deno.systemMemoryInfo().available / 2,
    nan: run.nan,
    allowGeometryMismatch: run.allowGeometryMismatch,
    redo: run.redo,
    signal: interruption.signal,
    onCase: progress.update,
    onInfo: (message) => {
      progress.clear();
      print(message);
    },
    onWarning: (message) => {
      progress.clear();
      printError(`warning: ${message}`);
    },
  });
  progress.clear();
  sayOutcome(outcome, (performance.now() - begin) / 1000);
  return outcome;
}

function sayOutcome({ dataset, configurations, failures }: PreprocessOutcome, seconds: number): void {
  for (const { configuration, folder, state, cases, reused } of configurations) {
    const name = `${dataset.name}, ${configuration}`;
    if (state === "kept") print(`${name}: ${cases} cases were made before of the same files: ${folder}`);
    if (state !== "written") continue;
    const earlier = reused > 0 ? ` (${reused} of them by an earlier run)` : "";
    print(`${name}: ${cases} cases in ${formatSeconds(seconds)}${earlier}: ${folder}`);
  }
  if (failures.length === 0) return;
  const count = `${failures.length} case${failures.length === 1 ? "" : "s"}`;
  printList(`${count} of ${dataset.name} could not be preprocessed:`, failures.map(({ message }) => message));
  printError(
    "The other cases are kept, and no folder was replaced: correct these and run the same command again to complete it.",
  );
}

/** A dataset's part of the report. */
export function describeOutcome(
  { dataset, plansName, configurations, skipped, failures, warnings }: PreprocessOutcome,
) {
  return {
    dataset: dataset.name,
    folder: dataset.folder,
    plans: plansName,
    configurations,
    skipped,
    failures: failures.map(({ parts, message }) => ({ ...parts, message })),
    warnings,
  };
}

/** Writes a report whole or not at all. */
export async function writeReport(file: string, report: unknown): Promise<void> {
  await writeAtomically(file, stringifyJson(report), { doing: "writing the report" });
}
