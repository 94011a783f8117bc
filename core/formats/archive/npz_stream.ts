/**
 * An array of an .npz that is read from its front to its end, piece by piece: what it unpacks to is never in memory as a whole.
 * Formats: numpy/lib/format.py (NPY 1.0 to 3.0), PKWARE APPNOTE 6.3.10.
 */
import { UserError } from "../../base/errors.ts";
import { PIECE_BYTES } from "./gzip.ts";
import type { InflateLane } from "./inflate.ts";
import { NPY_START_BYTES, type NpyLayout, readNpyHeader } from "./npy_header.ts";
import { openZip, type ZipEntry, type ZipFile } from "./zip.ts";

/** Disposing it closes the file. */
export interface NpzStream extends AsyncDisposable {
  readonly file: string;
  readonly header: NpyLayout;
  /** Fills `into` with the bytes of the elements that come next. @throws UserError if the data are damaged or end before */
  read(into: Uint8Array): Promise<void>;
  /** After the last element: checks the end and the checksum. @throws UserError if the data are not what was packed */
  finish(): Promise<void>;
}

export interface NpzStreamOptions {
  /** What is being done, for errors. */
  readonly doing: string;
  /** What to do about a file that is not as it should be. */
  readonly remedy: string;
  /** Gives a lane of {@link createInflateLanes} to an array that is not small; two that are read in turn unpack faster side by side. */
  readonly nextLane?: () => InflateLane;
}

/** More header than numpy writes or reads. */
const MOST_HEADER_BYTES = 1 << 20;

/**
 * Opens the array `name`, C order and little-endian.
 * @throws UserError if the file is not there, no zip, cut off, or has no such array
 */
export async function openNpzStream(file: string, name: string, options: NpzStreamOptions): Promise<NpzStream> {
  const { doing, remedy } = options;
  const fail = (problem: string): never => {
    throw new UserError({ doing, file, problem, remedy });
  };
  const zip = openZip(file, doing, { kind: "npz file", remedy });
  let pieces: AsyncGenerator<Uint8Array, void, void> | undefined;
  const close = async () => {
    await pieces?.return(undefined);
    zip[Symbol.dispose]();
  };
  try {
    const entry = entryOf(zip, name, fail);
    const all = pieces = entry.size <= SMALL_BYTES
      ? onePiece(zip.read(entry))
      : zip.pieces(entry, options.nextLane?.());
    const source = inOrder(
      all,
      (done) => fail(`${entry.name} in it ends after ${done.toLocaleString("en-US")} bytes`),
    );
    const header = await readHeader(source, (problem) => fail(`${entry.name}: ${problem}`));
    if (header.end > entry.size) {
      fail(`${entry.name}: it is cut off: ${header.end} bytes are needed, ${entry.size} are there`);
    }
    return {
      file,
      header,
      read: source.read,
      async finish() {
        for (;;) if ((await all.next()).done) return;
      },
      [Symbol.asyncDispose]: close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Packed bytes that hold the header of any array of a few dimensions. */
const PACKED_HEADER_BYTES = 1 << 10;

/**
 * The header of the array `name`, without the rest of it.
 * @throws UserError as {@link openNpzStream}
 */
export async function readNpzHeader(file: string, name: string, options: NpzStreamOptions): Promise<NpyLayout> {
  try {
    using zip = openZip(file, options.doing, { kind: "npz file", remedy: options.remedy });
    const fail = (problem: string): never => {
      throw new Error(problem);
    };
    const entry = entryOf(zip, name, fail);
    const start = zip.start(entry, PACKED_HEADER_BYTES);
    const header = readNpyHeader((offset, length) => {
      if (offset + length > start.length) fail("more is needed");
      return start.subarray(offset, offset + length);
    }, fail);
    if (header.end <= entry.size) return header;
  } catch { /* What is wrong is said by who reads all of it. */ }
  await using stream = await openNpzStream(file, name, options);
  return stream.header;
}

function entryOf(zip: ZipFile, name: string, fail: (problem: string) => never): ZipEntry {
  const entry = zip.entries.get(`${name}.npy`);
  if (entry) return entry;
  const there = Array.from(zip.entries.keys()).slice(0, 3).map((key) => key.replace(/\.npy$/, "")).join(", ");
  return fail(`it has no array "${name}", only ${there || "none"}`);
}

/** What unpacks to no more is unpacked and checked at once: waiting for pieces takes longer than unpacking few of them. */
const SMALL_BYTES = 8 * PIECE_BYTES;

/** Stands in for pieces that have to be waited for. */
async function* onePiece(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, void> {
  yield bytes;
}

/** Reads from pieces as from a file. @param ended Called where they end before what is asked for */
function inOrder(pieces: AsyncGenerator<Uint8Array, void, void>, ended: (done: number) => never) {
  let piece: Uint8Array = new Uint8Array(0);
  let at = 0;
  let done = 0;
  return {
    async read(into: Uint8Array): Promise<void> {
      for (let filled = 0; filled < into.length;) {
        if (at === piece.length) {
          const next = await pieces.next();
          if (next.done) return ended(done);
          [piece, at] = [next.value, 0];
        }
        const count = Math.min(into.length - filled, piece.length - at);
        into.set(piece.subarray(at, at + count), filled);
        at += count;
        filled += count;
        done += count;
      }
    },
  };
}

/** Reads the header, as long as it says it is. */
async function readHeader(
  source: { read(into: Uint8Array): Promise<void> },
  fail: (problem: string) => never,
): Promise<NpyLayout> {
  const start = new Uint8Array(NPY_START_BYTES);
  await source.read(start);
  const view = new DataView(start.buffer);
  const [textAt, length] = start[6] >= 2 ? [12, view.getUint32(8, true)] : [10, view.getUint16(8, true)];
  if (length > MOST_HEADER_BYTES || textAt + length < NPY_START_BYTES) return fail("its header can't be read");
  const bytes = new Uint8Array(textAt + length);
  bytes.set(start);
  await source.read(bytes.subarray(NPY_START_BYTES));
  return readNpyHeader((offset, count) => bytes.subarray(offset, offset + count), fail);
}
