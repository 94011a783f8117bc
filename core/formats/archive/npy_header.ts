/** The header of a numpy array: type and shape as a Python dictionary. Format: numpy/lib/format.py, versions 1.0 to 3.0. */

export interface NpyHeader {
  /** numpy's type string: "<f4", "|u1". */
  readonly dtype: string;
  readonly shape: readonly number[];
}

/** A header and where the elements are. */
export interface NpyLayout extends NpyHeader {
  /** Bytes of one element. */
  readonly elementBytes: number;
  /** Of all. */
  readonly elements: number;
  /** Offset of the first one. */
  readonly dataAt: number;
  /** Offset behind the last one. */
  readonly end: number;
}

/** Bytes that have to be read to know how long the header is. */
export const NPY_START_BYTES = 12;
/** numpy refuses longer ones, too (max_header_size is 10,000). */
const MAX_HEADER_BYTES = 1 << 20;
const MAX_DIMENSIONS = 64;

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

/**
 * Reads the header of an array in C order and little-endian.
 * @param more Gives `length` bytes from `offset` on
 * @param fail Ends the reading with the problem
 */
export function readNpyHeader(
  more: (offset: number, length: number) => Uint8Array,
  fail: (problem: string) => never,
): NpyLayout {
  const start = more(0, NPY_START_BYTES);
  if (start[0] !== 0x93 || new TextDecoder().decode(start.subarray(1, 6)) !== "NUMPY") {
    return fail("it is no numpy array");
  }
  const view = new DataView(start.buffer, start.byteOffset, NPY_START_BYTES);
  const wide = start[6] >= 2;
  const length = wide ? view.getUint32(8, true) : view.getUint16(8, true);
  if (length > MAX_HEADER_BYTES) return fail("its header can't be read");
  const textAt = wide ? 12 : 10;
  const text = new TextDecoder().decode(more(textAt, length));
  const dtype = /'descr': *'([^']{1,40})'/.exec(text)?.[1];
  const order = /'fortran_order': *(True|False)/.exec(text)?.[1];
  const shapeText = /'shape': *\(([0-9, ]*)\)/.exec(text)?.[1];
  if (dtype === undefined || order === undefined || shapeText === undefined) return fail("its header can't be read");
  const shape = shapeText.split(",").map((n) => n.trim()).filter(Boolean).map(Number);
  if (shape.length > MAX_DIMENSIONS || !shape.every(Number.isSafeInteger)) return fail("its header can't be read");
  if (order === "True" && shape.length > 1) return fail("it is in Fortran order, C order is needed");
  if (dtype.startsWith(">")) return fail(`it is big-endian (${dtype}), little-endian is needed`);
  const elementBytes = Number(/^[<|=][a-z]([1-9][0-9]{0,2})$/.exec(dtype)?.[1] ?? fail(`its type is ${dtype}`));
  const elements = shape.reduce((product, n) => product * n, 1);
  const dataAt = textAt + length;
  return { dtype, shape, elementBytes, elements, dataAt, end: dataAt + elements * elementBytes };
}
