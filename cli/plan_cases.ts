/** From `-i`, `-o`, the parts and the previous stage to the list of cases to predict, all of it checked before the work. */
import { UserError } from "../core/base/errors.ts";
import { basename, dirname, join } from "../core/base/path.ts";
import { isFolder } from "../core/dataset/dataset_names.ts";
import { checkOutputs, listInputCases } from "../core/dataset/input_cases.ts";
import { mayHoldSeveralChannels } from "../core/formats/image/read_image.ts";
import { imageEnding } from "../core/formats/image/readers.ts";
import type { Model } from "../core/predict/model/model_folder.ts";
import type { CaseToPredict } from "../core/predict/run/request.ts";
import type { PredictValues } from "./flags/predict_flags.ts";

export interface PlannedCases {
  readonly cases: readonly CaseToPredict[];
  /** Cases of this part that cannot be predicted. */
  readonly failures: readonly UserError[];
  readonly warnings: readonly string[];
  /** Cases of all parts. */
  readonly listed: number;
  /** Where dataset.json and the like go; undefined where `-o` names a single file. */
  readonly outputFolder?: string;
}

type CaseFlags = Pick<PredictValues, "input" | "output" | "parts" | "part" | "previousStage">;

/** @throws UserError if there is nothing to predict, or the outputs or the previous stage do not fit */
export async function planCases(flags: CaseFlags, model: Model): Promise<PlannedCases> {
  const ending = model.dataset.fileEnding;
  checkPreviousStage(flags, model);
  const listing = await listInputCases(flags.input, {
    fileEnding: ending,
    channelNames: model.dataset.channelNames,
    severalChannelsPerFile: (file) => mayHoldSeveralChannels(model.plans.reader, file),
  });
  const failed = new Map(listing.failures.map((failure) => [failure.parts.caseId ?? "", failure]));
  const found = new Map(listing.cases.map((one) => [one.id, one]));
  const ids = [...found.keys(), ...failed.keys()].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  const share = ids.filter((_, i) => i % flags.parts === flags.part);

  const file = await outputFile(flags.output, ending);
  if (file !== null && ids.length > 1) {
    throw new UserError({
      doing: "choosing the output files",
      file,
      problem: `two inputs for one output: -o is one file, and ${flags.input} holds ${ids.length} cases`,
      remedy: "name a folder with -o, or one image with -i",
    });
  }
  const cases: CaseToPredict[] = [];
  const failures: UserError[] = [];
  for (const id of share) {
    const failure = failed.get(id);
    const one = found.get(id);
    if (failure) failures.push(failure);
    if (!one || failure) continue;
    const previousStageFile = flags.previousStage === undefined
      ? undefined
      : join(flags.previousStage, `${id}${ending}`);
    if (previousStageFile !== undefined && !(await isFile(previousStageFile))) {
      failures.push(
        new UserError({
          doing: "looking for the previous stage's segmentation",
          caseId: id,
          file: previousStageFile,
          problem: "there is no such file",
          remedy: `predict the case with the configuration ${model.configuration.previousStage} first`,
        }),
      );
      continue;
    }
    cases.push({ id, files: one.files, previousStageFile, output: file ?? join(flags.output, `${id}${ending}`) });
  }
  checkOutputs(cases, cases.map(({ output }) => output));
  return {
    cases,
    failures,
    warnings: listing.warnings,
    listed: ids.length,
    outputFolder: file === null ? flags.output : undefined,
  };
}

function checkPreviousStage({ previousStage }: CaseFlags, { configuration }: Model): void {
  const doing = `preparing the configuration ${configuration.name}`;
  if (configuration.previousStage !== undefined && previousStage === undefined) {
    throw new UserError({
      doing,
      problem: `it is the second stage of a cascade and needs the segmentations of ${configuration.previousStage}`,
      remedy: `predict with -c ${configuration.previousStage} first, then name that output folder with ` +
        "-prev_stage_predictions",
    });
  }
  if (configuration.previousStage === undefined && previousStage !== undefined) {
    throw new UserError({
      doing,
      problem: "-prev_stage_predictions is given, and the configuration has no previous stage",
      remedy: "leave it out, or choose the cascade's configuration",
    });
  }
}

/** The file `-o` names, or null if it is a folder. @throws UserError if it is a file of another kind than the model writes */
async function outputFile(output: string, ending: string): Promise<string | null> {
  if (await isFolder(output)) return null;
  if (basename(output).endsWith(ending) && basename(output) !== ending) return output;
  const other = imageEnding(output);
  if (other === undefined) return null;
  throw new UserError({
    doing: "choosing the output files",
    file: output,
    problem: `-o ends with ${other}; this model reads and writes ${ending}`,
    remedy: `name a folder, or a file that ends with ${ending}, like ${
      join(dirname(output), basename(output).slice(0, -other.length))
    }${ending}`,
  });
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isFile;
  } catch {
    return false;
  }
}
