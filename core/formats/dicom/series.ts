/** What lies in a folder of DICOM files: its series, what is no image, what is no DICOM. Headers are read, no pixels. */
import { UserError } from "../../base/errors.ts";
import { join } from "../../base/path.ts";
import { readFolder } from "../../base/read_folder.ts";
import { otherKind } from "./kinds.ts";
import { isDicomFile, readDicomFile } from "./read_dicom_file.ts";
import { type NoImage, type Slice, slicesOf } from "./slice.ts";

/** The frames of one series, in the order of their files' names. */
export interface Series {
  /** Series Instance UID; empty where the files have none. */
  readonly uid: string;
  /** "CT, series 3, Abdomen venous": what the files say of it. */
  readonly title: string;
  readonly slices: readonly Slice[];
  /** How many frames there are. */
  readonly frames: number;
  /** Frames that are slices of a volume, not localisers. */
  readonly images: number;
}

export interface DicomFolder {
  readonly folder: string;
  /** Those that hold images, by their UIDs. */
  readonly series: readonly Series[];
  /** Files of other kinds. An image without its pixels is one, which its series is refused for. */
  readonly others: readonly NoImage[];
  /** Files that are no DICOM files. */
  readonly foreign: readonly string[];
  /** Of files that are damaged before their pixels. */
  readonly damaged: readonly UserError[];
}

/** Folders in folders: as deep as media and archives nest patients, studies and series, and more. */
const DEEPEST = 8;
/** Files of other kinds that may stand before the first of DICOM. */
const MOST_FOREIGN = 500;
/** Files that are opened at a time. */
const AT_ONCE = 8;

/** What is in a folder, sorted, without hidden entries; links are what they lead to. @throws UserError if it can't be read */
export async function entriesOf(
  folder: string,
  doing: string,
): Promise<{ path: string; name: string; isFolder: boolean }[]> {
  const entries = (await readFolder(folder, doing) ?? []).filter(({ name }) => !name.startsWith("."));
  entries.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  return await Promise.all(entries.map(async ({ name, isDirectory, isSymlink }) => {
    const path = join(folder, name);
    const leads = isSymlink && await Deno.stat(path).then((stat) => stat.isDirectory, () => false);
    return { path, name, isFolder: isDirectory || leads };
  }));
}

/** Files of a folder and the folders in it. A link that leads back to a folder it lies in ends there. */
export async function* filesBelow(
  folder: string,
  doing: string,
  above: readonly string[] = [],
): AsyncGenerator<string> {
  const place = await Deno.realPath(folder).catch(() => folder);
  if (above.includes(place) || above.length > DEEPEST) return;
  for (const { path, isFolder } of await entriesOf(folder, doing)) {
    if (isFolder) yield* filesBelow(path, doing, [...above, place]);
    else yield path;
  }
}

/** True where there is DICOM among the first files below a folder: what is none need not be looked through to its end. */
export async function holdsDicom(folder: string, doing: string): Promise<boolean> {
  let looked = 0;
  for await (const file of filesBelow(folder, doing)) {
    if (await isDicomFile(file)) return true;
    if (++looked === MOST_FOREIGN) break;
  }
  return false;
}

/**
 * Reads the headers of all files below a folder.
 * @param only The UID of a series: files of others are passed over
 * @throws UserError if a file can't be read; what is damaged is in the result
 */
export async function readDicomFolder(folder: string, doing: string, only?: string): Promise<DicomFolder> {
  const files = await Array.fromAsync(filesBelow(folder, doing));
  const bySeries = new Map<string, { title: string; slices: Slice[] }>();
  const others: NoImage[] = [];
  const foreign: string[] = [];
  const damaged: UserError[] = [];
  for (let start = 0; start < files.length; start += AT_ONCE) {
    const read = await Promise.all(files.slice(start, start + AT_ONCE).map((file) => headerOf(file, doing)));
    for (const one of read) {
      if (one instanceof UserError) damaged.push(one);
      else if (typeof one === "string") foreign.push(one);
      else if ("what" in one) others.push(one);
      else if (only === undefined || one.uid === only) {
        const known = bySeries.get(one.uid);
        if (known) { for (const slice of one.slices) known.slices.push(slice); }
        else bySeries.set(one.uid, { title: one.title, slices: [...one.slices] });
      }
    }
  }
  const series = [...bySeries].map(([uid, { title, slices }]) => ({
    uid,
    title,
    slices,
    frames: slices.length,
    images: slices.filter(({ localiser }) => !localiser).length,
  })).sort((a, b) => (a.uid < b.uid ? -1 : 1));
  return { folder, series, others, foreign, damaged };
}

type Header = NoImage | { readonly uid: string; readonly title: string; readonly slices: readonly Slice[] };

/** What a file is; its name where it is no DICOM file. */
async function headerOf(file: string, doing: string): Promise<Header | string | UserError> {
  try {
    const read = await readDicomFile(file, doing, (sopClass) => otherKind(sopClass) !== undefined);
    if (!read) return file;
    const slices = slicesOf(read);
    if ("what" in slices) return slices;
    const { dataset } = read;
    const number = dataset.text("SeriesNumber");
    const title = [
      dataset.text("Modality") ?? "",
      number === undefined ? "" : `series ${number}`,
      dataset.text("SeriesDescription") ?? "",
    ].filter((part) => part !== "").join(", ");
    return { uid: dataset.text("SeriesInstanceUID") ?? "", title, slices };
  } catch (error) {
    if (error instanceof UserError) return error;
    throw error;
  }
}

/** A series in errors and lists. */
export function nameOf({ uid, title }: Series): string {
  return `series ${uid || "without UID"}${title === "" ? "" : ` (${title})`}`;
}

/** Ending of the name by which a series stands for an image's file. */
const SERIES_ENDING = ".dicom-series";

/** The name of a series among the files of cases: its folder, and which of the series in it. There is no such file. */
export function seriesPath(folder: string, uid: string): string {
  return join(folder, `${encodeURIComponent(uid)}${SERIES_ENDING}`);
}

/** The folder and UID of a name that {@link seriesPath} made; null for every other. */
export function parseSeriesPath(path: string): { readonly folder: string; readonly uid: string } | null {
  if (!path.endsWith(SERIES_ENDING)) return null;
  const split = Math.max(path.lastIndexOf("/"), path.lastIndexOf("\\"));
  const name = path.slice(split + 1, -SERIES_ENDING.length);
  try {
    return { folder: split < 0 ? "." : path.slice(0, split) || "/", uid: decodeURIComponent(name) };
  } catch {
    return null;
  }
}
