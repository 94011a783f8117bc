/** The commands `evaluate_folder` and `evaluate_simple`: summary.json of predictions, and what it says of each label on the terminal. */
import { plural } from "../../core/base/plural.ts";
import { UsageError, UserError } from "../../core/base/errors.ts";
import { requireWritable } from "../../core/base/files.ts";
import { readJsonFile } from "../../core/base/json.ts";
import { refuseOverwriting } from "../../core/base/overwriting.ts";
import { dirname, extname, join } from "../../core/base/path.ts";
import { chooseReader } from "../../core/dataset/choose_reader.ts";
import { isFolder } from "../../core/dataset/dataset_names.ts";
import { filesEndingIn } from "../../core/dataset/raw_dataset.ts";
import { readDatasetJson } from "../../core/dataset/read_dataset_json.ts";
import { evaluateFolder, type Evaluation } from "../../core/evaluate/evaluate_folder.ts";
import { surfaceFile } from "../../core/evaluate/surface/surface_summary.ts";
import { supportedEndings } from "../../core/formats/image/readers.ts";
import { evaluatedOf, labelTarget, targetNames } from "../../core/evaluate/targets.ts";
import { sayStatistics, writeHtml, writeTable } from "../evaluation_output.ts";
import { type CommandContext, defineCommand } from "./command.ts";
import { EVALUATE_FOLDER, EVALUATE_SIMPLE } from "../flags/evaluate_flags.ts";
import type { Values } from "../flags/flag.ts";

const WRITES =
  "Writes Dice, IoU and the counts of voxels of every case, their mean over cases, and the mean over labels; says of each label " +
  "mean, standard deviation, median and worst case.";

export const evaluateFolderCommand = defineCommand({
  flags: EVALUATE_FOLDER,
  examples: [
    {
      does: "Compare predictions with the truth",
      args: "truth predictions -djfile MODEL/dataset.json -pfile MODEL/plans.json",
    },
    {
      does: "Fail in a test pipeline where a model got worse",
      args: "truth predictions -djfile MODEL/dataset.json -pfile MODEL/plans.json --min-dice 0.9",
    },
  ],
  details: [WRITES],
  check: checkOutputs,
  async run(values, context) {
    const dataset = await readDatasetJson(values.datasetFile);
    // As in upstream nothing of the plans changes the result; a file that is not there is a mistake all the same.
    await readJsonFile(values.plansFile, "reading the plans");
    refuseOverwriting(
      [values.datasetFile, values.plansFile].map((path) => ({ path, what: "an input" })),
      [
        { path: summaryFile(values), what: "the summary" },
        ...(values.surface ? [{ path: surfaceFile(summaryFile(values)), what: "the surface metrics" }] : []),
      ],
      { doing: "choosing the summary's file", remedy: "name another file with -o" },
    );
    const json = dataset.json as Readonly<Record<string, unknown>>;
    const example = await firstFile(values.references, [dataset.fileEnding]);
    const { reader, warnings } = await chooseReader(json, values.datasetFile, example, false, values.maxMemory);
    for (const warning of warnings) context.warn(warning);
    return await evaluate(values, { reader, ...evaluatedOf(dataset) }, targetNames(dataset), context);
  },
});

export const evaluateSimpleCommand = defineCommand({
  flags: EVALUATE_SIMPLE,
  examples: [
    {
      does: "Compare labels 1 and 2, leaving out voxels that are 3 in the truth",
      args: "truth predictions -l 1 2 -il 3",
    },
    {
      does: "Measure surfaces as well, and write all numbers as a table",
      args: "truth predictions -l 1 2 --surface --tolerance 2 --csv metrics.csv",
    },
    {
      does: "Write a report with pictures of the worst cases",
      args: "truth predictions -l 1 2 --html report.html --images images",
    },
  ],
  details: [WRITES],
  check: checkOutputs,
  async run(values, context) {
    const labels = [...new Set(values.labels)];
    const example = await firstFile(values.references, supportedEndings());
    // As upstream: what follows the last dot, so that .gz stands for .nii.gz.
    const fileEnding = extname(example);
    const { reader } = await chooseReader({ file_ending: fileEnding }, example, example, true, values.maxMemory);
    const what = { reader, fileEnding, targets: labels.map(labelTarget), ignoreLabel: values.ignoreLabel };
    return await evaluate(values, what, new Map(), context);
  },
});

/** mm. */
const DEFAULT_TOLERANCE = 1;

type What = Pick<Evaluation, "reader" | "fileEnding" | "targets" | "ignoreLabel">;
type Common = Pick<
  Values<typeof EVALUATE_FOLDER>,
  | "references"
  | "predictions"
  | "output"
  | "threads"
  | "chill"
  | "maxMemory"
  | "minDice"
  | "surface"
  | "tolerance"
  | "csv"
  | "html"
  | "images"
>;

/** @throws UsageError if a flag is given that another one needed here is not */
function checkOutputs(
  { surface, tolerance, html, images }: Pick<Common, "surface" | "tolerance" | "html" | "images">,
): void {
  if (images !== undefined && html === undefined) throw new UsageError("argument --images: it goes with --html");
  if (tolerance !== undefined && !surface) throw new UsageError("argument --tolerance: it goes with --surface");
}

function summaryFile({ output, predictions }: Common): string {
  return output ?? join(predictions, "summary.json");
}

async function evaluate(
  values: Common,
  { reader, fileEnding, targets, ignoreLabel }: What,
  names: ReadonlyMap<string, string>,
  context: CommandContext,
): Promise<boolean> {
  const { references, predictions, chill, threads, maxMemory } = values;
  const { print, printError, warn, count, event, signal } = context;
  const output = summaryFile(values);
  const surface = values.surface ? { tolerance: values.tolerance ?? DEFAULT_TOLERANCE } : undefined;
  for (const file of [values.csv, values.html]) {
    if (file !== undefined) await requireWritable(dirname(file), "preparing to write the results", 0);
  }
  if (values.images !== undefined && !await isFolder(values.images)) {
    const remedy = "give the folder of the images";
    throw new UserError({
      doing: "looking for the images",
      file: values.images,
      problem: "there is no such folder",
      remedy,
    });
  }
  const summary = await evaluateFolder({
    references,
    predictions,
    reader,
    fileEnding,
    targets,
    ignoreLabel,
    ...(surface && { surface }),
    chill,
    output,
    threads,
    maxMemory,
    signal,
    onCase: count("cases compared", "bar"),
    onWarning: warn,
  });
  for (const [key, { Dice, IoU }] of summary.mean) {
    event?.("score", { label: key, name: names.get(key), dice: Dice, iou: IoU });
    print(`${[key, names.get(key)].filter(Boolean).join(" ")}: mean Dice ${score(Dice)}`);
  }
  const result = { summary, targets, names, ...(surface && { tolerance: surface.tolerance }) };
  sayStatistics(result, context);
  if (values.csv !== undefined) await writeTable(values.csv, result, context);
  if (values.html !== undefined) {
    const request = { references, predictions, reader, ignoreLabel, images: values.images, maxMemory };
    await writeHtml(values.html, result, request, context);
  }
  if (surface) print(`surface metrics: ${surfaceFile(output)}`);
  const { Dice: dice, IoU: iou } = summary.foregroundMean;
  event?.("score", { label: "foreground", dice, iou, cases: summary.cases.length, summary: output });
  const cases = plural(summary.cases.length, "case");
  print(`${cases}, mean Dice of the foreground ${score(summary.foregroundMean.Dice)}: ${output}`);
  const refusal = belowMinimum(summary.foregroundMean.Dice, values.minDice);
  if (refusal !== null) printError(`error: ${refusal}`);
  return refusal === null;
}

/** What is said where a mean Dice is not what was asked for; null where it is. */
function belowMinimum(dice: number, minimum: number | undefined): string | null {
  if (minimum === undefined || dice >= minimum) return null;
  return Number.isNaN(dice)
    ? `the mean Dice of the foreground is NaN, as a label is in no case; --min-dice asks for ${minimum}`
    : `the mean Dice of the foreground, ${dice}, is below the ${minimum} of --min-dice`;
}

function score(value: number): string {
  return Number.isNaN(value) ? "NaN (in no case)" : value.toFixed(4);
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
