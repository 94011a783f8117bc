/** Tensors of a torch file: where their bytes lie, and how bytes of every dtype become contiguous f32. */
import { UserError } from "../../base/errors.ts";
import type { PickledTensor } from "./pickle_globals.ts";
import type { ZipEntry, ZipFile } from "../archive/zip.ts";

/** One stored tensor, read when asked for. */
export interface StoredTensor {
  readonly shape: readonly number[];
  /** torch's name: "float32". */
  readonly dtype: string;
  /**
   * All elements in C order as f32, a new array each time.
   * @throws UserError if its bytes are not all there, or its dtype can't be read.
   */
  read(): Float32Array;
}

/** A storage in a checkpoint's zip, as a tensor refers to it. */
export interface TorchStorage {
  readonly kind: "storage";
  /** "torch.FloatStorage". */
  readonly type: string;
  readonly zip: ZipFile;
  readonly entry: ZipEntry;
  readonly bigEndian: boolean;
}

export function isStorage(value: unknown): value is TorchStorage {
  return typeof value === "object" && value !== null && (value as TorchStorage).kind === "storage";
}

interface ElementKind {
  readonly dtype: string;
  readonly bytes: number;
  /** Elements of little-endian `data`, whose buffer starts aligned. */
  readonly toNumbers: (data: Uint8Array<ArrayBuffer>) => ArrayLike<number>;
}

const ELEMENTS: Readonly<Record<string, ElementKind>> = {
  DoubleStorage: { dtype: "float64", bytes: 8, toNumbers: (data) => new Float64Array(data.buffer) },
  FloatStorage: { dtype: "float32", bytes: 4, toNumbers: (data) => new Float32Array(data.buffer) },
  HalfStorage: { dtype: "float16", bytes: 2, toNumbers: (data) => new Float16Array(data.buffer) },
  BFloat16Storage: { dtype: "bfloat16", bytes: 2, toNumbers: widenBfloat16 },
  LongStorage: { dtype: "int64", bytes: 8, toNumbers: (data) => Array.from(new BigInt64Array(data.buffer), Number) },
  IntStorage: { dtype: "int32", bytes: 4, toNumbers: (data) => new Int32Array(data.buffer) },
  ShortStorage: { dtype: "int16", bytes: 2, toNumbers: (data) => new Int16Array(data.buffer) },
  CharStorage: { dtype: "int8", bytes: 1, toNumbers: (data) => new Int8Array(data.buffer) },
  ByteStorage: { dtype: "uint8", bytes: 1, toNumbers: (data) => data },
  BoolStorage: { dtype: "bool", bytes: 1, toNumbers: (data) => data.map((byte) => (byte ? 1 : 0)) },
};

/** Elements of a tensor that has more of them than its storage. */
export const MAX_REPEATED = 1 << 20;

/**
 * A tensor of the file. Nothing is read yet.
 * @param name Its name in the state_dict, for errors.
 */
export function storedTensor(tensor: PickledTensor, storage: TorchStorage, name: string, file: string): StoredTensor {
  const { shape, strides, offset } = tensor;
  const type = storage.type.slice(storage.type.lastIndexOf(".") + 1);
  const element: ElementKind | undefined = Object.hasOwn(ELEMENTS, type) ? ELEMENTS[type] : undefined;
  return {
    shape,
    dtype: element?.dtype ?? type.replace(/Storage$/, ""),
    read() {
      const fail = (problem: string): never => {
        const remedy = "copy the file again from where it came from";
        throw new UserError({ doing: "reading the checkpoint", file, problem, remedy });
      };
      if (!element) return fail(`the tensor ${name} is of a type that can't be read here: ${storage.type}`);
      if (shape.length !== strides.length) {
        return fail(`the tensor ${name} is damaged: shape and strides differ in length`);
      }
      const count = shape.reduce((product, n) => product * n, 1);
      if (count === 0) return new Float32Array(0);
      const span = shape.reduce((last, n, axis) => last + (n - 1) * strides[axis], 0) + 1;
      const available = Math.floor(storage.entry.size / element.bytes);
      // A stride of 0 repeats elements (torch's expand), but never beyond what a real weight has.
      if (!(offset + span <= available && (count <= available || count <= MAX_REPEATED))) {
        return fail(
          `the checkpoint is damaged: the tensor ${name} (${shape.join("x")}) needs ${offset + span} elements of its ` +
            `data ${storage.entry.name}, which holds ${available}`,
        );
      }
      const bytes = storage.zip.read(storage.entry, offset * element.bytes, span * element.bytes);
      if (storage.bigEndian) swapBytes(bytes, element.bytes);
      const numbers = element.toNumbers(bytes);
      if (isContiguous(shape, strides)) {
        return numbers instanceof Float32Array ? numbers : Float32Array.from(numbers);
      }
      return gather(numbers, shape, strides, count);
    },
  };
}

function isContiguous(shape: readonly number[], strides: readonly number[]): boolean {
  let expected = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] !== 1 && strides[axis] !== expected) return false;
    expected *= shape[axis];
  }
  return true;
}

function gather(
  source: ArrayLike<number>,
  shape: readonly number[],
  strides: readonly number[],
  count: number,
): Float32Array {
  const result = new Float32Array(count);
  const index = new Array<number>(shape.length).fill(0);
  let at = 0;
  for (let i = 0; i < count; i++) {
    result[i] = source[at];
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      at += strides[axis];
      if (++index[axis] < shape[axis]) break;
      at -= strides[axis] * shape[axis];
      index[axis] = 0;
    }
  }
  return result;
}

function widenBfloat16(data: Uint8Array<ArrayBuffer>): Float32Array {
  const halves = new Uint16Array(data.buffer);
  const words = new Uint32Array(halves.length);
  for (let i = 0; i < halves.length; i++) words[i] = halves[i] << 16;
  return new Float32Array(words.buffer);
}

function swapBytes(data: Uint8Array, width: number): void {
  if (width === 1) return;
  for (let i = 0; i < data.length; i += width) data.subarray(i, i + width).reverse();
}
