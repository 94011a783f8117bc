/**
 * A raw dataset on disk: which files make which training case. Cases come from the folders imagesTr and labelsTr, or from
 * dataset.json's key `dataset`. Source: nnunetv2/utilities/utils.py, get_filenames_of_train_images_and_targets.
 */
import { plural } from "../base/plural.ts";
import { readFolder } from "../base/read_folder.ts";
import { UserError } from "../base/errors.ts";
import { show } from "../base/fields.ts";
import { keysOf, readJsonFile } from "../base/json.ts";
import { refuseOverwriting } from "../base/overwriting.ts";
import { basename, isAbsolute, join, resolve } from "../base/path.ts";
import { pathNameProblem, requirePathName } from "../base/path_name.ts";
import { supportedEndings } from "../formats/image/readers.ts";
import { foldersIn, isFolder } from "./dataset_names.ts";

/** One training case: its image files in channel order and its segmentation. */
export interface RawCase {
  readonly id: string;
  readonly images: readonly string[];
  readonly label: string;
}

/** dataset.json as it is, read but not judged, and the cases it leads to. */
export interface RawDataset {
  readonly name: string;
  readonly folder: string;
  /** The file dataset.json. */
  readonly jsonFile: string;
  readonly jsonText: string;
  readonly json: Readonly<Record<string, unknown>>;
  readonly fileEnding: string;
  /** In upstream's order: by id, or in the order of the key `dataset`. */
  readonly cases: readonly RawCase[];
  /** True if the cases are those of the key `dataset`. */
  readonly listed: boolean;
}

const DOING = "reading the raw dataset";

/**
 * Reads dataset.json and lists the training cases; no image is opened.
 * @param folder The dataset's folder, nnUNet_raw/DatasetXXX_Name
 * @throws UserError if there is no dataset.json, no file_ending in it, or no training case
 */
export async function readRawDataset(folder: string): Promise<RawDataset> {
  const jsonFile = join(folder, "dataset.json");
  if (!(await isFolder(folder))) {
    throw new UserError({
      doing: DOING,
      file: folder,
      problem: "there is no such folder",
      remedy: "put the dataset there (dataset.json, imagesTr, labelsTr), or correct nnUNet_raw",
    });
  }
  const { text, value } = await readJsonOfDataset(jsonFile);
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    const remedy = "write it as nnU-Net's dataset format says: channel_names, labels, numTraining, file_ending";
    throw new UserError({ doing: DOING, file: jsonFile, problem: "it holds no object ({...})", remedy });
  }
  const json = value as Record<string, unknown>;
  const fileEnding = json.file_ending;
  if (typeof fileEnding !== "string" || fileEnding === "") {
    const problem = fileEnding === undefined
      ? "file_ending is missing"
      : `file_ending has to be a text like ".nii.gz", found ${show(fileEnding)}`;
    const remedy = 'add "file_ending": ".nii.gz" (the ending images and segmentations share)';
    throw new UserError({ doing: DOING, file: jsonFile, problem, remedy });
  }
  requirePathName(fileEnding, "file_ending", { doing: DOING, file: jsonFile, remedy: 'write it like ".nii.gz"' });
  const listed = json.dataset !== undefined;
  const cases = listed ? listedCases(folder, json.dataset, jsonFile) : await scannedCases(folder, fileEnding);
  if (cases.length === 0) throw await noCases(folder, fileEnding, listed, jsonFile);
  return { name: basename(folder), folder, jsonFile, jsonText: text, json, fileEnding, cases, listed };
}

/** Refuses roots of which one leads to the other. @throws UserError */
export function refuseSameFolder(rawFolder: string, preprocessedFolder: string, doing: string): void {
  refuseOverwriting(
    [{ path: rawFolder, what: "the raw dataset's folder" }],
    [{ path: preprocessedFolder, what: "the folder of the preprocessed dataset" }],
    { doing, remedy: "set nnUNet_raw and nnUNet_preprocessed to different folders" },
  );
}

async function readJsonOfDataset(file: string): ReturnType<typeof readJsonFile> {
  try {
    return await readJsonFile(file, DOING);
  } catch (error) {
    if (!(error instanceof UserError) || !(error.cause instanceof Deno.errors.NotFound)) throw error;
    const remedy =
      'write it: {"channel_names": {"0": "CT"}, "labels": {"background": 0, "NAME": 1}, "numTraining": 20, "file_ending": ".nii.gz"}';
    throw new UserError({ ...error.parts, remedy }, { cause: error.cause });
  }
}

/** Names of the files in `folder` that end in `ending`, sorted by code point; none if there is no such folder. */
export async function filesEndingIn(folder: string, ending: string): Promise<string[]> {
  const entries = await readFolder(folder, "listing the files") ?? [];
  return entries.filter((entry) => !entry.isDirectory && !isResourceFork(entry.name) && entry.name.endsWith(ending))
    .map(({ name }) => name).sort(compareNames);
}

/** What macOS puts beside files on other disks: "._" and the file's name. Never data. */
function isResourceFork(name: string): boolean {
  return name.startsWith("._");
}

/** A word about what macOS has left among the images and segmentations, which are not taken for cases. */
export async function leftOutFiles(folder: string): Promise<string[]> {
  const notes: string[] = [];
  for (const part of ["imagesTr", "labelsTr"]) {
    const names = (await readFolder(join(folder, part), DOING) ?? []).map(({ name }) => name).filter(isResourceFork);
    if (names.length === 0) continue;
    notes.push(
      `${plural(names.length, "file")} of macOS in ${join(folder, part)} (${names.sort()[0]}${
        names.length > 1 ? ", ..." : ""
      }) ${names.length === 1 ? "is" : "are"} left out; dot_clean removes them`,
    );
  }
  return notes;
}

/** Python's order of texts (by code point; JavaScript's differs beyond the basic plane only). */
export function compareNames(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** The case of an image file: upstream cuts five characters, "_0000", whatever they are. */
export function caseIdOf(name: string, ending: string): string {
  return name.slice(0, Math.max(0, name.length - ending.length - 5));
}

async function scannedCases(folder: string, ending: string): Promise<RawCase[]> {
  const images = join(folder, "imagesTr");
  const files = await filesEndingIn(images, ending);
  const channels = new Map<string, string[]>();
  for (const name of files) {
    const id = caseIdOf(name, ending);
    const ofCase = channels.get(id) ?? [];
    if (/^_\d{4}$/.test(name.slice(id.length, name.length - ending.length))) ofCase.push(join(images, name));
    channels.set(id, ofCase);
  }
  const cases = [...channels].sort(([a], [b]) => compareNames(a, b));
  // Of a file without a channel's number there is no name to check; it is said elsewhere that the case has no image.
  const unfit = cases.find(([id, paths]) => paths.length > 0 && pathNameProblem(id) !== undefined);
  if (unfit) {
    const remedy = `rename ${basename(unfit[1][0])}`;
    requirePathName(unfit[0], "a case's name, what stands before _0000,", { doing: DOING, file: images, remedy });
  }
  return cases.map(([id, paths]) => ({ id, images: paths, label: join(folder, "labelsTr", id + ending) }));
}

function listedCases(folder: string, dataset: unknown, jsonFile: string): RawCase[] {
  const wrong = (path: string, problem: string) =>
    new UserError({
      doing: DOING,
      file: jsonFile,
      problem: `${path}: ${problem}`,
      remedy:
        'write "dataset": {"CASE": {"images": ["FILE", ...], "label": "FILE"}, ...}, or use imagesTr and labelsTr',
    });
  if (typeof dataset !== "object" || dataset === null || Array.isArray(dataset)) {
    throw wrong("dataset", "expected an object of cases");
  }
  const absolute = (file: string) => isAbsolute(file) ? file : resolve(folder, file);
  return keysOf(dataset).map((id) => {
    const entry = (dataset as Record<string, { images?: unknown; label?: unknown } | null>)[id];
    const unfit = pathNameProblem(id);
    if (unfit !== undefined) throw wrong("dataset", `${unfit}, found the case ${show(id)}`);
    const { images, label } = entry ?? {};
    if (!Array.isArray(images) || images.length === 0 || images.some((one) => typeof one !== "string")) {
      throw wrong(`dataset.${id}.images`, "expected a list of file names");
    }
    if (typeof label !== "string") throw wrong(`dataset.${id}.label`, "expected a file name");
    return { id, images: images.map(absolute), label: absolute(label) };
  });
}

async function noCases(folder: string, ending: string, listed: boolean, jsonFile: string): Promise<UserError> {
  if (listed) {
    const remedy = "list the cases, or remove the key: imagesTr and labelsTr are used then";
    return new UserError({ doing: DOING, file: jsonFile, problem: "its key `dataset` lists no case", remedy });
  }
  const images = join(folder, "imagesTr");
  if (!(await isFolder(images))) {
    const other = (await foldersIn(folder)).find((name) => name.toLowerCase() === "imagestr");
    const remedy = other === undefined
      ? `put the training images there, named CASE_0000${ending}, and the segmentations into labelsTr, CASE${ending}`
      : `rename ${other}: capital letters count`;
    return new UserError({ doing: DOING, file: images, problem: "there is no such folder", remedy });
  }
  const there = await filesEndingIn(images, "");
  if (there.length === 0) {
    const remedy =
      `put the training images there, named CASE_0000${ending}, and the segmentations into labelsTr, CASE${ending}`;
    return new UserError({ doing: DOING, file: images, problem: "the folder is empty", remedy });
  }
  const examples = there.slice(0, 3).join(", ") + (there.length > 3 ? ", ..." : "");
  const right = supportedEndings().find((one) => there.some((name) => name.toLowerCase().endsWith(one)));
  return new UserError({
    doing: DOING,
    file: images,
    problem: `no file in it ends in ${ending}, the file_ending of dataset.json; there are ${examples}`,
    remedy: right === undefined
      ? `convert the images to ${supportedEndings().join(", ")}, and write that as file_ending into dataset.json`
      : `write "file_ending": "${right}" into dataset.json`,
  });
}
