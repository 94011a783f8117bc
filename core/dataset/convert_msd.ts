/**
 * A dataset of the Medical Segmentation Decathlon as a raw dataset: 4-D images are split into one file a channel.
 * Source: nnunetv2/dataset_conversion/convert_MSD_dataset.py.
 */
import { Interrupted, UserError } from "../base/errors.ts";
import { writeAtomically } from "../base/files.ts";
import { readJsonFile } from "../base/json.ts";
import { basename, join, resolve } from "../base/path.ts";
import { splitNifti, volumesOfNifti } from "../formats/image/nifti/split_volumes.ts";
import { convertDatasetJson } from "./convert_json.ts";
import { copyFile, makeFolderWhole } from "./copy_dataset.ts";
import { foldersIn, isFolder, roots } from "./dataset_names.ts";
import type { RootFolders } from "./environment.ts";
import { filesEndingIn } from "./raw_dataset.ts";

export interface MsdConversion {
  /** The folder TaskNN_Name. */
  readonly source: string;
  readonly folders: RootFolders;
  /** Instead of the task's number. */
  readonly id?: number;
  /** Files worked on at a time. */
  readonly parallel: number;
  readonly signal?: AbortSignal;
  readonly onFile?: (done: number, of: number) => void;
}

const DOING = "converting the Decathlon dataset";

/**
 * Converts; gives the folder of the new dataset, nnUNet_raw/DatasetNNN_Name.
 * @throws UserError for a folder that is none of the Decathlon's, an id that is taken, files that can't be read or written
 */
export async function convertMsdDataset(conversion: MsdConversion): Promise<string> {
  const { folders } = conversion;
  const source = resolve(conversion.source);
  const fail = (file: string, problem: string, remedy: string) =>
    new UserError({ doing: DOING, file, problem, remedy });
  const name = /^Task(\d+)_([^_]+)$/.exec(basename(source));
  if (!name) {
    throw fail(source, "the folder's name is not TaskNN_Name (with one underscore)", "name it as the Decathlon does");
  }
  for (const part of ["labelsTr", "imagesTs", "imagesTr"]) {
    if (!(await isFolder(join(source, part)))) {
      throw fail(
        join(source, part),
        "there is no such folder",
        "unpack the whole task, with imagesTr, imagesTs and labelsTr",
      );
    }
  }
  if (!folders.raw) {
    throw fail(source, "the environment variable nnUNet_raw is not set", "set it to the folder for raw datasets");
  }
  const id = conversion.id ?? Number(name[1]);
  const prefix = `Dataset${String(id).padStart(3, "0")}`;
  for (const { variable, path } of roots(folders)) {
    const taken = (await foldersIn(path)).find((entry) => entry.startsWith(prefix));
    if (taken) {
      throw fail(
        join(path, taken),
        `the dataset id ${id} is taken there (${variable})`,
        "choose another with -overwrite_id",
      );
    }
  }
  const { text } = await readJsonFile(join(source, "dataset.json"), DOING);
  const json = convertDatasetJson(text, join(source, "dataset.json"), ["training", "test"], DOING);

  const listed = async (part: string) => {
    const names = await filesEndingIn(join(source, part), ".nii.gz");
    return names.filter((one) => !/^[._]/.test(one)).map((one) => [part, one] as const);
  };
  const files = [...await listed("imagesTr"), ...await listed("imagesTs"), ...await listed("labelsTr")];
  const target = join(folders.raw, `${prefix}_${name[2]}`);
  await makeFolderWhole(target, DOING, async (folder) => {
    for (const part of ["imagesTr", "imagesTs", "labelsTr"]) await Deno.mkdir(join(folder, part));
    let next = 0;
    let done = 0;
    const lane = async () => {
      while (next < files.length) {
        if (conversion.signal?.aborted) throw new Interrupted("stopped; nothing was converted");
        const [part, file] = files[next++];
        const from = join(source, part, file);
        if (part === "labelsTr") await copyFile(from, join(folder, part, file), DOING);
        else await convertImage(from, join(folder, part, file.slice(0, -".nii.gz".length)));
        conversion.onFile?.(++done, files.length);
      }
    };
    await Promise.all(Array.from({ length: Math.max(1, conversion.parallel) }, lane));
    await writeAtomically(join(folder, "dataset.json"), json, { doing: DOING });
  });
  return target;
}

/** `<base>_0000.nii.gz` and so on; a file of one volume is copied as it is. */
async function convertImage(from: string, base: string): Promise<void> {
  const volumes = await volumesOfNifti(from, DOING);
  if (volumes === 1) await copyFile(from, `${base}_0000.nii.gz`, DOING);
  else await splitNifti(from, (volume) => `${base}_${String(volume).padStart(4, "0")}.nii.gz`, DOING);
}
