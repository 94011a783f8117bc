/**
 * numpy's .npz: a zip of .npy files. Written as numpy.savez_compressed does, arrays that are streamed (zip64, deflate); read
 * whole, for the cascade's previous stage and tests.
 * Formats: numpy/lib/format.py (NPY 1.0 to 3.0), PKWARE APPNOTE 6.3.10.
 */
import { once } from "node:events";
import { crc32, createDeflateRaw } from "node:zlib";
import { UserError } from "../../base/errors.ts";
import { writeAll, writeAtomically, type WriteOptions } from "../../base/files.ts";
import { openZip } from "./zip.ts";
import { type WrittenEntry, zipDirectory } from "./zip_directory.ts";

export interface NpyHeader {
  /** numpy's type string: "<f4", "|u1". */
  readonly dtype: string;
  readonly shape: readonly number[];
}

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
      const entry = await writeEntry(file, `${name}.npy`, offset, header, source);
      entries.push(entry);
      offset = entry.end;
    }
    await writeAll(file, zipDirectory(entries, offset));
  };
  return writeAtomically(path, write, { doing: "writing the array", ...options });
}

/**
 * Reads all arrays of an .npz.
 * @throws UserError if it is not there, cut off, or holds something that is no plain array.
 */
// deno-lint-ignore require-await -- reading is synchronous today; callers are not to depend on it
export async function readNpz(path: string): Promise<Map<string, NpyArray>> {
  const doing = "reading the arrays";
  using zip = openZip(path, doing, "npz file");
  const arrays = new Map<string, NpyArray>();
  for (const entry of zip.entries.values()) {
    if (!entry.name.endsWith(".npy")) continue;
    arrays.set(entry.name.slice(0, -4), parseNpy(zip.read(entry), path, entry.name));
  }
  return arrays;
}

/** The bytes before an array's elements in an .npy file, version 1.0. */
export function npyPreamble(header: NpyHeader): Uint8Array<ArrayBuffer> {
  const shape = header.shape.length === 1 ? `(${header.shape[0]},)` : `(${header.shape.join(", ")})`;
  const text = `{'descr': '${header.dtype}', 'fortran_order': False, 'shape': ${shape}, }`;
  const length = Math.ceil((10 + text.length + 1) / 64) * 64;
  const bytes = new Uint8Array(length).fill(0x20);
  bytes.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0]);
  new DataView(bytes.buffer).setUint16(8, length - 10, true);
  bytes.set(new TextEncoder().encode(text), 10);
  bytes[length - 1] = 0x0a;
  return bytes;
}

/** Writes an entry at `offset`, the file's end; the file's position is behind it afterwards. */
async function writeEntry(
  file: Deno.FsFile,
  name: string,
  offset: number,
  header: NpyHeader,
  source: NpzSource["source"],
): Promise<WrittenEntry> {
  const local = localHeader(name);
  await writeAll(file, local);

  const deflate = createDeflateRaw({ level: DEFLATE_LEVEL });
  let checksum = 0;
  let size = 0;
  let packed = 0;
  const feed = async (chunk: Uint8Array) => {
    checksum = crc32(chunk, checksum);
    size += chunk.length;
    if (!deflate.write(chunk)) await once(deflate, "drain");
  };
  const pump = async () => {
    const preamble = npyPreamble(header);
    const expected = preamble.length + header.shape.reduce((product, n) => product * n, elementBytes(header.dtype));
    await feed(preamble);
    for await (const chunk of source) {
      if (size + chunk.length > expected) throw new RangeError(`Writing ${name}: more than ${expected} bytes came`);
      await feed(chunk);
    }
    if (size !== expected) throw new RangeError(`Writing ${name}: ${expected} bytes were promised, ${size} came`);
    deflate.end();
  };
  const drain = async () => {
    for await (const chunk of deflate) {
      packed += (chunk as Uint8Array).length;
      await writeAll(file, chunk as Uint8Array);
    }
  };
  // Whichever fails first ends the other, whose error then only says that it was ended.
  let failure: { readonly reason: unknown } | undefined;
  const guard = (work: Promise<void>) =>
    work.catch((reason) => {
      failure ??= { reason };
      deflate.destroy(reason);
    });
  await Promise.all([guard(pump()), guard(drain())]);
  if (failure) throw failure.reason;

  const end = offset + local.length + packed;
  const view = new DataView(local.buffer);
  view.setUint32(14, checksum, true);
  view.setBigUint64(local.length - 16, BigInt(size), true);
  view.setBigUint64(local.length - 8, BigInt(packed), true);
  await file.seek(offset, Deno.SeekMode.Start);
  await writeAll(file, local);
  await file.seek(end, Deno.SeekMode.Start);
  return { name, method: 8, checksum, size, packed, offset, end };
}

/** A local header whose sizes are in a zip64 field at its end; they and the checksum are filled in afterwards. */
function localHeader(name: string): Uint8Array<ArrayBuffer> {
  const nameBytes = new TextEncoder().encode(name);
  const bytes = new Uint8Array(30 + nameBytes.length + 20);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0x04034b50, true);
  view.setUint16(4, 45, true);
  view.setUint16(8, 8, true);
  view.setUint16(12, 0x0021, true); // 1980-01-01: the same data gives the same file
  view.setUint32(18, 0xffffffff, true);
  view.setUint32(22, 0xffffffff, true);
  view.setUint16(26, nameBytes.length, true);
  view.setUint16(28, 20, true);
  bytes.set(nameBytes, 30);
  view.setUint16(30 + nameBytes.length, 1, true);
  view.setUint16(32 + nameBytes.length, 16, true);
  return bytes;
}

/** The array in the bytes of an .npy file. */
export function parseNpy(bytes: Uint8Array<ArrayBuffer>, file: string, name: string): NpyArray {
  const fail = (problem: string): never => {
    throw new UserError({ doing: "reading the arrays", file, problem: `${name}: ${problem}` });
  };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 12 || bytes[0] !== 0x93 || String.fromCharCode(...bytes.subarray(1, 6)) !== "NUMPY") {
    return fail("it is no numpy array");
  }
  const wide = bytes[6] >= 2;
  const start = (wide ? 12 : 10) + (wide ? view.getUint32(8, true) : view.getUint16(8, true));
  const text = new TextDecoder().decode(bytes.subarray(wide ? 12 : 10, start));
  const dtype = /'descr': *'([^']+)'/.exec(text)?.[1];
  const order = /'fortran_order': *(True|False)/.exec(text)?.[1];
  const shapeText = /'shape': *\(([0-9, ]*)\)/.exec(text)?.[1];
  if (dtype === undefined || order === undefined || shapeText === undefined) return fail("its header can't be read");
  const shape = shapeText.split(",").map((n) => n.trim()).filter(Boolean).map(Number);
  const count = shape.reduce((product, n) => product * n, 1);
  if (order === "True" && shape.length > 1) return fail("it is in Fortran order, C order is needed");
  if (dtype.startsWith(">")) return fail(`it is big-endian (${dtype}), little-endian is needed`);
  const needed = count * elementBytes(dtype);
  if (bytes.length - start < needed) {
    return fail(`it is cut off: ${needed} bytes of elements are needed, ${bytes.length - start} are there`);
  }
  const { buffer } = bytes.slice(start, start + needed);
  const make = ARRAYS[dtype.slice(1)];
  return make ? { dtype, shape, data: make(buffer) } : fail(`arrays of the type ${dtype} can't be read`);
}

const ARRAYS: Readonly<Record<string, (buffer: ArrayBuffer) => NpyData>> = {
  f2: (buffer) => new Float32Array(new Float16Array(buffer)),
  f4: (buffer) => new Float32Array(buffer),
  f8: (buffer) => new Float64Array(buffer),
  b1: (buffer) => new Uint8Array(buffer),
  i1: (buffer) => new Int8Array(buffer),
  u1: (buffer) => new Uint8Array(buffer),
  i2: (buffer) => new Int16Array(buffer),
  u2: (buffer) => new Uint16Array(buffer),
  i4: (buffer) => new Int32Array(buffer),
  u4: (buffer) => new Uint32Array(buffer),
  i8: (buffer) => new BigInt64Array(buffer),
  u8: (buffer) => new BigUint64Array(buffer),
};

function elementBytes(dtype: string): number {
  return Number(/^[<>|=]?[a-z]([0-9]+)$/.exec(dtype)?.[1] ?? NaN);
}
