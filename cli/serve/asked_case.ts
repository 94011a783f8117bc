/** A case that is asked for, and what is found of it on the disk before it is read: images, files to write, what DICOM objects say. */
import { UserError } from "../../core/base/errors.ts";
import { join } from "../../core/base/path.ts";
import { plural } from "../../core/base/plural.ts";
import { openPreprocessedCase } from "../../core/preprocess/training_case_reader.ts";
import { caseOfPaths, expectedInput, listInputCases } from "../../core/dataset/input_cases.ts";
import { readerClass } from "../../core/formats/image/readers.ts";
import type { Model } from "../../core/predict/model/model_folder.ts";
import { isSeries, noSource, type ObjectDetails } from "../../core/predict/run/case_outputs.ts";
import { refersToSource } from "../../core/predict/run/output_formats.ts";
import type { CaseToPredict, PredictionEvent } from "../../core/predict/run/request.ts";
import type { ResidentRun } from "../../core/predict/run/resident_models.ts";
import { firstStageFile, firstStageRun } from "../engines/cascade.ts";
import { outputsBeside, refuseSlices, unknownCodes } from "../output_files.ts";
import type { JobOptions } from "./job.ts";

/** A case to be predicted, as it is named. */
export interface NamedCase {
  readonly model: Model;
  /** Of a cascade's second stage: the first one's model, and the folder for what that gives, which its maker removes. */
  readonly firstStage?: { readonly model: Model; readonly folder: string };
  readonly options: JobOptions;
  /** Instead of `firstStage`: a segmentation of it. */
  readonly previousStageFile?: string;
  /** What DICOM files say of it. */
  readonly details: ObjectDetails;
  /** In channel order; or folders of DICOM. */
  readonly files: readonly string[];
  /** Instead of `files`: a case that is preprocessed, as training has it. */
  readonly stored?: { readonly folder: string; readonly id: string };
  /** Instead of `files`: a folder of DICOM, of one study. */
  readonly study?: string;
  /** The segmentation to write; its name ends as the model's files do. */
  readonly output: string;
  /** Where a report is written, if one is. */
  readonly report?: string;
  /** Asked before its files are read. @throws UserError if they may not be */
  readonly check?: () => Promise<void>;
  /** By which it is known again when it has been read ahead. */
  readonly key: unknown;
}

/** A case that is to be predicted now. */
export interface AskedCase extends NamedCase {
  /** The case that will be asked for next, as far as is known by now. */
  readonly next?: () => NamedCase | undefined;
  readonly onEvent?: (event: PredictionEvent) => void;
  readonly signal: AbortSignal;
}

export interface ListedCase {
  readonly one: CaseToPredict;
  readonly details?: ObjectDetails;
  readonly warnings: readonly string[];
}

/** @throws UserError if it can't be predicted as it is asked for */
export async function listCase(asked: NamedCase): Promise<ListedCase> {
  const { model, files: named, study, stored } = asked;
  requireStages(asked);
  await asked.check?.();
  if (stored) return await storedCase(asked, stored);
  const expected = expectedInput(model.dataset, model.plans.reader);
  const listed = study === undefined ? await caseOfPaths(named, expected) : await listInputCases(study, expected);
  if (listed.failures.length > 0) throw listed.failures[0];
  const { cases: [{ id, files }] } = listed;
  const one = { id, files, ...outputsOf(asked, files) };
  await refuseSlices([one]);
  const warnings = [...listed.warnings];
  const details = asked.options.output_format?.some(refersToSource) ? asked.details : undefined;
  const unknown = details && unknownCodes(details);
  if (unknown !== undefined) warnings.push(unknown);
  return { one, ...(details && { details }), warnings };
}

/** @throws UserError unless a second stage has a first one, and no other model has */
function requireStages({ model: { folder, configuration }, firstStage, previousStageFile }: NamedCase): void {
  const { name, previousStage } = configuration;
  const file = join(folder, "plans.json");
  if (previousStage !== undefined && !firstStage && previousStageFile === undefined) {
    throw new UserError({
      doing: "looking for the previous stage's segmentation",
      file,
      problem: `${name} is the second stage of a cascade, which needs the segmentations of ${previousStage}`,
      remedy: "give one as previous_stage, or that model with -m",
    });
  }
  if (previousStage !== undefined || previousStageFile === undefined) return;
  const problem = `${name} is no second stage of a cascade, and takes no segmentation of a previous one`;
  throw new UserError({ doing: "taking the previous stage's segmentation", file, problem, remedy: "leave it out" });
}

async function storedCase(asked: NamedCase, { folder, id }: NonNullable<NamedCase["stored"]>): Promise<ListedCase> {
  const { model: { dataset: { channelNames }, configuration } } = asked;
  const doing = "taking the preprocessed case";
  if (configuration.previousStage !== undefined) {
    const problem = `${configuration.name} is a cascade's second stage, and what its first one needs is the image`;
    throw new UserError({ doing, caseId: id, problem, remedy: "give the case's images" });
  }
  using opened = await openPreprocessedCase(folder, id);
  const { channels, file } = opened;
  if (channels !== channelNames.length) {
    const problem = `it has ${plural(channels, "channel")}, and the model ${channelNames.length} (${
      channelNames.join(", ")
    })`;
    throw new UserError({ doing, caseId: id, file, problem, remedy: "give what was preprocessed for this model" });
  }
  return { one: { id, files: [], stored: { folder }, ...outputsOf(asked, []) }, warnings: [] };
}

/** What is predicted first of all: the case, or its first stage. */
export function firstRunOf(named: NamedCase, listed: ListedCase): { readonly model: Model; readonly run: ResidentRun } {
  const { model, firstStage } = named;
  const run = runOf(named, listed);
  if (!firstStage) return { model, run };
  return { model: firstStage.model, run: firstStageRun(run, firstStage.model, firstStage.folder) };
}

/** How the case is predicted; of a cascade after the first stage. */
export function runOf(named: NamedCase, listed: ListedCase): ResidentRun {
  const { options, report, firstStage } = named;
  const { one, details } = listed;
  const previousStageFile = firstStage
    ? firstStageFile(firstStage.model, firstStage.folder, one.id)
    : named.previousStageFile;
  return {
    cases: [{ ...one, ...(previousStageFile !== undefined && { previousStageFile }) }],
    ...(details && { details }),
    options: {
      stepSize: options.step_size,
      mirroring: !options.disable_tta,
      saveProbabilities: options.save_probabilities,
      nonFinite: options.nan ?? "refuse",
      checksums: report !== undefined,
    },
  };
}

/**
 * The files of a case. @param files Its images
 * @throws UserError if they can't be written in a format that is asked for
 */
function outputsOf(
  { model, options: { output_format: formats = [] }, output }: NamedCase,
  files: readonly string[],
): Pick<CaseToPredict, "output" | "outputs"> {
  const { dataset: { fileEnding }, plans: { reader } } = model;
  if (formats.length > 0 && readerClass(reader).geometry === "picture") {
    throw new UserError({
      doing: "choosing the output format",
      problem: `output_format (${formats.join(", ")}) is for volumes, and this model's images are pictures (${reader})`,
      remedy: `leave it out: segmentations are written as ${fileEnding}`,
    });
  }
  if (formats.some(refersToSource) && !isSeries(files)) throw noSource(files[0]);
  const outputs = outputsBeside(output, fileEnding, formats).filter(({ file }) => file !== output);
  return { output, ...(outputs.length > 0 && { outputs }) };
}
