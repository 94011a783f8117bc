/** From `-i`, `-o`, the parts and the previous stage to the list of cases to predict, all of it checked before the work. */
import { UserError } from "../core/base/errors.ts";
import { refuseOverwriting } from "../core/base/overwriting.ts";
import { join } from "../core/base/path.ts";
import { checkOutputs, expectedInput, listInputCases } from "../core/dataset/input_cases.ts";
import type { Model } from "../core/predict/model/model_folder.ts";
import { probabilityPaths, RUN_FILES } from "../core/predict/run/output_folder.ts";
import type { CaseToPredict } from "../core/predict/run/request.ts";
import type { Part } from "./array_part.ts";
import type { PredictValues } from "./flags/predict_flags.ts";
import { filesToWrite, type OutputFlags, outputNames, refuseSlices, withoutSource } from "./output_files.ts";

export interface PlannedCases {
  readonly cases: readonly CaseToPredict[];
  /** Cases of this part that cannot be predicted. */
  readonly failures: readonly UserError[];
  readonly warnings: readonly string[];
  /** Cases of all parts. */
  readonly listed: number;
  /** Cases of all parts with the files that they are, or will be. */
  readonly all: readonly CaseToPredict[];
  /** Where dataset.json and the like go; undefined where `-o` names a single file. */
  readonly outputFolder?: string;
}

type CaseFlags = OutputFlags & Pick<PredictValues, "input" | "series" | "previousStage" | "saveProbabilities">;

/**
 * @param leaveOut Ids of cases that are done
 * @throws UserError if there is nothing to predict, or the outputs or the previous stage do not fit
 */
export async function planCases(
  flags: CaseFlags,
  part: Part,
  model: Model,
  leaveOut: ReadonlySet<string> = new Set(),
): Promise<PlannedCases> {
  const ending = model.dataset.fileEnding;
  checkPreviousStage(flags, model);
  const expected = expectedInput(model.dataset, model.plans.reader, flags.series);
  const listing = await listInputCases(flags.input, expected);
  const failed = new Map(listing.failures.map((failure) => [failure.parts.caseId ?? "", failure]));
  const found = new Map(listing.cases.map((one) => [one.id, one]));
  const ids = [...found.keys(), ...failed.keys()].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  const share = ids.filter((id, i) => i % part.parts === part.part && !leaveOut.has(id));

  const names = await outputNames(flags, ending, model.plans.reader);
  const { file } = names;
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
    cases.push({ id, files: one.files, previousStageFile, ...names.of(id) });
  }
  const outputs = listing.cases.map(({ id }) => filesToWrite(names.of(id)));
  for (const i of outputs[0]?.keys() ?? []) checkOutputs(listing.cases, outputs.map((files) => files[i]));
  const lacking = withoutSource(cases, flags);
  failures.push(...lacking.values());
  const outputFolder = file === null ? flags.output : undefined;
  refuseInputs(flags, model, cases, outputFolder);
  await refuseSlices(cases);
  const all = listing.cases.filter(({ id }) => !failed.has(id))
    .map(({ id, files }) => ({ id, files, output: names.of(id).output }));
  return {
    cases: cases.filter(({ id }) => !lacking.has(id)),
    failures,
    warnings: listing.warnings,
    listed: ids.length,
    all,
    outputFolder,
  };
}

/** Beside the images: no file of the model or of the previous stage is overwritten, and no output lies among inputs. */
function refuseInputs(
  flags: CaseFlags,
  model: Model,
  cases: readonly CaseToPredict[],
  outputFolder: string | undefined,
): void {
  const ending = model.dataset.fileEnding;
  const error = { doing: "choosing the output files", remedy: "name another folder with -o" };
  const outputs = cases.flatMap((one) => {
    const { npz, pkl } = probabilityPaths(one.output, ending);
    return flags.saveProbabilities ? [...filesToWrite(one), npz, pkl] : filesToWrite(one);
  });
  const files = [
    ...RUN_FILES.map((name) => ({ path: join(model.folder, name), what: `the model's ${name}` })),
    ...model.folds.map(({ file }) => ({ path: file, what: "the model's checkpoint" })),
    ...cases.flatMap(({ files }) => files.map((path) => ({ path, what: "an input image" }))),
    ...cases.flatMap(({ previousStageFile: path }) =>
      path === undefined ? [] : [{ path, what: "the previous stage's segmentation" }]
    ),
  ];
  refuseOverwriting(files, outputs.map((path) => ({ path, what: "the result" })), error);
  if (outputFolder === undefined) return;
  const folders = [
    { path: model.folder, what: "the model's folder" },
    { path: flags.input, what: "the folder of the images, where the next run would take segmentations for images" },
    ...(flags.previousStage === undefined
      ? []
      : [{ path: flags.previousStage, what: "the folder of the previous stage's segmentations" }]),
  ];
  refuseOverwriting(folders, [{ path: outputFolder, what: "the output folder" }], error);
  const runFiles = RUN_FILES.map((name) => ({ path: join(outputFolder, name), what: `the results' ${name}` }));
  refuseOverwriting(files, runFiles, error);
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

async function isFile(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isFile;
  } catch {
    return false;
  }
}
