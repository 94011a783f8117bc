/** A hyperstack by ImageJ's text: `ImageJ=1.54f\nimages=30\nslices=10\n...`. Source: TiffFile._series_imagej of tifffile 2026.3.3. */
import { TiffDamage } from "./problem.ts";
import { bareBytes, bareDataAt } from "./read_page.ts";
import { type Pages, pagesInARow, product, requireAlike, type Series, seriesOf, type SeriesPage } from "./planes.ts";

/** Axes of frames, slices and channels, the slowest first, for each order that ImageJ may name, the fastest first. */
const ORDERS: ReadonlyMap<string, string> = new Map([
  ["czt", "TZC"],
  ["default", "TZC"],
  ["ctz", "ZTC"],
  ["zct", "TCZ"],
  ["ztc", "CTZ"],
  ["tcz", "ZCT"],
  ["tzc", "CZT"],
]);

/** The file's one series; null where the text is none that holds. */
export async function imagejSeries({ file, pages }: Pages, text: string): Promise<Series | null> {
  const [page] = pages;
  const values = valuesOf(text);
  const count = (name: string) => {
    const value = values.get(name) ?? "1";
    if (!/^[+-]?\d+$/.test(value)) throw new TiffDamage(`its ImageJ description has ${name}=${value}`);
    return Number(value);
  };
  const [frames, slices] = [count("frames"), count("slices")];
  let [channels, images] = [count("channels"), count("images")];
  if (Math.min(images, frames, slices, channels) < 1) return null;
  const [planes, samples] = page.planar ? [page.samples, 1] : [1, page.samples];
  if (channels === 1 || (planes > 1 && planes === channels)) images = frames * slices;
  else if (images === frames * slices && samples === channels) channels = 1;
  else images = frames * slices * channels;
  if (images === 1 && pages.length > 1) images = pages.length;
  const dataAt = await bareDataAt(file, page);
  const bytes = images * bareBytes(page);
  if (dataAt !== null && dataAt + bytes > file.source.size) return null;
  // ImageJ writes stacks beyond 4 GiB as one page, whose samples go on.
  const isInARow = dataAt !== null &&
    (images <= 1 || pages.length === 1 || dataAt + bytes <= pages[1].directory.at);
  const order = values.get("order")?.toLowerCase() ?? "czt";
  let axes = ORDERS.get(order) ?? "TZC";
  let shape = [...axes].map((axis) => axis === "T" ? frames : axis === "Z" ? slices : channels);
  const more = Math.floor(images / product(shape));
  if (more > 1) [shape, axes] = [[more, ...shape], `I${axes}`];
  if (planes > 1) {
    // Planes of samples are declared as channels as well.
    if (!axes.endsWith("C")) throw new TiffDamage("its ImageJ description and its pages do not agree on channels");
    [shape, axes] = [[...shape.slice(0, -1), ...page.shape], axes + page.axes.slice(1)];
  } else [shape, axes] = [[...shape, ...page.shape], axes + page.axes];
  if (!isInARow) requireAlike(pages);
  const sources: readonly SeriesPage[] = isInARow
    ? pagesInARow(file, page, dataAt, product(shape) / product(page.shape))
    : pages.map((one) => ({ page: one, dataAt: null }));
  return fitted(seriesOf(sources, shape, axes), page.shape);
}

/** Where the pages are more or fewer than the text says, the shape is theirs. */
function fitted(series: Series, page: readonly number[]): Series {
  const wanted = product(series.shape);
  const samples = series.pages.length * product(page);
  if (samples === wanted) return series;
  if (samples % wanted === 0) return { ...series, shape: [samples / wanted, ...series.shape] };
  return { ...series, shape: [series.pages.length, ...page] };
}

function valuesOf(text: string): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  for (const line of text.split(/\r\n|[\n\r]/)) {
    const at = line.indexOf("=");
    if (at >= 0) values.set(line.slice(0, at).trim(), line.slice(at + 1).trim());
  }
  return values;
}
