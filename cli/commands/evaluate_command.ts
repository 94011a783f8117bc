/** The commands `evaluate_folder` and `evaluate_simple`: summary.json of predictions, and the Dice of each label on the terminal. */
import { UsageError, UserError } from "../../core/base/errors.ts";
import { readJsonFile } from "../../core/base/json.ts";
import { extname, join } from "../../core/base/path.ts";
import { chooseReader } from "../../core/dataset/choose_reader.ts";
import type { DatasetJson } from "../../core/dataset/dataset_json.ts";
import { filesEndingIn } from "../../core/dataset/raw_dataset.ts";
import { readDatasetJson } from "../../core/dataset/read_dataset_json.ts";
import { evaluateFolder, type Evaluation } from "../../core/evaluate/evaluate_folder.ts";
import { labelTarget, targetsOf } from "../../core/evaluate/targets.ts";
import type { Command } from "./command.ts";
import { createCountProgress } from "../count_progress.ts";
import { EVALUATE_FOLDER, EVALUATE_SIMPLE } from "../flags/evaluate_flags.ts";
import type { Values } from "../flags/flag.ts";
import { listenForInterrupts } from "../interrupt.ts";
import { parseCommandLine } from "../flags/parse_command_line.ts";
import { print, printError } from "../terminal.ts";

const WRITES =
  "Writes Dice, IoU and the counts of voxels of every case, their mean over cases, and the mean over labels.";

export const evaluateFolderCommand: Command & { readonly flags: typeof EVALUATE_FOLDER } = {
  flags: EVALUATE_FOLDER,
  details: [WRITES],
  async run(args, shownName) {
    const values = parseCommandLine("evaluate_folder", evaluateFolderCommand, args, shownName);
    if (!values) return 0;
    const dataset = await readDatasetJson(values.datasetFile);
    // As in upstream nothing of the plans changes the result; a file that is not there is a mistake all the same.
    await readJsonFile(values.plansFile, "reading the plans");
    const json = dataset.json as Readonly<Record<string, unknown>>;
    const example = await firstFile(values.references, [dataset.fileEnding]);
    const { reader, warnings } = await chooseReader(json, values.datasetFile, example);
    for (const warning of warnings) printError(`warning: ${warning}`);
    const { ignoreLabel } = dataset.labels;
    return await run(values, {
      reader,
      fileEnding: dataset.fileEnding,
      targets: targetsOf(dataset),
      ...(ignoreLabel !== undefined && { ignoreLabel }),
    }, namesOf(dataset));
  },
};

export const evaluateSimpleCommand: Command & { readonly flags: typeof EVALUATE_SIMPLE } = {
  flags: EVALUATE_SIMPLE,
  details: [WRITES],
  async run(args, shownName) {
    const values = parseCommandLine("evaluate_simple", evaluateSimpleCommand, args, shownName);
    if (!values) return 0;
    const labels = [...new Set(values.labels.map((text) => integer(text, shownName)))];
    const example = await firstFile(values.references, [".nii.gz", ".nii", ".png"]);
    // As upstream: what follows the last dot, so that .gz stands for .nii.gz.
    const fileEnding = extname(example);
    const { reader } = await chooseReader({ file_ending: fileEnding }, example, example, true);
    return await run(values, {
      reader,
      fileEnding,
      targets: labels.map(labelTarget),
      ...(values.ignoreLabel !== undefined && { ignoreLabel: values.ignoreLabel }),
    }, new Map());
  },
};

type What = Pick<Evaluation, "reader" | "fileEnding" | "targets" | "ignoreLabel">;
type Common = Pick<
  Values<typeof EVALUATE_FOLDER>,
  "references" | "predictions" | "output" | "threads" | "chill" | "maxMemory"
>;

async function run(values: Common, what: What, names: ReadonlyMap<string, string>): Promise<number> {
  const { references, predictions, chill, threads, maxMemory } = values;
  if (threads !== undefined && threads < 1) {
    throw new UserError({ doing: "reading -np", problem: `it is ${threads}`, remedy: "give at least 1 thread" });
  }
  const output = values.output ?? join(predictions, "summary.json");
  using progress = createCountProgress("cases compared", true);
  using interruption = listenForInterrupts(progress.clear);
  const summary = await evaluateFolder({
    ...what,
    references,
    predictions,
    chill,
    output,
    ...(threads !== undefined && { threads }),
    ...(maxMemory !== undefined && { memory: maxMemory }),
    signal: interruption.signal,
    onCase: progress.update,
    onWarning: (message) => {
      progress.clear();
      printError(`warning: ${message}`);
    },
  });
  progress.clear();
  for (const [key, { Dice }] of summary.mean) {
    print(`${[key, names.get(key)].filter(Boolean).join(" ")}: mean Dice ${score(Dice)}`);
  }
  print(`${summary.cases.length} cases, mean Dice of the foreground ${score(summary.foregroundMean.Dice)}: ${output}`);
  return 0;
}

function score(value: number): string {
  return Number.isNaN(value) ? "NaN (in no case)" : value.toFixed(4);
}

/** Names of labels and regions by their key in the summary. */
function namesOf(dataset: DatasetJson): ReadonlyMap<string, string> {
  const { labels } = dataset;
  if (labels.hasRegions) return new Map(targetsOf(dataset).map(({ key }, i) => [key, labels.regions[i].name]));
  return new Map([...labels.names].map(([label, name]) => [String(label), name]));
}

/** The first file of a folder by name that has the first of these endings that any file has. */
async function firstFile(folder: string, endings: readonly string[]): Promise<string> {
  for (const ending of endings) {
    const [first] = await filesEndingIn(folder, ending);
    if (first !== undefined) return join(folder, first);
  }
  throw new UserError({
    doing: "looking for the true segmentations",
    file: folder,
    problem: `no file in it ends in ${endings.join(", ")}`,
    remedy: "give the folder that holds them",
  });
}

function integer(text: string, shownName: string): number {
  if (/^[-+]?\d+$/.test(text)) return Number(text);
  throw new UsageError(`${shownName}: error: argument -l: invalid int value: '${text}'`);
}
