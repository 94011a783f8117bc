/**
 * Which pages of a file are one image, and of which shape: what tifffile.imread gives. A file says it by JSON of tifffile, by OME-XML,
 * by ImageJ's text, or not at all. Source: TiffFile.series of tifffile 2026.3.3; microscopes' formats beside these are refused by name.
 */
import {
  type Directory,
  fieldOf,
  pageDirectories,
  readDirectory,
  textOf,
  type TiffFile,
  wholeNumbers,
} from "./directories.ts";
import { imagejSeries } from "./imagej.ts";
import { omeSeries } from "./ome.ts";
import { type Page, readPage, UNREAD } from "./page.ts";
import { type Pages, type Series, seriesOf } from "./planes.ts";
import { TiffDamage, TiffRefusal } from "./problem.ts";
import { shapedSeries } from "./shaped.ts";

/** @throws TiffDamage, TiffRefusal */
export async function readSeries(file: TiffFile): Promise<Series> {
  const pages: Page[] = [];
  for await (const directory of pageDirectories(file)) pages.push(await pageOf(file, directory, pages[0]));
  if (pages.length === 0) throw new TiffDamage("it has no page");
  const texts = async ({ directory }: Page) => await descriptionsOf(file, directory);
  const all: Pages = { file, pages, descriptions: texts };
  const [first] = pages;
  const [description = "", second = ""] = await texts(first);
  const series = await describedSeries(all, [description, second]) ?? await plainSeries(all);
  const warnings = first.orientation > 1 && first.orientation <= 8
    ? [`its orientation (field 274) is ${first.orientation}; the pixels were taken as they are stored, as in Python`]
    : [];
  return { ...series, warnings: [...series.warnings, ...warnings] };
}

/** Only the first page has to be one that is read: a thumbnail, say, may be anything, and is like no other page. */
async function pageOf(file: TiffFile, directory: Directory, first: Page | undefined): Promise<Page> {
  try {
    return await readPage(file, directory);
  } catch (error) {
    if (!first || !(error instanceof TiffRefusal || error instanceof TiffDamage)) throw error;
    return { ...first, directory, kind: UNREAD, isAside: false, subDirectories: null };
  }
}

/** Most sub-directories that are looked at. */
const MOST_BELOW = 2 ** 16;

async function descriptionsOf(file: TiffFile, directory: Directory): Promise<string[]> {
  const texts: string[] = [];
  for (const field of directory.fields.filter(({ code }) => code === 270).slice(0, 2)) {
    texts.push(await textOf(file, field) ?? "");
  }
  return texts;
}

/** What a description says, null where none does or it is none that holds. */
async function describedSeries(all: Pages, descriptions: readonly string[]): Promise<Series | null> {
  const { file, pages: [first] } = all;
  if (descriptions.some(isShaped)) return await shapedSeries(all, isShaped);
  const has = (code: number) => fieldOf(first.directory, code) !== undefined;
  if (has(34412)) throw foreign("Zeiss LSM");
  if (await isMicroManagerStack(file, first)) throw foreign("Micro-Manager");
  const imagej = descriptions.find((text) => /^(ImageJ|SCIFIO)=/.test(text));
  if (/OME>$/.test(descriptions[0].slice(-10).trim())) {
    const series = omeSeries(all, descriptions[0]);
    if (series || imagej === undefined) return series;
  }
  if (imagej !== undefined) return await imagejSeries(all, imagej);
  await refuseForeign(all, descriptions[0]);
  return null;
}

/** True for tifffile's own description. */
function isShaped(text: string): boolean {
  if (text.includes('"mibi.')) return false;
  return (text.startsWith("{") && text.includes('"shape":')) || text.startsWith("shape=");
}

function foreign(name: string): TiffRefusal {
  return new TiffRefusal(
    `it is a file of ${name}, whose kind of TIFF is not read`,
    "save it as OME-TIFF or plain TIFF",
  );
}

async function isMicroManagerStack({ source, littleEndian }: TiffFile, { directory }: Page): Promise<boolean> {
  if (!fieldOf(directory, 51123) || source.size < 12) return false;
  const bytes = await source.bytes(8, 4);
  return new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, littleEndian) === 54773648;
}

/** Fields by which tifffile knows files of microscopes and scanners that it reads in ways of their own. */
const FOREIGN_FIELDS: readonly (readonly [code: number, name: string])[] = [
  [34362, "Olympus FluoView"],
  [33560, "Olympus SIS"],
  [33471, "Olympus SIS"],
  [65420, "Hamamatsu NDPI"],
  [33445, "MD Gel"],
];

const FOREIGN_SOFTWARE: readonly (readonly [start: string, name: string])[] = [
  ["SI.", "ScanImage"],
  ["PerkinElmer-QPI", "PerkinElmer QPI"],
  ["Philips DP", "Philips DP"],
  ["ScanOutputManager", "Ventana BIF"],
];

async function refuseForeign({ file, pages: [first] }: Pages, description: string): Promise<void> {
  for (const [code, name] of FOREIGN_FIELDS) if (fieldOf(first.directory, code)) throw foreign(name);
  const planes = fieldOf(first.directory, 33629)?.count ?? 1;
  if (fieldOf(first.directory, 33628) && planes > 1) throw foreign("MetaMorph (a stack of several planes)");
  if (description.startsWith("Aperio ")) throw foreign("Aperio SVS");
  if (description.slice(-10).trim().endsWith("</scn>")) throw foreign("Leica SCN");
  if (description.startsWith("state.") || description.slice(-256).includes("scanimage.SI")) throw foreign("ScanImage");
  const field = fieldOf(first.directory, 305);
  const software = field ? await textOf(file, field) ?? "" : "";
  for (const [start, name] of FOREIGN_SOFTWARE) if (software.startsWith(start)) throw foreign(name);
}

/** Pages that are like the first, those of its sub-directories among them. */
async function plainSeries({ file, pages }: Pages): Promise<Series> {
  const [first] = pages;
  const alike: Page[] = [];
  const seen = new Set<number>();
  let left = 0;
  let below = 0;
  const add = (page: Page) => {
    if (seen.has(page.directory.at)) return;
    seen.add(page.directory.at);
    if (page.kind === first.kind) alike.push(page);
    else if (!page.isAside) left++;
  };
  for (const page of pages) {
    add(page);
    for (const at of await subDirectories(file, page)) {
      if (++below > MOST_BELOW) throw new TiffDamage("its pages have too many sub-directories");
      const other = await pageBelow(file, at, first);
      // Of sub-directories, mostly of pyramids, only what belongs to the image counts.
      if (other?.kind === first.kind) add(other);
    }
  }
  if (left > 0 && isUniform(pages)) {
    throw new TiffRefusal(
      "some of its pages are not like the others in size or type",
      "save the slices of the image alike",
    );
  }
  const warnings = left > 0
    ? [`${left} of its ${pages.length} pages are not like the first in size or type and were left out, as in Python`]
    : [];
  return seriesOf(
    alike.map((page) => ({ page, dataAt: null })),
    [alike.length, ...first.shape],
    `I${first.axes}`,
    warnings,
  );
}

/** A page of a sub-directory; null where none is, which tifffile passes over. */
async function pageBelow(file: TiffFile, at: number, first: Page): Promise<Page | null> {
  try {
    const { directory } = await readDirectory(file, at);
    return await pageOf(file, directory, first);
  } catch (error) {
    if (error instanceof TiffDamage) return null;
    throw error;
  }
}

async function subDirectories(file: TiffFile, { subDirectories }: Page): Promise<number[]> {
  if (!subDirectories) return [];
  const places = await wholeNumbers(file, subDirectories, 0, Math.min(subDirectories.count, 64));
  return places.filter((at) => at >= 8);
}

/** tifffile's guess at whether all pages are alike, by four of them; if so, one that is not is an error. */
function isUniform(pages: readonly Page[]): boolean {
  if (pages.length < 8 || pages[0].subDirectories) return false;
  return [pages[1], pages[7], pages[pages.length - 1]].every(({ kind }) => kind === pages[0].kind);
}
