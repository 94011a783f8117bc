/**
 * A page of a TIFF file as tifffile takes it: its size, the type of its samples, how they are packed, and the axes of the array that
 * it becomes. Orientation, palette, and which of black and white is 0 change nothing. Source: TiffPage of tifffile 2026.3.3.
 */
import { type Directory, type Field, fieldOf, type TiffFile, wholeNumbers } from "./directories.ts";
import { TiffDamage, TiffRefusal } from "./problem.ts";
import { type SampleType, sampleTypeOf } from "./samples.ts";

export interface Page {
  readonly directory: Directory;
  /** Voxels along x, y, z; z is that of the field ImageDepth, and mostly 1. */
  readonly width: number;
  readonly length: number;
  readonly depth: number;
  /** Samples of a pixel. */
  readonly samples: number;
  /** True: the samples are planes one after the other. */
  readonly planar: boolean;
  /** Stored bits of a sample; fewer than the type's where samples are packed. */
  readonly bits: number;
  readonly type: SampleType;
  readonly compression: number;
  readonly predictor: number;
  /** True: the lowest bit of each byte comes first. */
  readonly lowBitFirst: boolean;
  /** Width, length and depth of the tiles; null for strips. */
  readonly tile: readonly [number, number, number] | null;
  /** Rows of a strip. */
  readonly rowsPerStrip: number;
  readonly offsets: Field;
  readonly byteCounts: Field | null;
  /** Shape of its array with axes as tifffile names them: "YX", "YXS", "SYX", "ZYX", ... */
  readonly shape: readonly number[];
  readonly axes: string;
  /** A smaller copy of another page, or a mask. */
  readonly isAside: boolean;
  readonly orientation: number;
  readonly subDirectories: Field | null;
  /** Equal for pages that may be slices of one volume: tifffile's hash of a page. */
  readonly kind: string;
}

/** The kind of pages that are not read. */
export const UNREAD = "unread";

/** @throws TiffDamage, TiffRefusal if it is no picture that is read */
export async function readPage(file: TiffFile, directory: Directory): Promise<Page> {
  const one = async (code: number, missing: number) => {
    const field = fieldOf(directory, code);
    return field && field.count > 0 ? (await wholeNumbers(file, field, 0, 1))[0] : missing;
  };
  const size = async (code: number, name: string, missing: number) => {
    const value = await one(code, missing);
    if (value < 1 || value > 2 ** 32) throw new TiffDamage(`its ${name} is ${value}`);
    return value;
  };
  const width = await size(256, "width", 0);
  const length = await size(257, "length", 0);
  const depth = await size(32997, "depth", 1);
  const samples = await size(277, "number of samples", 1);
  const photometric = await one(262, 0);
  const bits = await sameForAll(file, directory, 258, samples, 1, "bits");
  const format = await sameForAll(file, directory, 339, samples, 1, "formats");
  const compression = await one(259, 1);
  const predictor = await one(317, 1);
  const fillOrder = await one(266, 1);
  const tile = fieldOf(directory, 322)
    ? [await size(322, "tile width", 0), await size(323, "tile length", 0), await size(32998, "tile depth", 1)] as const
    : null;
  const rows = fieldOf(directory, 278)?.count === 1 ? await size(278, "number of rows of a strip", 0) : length;
  const rowsPerStrip = Math.min(rows, length);
  const planar = await one(284, 1) !== 1 && (samples > 1 || photometric === 2);
  await refuseSubsampling(file, directory, photometric, compression);
  const offsets = fieldOf(directory, 324) ?? fieldOf(directory, 273);
  if (!offsets || offsets.count === 0) throw new TiffDamage("a page does not say where its data are");
  const extra = fieldOf(directory, 338);
  const subFile = await one(254, 0);
  const { shape, axes } = arrayOf({ width, length, depth, samples, planar, colours: photometric === 2 });
  return {
    directory,
    width,
    length,
    depth,
    samples,
    planar,
    bits,
    type: sampleTypeOf(format, bits),
    compression,
    predictor,
    lowBitFirst: fillOrder === 2,
    tile,
    rowsPerStrip,
    offsets,
    byteCounts: fieldOf(directory, 325) ?? fieldOf(directory, 279) ?? null,
    shape,
    axes,
    isAside: (subFile & 5) !== 0 || await one(255, 0) === 2,
    orientation: await one(274, 1),
    subDirectories: fieldOf(directory, 330) ?? null,
    kind: JSON.stringify([
      ...[width, length, depth, samples, planar, tile, tile ? 0 : rowsPerStrip, format, bits, fillOrder, predictor],
      ...[compression, photometric, extra ? await wholeNumbers(file, extra, 0, Math.min(extra.count, 16)) : []],
    ]),
  };
}

/** The one value that a field gives all samples. @throws TiffRefusal if samples differ */
async function sameForAll(
  file: TiffFile,
  directory: Directory,
  code: number,
  samples: number,
  missing: number,
  what: string,
): Promise<number> {
  const field = fieldOf(directory, code);
  if (!field || field.count === 0) return missing;
  const values = await wholeNumbers(file, field, 0, Math.min(field.count, field.count === 1 ? 1 : samples, 65535));
  if (values.every((value) => value === values[0])) return values[0];
  const seen = [...new Set(values)].join(", ");
  throw new TiffRefusal(
    `its samples are stored in different ${what} (${seen})`,
    "save it with the same for all samples",
  );
}

async function refuseSubsampling(
  file: TiffFile,
  directory: Directory,
  photometric: number,
  compression: number,
): Promise<void> {
  const field = fieldOf(directory, 530);
  const [across, down] = field?.count === 2
    ? await wholeNumbers(file, field, 0, 2)
    : photometric === 6
    ? [2, 2]
    : [1, 1];
  if ((across === 1 && down === 1) || isJpeg(compression)) return;
  throw new TiffRefusal(
    "its colours are stored with fewer pixels than its brightness (YCbCr)",
    "save it as grey or RGB",
  );
}

/** JPEG brings its own subsampling, and is refused for itself. */
function isJpeg(compression: number): boolean {
  return [6, 7, 33007, 34892].includes(compression);
}

function arrayOf(
  { width, length, depth, samples, planar, colours }:
    & Pick<Page, "width" | "length" | "depth" | "samples" | "planar">
    & { readonly colours: boolean },
): Pick<Page, "shape" | "axes"> {
  const grid = depth === 1 ? [length, width] : [depth, length, width];
  const axes = depth === 1 ? "YX" : "ZYX";
  if (samples === 1 && !colours) return { shape: grid, axes };
  return planar ? { shape: [samples, ...grid], axes: `S${axes}` } : { shape: [...grid, samples], axes: `${axes}S` };
}

/** Samples of a page. */
export function sampleCount({ width, length, depth, samples }: Page): number {
  return width * length * depth * samples;
}

/** Bytes of a page's samples, unpacked, without what tiles add at the rims. */
export function plainBytes(page: Page): number {
  const { width, length, depth, samples, planar, bits } = page;
  return planar
    ? samples * depth * length * Math.ceil(width * bits / 8)
    : depth * length * Math.ceil(width * samples * bits / 8);
}
