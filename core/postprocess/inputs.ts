/** What the postprocessing of a folder needs besides its segmentations: plans.json for the reader, dataset.json for the labels. */
import { UserError } from "../base/errors.ts";
import { join } from "../base/path.ts";
import { statOrNull } from "../base/stat_or_null.ts";
import type { DatasetJson } from "../dataset/dataset_json.ts";
import { readDatasetJson } from "../dataset/read_dataset_json.ts";
import type { ReaderName } from "../formats/image/image.ts";
import { readPlans } from "../plan/read_plans.ts";

export interface PostprocessingInputs {
  readonly dataset: DatasetJson;
  readonly reader: ReaderName;
  readonly plansFile: string;
  readonly datasetFile: string;
}

/**
 * Reads plans.json and dataset.json.
 * @param folder Where they are looked for if they are not given
 * @throws UserError if one is not there or wrong
 */
export async function readPostprocessingInputs(
  folder: string,
  given: { readonly plansFile?: string; readonly datasetFile?: string },
): Promise<PostprocessingInputs> {
  const find = async (file: string | undefined, name: string, flag: string) => {
    if (file !== undefined) return file;
    const expected = join(folder, name);
    if ((await statOrNull(expected, "preparing the postprocessing"))?.isFile) return expected;
    throw new UserError({
      doing: "preparing the postprocessing",
      file: expected,
      problem: "there is no such file, which predict writes beside its segmentations",
      remedy: `name the model's with ${flag}; of an ensemble, that of any of its models`,
    });
  };
  const plansFile = await find(given.plansFile, "plans.json", "-plans_json");
  const datasetFile = await find(given.datasetFile, "dataset.json", "-dataset_json");
  const { reader } = await readPlans(plansFile);
  return { dataset: await readDatasetJson(datasetFile), reader, plansFile, datasetFile };
}
