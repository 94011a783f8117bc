/** The models that are served, by the names that clients ask for them. */
import { UserError } from "../../core/base/errors.ts";
import { isFolder } from "../../core/dataset/dataset_names.ts";
import { type Model, openModel, type OpenModelOptions } from "../../core/predict/model/model_folder.ts";
import { readSegmentCodes } from "../../core/formats/dicom/seg_codes_file.ts";
import type { ObjectDetails } from "../../core/predict/run/case_outputs.ts";
import { detailsOf, refuseStrangeNames } from "../output_files.ts";
import { firstStageOf, lacksFirstStage } from "../engines/cascade.ts";

export interface ServedModel {
  readonly name: string;
  readonly model: Model;
  /** What DICOM files say of its segmentations. */
  readonly details: ObjectDetails;
  /** Of a cascade's second stage. */
  readonly firstStage?: ServedModel;
}

export interface ServedModels extends Disposable {
  readonly all: readonly ServedModel[];
  find(name: string): ServedModel | undefined;
}

export interface ServedModelOptions {
  /** The user's file of codes and colours. */
  readonly segmentCodes?: string;
  /** True: segmentations of a cascade's first stage may be sent, so that its model can be missing. */
  readonly takesSegmentations?: boolean;
}

const NAME = /^[A-Za-z0-9._-]{1,100}$/;
const DOING = "opening the models";

/**
 * Opens and checks all of them.
 * @param words FOLDER or NAME=FOLDER
 * @throws UserError for the first that is broken, has another one's name, or is a cascade's second stage without its first
 */
export async function openServedModels(
  words: readonly string[],
  options: OpenModelOptions,
  { segmentCodes, takesSegmentations = false }: ServedModelOptions = {},
): Promise<ServedModels> {
  const own = segmentCodes === undefined ? undefined : await readSegmentCodes(segmentCodes);
  let all: ServedModel[] = [];
  const dispose = () => all.forEach(({ model }) => model[Symbol.dispose]());
  try {
    for (const word of words) {
      const { name, folder } = await splitWord(word);
      const model = await openModel(folder, options);
      const { plans: { datasetName: dataset }, configuration } = model;
      const details = detailsOf(model.dataset.labels, { dataset, name: `${dataset}, ${configuration.name}` }, own);
      all.push({ name: name ?? `${dataset}-${configuration.name}`, model, details });
      requireServable(all);
    }
    all = all.map((one) => withFirstStage(one, all, takesSegmentations));
    if (own) {
      const models = all.map(({ model: { dataset: { labels } }, details }) => ({ labels, details }));
      refuseStrangeNames(own, segmentCodes, models);
    }
  } catch (error) {
    dispose();
    throw error;
  }
  return {
    all,
    find: (name) => all.find((one) => one.name === name),
    [Symbol.dispose]: dispose,
  };
}

async function splitWord(word: string): Promise<{ readonly name?: string; readonly folder: string }> {
  const [, name, folder] = /^([^=/\\]+)=(.+)$/.exec(word) ?? [];
  // A folder's own name may have an equals sign.
  if (name === undefined || await isFolder(word)) return { folder: word };
  return { name, folder };
}

/** @param all The last one is looked at */
function requireServable(all: readonly ServedModel[]): void {
  const { name, model } = all[all.length - 1];
  const { folder } = model;
  const remedy = `give it another one: -m NAME=${folder}`;
  if (!NAME.test(name)) {
    const problem = `its name "${name}" has other signs than letters, digits, ".", "_" and "-"`;
    throw new UserError({ doing: DOING, file: folder, problem, remedy });
  }
  const other = all.slice(0, -1).find((one) => one.name === name);
  if (other) {
    const problem = `its name ${name} is that of ${other.model.folder} as well`;
    throw new UserError({ doing: DOING, file: folder, problem, remedy });
  }
}

/** @throws UserError for a second stage whose first is not among them */
function withFirstStage(one: ServedModel, all: readonly ServedModel[], takesSegmentations: boolean): ServedModel {
  const first = firstStageOf(one.model, all.map(({ model }) => model));
  if (first === undefined) return one;
  const firstStage = all.find(({ model }) => model === first);
  if (firstStage) return { ...one, firstStage };
  if (takesSegmentations) return one;
  throw lacksFirstStage(one.model, DOING, "-m");
}
