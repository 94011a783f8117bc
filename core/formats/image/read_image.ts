/**
 * Reads a case's images, and label volumes, as nnU-Net's reader classes do: the arrays and geometry are those of SimpleITK 2.5.7,
 * nibabel 5.4 and skimage 0.26 behind nnU-Net 2.5.1. Damaged files, and headers that upstream reads as something else than they say,
 * are refused; tests/golden/headers/cases.ts lists them with the reasons.
 */
import { plural } from "../../base/plural.ts";
import { describeBytes } from "../../base/describe_bytes.ts";
import { UserError } from "../../base/errors.ts";
import { freeArray } from "../../base/free_array.ts";
import { voxelCount } from "../../base/shape.ts";
import type { CaseImage, ImageGeometry, LabelValues, LabelVolume, ReaderName } from "./image.ts";
import { type ImageProbe, type OpenedImage, READING, type ReadOptions, type SmallNumbers } from "./image_format.ts";
import { checkSameGrid } from "./image_grid.ts";
import { formatOf } from "./readers.ts";

export { checkSameGrid, compareGrids, imageGridCorners } from "./image_grid.ts";
export type { ReadOptions } from "./image_format.ts";

/**
 * What `reader` will make of `file`, from its headers.
 * @throws UserError naming the file: as {@link readCase}, but for what only the voxels tell
 */
export async function probeImage(reader: ReaderName, file: string): Promise<ImageProbe> {
  await using image = await openImage(reader, file, {});
  const { channels, geometry, storedType, bufferBytes } = image;
  return { channels, geometry, storedType, bufferBytes };
}

/** True where fewer files than channels may be right, as `file` may hold several; what can't be read is left to reading it. */
export async function mayHoldSeveralChannels(reader: ReaderName, file: string): Promise<boolean> {
  try {
    const { channelsPerFile } = formatOf(reader, file);
    if (channelsPerFile !== "as stored") return channelsPerFile === "colours";
    return (await probeImage(reader, file)).channels > 1;
  } catch (error) {
    if (error instanceof UserError) return true;
    throw error;
  }
}

async function openImage(reader: ReaderName, file: string, options: ReadOptions): Promise<OpenedImage> {
  return await formatOf(reader, file).open(file, options);
}

/** What the headers of a case's files say together. */
export interface CaseHeaders {
  readonly channels: number;
  /** The first file's. */
  readonly geometry: ImageGeometry;
  /** Bytes that reading holds beside the array it fills. */
  readonly bufferBytes: number;
}

export interface CaseReadOptions extends ReadOptions {
  /** Called once the headers are read, before memory is taken for the voxels; what it throws is thrown. */
  readonly judge?: (headers: CaseHeaders) => void;
}

/** Numbers of an array, of all channels: more than engines count to and the runtime makes arrays of. */
export const MOST_NUMBERS = 2 ** 32 - 1;

/** @throws UserError as {@link readCase}, but for what only the voxels tell */
export async function probeCase(reader: ReaderName, files: readonly string[]): Promise<CaseHeaders> {
  await using stack = new AsyncDisposableStack();
  return headersOf(await openCase(reader, files, {}, stack, []));
}

/**
 * Reads a case. Channels of several files follow each other in file order; an RGB picture is three channels of one file, a 4-D file
 * of SimpleITKIO as many as it has volumes. The geometry is the first file's.
 *
 * @throws UserError naming the file: damaged, not the kind of image the reader takes, or of another shape or place than the first.
 * @example
 * ```ts
 * import { deepStrictEqual } from "node:assert";
 *
 * const { data, channels, geometry } = await readCase("NaturalImage2DIO", ["cli/demo/overlay.png"]);
 * deepStrictEqual([channels, geometry.spacing], [3, [999, 1, 1]]);
 * deepStrictEqual(data.length, channels * geometry.shape[1] * geometry.shape[2]); // whole planes, one after the other
 * ```
 */
export async function readCase(
  reader: ReaderName,
  files: readonly string[],
  options: CaseReadOptions = {},
): Promise<CaseImage> {
  await using stack = new AsyncDisposableStack();
  const warnings: string[] = [];
  const images = await openCase(reader, files, options, stack, warnings);
  const headers = headersOf(images);
  const { geometry, channels } = headers;
  const voxels = voxelCount(geometry.shape);
  requireCountable(channels * voxels, images[0].file);
  options.judge?.(headers);
  const data = allocate(Float32Array, channels * voxels, images[0].file);
  try {
    let channel = 0;
    for (const image of images) {
      warnings.push(...await image.read(data, channel * voxels));
      channel += image.channels;
    }
  } catch (error) {
    freeArray(data); // the next case's memory is counted without it
    throw error;
  }
  return { data, channels, geometry, warnings };
}

async function openCase(
  reader: ReaderName,
  files: readonly string[],
  options: ReadOptions,
  stack: AsyncDisposableStack,
  warnings: string[],
): Promise<readonly OpenedImage[]> {
  if (files.length === 0) throw new RangeError("a case needs at least one file");
  const images: OpenedImage[] = [];
  for (const file of files) {
    const image = stack.use(await openImage(reader, file, options));
    images.push(image);
    warnings.push(...image.warnings);
    if (image !== images[0]) warnings.push(...checkFollows(images[0], image));
  }
  return images;
}

function headersOf(images: readonly OpenedImage[]): CaseHeaders {
  return {
    channels: images.reduce((sum, image) => sum + image.channels, 0),
    geometry: images[0].geometry,
    bufferBytes: Math.max(...images.map(({ bufferBytes }) => bufferBytes)),
  };
}

function requireCountable(numbers: number, file: string): void {
  if (numbers <= MOST_NUMBERS) return;
  throw new UserError({
    doing: READING,
    file,
    problem: `its header says ${numbers.toLocaleString("en-US")} voxels in all channels, and at most ${
      MOST_NUMBERS.toLocaleString("en-US")
    } can be worked on`,
    remedy: "check the sizes in its header, or cut the image into smaller ones",
  });
}

/** Checks that `image` may be a further channel of the case that `first` begins; gives warnings. */
function checkFollows(first: OpenedImage, image: OpenedImage): string[] {
  const { file, channels } = image;
  if (channels !== first.channels) {
    const problem = `it has ${
      plural(channels, "channel")
    }, and ${first.file} has ${first.channels}; they have to have the same number`;
    throw new UserError({ doing: READING, file, problem, remedy: "save one channel per file" });
  }
  const warning = checkSameGrid(first, image, READING);
  return warning ? [warning] : [];
}

/**
 * Reads a segmentation: one channel of whole numbers.
 *
 * @throws UserError naming the file: as {@link readCase}, several channels, or values that are no labels (fractions, NaN, or beyond
 * -32768..32767).
 */
export async function readLabels(
  reader: ReaderName,
  file: string,
  { judge }: Pick<CaseReadOptions, "judge"> = {},
): Promise<{ readonly labels: LabelVolume & { readonly data: Int16Array }; readonly geometry: ImageGeometry }> {
  const stored = await readStored(reader, file, judge, (type) => type === "uint16" ? undefined : Int16Array);
  if (stored) return { labels: { data: stored.data, shape: stored.geometry.shape }, geometry: stored.geometry };
  const { data, channels, geometry } = await readCase(reader, [file], { judge, labels: true });
  requireOneChannel(channels, reader, file);
  const labels = new Int16Array(data.length);
  for (let i = 0; i < data.length; i++) {
    labels[i] = data[i];
    if (labels[i] !== data[i]) throw noLabel(file, i, data[i], "-32768..32767");
  }
  freeArray(data);
  return { labels: { data: labels, shape: geometry.shape }, geometry };
}

/**
 * As {@link readLabels}, for labels of 32 bits: of files that only have to be compared. Numbers above 2^24 are those next to them that
 * float32 has, as they are to upstream.
 */
export async function readWideLabels(
  reader: ReaderName,
  file: string,
  { judge }: Pick<CaseReadOptions, "judge"> = {},
): Promise<{ readonly data: Int32Array; readonly geometry: ImageGeometry }> {
  return await readStored(reader, file, judge, () => Int32Array) ?? await readRounded(reader, file, judge);
}

/** As {@link readWideLabels}, in the smallest array that holds what the file may have. */
export async function readNarrowLabels(
  reader: ReaderName,
  file: string,
  { judge }: Pick<CaseReadOptions, "judge"> = {},
): Promise<{ readonly data: LabelValues; readonly geometry: ImageGeometry }> {
  return await readStored<LabelValues>(reader, file, judge, (type) => SMALL_ARRAYS[type]) ??
    await readRounded(reader, file, judge);
}

const SMALL_ARRAYS = { uint8: Uint8Array, int16: Int16Array, uint16: Uint16Array };

/**
 * Labels in the array that `arrayOf` chooses for the type they are stored in.
 * @returns undefined where they are stored otherwise, or it chooses none
 */
async function readStored<T extends LabelValues>(
  reader: ReaderName,
  file: string,
  judge: CaseReadOptions["judge"],
  arrayOf: (type: SmallNumbers["type"]) => ArrayType<T> | undefined,
): Promise<{ readonly data: T; readonly geometry: ImageGeometry } | undefined> {
  await using image = await openImage(reader, file, { labels: true });
  const { channels, geometry, small } = image;
  const type = small && arrayOf(small.type);
  if (!small || !type) return undefined;
  requireOneChannel(channels, reader, file);
  const voxels = voxelCount(geometry.shape);
  requireCountable(voxels, file);
  judge?.(headersOf([image]));
  const data = allocate(type, voxels, file);
  try {
    await small.read(data);
  } catch (error) {
    freeArray(data); // the next case's memory is counted without it
    throw error;
  }
  return { data, geometry };
}

/** Labels that are stored as larger numbers, scaled or as fractions. */
async function readRounded(
  reader: ReaderName,
  file: string,
  judge: CaseReadOptions["judge"],
): Promise<{ readonly data: Int32Array; readonly geometry: ImageGeometry }> {
  const { data, channels, geometry } = await readCase(reader, [file], { judge, labels: true });
  requireOneChannel(channels, reader, file);
  // In the same memory: an element is read before it is written.
  const labels = new Int32Array(data.buffer, data.byteOffset, data.length);
  for (let i = 0; i < labels.length; i++) {
    const value = data[i];
    labels[i] = value;
    if (labels[i] !== value) throw noLabel(file, i, value, "-2147483648..2147483647");
  }
  return { data: labels, geometry };
}

function requireOneChannel(channels: number, reader: ReaderName, file: string): void {
  if (channels === 1) return;
  const problem = `it has ${channels} channels, and a segmentation has one`;
  throw new UserError({
    doing: "reading the segmentation",
    file,
    problem,
    remedy: `save it as ${formatOf(reader, file).labelsAdvice}`,
  });
}

function noLabel(file: string, voxel: number, value: number, range: string): UserError {
  return new UserError({
    doing: "reading the segmentation",
    file,
    problem: `voxel ${voxel} has the value ${value}, which is not a whole number in ${range}`,
    remedy: "labels are whole numbers: check that this is the right file",
  });
}

interface ArrayType<T> {
  new (length: number): T;
  readonly name: string;
  readonly BYTES_PER_ELEMENT: number;
}

function allocate<T extends Float32Array | LabelValues>(
  type: ArrayType<T>,
  length: number,
  file: string,
): T {
  try {
    return new type(length);
  } catch (error) {
    const problem = `its ${length.toLocaleString("en-US")} voxels need ${
      describeBytes(length * type.BYTES_PER_ELEMENT)
    } as ${type.name.replace("Array", "").toLowerCase()}, which could not be allocated`;
    const remedy = "use a machine with more memory, or cut the image into parts";
    throw new UserError({ doing: READING, file, problem, remedy }, { cause: error });
  }
}
