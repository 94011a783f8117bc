/** The command `preprocess`: from raw datasets and their plans to training data. */
import { plural } from "../../core/base/plural.ts";
import { UsageError } from "../../core/base/errors.ts";
import { writeAtomically } from "../../core/base/files.ts";
import { stringifyJson } from "../../core/base/json.ts";
import type { PreprocessOutcome } from "../../core/preprocess/preprocess_dataset.ts";
import { readArrayPlace } from "../array_part.ts";
import { type CommandContext, defineCommand } from "./command.ts";
import { foldersOf } from "../dataset_folders.ts";
import { PREPROCESS, type PreprocessValues } from "../flags/preprocess_flags.ts";
import { refuseReport } from "../report_place.ts";
import { formatSeconds, list } from "../terminal.ts";

export const preprocessCommand = defineCommand({
  flags: PREPROCESS,
  examples: [
    { does: "Make the training data of two configurations", args: "-d 4 -c 2d 3d_fullres" },
    { does: "The same as an array of SLURM, whose elements share the cases", args: "-d 4 -c 3d_fullres --share" },
    { does: "In the format that Python's nnU-Net trains from", args: "-d 4 -c 3d_fullres --format npz" },
  ],
  upstreamIgnoresUnknown: true,
  details: [
    "Reads nnUNet_raw/DATASET and the plans in nnUNet_preprocessed/DATASET, and writes a folder a configuration beside the plans, and " +
    "gt_segmentations. A folder that is there is replaced once its replacement is complete. Stopped and run again, it continues " +
    "with the cases left; cases made of the same files with the same settings are kept.",
  ],
  check(values) {
    checkProcesses(values);
    if (!values.share || !values.redo) return;
    throw new UsageError("argument --redo: not with --share, as each run would make again what the others have made");
  },
  async run(values, context) {
    const share = values.share || sharesByItself(values, context);
    const outcomes = await runPreprocessing({ ...values, share }, context);
    if (values.report !== undefined) await writeReport(values.report, outcomes.map(describeOutcome));
    return outcomes.every(({ failures }) => failures.length === 0);
  },
});

/** In an array all elements are given the same cases; or each another dataset, where sharing changes nothing. */
function sharesByItself({ redo }: PreprocessValues, { byUpstreamName, print }: CommandContext): boolean {
  // By upstream's name it does as upstream, which knows no arrays.
  const place = byUpstreamName ? undefined : readArrayPlace((name) => Deno.env.get(name));
  if (!place) return false;
  const from = `${place.scheduler}, ${place.variable}=${place.index}`;
  print(
    redo
      ? `${from}: with --redo the cases are not shared with its other processes`
      : `${from}: the cases are shared with its other processes`,
  );
  return !redo;
}

/** What preprocessing takes of its flags; with a report it is seen to that no input has its place. */
export type PreprocessRun =
  & Omit<PreprocessValues, "report" | "log" | "share">
  & Partial<Pick<PreprocessValues, "report" | "share">>;

/** Preprocesses all datasets, one after the other. */
export async function runPreprocessing(run: PreprocessRun, context: CommandContext): Promise<PreprocessOutcome[]> {
  const outcomes: PreprocessOutcome[] = [];
  for (const dataset of run.datasets) outcomes.push(await runOne(dataset, run, context));
  return outcomes;
}

/** @throws UsageError unless `-np` has one number, or one a configuration */
export function checkProcesses(
  { processes, configurations }: Pick<PreprocessRun, "processes" | "configurations">,
): void {
  if (processes === undefined || processes.length === 1 || processes.length === configurations.length) return;
  throw new UsageError(
    `argument -np: there are ${processes.length} numbers for ${plural(configurations.length, "configuration")} (${
      configurations.join(", ")
    }); one number is needed, or as many as configurations`,
  );
}

async function runOne(
  dataset: string,
  run: PreprocessRun,
  context: CommandContext,
): Promise<PreprocessOutcome> {
  const folders = await foldersOf(dataset, context.environment);
  if (run.report !== undefined) await refuseReport(run.report, [folders.raw, folders.preprocessed]);
  // Loaded only now, so that --help and usage errors start nothing.
  const { preprocessDataset } = await import("../../core/preprocess/preprocess_dataset.ts");
  const begin = performance.now();
  const outcome = await preprocessDataset(folders.raw, folders.preprocessed, {
    plansName: run.plansName,
    configurations: run.configurations,
    format: run.format,
    // As all configurations are made in one pass, the largest number counts.
    threads: run.processes ? Math.max(...run.processes) : navigator.hardwareConcurrency,
    maxMemory: run.maxMemory,
    nan: run.nan,
    allowGeometryMismatch: run.allowGeometryMismatch,
    redo: run.redo,
    share: run.share ?? false,
    signal: context.signal,
    onCase: context.count(`${folders.name}: cases preprocessed`, run.verbose || run.noProgressBar ? "lines" : "bar"),
    onInfo: context.print,
    onWarning: context.warn,
  });
  sayOutcome(outcome, (performance.now() - begin) / 1000, context);
  return outcome;
}

function sayOutcome(
  { dataset, configurations, failures }: PreprocessOutcome,
  seconds: number,
  { print, printError }: CommandContext,
): void {
  for (const { configuration, folder, state, cases, reused, elsewhere } of configurations) {
    const name = `${dataset.name}, ${configuration}`;
    const made = plural(cases, "case");
    if (state === "kept") {
      print(`${name}: ${made} ${cases === 1 ? "was" : "were"} made before of the same files: ${folder}`);
    }
    if (state !== "written") continue;
    const others = [[reused, "by an earlier run"], [elsewhere, "by others that share them"]] as const;
    const said = others.flatMap(([count, whose]) => (count > 0 ? [`${count} of them ${whose}`] : [])).join(", ");
    print(`${name}: ${made} in ${formatSeconds(seconds)}${said && ` (${said})`}: ${folder}`);
  }
  if (failures.length === 0) return;
  const count = plural(failures.length, "case");
  printError(list(`${count} of ${dataset.name} could not be preprocessed:`, failures.map(({ message }) => message)));
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
  await writeAtomically(file, stringifyJson(report), { doing: "writing the report", removesLeftovers: true });
}
