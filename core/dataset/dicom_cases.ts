/**
 * Cases of DICOM: `-i` is a folder that holds one study, or a folder for each case; several channels are CASE_0000, CASE_0001, ... or
 * series of one study that are named in channel order. What a case gets are names of series (`core/formats/dicom/series.ts`).
 */
import { plural } from "../base/plural.ts";
import { UserError } from "../base/errors.ts";
import { basename, dirname, join, resolve } from "../base/path.ts";
import { isDicomFile, readDicomFile } from "../formats/dicom/read_dicom_file.ts";
import {
  type DicomFolder,
  entriesOf,
  holdsDicom,
  nameOf,
  readDicomFolder,
  seriesPath,
} from "../formats/dicom/series.ts";
import { DIRECTORY } from "../formats/dicom/kinds.ts";
import type { CaseListing, InputCase } from "./input_cases.ts";

export interface ExpectedSeries {
  readonly channelNames: readonly string[];
  /** UIDs that `--series` names. */
  readonly series: readonly string[];
}

const DOING = "listing the DICOM series";

/** A folder of DICOM, and the case and channel that its name says. */
interface NamedFolder {
  readonly name: string;
  readonly id: string;
  readonly channel?: number;
  readonly found: DicomFolder;
}

/** The cases of a folder; null if there is no DICOM in it. @throws UserError if a series that is asked for is nowhere */
export async function listDicomCases(folder: string, expected: ExpectedSeries): Promise<CaseListing | null> {
  const entries = await entriesOf(folder, DOING);
  for (const { path, isFolder } of entries) {
    // Files beside folders are those of a medium with one study: DICOMDIR and the like.
    if (!isFolder && await isDicomFile(path)) return await listStudy(folder, expected);
  }
  const folders: { readonly name: string; readonly found: DicomFolder }[] = [];
  const empty: string[] = [];
  for (const { path, name, isFolder } of entries) {
    if (!isFolder) continue;
    if (!await holdsDicom(path, DOING)) {
      empty.push(name);
      continue;
    }
    const found = await readDicomFolder(path, DOING);
    // Without the slices, which many cases have very many of and which are read again.
    const light = { ...found, series: found.series.map((one) => ({ ...one, slices: [] })) };
    folders.push({ name, found: light });
  }
  if (folders.length === 0) return null;
  requireSeries(expected.series, folders.map(({ found }) => found), folder);
  const warnings = empty.length === 0
    ? []
    : [`${plural(empty.length, "folder")} in ${folder} without DICOM left out: ${shown(empty)}`];
  const listing = listFolders(namedFolders(folders, expected.channelNames.length), folder, expected);
  return { ...listing, warnings: [...warnings, ...listing.warnings] };
}

async function listStudy(folder: string, expected: ExpectedSeries): Promise<CaseListing> {
  const found = await readDicomFolder(folder, DOING);
  requireSeries(expected.series, [found], folder);
  const name = basename(resolve(folder)) || "case";
  return listFolders([{ name, id: name, found }], folder, expected);
}

/** One case of DICOM files and folders, one for each channel, or one folder with all; null if one of them is neither. */
export async function dicomCaseOf(inputs: readonly string[], expected: ExpectedSeries): Promise<CaseListing | null> {
  const warnings: string[] = [];
  const files: string[] = [];
  const { channelNames, series } = expected;
  const channels = inputs.length === 1 ? channelNames.length : 1;
  for (const input of inputs) {
    const { isDirectory } = await Deno.stat(input);
    if (isDirectory) {
      const found = await readDicomFolder(input, DOING);
      if (found.series.length + found.others.length + found.damaged.length === 0) return null;
      files.push(...channelsOf(found, channels, series, channelNames));
      warnings.push(...leftOut(found));
      continue;
    }
    const file = await readDicomFile(input, DOING);
    if (!file) return null;
    files.push(seriesPath(dirname(input), file.dataset.text("SeriesInstanceUID") ?? ""));
  }
  const id = basename(resolve(inputs[0])).replace(/\.dcm$/i, "").replace(/_0000$/, "");
  if (files.length !== channelNames.length) {
    throw new UserError({
      doing: DOING,
      caseId: id,
      problem: `${files.length} series for a model of ${plural(channelNames.length, "channel")} (${
        channelNames.join(", ")
      })`,
      remedy: "name one for each channel, in this order",
    });
  }
  return { cases: [{ id, files }], failures: [], warnings };
}

/** The case and channel of each folder's name. A model of one channel needs no numbers: the name is the case's then. */
function namedFolders(
  folders: readonly { readonly name: string; readonly found: DicomFolder }[],
  channels: number,
): NamedFolder[] {
  const numbered = channels > 1 || folders.every(({ name }) => /._0000$/.test(name));
  return folders.map(({ name, found }) => {
    const match = numbered ? /^(.+)_(\d{4})$/.exec(name) : null;
    return match ? { name, id: match[1], channel: Number(match[2]), found } : { name, id: name, found };
  });
}

function listFolders(folders: readonly NamedFolder[], input: string, expected: ExpectedSeries): CaseListing {
  const { channelNames, series } = expected;
  const cases: InputCase[] = [];
  const failures: UserError[] = [];
  const warnings: string[] = [];
  for (const [id, channels] of Map.groupBy(folders, (folder) => folder.id)) {
    try {
      const whole = channels.find(({ channel }) => channel === undefined);
      if (whole) {
        if (channels.length > 1) throw twoInputs(whole, channels);
        cases.push({ id, files: channelsOf(whole.found, channelNames.length, series, channelNames) });
      } else {
        requireChannels(id, channels, input, channelNames);
        cases.push({ id, files: channels.flatMap(({ found }) => channelsOf(found, 1, series)) });
      }
      for (const { found } of channels) warnings.push(...leftOut(found));
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      failures.push(error.withCase(id));
    }
  }
  return { cases, failures, warnings };
}

function twoInputs(whole: NamedFolder, channels: readonly NamedFolder[]): UserError {
  const other = channels.find((one) => one !== whole) ?? whole;
  const problem = `two inputs for one output: the folders ${whole.name} and ${other.name}`;
  return new UserError({ doing: DOING, file: whole.found.folder, problem, remedy: "rename one of them" });
}

function requireChannels(
  id: string,
  folders: readonly NamedFolder[],
  input: string,
  channelNames: readonly string[],
): void {
  const wanted = channelNames.map((_, i) => `${id}_${String(i).padStart(4, "0")}`);
  const there = folders.map(({ name }) => name);
  const missing = wanted.filter((name) => !there.includes(name));
  const surplus = there.filter((name) => !wanted.includes(name));
  if (missing.length === 0 && surplus.length === 0) return;
  const model = `the model has ${plural(channelNames.length, "channel")} (${channelNames.join(", ")})`;
  throw new UserError({
    doing: DOING,
    file: join(input, missing[0] ?? surplus[0]),
    problem: missing.length > 0
      ? `missing channel: ${model}, and there is no folder ${missing.join(", ")}`
      : `surplus channel: ${model}, and there is the folder ${surplus.join(", ")} too`,
    remedy: `a folder for each channel: ${wanted.join(", ")}`,
  });
}

/** Names of the series in a folder that are the channels. @throws UserError listing the series where it is not clear which */
function channelsOf(
  found: DicomFolder,
  channels: number,
  asked: readonly string[],
  channelNames: readonly string[] = [],
): string[] {
  const { folder, damaged, series } = found;
  if (damaged.length > 0) throw damaged[0];
  const chosen = asked.flatMap((uid) => series.filter((one) => one.uid === uid));
  const [images, only] = [series.filter((one) => one.images > 0), asked.length === 0 || chosen.length === 0];
  const candidates = only ? (images.length > 0 ? images : series) : chosen;
  if (candidates.length === channels && (channels === 1 || !only)) {
    return candidates.map(({ uid }) => seriesPath(folder, uid));
  }
  const list = listed(candidates.map((one) => `${nameOf(one)} of ${plural(one.frames, "slice")}`));
  const fail = (problem: string, remedy: string) => new UserError({ doing: DOING, file: folder, problem, remedy });
  if (candidates.length === 0) {
    const broken = found.others.find(({ incomplete }) => incomplete !== undefined);
    if (broken?.incomplete) {
      const { file, incomplete: { problem } } = broken;
      throw new UserError({ doing: DOING, file, problem, remedy: "export the whole series again" });
    }
    const kinds = [...new Set(found.others.map(({ what }) => what))].join(", ");
    throw fail(`there is no series of images in it${kinds === "" ? "" : `, only ${kinds}`}`, "is it the right folder?");
  }
  if (channels === 1) {
    const which = only
      ? `it holds ${candidates.length} series`
      : `${candidates.length} of the series that --series names lie in it`;
    throw fail(`${which}: ${list}`, "choose one with --series UID, or put it into a folder of its own");
  }
  throw fail(
    `the model has ${channels} channels (${channelNames.join(", ")}), and ${
      only ? `the folder holds ${candidates.length} series` : `--series names ${candidates.length} of this folder`
    }: ${list}`,
    "name their series in the channels' order with --series UID UID ..., or make folders CASE_0000, CASE_0001, ...",
  );
}

/** What of a folder is not used, in sentences. */
function leftOut({ folder, others, foreign }: DicomFolder): string[] {
  const warnings: string[] = [];
  if (foreign.length > 0) {
    warnings.push(
      `${plural(foreign.length, "file")} in ${folder} left out, as no DICOM: ${shown(namesIn(folder, foreign))}`,
    );
  }
  for (const [what, files] of Map.groupBy(others, (one) => one.what)) {
    // A directory belongs to what it lists, and an image without pixels is an error of its series.
    if (what === DIRECTORY || files.some(({ incomplete }) => incomplete !== undefined)) continue;
    const names = shown(namesIn(folder, files.map(({ file }) => file)));
    warnings.push(`${plural(files.length, "file")} in ${folder} left out, as no image to segment: ${names} (${what})`);
  }
  return warnings;
}

function namesIn(folder: string, files: readonly string[]): string[] {
  return files.map((file) => file.startsWith(folder) ? file.slice(folder.length).replace(/^[/\\]/, "") : file);
}

/** A list that is read whole, as one is to be chosen from it. */
function listed(names: readonly string[]): string {
  return names.slice(0, 50).join("; ") + (names.length > 50 ? "; ..." : "");
}

function shown(names: readonly string[]): string {
  return names.slice(0, 3).join(", ") + (names.length > 3 ? ", ..." : "");
}

/** @throws UserError if a series that is asked for is in none of the folders */
function requireSeries(asked: readonly string[], folders: readonly DicomFolder[], input: string): void {
  const there = new Map(folders.flatMap(({ series }) => series.map((one) => [one.uid, one] as const)));
  const missing = asked.find((uid) => !there.has(uid));
  if (missing === undefined) return;
  throw new UserError({
    doing: DOING,
    file: input,
    problem: `there is no series ${missing} of images in it; ${
      there.size === 0 ? "there is none at all" : `there is ${listed([...there.values()].map(nameOf))}`
    }`,
    remedy: "check what --series names",
  });
}
