/** A series by the JSON that tifffile writes: `{"shape": [10, 64, 64]}`. Source: TiffFile._series_shaped of tifffile 2026.3.3. */
import { plural } from "../../../base/plural.ts";
import { type Page, sampleCount, UNREAD } from "./page.ts";
import { TiffDamage } from "./problem.ts";
import { bareBytes, bareDataAt } from "./read_page.ts";
import { type Pages, pagesInARow, product, requireAlike, type Series, type SeriesPage } from "./planes.ts";

interface ShapedDescription {
  readonly shape: readonly number[];
  readonly truncated: boolean;
}

/** The first series of the file; null where not every series in it says its shape, or one is not the pages'. */
export async function shapedSeries(
  { file, pages, descriptions }: Pages,
  isShaped: (text: string) => boolean,
): Promise<Series | null> {
  let first: Series | null = null;
  for (let index = 0; index < pages.length;) {
    const page = pages[index];
    if (first && page.kind === UNREAD) return first;
    const text = (await descriptions(page)).find(isShaped);
    const description = text === undefined ? null : parseDescription(text);
    if (!description) return null;
    const size = product(description.shape);
    const count = size > 0 ? size / sampleCount(page) : 1;
    if (!Number.isInteger(count)) return null;
    const taken = pages.slice(index, index + (count <= pages.length - index ? count : 1));
    const dataAt = await bareDataAt(file, page);
    // Of a truncated series, or one whose samples follow the first page's, the other pages are none of it.
    const next = pages[index + 1];
    const inARow = dataAt !== null && (taken.length === 1 || description.truncated ||
      (page.directory.at + count * bareBytes(page) < next.directory.at && !page.subDirectories));
    if (!first) {
      const sources: readonly SeriesPage[] = inARow
        ? pagesInARow(file, page, dataAt, count)
        : taken.map((one) => ({ page: one, dataAt: null }));
      if (sources.length !== count) {
        throw new TiffDamage(
          `its description tells of ${count.toLocaleString("en-US")} planes, and ${
            plural(pages.length, "page")
          } are there`,
        );
      }
      if (!inARow) requireAlike(taken);
      first = { shape: shapeOf(page, description, sources.length), pages: sources, warnings: [] };
    }
    index += description.truncated ? 1 : count;
  }
  return first;
}

/** The described shape, or the pages' own where that is none of theirs. */
function shapeOf(page: Page, { shape }: ShapedDescription, pages: number): readonly number[] {
  if (fits(page.shape, shape)) return shape;
  return pages > 1 ? [pages, ...page.shape] : page.shape;
}

/** True if pages of one shape tile the other. */
function fits(page: readonly number[], series: readonly number[]): boolean {
  const [pageSize, size] = [product(page), product(series)];
  if (pageSize === 0 || size === 0 || size % pageSize !== 0) return pageSize === 0 && size === 0;
  const reversed = series.toReversed();
  let at = 0;
  let [inPage, inSeries] = [1, 1];
  for (const i of page.toReversed()) {
    inPage *= i;
    while (at < reversed.length) {
      const j = reversed[at++];
      inSeries *= j;
      if (i === j || inPage === inSeries) break;
      if (j !== 1 && inSeries !== inPage) return false;
    }
  }
  return true;
}

function parseDescription(text: string): ShapedDescription | null {
  let value: unknown;
  try {
    value = text.startsWith("shape=") ? { shape: text.slice(7, -1).split(",").map(Number) } : JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof value !== "object" || value === null || !("shape" in value) || !Array.isArray(value.shape)) return null;
  const shape: readonly unknown[] = value.shape;
  if (!shape.every((size): size is number => Number.isSafeInteger(size) && Number(size) >= 0)) return null;
  return { shape, truncated: "truncated" in value && value.truncated === true };
}
