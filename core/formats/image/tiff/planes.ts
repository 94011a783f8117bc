/** What a series of pages is, and how pages become one. */
import type { TiffFile } from "./directories.ts";
import { type Page, sampleCount } from "./page.ts";
import { TiffDamage, TiffRefusal } from "./problem.ts";

/** A page of a series. */
export interface SeriesPage {
  readonly page: Page;
  /** Where its samples lie as they are, whatever the directory says; null: where that says. */
  readonly dataAt: number | null;
}

export interface Series {
  readonly shape: readonly number[];
  /** In the order of the array; all like the first. */
  readonly pages: readonly SeriesPage[];
  /** Sentences without the file's name: "pages of other sizes were left out". */
  readonly warnings: readonly string[];
}

/** All pages of a file, and what the first says of them. */
export interface Pages {
  readonly file: TiffFile;
  readonly pages: readonly Page[];
  /** Texts of a page's one or two descriptions. */
  descriptions(page: Page): Promise<readonly string[]>;
}

/** A series whose axes of one are left out, but for X and Y. */
export function seriesOf(
  pages: readonly SeriesPage[],
  shape: readonly number[],
  axes: string,
  warnings: readonly string[] = [],
): Series {
  return { shape: shape.filter((size, i) => size > 1 || "XY".includes(axes[i])), pages, warnings };
}

/** `count` pages like `page`, whose samples lie one after the other from `dataAt` on, without directories of their own. */
export function pagesInARow(file: TiffFile, page: Page, dataAt: number, count: number): SeriesPage[] {
  const bytes = sampleCount(page) * page.bits / 8;
  if (dataAt + count * bytes > file.source.size) {
    throw new TiffDamage(`it ends before its ${count.toLocaleString("en-US")} planes do`, "cut short");
  }
  return Array.from({ length: count }, (_, i) => ({ page, dataAt: dataAt + i * bytes }));
}

/** @throws TiffRefusal if pages of one series are not alike */
export function requireAlike(pages: readonly Page[]): void {
  const other = pages.findIndex(({ kind }) => kind !== pages[0].kind);
  if (other < 0) return;
  throw new TiffRefusal(
    `page ${other + 1} is not like the first in size, type or packing, and its description makes one image of them`,
    "save the slices of the image alike",
  );
}

export function product(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1);
}
