/** What an evaluation says and writes beside its summary: statistics on the terminal, a table, a report. */
import { writeAtomically } from "../core/base/files.ts";
import { Interrupted } from "../core/base/errors.ts";
import { openImageFolder } from "../core/dataset/image_folder.ts";
import { basename, extname } from "../core/base/path.ts";
import { classStatistics, metricKinds } from "../core/evaluate/class_statistics.ts";
import { metricsCsv } from "../core/evaluate/metrics_csv.ts";
import type { Target } from "../core/evaluate/overlap.ts";
import { evaluationHtml } from "../core/evaluate/report/evaluation_report.ts";
import { type CasePicture, drawCase, type PictureRequest, rankCases } from "../core/evaluate/report/worst_cases.ts";
import type { Summary } from "../core/evaluate/summary.ts";
import { formatNames, supportedEndings } from "../core/formats/image/readers.ts";
import type { CommandContext } from "./commands/command.ts";
import { statisticsTable } from "./evaluation_table.ts";

export interface EvaluationResult {
  readonly summary: Summary;
  readonly targets: readonly Target[];
  /** Of labels and regions by their key. */
  readonly names: ReadonlyMap<string, string>;
  /** Of the surface Dice, mm; absent: surfaces were not measured. */
  readonly tolerance?: number;
}

/** Cases that the report has pictures of. */
const PICTURES = 6;

/** A table for each metric. */
export function sayStatistics(
  { summary, targets, names, tolerance }: EvaluationResult,
  { print, event }: CommandContext,
): void {
  for (const kind of metricKinds(tolerance)) {
    const classes = classStatistics(summary.cases, targets, kind, caseOf);
    for (const { key, statistics: { count, infinite, mean, std, median, worst } } of classes) {
      const of = { metric: kind.id, label: key, name: names.get(key), count, infinite };
      event?.("statistics", { ...of, mean, std, median, worst: worst?.value, worstCase: worst?.caseId });
    }
    print(`\n${statisticsTable(kind, classes, names)}`);
  }
  print("");
}

/** Writes all metrics as CSV. */
export async function writeTable(
  file: string,
  { summary, names }: EvaluationResult,
  { print, signal }: CommandContext,
): Promise<void> {
  const options = { doing: "writing the table", removesLeftovers: true, signal };
  await writeAtomically(file, metricsCsv(summary.cases, names, caseOf), options);
  print(`all metrics by case and label: ${file}`);
}

/** Writes the report; a picture that can't be drawn is a warning. */
export async function writeHtml(
  file: string,
  result: EvaluationResult,
  request: Omit<PictureRequest, "images"> & {
    readonly references: string;
    readonly predictions: string;
    /** Folder of the images. */
    readonly images?: string;
  },
  { print, warn, count, signal }: CommandContext,
): Promise<void> {
  const { references, predictions, reader, ignoreLabel } = request;
  const ranked = rankCases(result.summary.cases, caseOf);
  const drawn = ranked.slice(0, PICTURES);
  const pictures: CasePicture[] = [];
  const progress = count("pictures drawn", "bar");
  const folder = request.images;
  const images = folder === undefined ? undefined : await openImageFolder(folder, reader, "looking for the images");
  for (const one of drawn) {
    if (signal.aborted) throw new Interrupted("stopped while drawing the report's pictures; no report was written");
    const picture = await drawCase(one, { ...request, images });
    if ("problem" in picture) warn(picture.problem);
    pictures.push(picture);
    progress(pictures.length, drawn.length);
  }
  const drawnImages = pictures.flatMap((picture) => "png" in picture ? picture.image ?? [] : []);
  const html = evaluationHtml(
    {
      references,
      predictions,
      formats: formatNames(reader, result.summary.cases.map(({ predictionFile }) => predictionFile)),
      ...(folder !== undefined && { images: { folder, formats: formatNames(reader, drawnImages) } }),
      ...result,
      ignoreLabel,
      caseOf,
      ranked,
      pictures,
    },
    new Date(),
  );
  await writeAtomically(file, html, { doing: "writing the report", removesLeftovers: true, signal });
  print(`report: ${file}`);
}

/** The case of a segmentation's file. */
function caseOf(file: string): string {
  const name = basename(file);
  const ending = supportedEndings().find((one) => name.toLowerCase().endsWith(one)) ?? extname(name);
  return name.slice(0, name.length - ending.length);
}
