/** Where the true segmentations are: in the raw dataset, or their copies beside the preprocessed data. */
import { UserError } from "../base/errors.ts";
import { isFolder } from "../dataset/dataset_names.ts";
import type { RootFolders } from "../dataset/environment.ts";
import { pythonJoin } from "../evaluate/evaluate_folder.ts";

/** Of a cross-validation that is collected: the raw dataset's come first, of all names it may have. */
export async function truthOfModel({ raw, preprocessed }: RootFolders, names: readonly string[]): Promise<string> {
  return await firstFolder(
    [...new Set(names)].flatMap((name) => [...labelsIn(raw, name), ...copiesIn(preprocessed, name)]),
    "neither nnUNet_raw nor nnUNet_preprocessed is set",
    "set nnUNet_raw to the folder that holds the dataset, or nnUNet_preprocessed to that of its preprocessed data",
  );
}

/** What ensembles and postprocessing are compared with: as upstream has it, the copies come first. */
export async function truthOfDataset({ raw, preprocessed }: RootFolders, name: string): Promise<string> {
  return await firstFolder(
    [...copiesIn(preprocessed, name), ...labelsIn(raw, name)],
    "neither nnUNet_preprocessed nor nnUNet_raw is set",
    "set nnUNet_preprocessed to the folder of the preprocessed data, or nnUNet_raw to that of the dataset",
  );
}

function labelsIn(raw: string | undefined, name: string): string[] {
  return raw === undefined ? [] : [pythonJoin(pythonJoin(raw, name), "labelsTr")];
}

function copiesIn(preprocessed: string | undefined, name: string): string[] {
  return preprocessed === undefined ? [] : [pythonJoin(pythonJoin(preprocessed, name), "gt_segmentations")];
}

/** @param unset The problem where there is no place to look in. @throws UserError if none of the places is a folder */
async function firstFolder(places: readonly string[], unset: string, remedy: string): Promise<string> {
  for (const place of places) if (await isFolder(place)) return place;
  throw new UserError({
    doing: "looking for the true segmentations",
    problem: places.length === 0 ? unset : `there is none of the folders ${places.join(", ")}`,
    remedy,
  });
}
