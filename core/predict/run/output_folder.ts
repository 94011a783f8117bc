/** What a prediction run leaves in the output folder besides the cases, and which cases are there already. */
import { ensureFolder, writeAtomically } from "../../base/files.ts";
import { UserError } from "../../base/errors.ts";
import { removeLeftovers } from "../../base/leftovers.ts";
import { readJsonFile, reformatJson, stringifyJson } from "../../base/json.ts";
import { join } from "../../base/path.ts";
import { statOrNull } from "../../base/stat_or_null.ts";
import type { Model } from "../model/model_folder.ts";
import { OUTPUT_ENDINGS } from "./output_formats.ts";
import type { CaseToPredict, PredictFromFilesArguments } from "./request.ts";

/** What later steps such as postprocessing need, and what the run was asked for. */
const MODEL_FILES = ["dataset.json", "plans.json"] as const;
const ARGUMENTS = "predict_from_raw_data_args.json";
/** All that is written beside the cases. */
export const RUN_FILES: readonly string[] = [...MODEL_FILES, ARGUMENTS];

/**
 * Writes dataset.json, plans.json (what later steps such as postprocessing need) and predict_from_raw_data_args.json, as upstream's
 * predict_from_files does.
 * @throws UserError if the folder can't be made or written to.
 */
export async function writeRunFiles(
  folder: string,
  model: Model,
  args: PredictFromFilesArguments | undefined,
): Promise<void> {
  await ensureFolder(folder, "making the output folder");
  removeLeftovers(folder);
  if (args) {
    await writeAtomically(join(folder, ARGUMENTS), stringifyJson(args, { sortKeys: true }));
  }
  for (const name of MODEL_FILES) {
    const source = join(model.folder, name);
    const { text } = await readJsonFile(source, `copying the model's ${name}`);
    await writeAtomically(join(folder, name), reformatJson(text, source));
  }
}

/**
 * For a run that adds to what is in a folder.
 * @throws UserError if that is another model's, by its plans.json or dataset.json
 */
export async function requireSameModelFiles(folder: string, model: Model): Promise<void> {
  const doing = "adding to the folder of predictions";
  for (const name of MODEL_FILES) {
    const file = join(folder, name);
    if (await statOrNull(file, doing) === null) continue;
    const [there, ours] = await Promise.all([file, join(model.folder, name)].map((path) => readJsonFile(path, doing)));
    const [one, other] = [there, ours].map(({ value }) => stringifyJson(value, { sortKeys: true }));
    if (one === other) continue;
    throw new UserError({
      doing,
      file,
      problem: "the cases in this folder were predicted with another model, and would be mixed with this one's",
      remedy: "name another folder with -o, or empty this one",
    });
  }
}

/** Paths of <case>.npz and <case>.pkl beside a segmentation. */
export function probabilityPaths(output: string, fileEnding: string): { readonly npz: string; readonly pkl: string } {
  const stem = outputStem(output, fileEnding);
  return { npz: `${stem}.npz`, pkl: `${stem}.pkl` };
}

/** The path of a segmentation without what its format adds to the case's id. @param fileEnding Of the model's images */
export function outputStem(output: string, fileEnding: string): string {
  const ending = [fileEnding, ...Object.values(OUTPUT_ENDINGS), ".dcm"].find((one) => output.endsWith(one)) ?? "";
  return output.slice(0, output.length - ending.length);
}

/** True if everything a case gives is there: all files of the segmentation and, where probabilities are saved, .npz and .pkl. */
export async function isPredicted(of: CaseToPredict, fileEnding: string, saveProbabilities: boolean): Promise<boolean> {
  const { npz, pkl } = probabilityPaths(of.output, fileEnding);
  const files = new Set([of.output, ...of.outputs?.map(({ file }) => file) ?? []]);
  for (const file of saveProbabilities ? [...files, npz, pkl] : files) {
    try {
      const { isFile, size } = await Deno.stat(file);
      // Files get their names when they are whole: an empty one is not of this program, or a crashed machine has lost its content.
      if (!isFile || size === 0) return false;
    } catch {
      return false;
    }
  }
  return true;
}
