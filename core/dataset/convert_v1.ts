/**
 * A raw dataset (task) of nnU-Net v1 as one of v2. Source: nnunetv2/dataset_conversion/convert_raw_dataset_from_old_nnunet_format.py.
 */
import { UserError } from "../base/errors.ts";
import { writeAtomically } from "../base/files.ts";
import { readJsonFile } from "../base/json.ts";
import { refuseInside } from "../base/overwriting.ts";
import { join, resolve } from "../base/path.ts";
import { requirePathName } from "../base/path_name.ts";
import { convertDatasetJson } from "./convert_json.ts";
import { copyFolder, countFiles, makeFolderWhole } from "./copy_dataset.ts";
import { isFolder } from "./dataset_names.ts";
import type { RootFolders } from "./environment.ts";

const DOING = "converting the dataset of nnU-Net v1";
const REQUIRED = ["imagesTr", "labelsTr"];
const OPTIONAL = ["imagesTs", "labelsTs", "imagesVal", "labelsVal"];

/**
 * Copies the task in `source` to nnUNet_raw/`name`; gives the new folder.
 * @throws UserError if `name` is no dataset's name or there already, or the source is no task of v1
 */
export async function convertV1Dataset(
  source: string,
  name: string,
  folders: RootFolders,
  onFile?: (done: number, of: number) => void,
): Promise<string> {
  const fail = (file: string | undefined, problem: string, remedy: string) =>
    new UserError({ doing: DOING, file, problem, remedy });
  requirePathName(name, "the dataset's name", { doing: DOING, remedy: "name it DatasetXXX_Name" });
  if (!/^Dataset\d{3,}_.+$/.test(name)) {
    throw fail(undefined, `"${name}" is no name of a dataset`, "name it DatasetXXX_Name, XXX being three digits");
  }
  if (!folders.raw) {
    throw fail(undefined, "the environment variable nnUNet_raw is not set", "set it to the folder for raw datasets");
  }
  const folder = resolve(source);
  for (const part of REQUIRED) {
    if (!(await isFolder(join(folder, part)))) {
      throw fail(
        join(folder, part),
        "there is no such folder",
        "give the path of the task's folder, with imagesTr and labelsTr",
      );
    }
  }
  const target = join(folders.raw, name);
  for (const part of [...REQUIRED, ...OPTIONAL]) {
    refuseInside(join(folder, part), target, { doing: DOING, remedy: "set nnUNet_raw to a folder outside" });
  }
  const jsonFile = join(folder, "dataset.json");
  const { text } = await readJsonFile(jsonFile, DOING);
  const json = convertDatasetJson(text, jsonFile, ["tensorImageSize", "numTest", "training", "test"], DOING);
  await makeFolderWhole(target, DOING, async (hidden) => {
    const parts: string[] = [];
    for (const part of [...REQUIRED, ...OPTIONAL]) if (await isFolder(join(folder, part))) parts.push(part);
    let files = 0;
    for (const part of parts) files += await countFiles(join(folder, part));
    let done = 0;
    for (const part of parts) await copyFolder(join(folder, part), join(hidden, part), () => onFile?.(++done, files));
    await writeAtomically(join(hidden, "dataset.json"), json, { doing: DOING });
  });
  return target;
}
