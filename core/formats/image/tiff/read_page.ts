/** The samples of a page, strip by strip or tile by tile, whole rows at a time. */
import { describeBytes } from "../../../base/describe_bytes.ts";
import { PIECE_BYTES } from "../../archive/gzip.ts";
import { HOST_LITTLE_ENDIAN, swapBytes } from "../nifti/voxels.ts";
import { type TiffFile, wholeNumbers } from "./directories.ts";
import { type Page, sampleCount } from "./page.ts";
import { addDifferences, checkPredictor, FLOATING_POINT, HORIZONTAL, undoFloatingPoint } from "./predictor.ts";
import { TiffDamage, TiffRefusal } from "./problem.ts";
import { isWholeBytes, SAMPLE_BYTES, spreadBits } from "./samples.ts";
import { type Method, methodOf, type PackedSegment, unpackingError } from "./unpack.ts";

/** Takes `count` samples from the start of a buffer, which it may overwrite; `start` is the first one's place in the page's array. */
export type TakeSamples = (samples: ArrayBuffer, count: number, littleEndian: boolean, start: number) => void;

/** Bytes behind a strip's last row that are passed over. */
const MOST_SURPLUS = 1 << 16;
/** Strips or tiles whose places are read at a time. */
const PLACES = 4096;

/** Reads pages of one kind. */
export interface PageReader {
  /** Bytes that it holds. */
  readonly bufferBytes: number;
  /**
   * @param dataAt Where the page's samples lie as they are, whatever its directory says; null: where the directory says
   * @throws TiffDamage, TiffRefusal
   */
  read(page: Page, dataAt: number | null, take: TakeSamples): Promise<void>;
}

/** How the rows of the pages of one kind are cut into strips or tiles. */
interface Layout {
  /** Samples of a row of a strip or tile, and bytes as stored. */
  readonly perRow: number;
  readonly rowBytes: number;
  /** Samples of a row of the page. */
  readonly pageRow: number;
  readonly planes: number;
  /** Tiles across, down and deep, of each plane; strips are 1 across and 1 deep for each z. */
  readonly across: number;
  readonly down: number;
  readonly deep: number;
  readonly samplesOfPixel: number;
}

function layoutOf({ width, length, depth, samples, planar, bits, tile, rowsPerStrip }: Page): Layout {
  const samplesOfPixel = planar ? 1 : samples;
  const perRow = (tile ? tile[0] : width) * samplesOfPixel;
  return {
    perRow,
    rowBytes: Math.ceil(perRow * bits / 8),
    pageRow: width * samplesOfPixel,
    planes: planar ? samples : 1,
    across: tile ? Math.ceil(width / tile[0]) : 1,
    down: Math.ceil(length / (tile ? tile[1] : rowsPerStrip)),
    deep: tile ? Math.ceil(depth / tile[2]) : depth,
    samplesOfPixel,
  };
}

/**
 * A reader for pages that are like `page`.
 * @throws TiffRefusal for a packing that is not read; TiffDamage if the file can't hold what its rows claim
 */
export function pageReader(file: TiffFile, page: Page): PageReader {
  const method = methodOf(page.compression);
  checkPredictor(page.predictor, page.type.startsWith("float"), page.compression !== 1);
  const layout = layoutOf(page);
  const { rowBytes, perRow } = layout;
  const most = file.source.size * method.ratio;
  if ((page.tile ? rowBytes * page.tile[1] * page.tile[2] : rowBytes) > most) {
    throw new TiffDamage(
      `${file.source.size.toLocaleString("en-US")} bytes can't hold its strips or tiles`,
      "cut short",
    );
  }
  const perBlock = page.tile ? 1 : Math.max(1, Math.floor(PIECE_BYTES / rowBytes));
  const whole = isWholeBytes(page.type, page.bits);
  const [sampleBytes, storedBytes] = [perBlock * perRow * SAMPLE_BYTES[page.type], whole ? 0 : perBlock * rowBytes];
  let block: Block | undefined;
  return {
    bufferBytes: sampleBytes + storedBytes + 8 * PIECE_BYTES,
    read: async (one, dataAt, take) => {
      try {
        // Not before the first page: until then the file's sizes are only claims.
        block ??= { page, layout, ...blockMemory(sampleBytes, storedBytes), littleEndian: file.littleEndian };
        for await (const segment of segmentsOf(file, one, dataAt, layout)) {
          await readSegment(file, segment, method, block, take);
        }
      } catch (error) {
        throw unpackingError(error);
      }
    },
  };
}

function blockMemory(sampleBytes: number, storedBytes: number): Pick<Block, "samples" | "stored"> {
  try {
    const samples = new ArrayBuffer(sampleBytes);
    return { samples, stored: storedBytes === 0 ? new Uint8Array(samples) : new Uint8Array(storedBytes) };
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new TiffRefusal(
      `its rows of ${describeBytes(sampleBytes + storedBytes)} found no memory`,
      "use a machine with more memory, or save it in smaller tiles",
    );
  }
}

/** A strip or tile: where it lies, and where its rows go. */
interface Segment extends PackedSegment {
  readonly rows: number;
  /** Place in the page's array of a row's first sample, and how many of its samples are in the page; none: the row is outside. */
  place(row: number): { readonly start: number; readonly count: number };
}

async function* segmentsOf(
  file: TiffFile,
  page: Page,
  dataAt: number | null,
  layout: Layout,
): AsyncGenerator<Segment, void, void> {
  const { planes, deep, down, across, rowBytes, pageRow } = layout;
  const allRows = planes * page.depth * page.length;
  const { lowBitFirst } = page;
  // One strip without packing holds the page, whatever it says of rows.
  const isOneStrip = page.offsets.count === 1 && page.compression === 1 && !page.tile;
  if (dataAt !== null || (isOneStrip && isWholeBytes(page.type, page.bits))) {
    const offset = dataAt ?? (await wholeNumbers(file, page.offsets, 0, 1))[0];
    const place = (row: number) => ({ start: row * pageRow, count: pageRow });
    const bytes = allRows * rowBytes;
    yield { offset, bytes, wanted: bytes, surplus: 0, lowBitFirst, rows: allRows, place };
    return;
  }
  const total = planes * deep * down * across;
  if (page.offsets.count < total) {
    const what = page.tile ? "tiles" : "strips";
    throw new TiffDamage(
      `a page has ${page.offsets.count.toLocaleString("en-US")} ${what} of ${total.toLocaleString("en-US")}`,
    );
  }
  if (!page.byteCounts || page.byteCounts.count < total) {
    throw new TiffDamage("a page does not say how large its strips or tiles are");
  }
  for (let from = 0; from < total; from += PLACES) {
    const count = Math.min(PLACES, total - from);
    const offsets = await wholeNumbers(file, page.offsets, from, count);
    const sizes = await wholeNumbers(file, page.byteCounts, from, count);
    for (let i = 0; i < count; i++) {
      if (offsets[i] === 0 || sizes[i] === 0) throw new TiffDamage("a strip or tile has no data");
      yield { offset: offsets[i], bytes: sizes[i], lowBitFirst, ...rowsOf(page, layout, from + i) };
    }
  }
}

/** The rows of strip or tile `index`. */
function rowsOf(
  { width, length, depth, tile, rowsPerStrip }: Page,
  { down, across, deep, pageRow, rowBytes, samplesOfPixel }: Layout,
  index: number,
): Pick<Segment, "wanted" | "surplus" | "rows" | "place"> {
  const x = index % across;
  const y = Math.floor(index / across) % down;
  const planeAndZ = Math.floor(index / (across * down));
  if (!tile) {
    const rows = Math.min(rowsPerStrip, length - y * rowsPerStrip);
    const first = planeAndZ * length + y * rowsPerStrip;
    return {
      wanted: rows * rowBytes,
      surplus: (rowsPerStrip - rows) * rowBytes + MOST_SURPLUS,
      rows,
      place: (row) => ({ start: (first + row) * pageRow, count: pageRow }),
    };
  }
  const [tileWidth, tileLength, tileDepth] = tile;
  const plane = Math.floor(planeAndZ / deep);
  const z0 = (planeAndZ % deep) * tileDepth;
  const rows = tileLength * tileDepth;
  const count = Math.min(tileWidth, width - x * tileWidth) * samplesOfPixel;
  return {
    wanted: rows * rowBytes,
    surplus: MOST_SURPLUS,
    rows,
    place: (row) => {
      const z = z0 + Math.floor(row / tileLength);
      const line = y * tileLength + row % tileLength;
      if (z >= depth || line >= length) return { start: 0, count: 0 };
      return { start: ((plane * depth + z) * length + line) * pageRow + x * tileWidth * samplesOfPixel, count };
    },
  };
}

/** Rows that are being put together. */
interface Block {
  readonly page: Page;
  readonly layout: Layout;
  /** Samples of whole bytes; the same memory as `stored` unless they are packed. */
  readonly samples: ArrayBuffer;
  readonly stored: Uint8Array;
  readonly littleEndian: boolean;
}

async function readSegment(
  file: TiffFile,
  segment: Segment,
  method: Method,
  block: Block,
  take: TakeSamples,
): Promise<void> {
  const { wanted, surplus, rows, place } = segment;
  const { layout: { rowBytes, pageRow }, stored } = block;
  const packed = method.name === "none" ? { ...segment, bytes: Math.min(segment.bytes, wanted) } : segment;
  let done = 0;
  let filled = 0;
  let left = wanted;
  let more = 0;
  for await (const piece of method.unpack(file.source, packed)) {
    const useful = Math.min(piece.length, left);
    more += piece.length - useful;
    if (more > surplus) throw new TiffDamage("a strip or tile unpacks to more than its pixels");
    left -= useful;
    for (let at = 0; at < useful;) {
      const part = Math.min(useful - at, stored.length - filled);
      stored.set(piece.subarray(at, at + part), filled);
      at += part;
      filled += part;
      const ready = Math.floor(filled / rowBytes);
      if (filled < stored.length && (ready === 0 || done + ready < rows)) continue;
      const { start, count } = place(done);
      const littleEndian = finishRows(block, ready);
      if (count > 0) take(block.samples, ready === 1 ? count : ready * pageRow, littleEndian, start);
      done += ready;
      filled = 0;
    }
  }
  if (left > 0) throw new TiffDamage("a strip or tile ends before its pixels do", "cut short");
}

/** Brings whole rows of the block to samples of whole bytes without a predictor; gives their byte order. */
function finishRows({ page, layout, samples, stored, littleEndian }: Block, rows: number): boolean {
  const { type, bits, predictor } = page;
  const { perRow, rowBytes, samplesOfPixel } = layout;
  const width = SAMPLE_BYTES[type];
  const count = rows * perRow;
  const packed = !isWholeBytes(type, bits);
  if (packed) {
    const into = width === 1
      ? new Uint8Array(samples, 0, count)
      : width === 2
      ? new Uint16Array(samples, 0, count)
      : new Uint32Array(samples, 0, count);
    spreadBits(stored.subarray(0, rows * rowBytes), into, bits, perRow);
  }
  if (predictor === FLOATING_POINT) {
    undoFloatingPoint(new Uint8Array(samples, 0, count * width), perRow, samplesOfPixel, width);
    return HOST_LITTLE_ENDIAN;
  }
  if (predictor === HORIZONTAL) {
    if (!packed && littleEndian !== HOST_LITTLE_ENDIAN) swapBytes(samples, count * width, width);
    addDifferences(wholeView(samples, count, width), perRow, samplesOfPixel);
    return HOST_LITTLE_ENDIAN;
  }
  return packed ? HOST_LITTLE_ENDIAN : littleEndian;
}

function wholeView(
  samples: ArrayBuffer,
  count: number,
  width: 1 | 2 | 4 | 8,
): Uint8Array | Uint16Array | Uint32Array | BigUint64Array {
  if (width === 1) return new Uint8Array(samples, 0, count);
  if (width === 2) return new Uint16Array(samples, 0, count);
  if (width === 4) return new Uint32Array(samples, 0, count);
  return new BigUint64Array(samples, 0, count);
}

/** Bytes that pages of this kind take unpacked may be so many for each of the file's. */
export function mostBytes(file: TiffFile, page: Page): number {
  return file.source.size * methodOf(page.compression).ratio;
}

/** Where all samples of a page lie one after the other as they are; null where they do not. */
export async function bareDataAt(file: TiffFile, page: Page): Promise<number | null> {
  const { compression, predictor, lowBitFirst, tile, type, bits, offsets, byteCounts } = page;
  if (compression !== 1 || predictor !== 1 || lowBitFirst || tile || !isWholeBytes(type, bits)) return null;
  const [first] = await wholeNumbers(file, offsets, 0, 1);
  if (offsets.count === 1) return first;
  if (!byteCounts || byteCounts.count !== offsets.count) return null;
  let end = first;
  for (let from = 0; from < offsets.count; from += PLACES) {
    const count = Math.min(PLACES, offsets.count - from);
    const starts = await wholeNumbers(file, offsets, from, count);
    const sizes = await wholeNumbers(file, byteCounts, from, count);
    for (let i = 0; i < count; i++) {
      if (starts[i] !== end || sizes[i] === 0) return null;
      end += sizes[i];
    }
  }
  return end - first === bareBytes(page) ? first : null;
}

/** Bytes of a page's samples where they lie as they are. */
export function bareBytes(page: Page): number {
  return sampleCount(page) * SAMPLE_BYTES[page.type];
}
