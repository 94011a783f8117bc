/**
 * Writing Python pickles of plain data, numpy arrays and torch tensors: protocol 4 (Python's default from 3.8 to 3.13), or 2, which
 * torch.save uses. numpy's names are those of numpy 1, which numpy 2 reads as well. Opcodes: CPython Lib/pickletools.py.
 */

/** int and float differ in Python, so numbers are marked: {@link int}, {@link float}. A dict is a Map, a list an array. */
export type PickleValue =
  | null
  | boolean
  | string
  | readonly PickleValue[]
  | ReadonlyMap<PickleValue, PickleValue>
  | { readonly python: "int" | "float" | "float64" | "float32" | "int64"; readonly value: number }
  | { readonly python: "tuple"; readonly items: readonly PickleValue[] }
  | { readonly python: "ndarray"; readonly shape: readonly number[]; readonly data: Float64Array | BigInt64Array }
  | OrderedDict
  /** A function or class, which Python looks up by its name. */
  | { readonly python: "global"; readonly module: string; readonly name: string }
  | { readonly python: "device"; readonly type: string; readonly index?: number }
  | TensorOfStorage;

/** collections.OrderedDict, with attributes of its own as torch's state_dicts have. */
export interface OrderedDict {
  readonly python: "orderedDict";
  readonly items: ReadonlyMap<string, PickleValue>;
  readonly attributes?: Readonly<Record<string, PickleValue>>;
}

/** torch.Tensor in C order that is the whole of a storage, which is stored beside the pickle under this number. */
export interface TensorOfStorage {
  readonly python: "tensor";
  readonly type: "float32" | "int64";
  readonly storage: number;
  readonly shape: readonly number[];
}

/** Python's int. */
export function int(value: number): PickleValue {
  if (!Number.isSafeInteger(value)) throw new RangeError(`Writing a pickle: ${value} is no integer`);
  return { python: "int", value };
}

/** Python's float. */
export function float(value: number): PickleValue {
  return { python: "float", value };
}

/** numpy.float64, as numpy's functions give it. */
export function float64(value: number): PickleValue {
  return { python: "float64", value };
}

/** numpy.float32. */
export function float32(value: number): PickleValue {
  return { python: "float32", value };
}

/** numpy.int64, as elements of integer arrays are. */
export function int64(value: number): PickleValue {
  return { python: "int64", value };
}

export function tuple(items: readonly PickleValue[]): PickleValue {
  return { python: "tuple", items };
}

/** numpy.ndarray of float64 in C order. */
export function ndarray(shape: readonly number[], values: readonly number[]): PickleValue {
  const data = Float64Array.from(values);
  if (shape.reduce((product, n) => product * n, 1) !== data.length) {
    throw new RangeError("Writing a pickle: array shape");
  }
  return { python: "ndarray", shape, data };
}

/** numpy.ndarray of int64 in C order. */
export function int64Array(shape: readonly number[], data: BigInt64Array): PickleValue {
  if (shape.reduce((product, n) => product * n, 1) !== data.length) {
    throw new RangeError("Writing a pickle: array shape");
  }
  return { python: "ndarray", shape, data };
}

/** A dict with text keys, in the order given. */
export function dict(entries: Readonly<Record<string, PickleValue>>): PickleValue {
  return new Map<PickleValue, PickleValue>(Object.entries(entries));
}

/** The bytes of a pickle file. */
export function pickle(value: PickleValue, protocol: 2 | 4 = 4): Uint8Array<ArrayBuffer> {
  const out = createSink(protocol);
  out.push(0x80, protocol);
  write(value, out);
  out.push(code("."));
  return out.bytes();
}

/** Bytes in the making. */
interface Sink {
  readonly protocol: 2 | 4;
  push(...bytes: readonly number[]): void;
  append(bytes: Uint8Array): void;
  bytes(): Uint8Array<ArrayBuffer>;
}

function createSink(protocol: 2 | 4): Sink {
  let buffer = new Uint8Array(1024);
  let length = 0;
  const grow = (more: number) => {
    if (length + more <= buffer.length) return;
    const larger = new Uint8Array(Math.max(2 * buffer.length, length + more));
    larger.set(buffer.subarray(0, length));
    buffer = larger;
  };
  return {
    protocol,
    push(...bytes) {
      grow(bytes.length);
      for (const byte of bytes) buffer[length++] = byte;
    },
    append(bytes) {
      grow(bytes.length);
      buffer.set(bytes, length);
      length += bytes.length;
    },
    bytes: () => buffer.slice(0, length),
  };
}

function write(value: PickleValue, out: Sink): void {
  if (value === null) out.push(code("N"));
  else if (typeof value === "boolean") out.push(value ? 0x88 : 0x89);
  else if (typeof value === "string") writeText(value, out);
  else if (Array.isArray(value)) {
    out.push(code("]"));
    writeMarked(value, code("e"), out);
  } else if (value instanceof Map) {
    out.push(code("}"));
    writeMarked(Array.from(value as ReadonlyMap<PickleValue, PickleValue>).flat(), code("u"), out);
  } else if ("python" in value) writeMarkedKind(value, out);
}

function writeMarkedKind(value: Extract<PickleValue, { readonly python: string }>, out: Sink): void {
  switch (value.python) {
    case "int":
      writeInt(value.value, out);
      break;
    case "float":
      out.push(code("G"), ...numberBytes((view) => view.setFloat64(0, value.value, false), 8));
      break;
    case "tuple":
      if (value.items.length === 0) out.push(code(")"));
      else writeMarked(value.items, code("t"), out);
      break;
    case "float64":
      writeScalar("f8", numberBytes((view) => view.setFloat64(0, value.value, true), 8), out);
      break;
    case "float32":
      writeScalar("f4", numberBytes((view) => view.setFloat32(0, value.value, true), 4), out);
      break;
    case "int64":
      writeScalar("i8", numberBytes((view) => view.setBigInt64(0, BigInt(value.value), true), 8), out);
      break;
    case "orderedDict":
      writeOrderedDict(value, out);
      break;
    case "global":
      writeGlobal(value.module, value.name, out);
      break;
    case "device":
      writeGlobal("torch", "device", out);
      write(tuple([value.type, ...(value.index === undefined ? [] : [int(value.index)])]), out);
      out.push(code("R"));
      break;
    case "tensor":
      writeTensor(value, out);
      break;
    case "ndarray":
      // numpy.core.multiarray._reconstruct(ndarray, (0,), b"b"), then its state (version, shape, dtype, is Fortran order, bytes)
      writeGlobal("numpy.core.multiarray", "_reconstruct", out);
      out.push(code("("));
      writeGlobal("numpy", "ndarray", out);
      write(tuple([int(0)]), out);
      writeBytes([code("b")], out);
      out.push(code("t"), code("R"), code("("));
      write(int(1), out);
      write(tuple(value.shape.map(int)), out);
      writeNumpyType(value.data instanceof Float64Array ? "f8" : "i8", out);
      out.push(0x89);
      writeBytes(new Uint8Array(value.data.buffer, value.data.byteOffset, value.data.byteLength), out);
      out.push(code("t"), code("b"));
      break;
  }
}

/** collections.OrderedDict(), its items, and its attributes as state. */
function writeOrderedDict({ items, attributes }: OrderedDict, out: Sink): void {
  writeGlobal("collections", "OrderedDict", out);
  out.push(code(")"), code("R"));
  writeMarked(Array.from(items).flat(), code("u"), out);
  if (!attributes) return;
  write(dict(attributes), out);
  out.push(code("b"));
}

/** torch._utils._rebuild_tensor_v2(storage, offset, shape, strides, requires_grad, hooks); the storage by a persistent id. */
function writeTensor({ type, storage, shape }: TensorOfStorage, out: Sink): void {
  const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((product, n) => product * n, 1));
  const elements = shape.reduce((product, n) => product * n, 1);
  writeGlobal("torch._utils", "_rebuild_tensor_v2", out);
  out.push(code("("), code("("));
  writeText("storage", out);
  writeGlobal("torch", { float32: "FloatStorage", int64: "LongStorage" }[type], out);
  writeText(String(storage), out);
  writeText("cpu", out);
  writeInt(elements, out);
  out.push(code("t"), code("Q"));
  writeInt(0, out);
  write(tuple(shape.map(int)), out);
  write(tuple(strides.map(int)), out);
  out.push(0x89);
  writeOrderedDict({ python: "orderedDict", items: new Map() }, out);
  out.push(code("t"), code("R"));
}

/** numpy.core.multiarray.scalar(dtype, bytes) */
function writeScalar(type: "f8" | "f4" | "i8", bytes: readonly number[], out: Sink): void {
  writeGlobal("numpy.core.multiarray", "scalar", out);
  out.push(code("("));
  writeNumpyType(type, out);
  writeBytes(bytes, out);
  out.push(code("t"), code("R"));
}

/** numpy.dtype("f8", False, True) with its state. */
function writeNumpyType(type: "f8" | "f4" | "i8", out: Sink): void {
  writeGlobal("numpy", "dtype", out);
  write(tuple([type, false, true]), out);
  out.push(code("R"));
  write(tuple([int(3), "<", null, null, null, int(-1), int(-1), int(0)]), out);
  out.push(code("b"));
}

function writeMarked(items: readonly PickleValue[], end: number, out: Sink): void {
  if (!items.length) return;
  out.push(code("("));
  for (const item of items) write(item, out);
  out.push(end);
}

function writeInt(value: number, out: Sink): void {
  if (value >= 0 && value < 256) out.push(code("K"), value);
  else if (value >= 0 && value < 65536) out.push(code("M"), value & 255, value >> 8);
  else if (value >= -(2 ** 31) && value < 2 ** 31) {
    out.push(code("J"), ...numberBytes((view) => view.setInt32(0, value, true), 4));
  } else out.push(0x8a, 8, ...numberBytes((view) => view.setBigInt64(0, BigInt(value), true), 8));
}

function writeText(text: string, out: Sink): void {
  const bytes = new TextEncoder().encode(text);
  if (bytes.length < 256 && out.protocol === 4) out.push(0x8c, bytes.length);
  else out.push(code("X"), ...numberBytes((view) => view.setUint32(0, bytes.length, true), 4));
  out.append(bytes);
}

function writeBytes(bytes: ArrayLike<number>, out: Sink): void {
  if (out.protocol === 2) {
    // There are no bytes before protocol 3: _codecs.encode(text, "latin1").
    writeGlobal("_codecs", "encode", out);
    write(tuple([Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""), "latin1"]), out);
    out.push(code("R"));
    return;
  }
  if (bytes.length < 256) out.push(code("C"), bytes.length);
  else out.push(code("B"), ...numberBytes((view) => view.setUint32(0, bytes.length, true), 4));
  out.append(bytes instanceof Uint8Array ? bytes : Uint8Array.from(bytes));
}

function writeGlobal(module: string, name: string, out: Sink): void {
  if (out.protocol === 2) {
    out.append(new TextEncoder().encode(`c${module}\n${name}\n`));
    return;
  }
  writeText(module, out);
  writeText(name, out);
  out.push(0x93);
}

function numberBytes(fill: (view: DataView) => void, length: number): number[] {
  const bytes = new Uint8Array(length);
  fill(new DataView(bytes.buffer));
  return Array.from(bytes);
}

function code(opcode: string): number {
  return opcode.charCodeAt(0);
}
