/**
 * A series by OME-XML, whose planes may lie in any order. Sets of several files, and planes that are not there (which tifffile fills
 * with zeros), are refused. Source: TiffFile._series_ome of tifffile 2026.3.3; the OME model, 2016-06.
 */
import { basename } from "../../../base/path.ts";
import { plural } from "../../../base/plural.ts";
import type { Page } from "./page.ts";
import { TiffDamage, TiffRefusal } from "./problem.ts";
import { type Pages, product, requireAlike, type Series, seriesOf } from "./planes.ts";
import { parseXml, type XmlElement } from "./xml.ts";

/** Tells from an element UUID whether it means the file that is read. */
type IsThisFile = (element: XmlElement) => boolean;

/** The first image that the XML describes and the pages fit; null where there is none, or the text is no XML. */
export function omeSeries({ file, pages }: Pages, text: string): Series | null {
  const root = parseXml(text);
  if (!root) return null;
  for (const element of root.children) {
    if (element.name.endsWith("BinaryOnly")) return null;
    if (element.name.endsWith("StructuredAnnotations") && hasModulo(element)) {
      throw new TiffRefusal("its OME-XML cuts an axis in two (modulo), which is not read", "save it without");
    }
  }
  const uuid = root.attributes.get("UUID");
  const name = basename(file.source.file).toLowerCase();
  const isThisFile = (element: XmlElement) =>
    uuid === undefined ? element.attributes.get("FileName")?.toLowerCase() === name : element.text === uuid;
  for (const image of root.children.filter(({ name }) => name.endsWith("Image"))) {
    for (const pixels of image.children.filter(({ name }) => name.endsWith("Pixels"))) {
      const series = seriesOfPixels(pages, pixels, isThisFile);
      if (series) return series;
    }
  }
  return null;
}

function hasModulo({ children }: XmlElement): boolean {
  return children.some(({ attributes }) => attributes.get("Namespace")?.endsWith("modulo"));
}

function seriesOfPixels(pages: readonly Page[], pixels: XmlElement, isThisFile: IsThisFile): Series | null {
  const order = required(pixels, "DimensionOrder");
  if (!/^XY[ZCT]{3}$/.test(order) || new Set(order).size !== 5) {
    throw new TiffDamage(`its OME-XML has the dimension order ${order}`);
  }
  let axes = [...order].toReversed().join("");
  const samples = samplesPerPixel(pixels);
  let shape = [...axes].map((axis) => {
    const size = wholeNumber(required(pixels, `Size${axis}`), 1);
    return axis === "C" && samples > 1 ? Math.floor(size / samples) : size;
  });
  const planes = placedPlanes(pages, pixels, axes, shape, isThisFile);
  const keyPage = planes.find((page) => page !== undefined);
  if (!keyPage) return null;
  if (samples > 1 && !keyPage.planar) [shape, axes] = [[...shape, samples], `${axes}S`];
  else if (samples > 1) {
    [shape, axes] = [[...shape.slice(0, -2), samples, ...shape.slice(-2)], `${axes.slice(0, -2)}S${axes.slice(-2)}`];
  }
  const expected = Math.max(1, Math.floor(product(shape) / product(keyPage.shape)));
  const squeezed = seriesOf([], shape, axes).shape;
  if (keyPage.shape.some((size, i) => size !== squeezed[squeezed.length - keyPage.shape.length + i])) return null;
  const there = planes.slice(0, expected).filter((page) => page !== undefined);
  if (there.length < expected) {
    throw new TiffDamage(
      `its OME-XML tells of ${plural(expected, "plane")}, and ${
        there.length === 1 ? "1 is" : `${there.length} are`
      } there`,
    );
  }
  requireAlike(there);
  return seriesOf(there.map((page) => ({ page, dataAt: null })), shape, axes);
}

function samplesPerPixel({ children }: XmlElement): number {
  const channels = children.filter(({ name }) => name.endsWith("Channel"));
  const counts = channels.map(({ attributes }) => wholeNumber(attributes.get("SamplesPerPixel") ?? "1", 1));
  if (counts.some((count) => count !== counts[0])) {
    throw new TiffRefusal("its channels have different numbers of samples", "save each channel as an image of its own");
  }
  return counts[0] ?? 1;
}

/** The pages in the order of the array; undefined where the XML names none. */
function placedPlanes(
  pages: readonly Page[],
  pixels: XmlElement,
  axes: string,
  shape: readonly number[],
  isThisFile: IsThisFile,
): readonly (Page | undefined)[] {
  const planes: (Page | undefined)[] = [];
  const outer = shape.slice(0, -2);
  // More places than the image has are none of a sound file's.
  const most = product(outer);
  for (const { attributes, children } of pixels.children.filter(({ name }) => name.endsWith("TiffData"))) {
    refuseOtherFiles(children, isThisFile);
    const ifd = wholeNumber(attributes.get("IFD") ?? "0", 0);
    const few = attributes.get("PlaneCount") ?? attributes.get("NumPlanes") ?? (attributes.has("IFD") ? "1" : "0");
    const count = wholeNumber(few, 0) || pages.length;
    const indices = [...axes.slice(0, -2)].map((axis) => wholeNumber(attributes.get(`First${axis}`) ?? "0", 0));
    // Some programs leave places of what they cut away.
    if (indices.some((index, i) => index >= outer[i])) continue;
    const first = indices.reduce((sum, index, i) => sum * outer[i] + index, 0);
    for (let i = 0; i < count && first + i < most && ifd + i < pages.length; i++) planes[first + i] = pages[ifd + i];
  }
  return Array.from(planes);
}

function refuseOtherFiles(children: readonly XmlElement[], isThisFile: IsThisFile): void {
  const named = children.find(({ name }) => name.endsWith("UUID"));
  if (!named || isThisFile(named)) return;
  throw new TiffRefusal(
    `its planes lie in several files (${named.attributes.get("FileName") ?? named.text}), which are not put together`,
    "save the image as one file",
  );
}

function required({ name, attributes }: XmlElement, attribute: string): string {
  const value = attributes.get(attribute);
  if (value === undefined) throw new TiffDamage(`its OME-XML has no ${attribute} in ${name}`);
  return value;
}

function wholeNumber(text: string, least: number): number {
  const value = Number(text);
  if (!/^\s*\d+\s*$/.test(text) || !Number.isSafeInteger(value) || value < least) {
    throw new TiffDamage(`its OME-XML has the number ${text.slice(0, 40)}`);
  }
  return value;
}
