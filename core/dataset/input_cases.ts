/**
 * Which files make which case: `-i` is a folder of `<case>_XXXX<ending>`, one file, or the files of one case in channel order;
 * or DICOM (dicom_cases.ts).
 * Every way of getting it wrong is found here, before any image is read.
 * Source of the naming: nnunetv2/utilities/utils.py, create_lists_from_splitted_dataset_folder.
 */
import { plural } from "../base/plural.ts";
import { readError } from "../base/read_error.ts";
import { readFolder } from "../base/read_folder.ts";
import { UserError } from "../base/errors.ts";
import { oddFile } from "../base/odd_file.ts";
import { refuseOverwriting } from "../base/overwriting.ts";
import { basename, join, resolve } from "../base/path.ts";
import { isDicomFile } from "../formats/dicom/read_dicom_file.ts";
import type { ReaderName } from "../formats/image/image.ts";
import { mayHoldSeveralChannels } from "../formats/image/read_image.ts";
import { imageEnding, takesSeries } from "../formats/image/readers.ts";
import type { DatasetJson } from "./dataset_json.ts";
import { dicomCaseOf, listDicomCases } from "./dicom_cases.ts";

/** One case: its files in channel order. */
export interface InputCase {
  readonly id: string;
  readonly files: readonly string[];
}

export interface CaseListing {
  /** In upstream's order: by identifier. */
  readonly cases: readonly InputCase[];
  /** One for each case that cannot be predicted, with `parts.caseId`. */
  readonly failures: readonly UserError[];
  readonly warnings: readonly string[];
}

export interface ExpectedInput {
  /** dataset.json's file_ending. */
  readonly fileEnding: string;
  /** dataset.json's channel names; their number is the number of files a case has. */
  readonly channelNames: readonly string[];
  /**
   * True where one file can hold several channels (PNG with colours, 4-D NIfTI through SimpleITKIO): then fewer files than
   * channels are left to the reader to judge.
   */
  readonly severalChannelsPerFile: (file: string) => boolean | Promise<boolean>;
  /** The series that `--series` names; not there where the model's reader class takes no DICOM. */
  readonly series?: readonly string[];
}

/** Of a model: by its dataset.json, the reader class of its plans, and the series that are asked for. */
export function expectedInput(
  { fileEnding, channelNames }: Pick<DatasetJson, "fileEnding" | "channelNames">,
  reader: ReaderName,
  series: readonly string[] = [],
): ExpectedInput {
  return {
    fileEnding,
    channelNames,
    severalChannelsPerFile: (file) => mayHoldSeveralChannels(reader, file),
    ...(takesSeries(reader) && { series }),
  };
}

const DOING = "listing the input images";

/** Lists the cases of `-i`. @throws UserError if there is nothing to work on at all. */
export async function listInputCases(input: string, expected: ExpectedInput): Promise<CaseListing> {
  const stat = await statOrNull(input);
  if (stat?.isDirectory) return await listFolder(input, expected);
  const files = stat ? [input] : input.split(",").map((file) => file.trim()).filter((file) => file !== "");
  return await caseOfPaths(files, expected);
}

/** One case named by its images' files, or by DICOM files or folders. @throws UserError if they are not the case's channels */
export async function caseOfPaths(files: readonly string[], expected: ExpectedInput): Promise<CaseListing> {
  return await seriesOfFiles(files, expected) ?? await caseOfFiles(files, expected);
}

/** One case of DICOM files or folders; null where one is something else, or not there. */
async function seriesOfFiles(files: readonly string[], expected: ExpectedInput): Promise<CaseListing | null> {
  const { fileEnding, channelNames, series } = expected;
  if (series === undefined || files.length === 0) return null;
  for (const file of files) {
    const stat = await statOrNull(file);
    if (!stat?.isDirectory && (!stat?.isFile || file.endsWith(fileEnding) || !await isDicomFile(file))) return null;
  }
  return await dicomCaseOf(files, { channelNames, series });
}

async function listFolder(folder: string, expected: ExpectedInput): Promise<CaseListing> {
  const { names, skipped, odd } = await filesIn(folder, expected.fileEnding);
  const matching = names.filter((name) => name.endsWith(expected.fileEnding));
  if (matching.length === 0 && odd.size === 0) {
    const { channelNames, series } = expected;
    const listing = series === undefined ? null : await listDicomCases(folder, { channelNames, series });
    if (listing) return listing;
    throw await noMatchingFile(folder, names, expected);
  }

  const warnings = skipped
    ? [
      `${plural(skipped, "hidden file")} (named .something) in ${folder} ${
        skipped === 1 ? "is" : "are"
      } not taken for ${skipped === 1 ? "an image" : "images"}`,
    ]
    : [];
  const other = names.filter((name) =>
    !name.endsWith(expected.fileEnding) && isNamedAsImage(name, expected.fileEnding)
  );
  if (other.length > 0) {
    const shown = other.slice(0, 3).join(", ") + (other.length > 3 ? ", ..." : "");
    warnings.push(
      `${plural(other.length, "file")} in ${folder} (${shown}) ${other.length === 1 ? "is" : "are"} left out: ` +
        `the model takes names that end in ${expected.fileEnding}`,
    );
  }
  const listing = await listImages(folder, matching, expected, odd);
  return { ...listing, warnings: [...warnings, ...listing.warnings] };
}

/**
 * The cases of a folder's images.
 * @param matching Names that end as the model's do
 * @param odd What is named so and is no file, and what it is
 */
export async function listImages(
  folder: string,
  matching: readonly string[],
  expected: ExpectedInput,
  odd: ReadonlyMap<string, string> = new Map(),
): Promise<CaseListing> {
  const warnings: string[] = [];
  const byCase = new Map<string, Map<number, string>>();
  const unnumbered: string[] = [];
  const nameless: string[] = [];
  for (const name of matching) {
    const parsed = splitName(name, expected.fileEnding);
    if (parsed.id === "") nameless.push(name);
    else if (parsed.channel === undefined) unnumbered.push(name);
    else upsert(byCase, parsed.id, () => new Map<number, string>()).set(parsed.channel, join(folder, name));
  }

  const cases: InputCase[] = [];
  const failures: UserError[] = [];
  for (const name of unnumbered) {
    const { id } = splitName(name, expected.fileEnding);
    const failure = unnumberedProblem(folder, name, id, byCase.has(id), expected);
    if (failure) {
      failures.push(failure);
      byCase.delete(id);
    } else {
      warnings.push(
        `${name} has no channel number; taken for the only channel (${expected.channelNames[0]}) of case ${id}`,
      );
      cases.push({ id, files: [join(folder, name)] });
    }
  }
  for (const name of nameless) {
    const problem = "nothing stands before the channel's number: the case has no name";
    failures.push(
      new UserError({ doing: DOING, caseId: name, file: join(folder, name), problem, remedy: "rename it" }),
    );
  }
  for (const [name, what] of odd) {
    const { id } = splitName(name, expected.fileEnding);
    byCase.delete(id);
    const remedy = "put the image there, or remove it";
    failures.push(
      new UserError({ doing: DOING, caseId: id, file: join(folder, name), problem: `it is ${what}`, remedy }),
    );
  }
  for (const [id, channels] of byCase) {
    const problem = await channelProblem(folder, id, channels, expected);
    if (problem) failures.push(problem);
    else cases.push({ id, files: [...channels].sort(([a], [b]) => a - b).map(([, file]) => file) });
  }
  cases.sort((a, b) => compare(a.id, b.id));
  failures.sort((a, b) => compare(a.parts.caseId ?? "", b.parts.caseId ?? ""));
  return { cases, failures, warnings };
}

/** Of another format or in capitals; not texts and other files, which lie beside images. */
function isNamedAsImage(name: string, fileEnding: string): boolean {
  const lower = name.toLowerCase();
  return lower.endsWith(fileEnding.toLowerCase()) || imageEnding(lower) !== undefined;
}

/** A file without _0000: null if it may stand for the only channel. */
function unnumberedProblem(
  folder: string,
  name: string,
  id: string,
  numberedToo: boolean,
  expected: ExpectedInput,
): UserError | null {
  const { fileEnding, channelNames } = expected;
  const output = `${id}${fileEnding}`;
  if (numberedToo) {
    return new UserError({
      doing: DOING,
      caseId: id,
      file: join(folder, name),
      problem: `two inputs for one output: ${name} and ${id}_0000${fileEnding} would both be predicted into ${output}`,
      remedy: `move ${name} out of the folder, or give it a name of its own that ends in _0000${fileEnding}`,
    });
  }
  if (channelNames.length === 1) return null;
  const names = channelNames.map((channel, i) => `${id}_${fourDigits(i)}${fileEnding} (${channel})`).join(", ");
  return new UserError({
    doing: DOING,
    caseId: id,
    file: join(folder, name),
    problem: `the name has no channel number, and the model has ${channelNames.length} channels`,
    remedy: `rename ${name} to ${id}_0000${fileEnding} if it is ${channelNames[0]}; the model needs ${names}`,
  });
}

async function channelProblem(
  folder: string,
  id: string,
  channels: ReadonlyMap<number, string>,
  expected: ExpectedInput,
): Promise<UserError | null> {
  const { fileEnding, channelNames } = expected;
  const there = [...channels.keys()].sort((a, b) => a - b);
  const fileOf = (channel: number) => `${id}_${fourDigits(channel)}${fileEnding}`;
  const needs = `the model has ${plural(channelNames.length, "channel")} (${
    channelNames.map((name, i) => `${fourDigits(i)} ${name}`).join(", ")
  })`;
  const surplus = there.filter((channel) => channel >= channelNames.length);
  if (surplus.length > 0) {
    return new UserError({
      doing: DOING,
      caseId: id,
      file: join(folder, fileOf(surplus[0])),
      problem: `surplus channel: ${needs}, and there ${surplus.length > 1 ? "are" : "is"} ${
        surplus.map(fileOf).join(", ")
      } too`,
      remedy: "remove what does not belong to the case, or use the model that was trained with these channels",
    });
  }
  const missing = channelNames.map((_, i) => i).filter((channel) => !channels.has(channel));
  if (missing.length === 0) return null;
  const first = channels.get(0);
  const contiguous = there.every((channel, i) => channel === i);
  if (first !== undefined && contiguous && await expected.severalChannelsPerFile(first)) return null;
  return new UserError({
    doing: DOING,
    caseId: id,
    file: join(folder, fileOf(missing[0])),
    problem: `missing channel: ${needs}, and ${
      missing.map((channel) => `${fileOf(channel)} (${channelNames[channel]})`).join(", ")
    } ${missing.length > 1 ? "are" : "is"} not there`,
    remedy: `add ${missing.length > 1 ? "them" : "it"}; of this case there is ${there.map(fileOf).join(", ")}`,
  });
}

/** One case named by its files. @throws UserError if they are not the case's channels in their order */
async function caseOfFiles(files: readonly string[], expected: ExpectedInput): Promise<CaseListing> {
  const { fileEnding, channelNames } = expected;
  const doing = "taking the input files";
  for (const file of files) {
    const stat = await statOrNull(file);
    if (!stat) {
      throw new UserError({
        doing,
        file,
        problem: "there is no such file or folder",
        remedy: "-i takes a folder of images, one image, or the images of one case in channel order " +
          "(a.nii.gz,b.nii.gz)",
      });
    }
    if (!stat.isFile && !stat.isDirectory) {
      const problem = `it is ${await oddFile(file)}`;
      throw new UserError({ doing, file, problem, remedy: "give an image's file" });
    }
    if (stat.isDirectory) {
      throw new UserError({
        doing,
        file,
        problem: "it is a folder; a list with commas names the files of one case",
        remedy: "give one folder, or files",
      });
    }
    if (!file.endsWith(fileEnding)) {
      throw new UserError({
        doing,
        file,
        problem: `it ends with ${endingOf(file)}; the model was trained on ${fileEnding} files`,
        remedy: `convert it to ${fileEnding}`,
      });
    }
  }
  if (files.length === 0) throw new UserError({ doing, problem: "-i is empty", remedy: "name a folder or a file" });
  const parsed = files.map((file) => splitName(basename(file), fileEnding));
  const [{ id }] = parsed;
  const twice = files.find((file, i) => files.findIndex((other) => resolve(other) === resolve(file)) !== i);
  if (twice !== undefined) {
    throw new UserError({
      doing,
      caseId: id,
      file: twice,
      problem: "it is named for two channels",
      remedy: "name one file a channel",
    });
  }
  parsed.forEach(({ channel }, i) => {
    if (channel === undefined || channel === i) return;
    throw new UserError({
      doing,
      caseId: id,
      file: files[i],
      problem: `it stands in place ${i} and its name says channel ${channel}`,
      remedy: "list the files in channel order",
    });
  });
  const enough = files.length === channelNames.length ||
    (files.length < channelNames.length && await expected.severalChannelsPerFile(files[0]));
  if (!enough) {
    throw new UserError({
      doing,
      caseId: id,
      problem: `${plural(files.length, "file")} for a model of ${plural(channelNames.length, "channel")} (${
        channelNames.join(", ")
      })`,
      remedy: `give -i ${
        channelNames.map((_, i) => `${id}_${fourDigits(i)}${fileEnding}`).join(",")
      } (one file a channel, in this order)`,
    });
  }
  const warnings = files.length === 1 && parsed[0].channel === undefined
    ? [`${basename(files[0])} has no channel number; taken for the only channel (${channelNames[0]}) of case ${id}`]
    : [];
  return { cases: [{ id, files }], failures: [], warnings };
}

async function noMatchingFile(folder: string, names: readonly string[], expected: ExpectedInput): Promise<UserError> {
  const { fileEnding } = expected;
  if (names.length === 0) {
    return new UserError({
      doing: DOING,
      file: folder,
      problem: "the folder is empty",
      remedy: `put images named CASE_0000${fileEnding} there`,
    });
  }
  if (await isDicomFile(join(folder, names[0]))) {
    const problem = `it holds DICOM files (${names[0]}, ...); the model takes ${fileEnding}`;
    const remedy = `convert each series to one CASE_0000${fileEnding} first${
      fileEnding.startsWith(".nii") ? ", as with dcm2niix" : ""
    }`;
    return new UserError({ doing: DOING, file: folder, problem, remedy });
  }
  const counts = new Map<string, number>();
  for (const name of names) counts.set(endingOf(name), (counts.get(endingOf(name)) ?? 0) + 1);
  const there = [...counts].sort((a, b) => b[1] - a[1]).map(([ending, count]) => `${plural(count, "file")} ${ending}`);
  const images = names.filter((name) => imageEnding(name) !== undefined);
  return new UserError({
    doing: DOING,
    file: folder,
    problem: `no file ends with ${fileEnding}, which the model was trained on; there ${
      names.length === 1 ? "is" : "are"
    } ${there.slice(0, 6).join(", ")}${there.length > 6 ? ", ..." : ""}`,
    remedy: images.length > 0 ? `convert the images to ${fileEnding}` : "is it the right folder?",
  });
}

/**
 * Refuses outputs that would overwrite an input, or stand for several cases.
 * @param outputs file of each case, in order. @throws UserError
 */
export function checkOutputs(cases: readonly InputCase[], outputs: readonly string[]): void {
  const takenBy = new Map<string, string>();
  outputs.forEach((output, i) => {
    const path = resolve(output);
    const other = takenBy.get(path);
    if (other !== undefined) {
      throw new UserError({
        doing: "choosing the output files",
        caseId: cases[i].id,
        file: output,
        problem: `two inputs for one output: case ${other} would be written there too`,
        remedy: "name a folder with -o",
      });
    }
    takenBy.set(path, cases[i].id);
  });
  refuseOverwriting(
    cases.flatMap(({ files }) => files.map((path) => ({ path, what: "an input image" }))),
    outputs.map((path) => ({ path, what: "the segmentation" })),
    { doing: "choosing the output files", remedy: "name another folder with -o" },
  );
}

/** "case_0001.nii.gz" -> id "case", channel 1; channel is undefined without a number of four digits. */
export function splitName(name: string, ending: string): { readonly id: string; readonly channel?: number } {
  const stem = name.slice(0, name.length - ending.length);
  const match = /^(.*)_(\d{4})$/.exec(stem);
  return match ? { id: match[1], channel: Number(match[2]) } : { id: stem };
}

function endingOf(name: string): string {
  const base = basename(name);
  return imageEnding(base) ?? /\.[^.]+$/.exec(base)?.[0] ?? "without an ending";
}

interface FolderFiles {
  readonly names: string[];
  /** Hidden files. */
  readonly skipped: number;
  /** What is named like an image and is no file, and what it is. */
  readonly odd: ReadonlyMap<string, string>;
}

async function filesIn(folder: string, fileEnding: string): Promise<FolderFiles> {
  const names: string[] = [];
  const odd = new Map<string, string>();
  let skipped = 0;
  for (const { name, isFile } of await readFolder(folder, DOING) ?? []) {
    const what = isFile ? undefined : await oddFile(join(folder, name));
    if (what === undefined) {
      if (name.startsWith(".")) skipped++;
      else names.push(name);
    } else if (name.endsWith(fileEnding) && !name.startsWith(".")) odd.set(name, what);
  }
  return { names: names.sort(compare), skipped, odd };
}

async function statOrNull(path: string): Promise<Deno.FileInfo | null> {
  try {
    return await Deno.stat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return null;
    throw readError(error, path, DOING);
  }
}

function upsert<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const known = map.get(key);
  if (known !== undefined) return known;
  const made = make();
  map.set(key, made);
  return made;
}

const fourDigits = (channel: number) => String(channel).padStart(4, "0");
const compare = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);
