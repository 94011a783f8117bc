/**
 * The header of a blosc2 frame that holds an n-dimensional array (.b2nd): msgpack with every field at its place, and what the array
 * is in a metalayer named b2nd. Everything in it is checked here. Source: README_CFRAME_FORMAT.rst and README_B2ND_METALAYER.rst of
 * c-blosc2.
 */

/** Numpy's names of the types that are read. */
export const B2ND_TYPES = { "|i1": 1, "|u1": 1, "<i2": 2, "<u2": 2, "<f4": 4 } as const;
export type B2ndType = keyof typeof B2ND_TYPES;

export interface B2ndHeader {
  readonly dtype: B2ndType;
  readonly shape: readonly number[];
  /** Chunks tile the array; those at its end reach over it. */
  readonly chunk: readonly number[];
  /** Blocks tile a chunk in the same way. */
  readonly block: readonly number[];
}

/** Where things are in the file. */
export interface FrameLayout {
  readonly headerBytes: number;
  readonly frameBytes: number;
  /** Of all chunks; the index of their places comes after them. */
  readonly dataBytes: number;
  /** Chunks along each axis. */
  readonly chunks: readonly number[];
  readonly chunkCount: number;
  /** Blocks of a chunk along each axis. */
  readonly blocks: readonly number[];
  /** Of a chunk and a block, unpacked; all are of one size. */
  readonly chunkBytes: number;
  readonly blockBytes: number;
}

export type Fail = (problem: string) => never;

/** What a header has before its metalayers. */
export const FRAME_HEADER_BYTES = 87;
const MAX_HEADER = 1 << 20;
const MAX_LAYERS = 16;
const MAX_DIMENSIONS = 8;
const MAX_LENGTH = 2 ** 31 - 1;
/** A block is unpacked in memory; those of nnU-Net have at most 128 KiB, blosc2's own a few MiB. */
const MAX_BLOCK = 2 ** 25;
/** The index of their places is held in memory. */
const MAX_CHUNKS = 2 ** 22;
/** Bytes of msgpack that stand before a value and say its kind; an array's says its length, too. */
const KIND = {
  array: 0x90,
  string4: 0xa4,
  string8: 0xa8,
  binary: 0xc6,
  uint16: 0xcd,
  uint64: 0xcf,
  int16: 0xd1,
  int32: 0xd2,
  int64: 0xd3,
  fixed16: 0xd8,
  text: 0xdb,
  longArray: 0xdc,
  map: 0xde,
} as const;

/** Reads msgpack from the front to the back. */
interface Fields {
  at: number;
  readonly view: DataView;
  readonly fail: Fail;
}

/**
 * @param start The first {@link FRAME_HEADER_BYTES} of the file
 * @returns how long the whole header is
 */
export function frameHeaderBytes(start: Uint8Array, fileBytes: number, fail: Fail): number {
  const fields: Fields = { at: 0, view: viewOf(start), fail };
  const magic = start.subarray(2, 10).every((byte, i) => byte === "b2frame\0".charCodeAt(i));
  if (!magic || start[1] !== KIND.string8) fail("it is no blosc2 frame");
  fields.at = 10;
  const bytes = number(fields, KIND.int32, "header_len");
  if (bytes < FRAME_HEADER_BYTES || bytes > Math.min(MAX_HEADER, fileBytes)) {
    fail(`its header has ${bytes} bytes, the file ${fileBytes}`);
  }
  return bytes;
}

/** @param header The whole header */
export function parseFrame(
  header: Uint8Array,
  fileBytes: number,
  fail: Fail,
): { readonly header: B2ndHeader; readonly layout: FrameLayout } {
  const fields: Fields = { at: 15, view: viewOf(header), fail };
  const frameBytes = number(fields, KIND.uint64, "frame_len");
  if (frameBytes > fileBytes) fail(`it is cut off: ${fileBytes} of ${frameBytes} bytes are there`);
  expect(fields, KIND.string4, "flags");
  const [flags, kind] = [byte(fields), byte(fields) & 15];
  const version = flags & 15;
  if (version < 1 || version > 3) fail(`its frame is of version ${version}, 1 to 3 are read`);
  if (((flags >> 4) & 3) !== 1) fail("its chunk offsets are not of 64 bits");
  if ((flags & 0xc0) !== 0) fail("its chunks or blocks are of variable length, which no array has");
  if (kind !== 0) fail("it is a sparse frame, a folder; only contiguous ones are read");
  fields.at += 2;
  const unpacked = number(fields, KIND.int64, "uncompressed_size");
  const dataBytes = number(fields, KIND.int64, "compressed_size");
  const typeBytes = number(fields, KIND.int32, "type_size");
  const blockBytes = number(fields, KIND.int32, "block_size");
  const chunkBytes = number(fields, KIND.int32, "chunk_size");
  number(fields, KIND.int16, "tcomp");
  number(fields, KIND.int16, "tdecomp");
  fields.at++;
  expect(fields, KIND.fixed16, "filters");
  fields.at += 17; // every chunk has its own
  if (header.length + dataBytes > frameBytes) fail(`its chunks have ${dataBytes} bytes, the frame ${frameBytes}`);

  const array = parseArray(metalayer(fields, header, "b2nd"), fail);
  const layout = layoutOf(array, { headerBytes: header.length, frameBytes, dataBytes }, fail);
  if (typeBytes !== B2ND_TYPES[array.dtype]) {
    fail(`its elements have ${typeBytes} bytes, those of ${array.dtype} ${B2ND_TYPES[array.dtype]}`);
  }
  const sizes = [blockBytes, chunkBytes, unpacked].join();
  const needed = [layout.blockBytes, layout.chunkBytes, layout.chunkCount * layout.chunkBytes].join();
  if (sizes !== needed) fail(`a block, a chunk and all chunks have ${sizes} bytes, and by their shapes ${needed}`);
  return { header: array, layout };
}

/** The bytes of a metalayer's value. */
function metalayer(fields: Fields, header: Uint8Array, name: string): Uint8Array {
  const { fail } = fields;
  expect(fields, KIND.array + 3, "metalayers");
  number(fields, KIND.uint16, "size of the metalayers' index");
  const count = number(fields, KIND.map, "metalayers", 2);
  if (count > MAX_LAYERS) fail(`it has ${count} metalayers, at most ${MAX_LAYERS} are possible`);
  let found: number | undefined;
  for (let i = 0; i < count; i++) {
    const length = byte(fields) - 0xa0;
    if (length < 0 || length > 31) fail("the name of a metalayer is damaged");
    const text = new TextDecoder().decode(take(fields, length));
    const at = number(fields, KIND.int32, "a metalayer's place");
    if (text === name) found = at;
  }
  number(fields, KIND.longArray, "metalayers", 2);
  if (found === undefined) return fail(`it holds no n-dimensional array (no metalayer ${name})`);
  fields.at = found;
  const length = number(fields, KIND.binary, `metalayer ${name}`);
  if (found + 5 + length > header.length) fail(`its metalayer ${name} is cut off`);
  return take(fields, length);
}

function parseArray(bytes: Uint8Array, fail: Fail): B2ndHeader {
  const fields: Fields = { at: 0, view: viewOf(bytes), fail };
  const members = byte(fields);
  byte(fields); // version
  const dimensions = byte(fields);
  if (members !== KIND.array + 7 || dimensions < 1 || dimensions > MAX_DIMENSIONS) {
    fail(`its array has ${dimensions} dimensions, 1 to ${MAX_DIMENSIONS} and a type are read`);
  }
  const lengths = (kind: number, what: string, low: number): number[] => {
    expect(fields, KIND.array + dimensions, what);
    return Array.from({ length: dimensions }, () => {
      const length = number(fields, kind, what);
      if (length < low || length > MAX_LENGTH) fail(`its ${what} has a length of ${length}`);
      return length;
    });
  };
  const shape = lengths(KIND.int64, "shape", 1);
  const chunk = lengths(KIND.int32, "chunk shape", 1);
  const block = lengths(KIND.int32, "block shape", 1);
  if (block.some((length, axis) => length > chunk[axis])) fail("its blocks are larger than its chunks");
  if (byte(fields) !== 0) fail("its type is not one of numpy");
  const length = number(fields, KIND.text, "dtype");
  const dtype = new TextDecoder().decode(take(fields, length));
  if (!isType(dtype)) return fail(`its type is ${shown(dtype)}; ${Object.keys(B2ND_TYPES).join(", ")} are read`);
  return { dtype, shape, chunk, block };
}

function isType(dtype: string): dtype is B2ndType {
  return Object.hasOwn(B2ND_TYPES, dtype);
}

function shown(text: string): string {
  return JSON.stringify(text.slice(0, 40));
}

/** Sizes of everything, checked: none is larger than its number has room for, or than is held in memory. */
export function layoutOf(
  { dtype, shape, chunk, block }: B2ndHeader,
  places: Pick<FrameLayout, "headerBytes" | "frameBytes" | "dataBytes">,
  fail: Fail,
): FrameLayout {
  const product = (lengths: readonly number[]) => lengths.reduce((all, one) => all * one, 1);
  const chunks = shape.map((length, axis) => Math.ceil(length / chunk[axis]));
  const blocks = chunk.map((length, axis) => Math.ceil(length / block[axis]));
  const blockBytes = product(block) * B2ND_TYPES[dtype];
  const chunkBytes = product(blocks) * blockBytes;
  const chunkCount = product(chunks);
  if (blockBytes > MAX_BLOCK) fail(`its blocks have ${blockBytes} bytes each, at most ${MAX_BLOCK} are read`);
  if (chunkBytes > MAX_LENGTH) fail(`its chunks have ${chunkBytes} bytes each, at most ${MAX_LENGTH} are possible`);
  if (chunkCount > MAX_CHUNKS) fail(`it has ${chunkCount} chunks, at most ${MAX_CHUNKS} are read`);
  return { ...places, chunks, chunkCount, blocks, chunkBytes, blockBytes };
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function byte(fields: Fields): number {
  if (fields.at >= fields.view.byteLength) return fields.fail("its header ends too early");
  return fields.view.getUint8(fields.at++);
}

function take(fields: Fields, length: number): Uint8Array {
  const { at, view } = fields;
  if (length > view.byteLength - at) return fields.fail("its header ends too early");
  fields.at += length;
  return new Uint8Array(view.buffer, view.byteOffset + at, length);
}

function expect(fields: Fields, marker: number, what: string): void {
  if (byte(fields) !== marker) fields.fail(`its ${what} is not where it has to be`);
}

/** A number of msgpack, 0 or more, after the byte that says its kind; of a map or an array its count. */
function number(fields: Fields, marker: number, what: string, bytes = numberBytes(marker)): number {
  expect(fields, marker, what);
  const { at, view, fail } = fields;
  if (bytes > view.byteLength - at) return fail("its header ends too early");
  fields.at += bytes;
  const value = bytes === 2
    ? view.getInt16(at)
    : bytes === 4
    ? view.getInt32(at)
    : Number(marker === KIND.uint64 ? view.getBigUint64(at) : view.getBigInt64(at));
  if (value < 0 || !Number.isSafeInteger(value)) return fail(`its ${what} is ${value}`);
  return value;
}

function numberBytes(marker: number): number {
  if (marker === KIND.int64 || marker === KIND.uint64) return 8;
  return marker === KIND.int16 || marker === KIND.uint16 ? 2 : 4;
}
