/** Which files a case's segmentation goes to, by `-o` and `--output-format`, and what DICOM files say; checked before the work. */
import { UserError } from "../core/base/errors.ts";
import { refuseOverwriting } from "../core/base/overwriting.ts";
import { dirname, join } from "../core/base/path.ts";
import type { DatasetJson, Labels } from "../core/dataset/dataset_json.ts";
import { filesBelow, parseSeriesPath } from "../core/formats/dicom/series.ts";
import { type OwnSegment, readSegmentCodes } from "../core/formats/dicom/seg_codes_file.ts";
import type { ReaderName } from "../core/formats/image/image.ts";
import { fileEndings, readerClass } from "../core/formats/image/readers.ts";
import { isSeries, noSource, type ObjectDetails, segmentsOf, uncoded } from "../core/predict/run/case_outputs.ts";
import {
  type CaseOutput,
  OUTPUT_ENDINGS,
  OUTPUT_FORMATS,
  type OutputFormat,
  refersToSource,
} from "../core/predict/run/output_formats.ts";
import type { CaseToPredict } from "../core/predict/run/request.ts";
import type { PredictValues } from "./flags/predict_flags.ts";
import { outputFile } from "./output_file.ts";
import { VERSION } from "./version.ts";

export type OutputFlags = Pick<
  PredictValues,
  "output" | "outputFormats" | "segmentCodes" | "statistics" | "mesh"
>;

/** Files beside a segmentation in the model's own format. */
export function outputsBeside(output: string, ending: string, formats: readonly OutputFormat[]): CaseOutput[] {
  const stem = output.slice(0, output.length - ending.length);
  return formats.map((format) => ({ format, file: `${stem}${OUTPUT_ENDINGS[format]}` }));
}

/** Where results go. */
export interface OutputNames {
  /** The single file that `-o` names, or the first of its formats; null where it is a folder. */
  readonly file: string | null;
  /** What is written of a case. */
  of(id: string): Pick<CaseToPredict, "output" | "outputs">;
}

/**
 * @param ending Of the model's images
 * @throws UserError if `-o` is a file of another kind, or the model's images have no place in the formats that are asked for
 */
export async function outputNames(flags: OutputFlags, ending: string, reader: ReaderName): Promise<OutputNames> {
  const formats = formatsOf(flags);
  if (formats.length === 0) {
    const file = await outputFile(flags.output, ending);
    return { file, of: (id) => ({ output: file ?? join(flags.output, `${id}${ending}`) }) };
  }
  if (readerClass(reader).geometry === "picture") {
    throw new UserError({
      doing: "choosing the output format",
      problem: `--output-format ${formats.join(" ")} is for volumes, and this model's images are pictures (${reader})`,
      remedy: `leave it out: segmentations are written as ${ending}`,
    });
  }
  refuseMeasuring(flags, formats, reader);
  const stem = await stemOf(flags.output, formats);
  const outputsOf = (id: string): CaseOutput[] =>
    formats.map((format) => ({
      format,
      file: stem === null ? join(flags.output, `${id}${OUTPUT_ENDINGS[format]}`) : `${stem.path}${stem.ending(format)}`,
    }));
  return {
    file: stem && mainOutput(outputsOf(""), reader).file,
    of(id) {
      const outputs = outputsOf(id);
      return { output: mainOutput(outputs, reader).file, outputs };
    },
  };
}

/** The file by which later steps take the segmentation: the first that the model's reader reads, else the first. */
function mainOutput(outputs: readonly CaseOutput[], reader: ReaderName): CaseOutput {
  const endings = fileEndings(reader);
  return outputs.find(({ format }) => endings.includes(OUTPUT_ENDINGS[format])) ?? outputs[0];
}

function formatsOf({ outputFormats = [] }: Pick<OutputFlags, "outputFormats">): readonly OutputFormat[] {
  return [...new Set(outputFormats)];
}

/** Measuring reads the segmentations that are written. */
function refuseMeasuring(flags: OutputFlags, formats: readonly OutputFormat[], reader: ReaderName): void {
  if (flags.statistics === undefined && flags.mesh === undefined) return;
  const readable = OUTPUT_FORMATS.filter((format) => fileEndings(reader).includes(OUTPUT_ENDINGS[format]));
  if (formats.some((format) => readable.includes(format))) return;
  throw new UserError({
    doing: "choosing the output format",
    problem: `--statistics and --mesh measure what is written, and ${reader} reads none of ${formats.join(", ")}`,
    remedy: `add one of them to --output-format: ${readable.join(", ")}`,
  });
}

/** Of a file that `-o` names: what all its names begin with, and how each goes on; null where it names a folder. */
async function stemOf(output: string, formats: readonly OutputFormat[]) {
  const found = formats.find((format) => output.endsWith(OUTPUT_ENDINGS[format]));
  const ending = found && OUTPUT_ENDINGS[found];
  // A DICOM file may have any name where it is the only one.
  const own = formats.length === 1 && refersToSource(formats[0]) && output.endsWith(".dcm") ? ".dcm" : ending;
  const file = await outputFile(output, own ?? OUTPUT_ENDINGS[formats[0]], `--output-format ${formats[0]} writes`);
  if (file === null) return null;
  return {
    path: file.slice(0, file.length - (own ?? "").length),
    ending: (format: OutputFormat) => own === ".dcm" ? own : OUTPUT_ENDINGS[format],
  };
}

/** All files of a case, the main one first. */
export function filesToWrite({ output, outputs = [] }: Pick<CaseToPredict, "output" | "outputs">): string[] {
  return [...new Set([output, ...outputs.map(({ file }) => file)])];
}

/** @throws UserError if an output would take the place of a file in the folder of a case's DICOM series */
export async function refuseSlices(cases: readonly CaseToPredict[]): Promise<void> {
  const error = { doing: "choosing the output files", remedy: "name another file or folder with -o" };
  for (const one of cases) {
    const outputs = filesToWrite(one).filter(isThere).map((path) => ({ path, what: "the result" }));
    if (outputs.length === 0) continue;
    for (const { folder } of one.files.flatMap((file) => parseSeriesPath(file) ?? [])) {
      const files = (await Array.fromAsync(filesBelow(folder, error.doing))).map((path) => ({
        path,
        what: "a file of the images' folder",
      }));
      refuseOverwriting(files, outputs, error);
    }
  }
}

function isThere(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

/**
 * Parts the cases whose images no DICOM object can refer to, where such are asked for.
 * @throws UserError if that holds for all of them
 */
export function withoutSource(cases: readonly CaseToPredict[], flags: OutputFlags): ReadonlyMap<string, UserError> {
  if (!formatsOf(flags).some(refersToSource)) return new Map();
  const lacking = cases.filter(({ files }) => !isSeries(files));
  if (lacking.length > 0 && lacking.length === cases.length) throw noSource(dirname(lacking[0].files[0]));
  return new Map(lacking.map(({ id, files }) => [id, noSource(files[0]).withCase(id)]));
}

/**
 * What DICOM files are to say; undefined where none are written.
 * @param model What made the segmentation: "Dataset004_Hippocampus, 3d_fullres"
 * @param warn Told what is unusual
 * @throws UserError if the file of codes is damaged or names classes that there are not
 */
export async function objectDetails(
  flags: Pick<OutputFlags, "outputFormats" | "segmentCodes">,
  { labels }: DatasetJson,
  model: { readonly dataset: string; readonly name: string },
  warn: (line: string) => void,
): Promise<ObjectDetails | undefined> {
  const writes = formatsOf(flags).some(refersToSource);
  if (!writes) {
    if (flags.segmentCodes !== undefined) warn("--segment-codes changes nothing: no DICOM file is written");
    return undefined;
  }
  const own = flags.segmentCodes === undefined ? undefined : await readSegmentCodes(flags.segmentCodes);
  const details = detailsOf(labels, model, own);
  if (own) refuseStrangeNames(own, flags.segmentCodes, [{ labels, details }]);
  const unknown = unknownCodes(details);
  if (unknown !== undefined) warn(unknown);
  return details;
}

/** @param own The user's codes and colours, by name */
export function detailsOf(
  labels: Labels,
  model: { readonly dataset: string; readonly name: string },
  own: ReadonlyMap<string, OwnSegment> | undefined,
): ObjectDetails {
  return { segments: segmentsOf(labels, model.dataset, own), maker: { model: model.name, version: VERSION } };
}

/** @throws UserError if none of the models has a class that the user names codes for */
export function refuseStrangeNames(
  own: ReadonlyMap<string, OwnSegment>,
  file: string | undefined,
  models: readonly { readonly labels: Labels; readonly details: ObjectDetails }[],
): void {
  const names = new Set(models.flatMap(({ labels, details: { segments } }) => [
    ...labels.foregroundLabels.flatMap((label) => labels.names.get(label) ?? []),
    ...labels.regions.map(({ name }) => name),
    ...segments.map(({ name }) => name),
  ]));
  const strange = [...own.keys()].filter((name) => !names.has(name));
  if (strange.length === 0) return;
  const has = models.length > 1 ? ["the models have", "they have"] : ["the model has", "it has"];
  throw new UserError({
    doing: "reading the codes of segments",
    ...(file !== undefined && { file }),
    problem: `${has[0]} no class ${strange.map((name) => `"${name}"`).join(", ")}; ${has[1]} ${[...names].join(", ")}`,
    remedy: "name the entries as the model's dataset.json names its labels",
  });
}

/** A warning of classes whose meaning is not known; undefined where there are none. */
export function unknownCodes(details: ObjectDetails): string | undefined {
  const unknown = uncoded(details);
  if (unknown.length === 0) return undefined;
  return `DICOM files say of ${unknown.join(", ")} only that it is tissue, as no code is known for ` +
    `${unknown.length === 1 ? "this name" : "these names"}; --segment-codes FILE names codes`;
}
