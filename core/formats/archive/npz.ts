/**
 * numpy's .npz: a zip of .npy files. Written as numpy.savez_compressed does, arrays that are streamed (zip64, deflate); read
 * whole, for the cascade's previous stage and tests.
 * Formats: numpy/lib/format.py (NPY 1.0 to 3.0), PKWARE APPNOTE 6.3.10.
 */
import { UserError } from "../../base/errors.ts";
import { writeAll, writeAtomically, type WriteOptions } from "../../base/files.ts";
import { type NpyHeader, npyPreamble, readNpyHeader } from "./npy_header.ts";
import { openZip } from "./zip.ts";
import { type WrittenEntry, zipDirectory } from "./zip_directory.ts";
import { writeZipEntry } from "./zip_entry.ts";

/** float16 and bool are widened: to Float32Array and Uint8Array. */
export type NpyData =
  | Float32Array
  | Float64Array
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array;

export interface NpyArray extends NpyHeader {
  /** Elements in C order. */
  readonly data: NpyData;
}

/** zlib's fastest: probabilities are large and mostly constant, and a higher level gains a few percent for several times the time. */
const DEFLATE_LEVEL = 1;
const READING = "reading the arrays";

/**
 * Writes one array as an .npz that numpy.load reads, without holding it in memory.
 * @param name The array's key: "probabilities".
 * @param source Its elements' bytes in C order, little-endian, in chunks of any size.
 * @throws UserError if it can't be written; RangeError if `source` gives more or fewer bytes than `header` says.
 */
export function writeNpz(
  path: string,
  name: string,
  header: NpyHeader,
  source: AsyncIterable<Uint8Array>,
  options: WriteOptions = {},
): Promise<void> {
  return writeNpzArrays(path, [{ name, header, source }], options);
}

/** An array on its way into an .npz. */
export interface NpzSource {
  readonly name: string;
  readonly header: NpyHeader;
  readonly source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
}

/** As {@link writeNpz}, several arrays one after the other. */
export function writeNpzArrays(
  path: string,
  arrays: readonly NpzSource[],
  options: WriteOptions = {},
): Promise<void> {
  const write = async (file: Deno.FsFile) => {
    const entries: WrittenEntry[] = [];
    let offset = 0;
    for (const { name, header, source } of arrays) {
      const fileName = `${name}.npy`;
      const pieces = npyPieces(fileName, header, source);
      const entry = await writeZipEntry(file, offset, { name: fileName, source: pieces, level: DEFLATE_LEVEL });
      entries.push(entry);
      offset = entry.end;
    }
    await writeAll(file, zipDirectory(entries, offset));
  };
  return writeAtomically(path, write, { doing: "writing the array", ...options });
}

/**
 * Reads arrays of an .npz.
 * @param names Of the arrays wanted; without them, all
 * @param remedy What to do about a file that is not as it should be
 * @throws UserError if it is not there, cut off, or holds something that is no plain array.
 */
// deno-lint-ignore require-await -- reading is synchronous today; callers are not to depend on it
export async function readNpz(
  path: string,
  names?: readonly string[],
  remedy = "copy the file again from where it came from",
): Promise<Map<string, NpyArray>> {
  using zip = openZip(path, READING, { kind: "npz file", remedy });
  const arrays = new Map<string, NpyArray>();
  for (const entry of zip.entries.values()) {
    const name = /^(.*)\.npy$/s.exec(entry.name)?.[1];
    if (name === undefined || (names && !names.includes(name))) continue;
    const fail = (problem: string): never => {
      throw new UserError({ doing: READING, file: path, problem: `${entry.name}: ${problem}`, remedy });
    };
    arrays.set(name, parseNpy(zip.read(entry), fail));
  }
  return arrays;
}

/** The bytes of an array's entry. @throws RangeError unless as many elements come as the header says */
async function* npyPieces(name: string, header: NpyHeader, source: NpzSource["source"]): AsyncGenerator<Uint8Array> {
  const preamble = npyPreamble(header);
  const expected = preamble.length + header.shape.reduce((product, n) => product * n, elementBytes(header.dtype));
  let size = preamble.length;
  yield preamble;
  for await (const piece of source) {
    size += piece.length;
    if (size > expected) throw new RangeError(`Writing ${name}: more than ${expected} bytes came`);
    yield piece;
  }
  if (size !== expected) throw new RangeError(`Writing ${name}: ${expected} bytes were promised, ${size} came`);
}

/** The array in the bytes of an .npy file, over those bytes themselves where they lie right. */
function parseNpy(bytes: Uint8Array<ArrayBuffer>, fail: (problem: string) => never): NpyArray {
  const { dtype, shape, elements, elementBytes, dataAt, end } = readNpyHeader((offset, length) => {
    if (offset + length > bytes.length) fail("it is cut off within its header");
    return bytes.subarray(offset, offset + length);
  }, fail);
  const there = bytes.length - dataAt;
  if (bytes.length < end) fail(`it is cut off: ${end - dataAt} bytes of elements are needed, ${there} are there`);
  const make = ARRAYS.get(dtype.slice(1)) ?? fail(`arrays of the type ${dtype} can't be read`);
  const aligned = (bytes.byteOffset + dataAt) % elementBytes === 0;
  const [buffer, at] = aligned ? [bytes.buffer, bytes.byteOffset + dataAt] : [bytes.slice(dataAt, end).buffer, 0];
  return { dtype, shape, data: make(buffer, at, elements) };
}

type MakeArray = (buffer: ArrayBuffer, at: number, count: number) => NpyData;

const ARRAYS: ReadonlyMap<string, MakeArray> = new Map<string, MakeArray>([
  ["f2", (buffer, at, count) => new Float32Array(new Float16Array(buffer, at, count))],
  ["f4", (buffer, at, count) => new Float32Array(buffer, at, count)],
  ["f8", (buffer, at, count) => new Float64Array(buffer, at, count)],
  ["b1", (buffer, at, count) => new Uint8Array(buffer, at, count)],
  ["i1", (buffer, at, count) => new Int8Array(buffer, at, count)],
  ["u1", (buffer, at, count) => new Uint8Array(buffer, at, count)],
  ["i2", (buffer, at, count) => new Int16Array(buffer, at, count)],
  ["u2", (buffer, at, count) => new Uint16Array(buffer, at, count)],
  ["i4", (buffer, at, count) => new Int32Array(buffer, at, count)],
  ["u4", (buffer, at, count) => new Uint32Array(buffer, at, count)],
  ["i8", (buffer, at, count) => new BigInt64Array(buffer, at, count)],
  ["u8", (buffer, at, count) => new BigUint64Array(buffer, at, count)],
]);

function elementBytes(dtype: string): number {
  return Number(/^[<>|=]?[a-z]([0-9]+)$/.exec(dtype)?.[1] ?? NaN);
}
