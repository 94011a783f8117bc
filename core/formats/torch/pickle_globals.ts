/**
 * The names a pickle may use, and what each of them builds: plain data that describes the object, never the object's own code.
 * They are those that torch.save, and nnU-Net's own pickles, need. Everything else is refused by core/formats/torch/pickle.ts.
 */

/** Ends the reading with a UserError. */
export type Damaged = (problem: string) => never;

/** What a call gets beside its arguments. */
export interface CallContext {
  readonly damaged: Damaged;
  /** Counts bytes of what the call builds beside its own object; ends the reading where they become too many. */
  readonly spend: (bytes: number) => void;
}

/** An allowed name. Without `call` it may be referred to but not called. */
export interface AllowedGlobal {
  readonly kind: "global";
  /** "torch.FloatStorage". */
  readonly name: string;
  readonly call?: (args: readonly unknown[], context: CallContext) => unknown;
}

/** numpy.dtype: "f8", with its byte order. */
export interface NumpyType {
  readonly kind: "numpyType";
  /** Letter and bytes: "f8", "i4", "b1". */
  readonly code: string;
  byteOrder: "<" | ">" | "|" | "=";
  setState(state: unknown, context: CallContext): void;
}

/** numpy.ndarray: its bytes as they are. */
export interface NumpyArray {
  readonly kind: "numpyArray";
  shape: readonly number[];
  type: NumpyType | undefined;
  fortranOrder: boolean;
  /** Elements' bytes, or the elements for object arrays. */
  data: Uint8Array | readonly unknown[];
  setState(state: unknown, context: CallContext): void;
}

/** torch.Tensor: a view of a storage, whatever the persistent id was resolved to. */
export interface PickledTensor {
  readonly kind: "tensor";
  readonly storage: unknown;
  /** In elements. */
  readonly offset: number;
  readonly shape: readonly number[];
  /** In elements. */
  readonly strides: readonly number[];
}

/** True for what `torch._utils._rebuild_tensor_v2` gave. */
export function isTensor(value: unknown): value is PickledTensor {
  return typeof value === "object" && value !== null && (value as PickledTensor).kind === "tensor";
}

/** True for numpy arrays. */
export function isNumpyArray(value: unknown): value is NumpyArray {
  return typeof value === "object" && value !== null && (value as NumpyArray).kind === "numpyArray";
}

type Call = NonNullable<AllowedGlobal["call"]>;

/** The allowed global of that name, or undefined. */
export function findGlobal(module: string, name: string): AllowedGlobal | undefined {
  const full = `${canonicalModule(module)}.${name}`;
  const found = CALLS.get(full);
  if (found) return { kind: "global", name: full, call: found };
  if (REFERENCES.has(full) || STORAGE.test(full)) return { kind: "global", name: full };
  return undefined;
}

/** The name a Python user knows it by: "os.system" for posix.system. */
export function pythonName(module: string, name: string): string {
  return `${module === "posix" || module === "nt" ? "os" : canonicalModule(module)}.${name}`;
}

/** Python 2 and numpy 1 and 2 have the same things under different module names. */
function canonicalModule(module: string): string {
  if (module === "__builtin__") return "builtins";
  if (module === "numpy._core.multiarray") return "numpy.core.multiarray";
  if (module === "numpy._core.numeric") return "numpy.core.numeric";
  if (module === "numpy.dtypes") return "numpy";
  return module;
}

const STORAGE = /^torch(\.storage)?\.[A-Z][A-Za-z0-9]*Storage$/;

const TORCH_TYPES =
  "float64 float32 float16 bfloat16 int8 int16 int32 int64 uint8 uint16 uint32 uint64 bool half double " +
  "float long int short complex64 complex128 strided contiguous_format preserve_format channels_last channels_last_3d";
const NUMPY_TYPES = "ndarray float64 float32 float16 int8 int16 int32 int64 uint8 uint16 uint32 uint64 bool bool_ str_";

/** Names that only stand for a type. */
const REFERENCES: ReadonlySet<string> = new Set([
  ...TORCH_TYPES.split(" ").map((name) => `torch.${name}`),
  ...NUMPY_TYPES.split(" ").map((name) => `numpy.${name}`),
  "torch.Tensor",
  "torch._C._TensorBase",
]);

/** About what an item takes, in bytes: of a list, and of a dict or set. */
const SLOT = 8;
const ENTRY = 48;
/** numpy and torch have at most 64 dimensions; longer lists are no shapes. */
const MAX_DIMENSIONS = 64;

const dictCall: Call = (args, { damaged, spend }) => {
  const map = new Map<unknown, unknown>();
  const items = args[0] instanceof Map ? args[0] : args[0] ?? [];
  if (items instanceof Map) {
    spend(ENTRY * items.size);
    return new Map(items);
  }
  if (!Array.isArray(items)) return damaged("a dict made of something that is no list");
  spend(ENTRY * items.length);
  for (const item of items) {
    if (!Array.isArray(item) || item.length !== 2) return damaged("a dict made of something that is no pairs");
    map.set(item[0], item[1]);
  }
  return map;
};

const tensorCall: Call = ([storage, offset, shape, strides], { damaged }): PickledTensor => ({
  kind: "tensor",
  storage,
  offset: sizes([offset], damaged)[0],
  shape: sizes(shape, damaged),
  strides: sizes(strides, damaged),
});

const listCall: Call = (args, context) => [...iterable(args, SLOT, context)];
const setCall: Call = (args, context) => new Set(iterable(args, ENTRY, context));
/** The arguments themselves, which the call was charged for. */
const tupleCall: Call = (args) => [...args];
const bytesCall: Call = ([value, encoding], context) => encodeBytes(value ?? "", encoding, context);
const pathCall = (separator: string): Call => (args, context) => texts(args, context).join(separator);
const parameterCall: Call = ([data]) => data;

const CALLS: ReadonlyMap<string, Call> = new Map<string, Call>([
  ["collections.OrderedDict", dictCall],
  ["builtins.dict", dictCall],
  // The factory is not kept: nothing here asks for missing keys.
  ["collections.defaultdict", () => new Map()],
  ["collections.Counter", dictCall],
  ["builtins.list", listCall],
  ["builtins.tuple", listCall],
  ["builtins.set", setCall],
  ["builtins.frozenset", setCall],
  ["builtins.slice", tupleCall],
  ["builtins.complex", tupleCall],
  ["builtins.bytearray", bytesCall],
  ["builtins.bytes", bytesCall],
  ["_codecs.encode", ([value, encoding], context) => encodeBytes(value, encoding, context)],
  ["pathlib.PosixPath", pathCall("/")],
  ["pathlib.PurePosixPath", pathCall("/")],
  ["pathlib.WindowsPath", pathCall("\\")],
  ["pathlib.PureWindowsPath", pathCall("\\")],

  ["torch._utils._rebuild_tensor", tensorCall],
  ["torch._utils._rebuild_tensor_v2", tensorCall],
  ["torch._utils._rebuild_tensor_v3", tensorCall],
  ["torch._utils._rebuild_parameter", parameterCall],
  ["torch._utils._rebuild_parameter_with_state", parameterCall],
  ["torch.nn.parameter.Parameter", parameterCall],
  ["torch._tensor._rebuild_from_type_v2", ([rebuild, , args], context) => {
    const target = rebuild as AllowedGlobal | null;
    return target?.kind === "global" && target.name.startsWith("torch._utils.") && target.call && Array.isArray(args)
      ? target.call(args, context)
      : context.damaged("a tensor without a way to build it");
  }],
  ["torch.device", pathCall(":")],
  ["torch.Size", listCall],
  ["torch.serialization._get_layout", pathCall("")],

  ["numpy.dtype", ([code], { damaged }) => numpyType(code, damaged)],
  ["numpy.core.multiarray._reconstruct", () => emptyNumpyArray()],
  ["numpy.core.numeric._frombuffer", ([data, type, shape, order], context) => {
    const array = emptyNumpyArray();
    array.setState([1, shape, type, order === "F", data], context);
    return array;
  }],
  ["numpy.core.multiarray.scalar", ([type, data], { damaged }) => numpyScalar(type, data, damaged)],
]);

/** What a list or set is made of. @param bytes What each item takes in it */
function iterable(args: readonly unknown[], bytes: number, { damaged, spend }: CallContext): Iterable<unknown> {
  const items = args[0] ?? [];
  if (Array.isArray(items)) spend(bytes * items.length);
  else if (items instanceof Set || items instanceof Map) spend(bytes * items.size);
  else return damaged("a list made of something that is none");
  return items instanceof Map ? items.keys() : items;
}

/** Text and number arguments as text; anything else could be a list that grows without end when it is spelled out. */
function texts(args: readonly unknown[], { spend }: CallContext): string[] {
  const parts = args.filter((arg) => typeof arg === "string" || typeof arg === "number").map(String);
  spend(parts.reduce((sum, part) => sum + 2 * part.length + SLOT, 0));
  return parts;
}

function sizes(values: unknown, damaged: Damaged): number[] {
  const fits = Array.isArray(values) && values.length <= MAX_DIMENSIONS;
  if (!fits || !values.every((n) => Number.isSafeInteger(n) && n >= 0)) damaged("a shape that is none");
  return values;
}

function encodeBytes(value: unknown, encoding: unknown, context: CallContext): Uint8Array {
  const damaged: Damaged = context.damaged;
  const { spend } = context;
  if (value instanceof Uint8Array) return value;
  if (Array.isArray(value)) {
    spend(value.length);
    if (!value.every((byte) => Number.isInteger(byte) && byte >= 0 && byte < 256)) damaged("bytes that are none");
    return Uint8Array.from(value);
  }
  if (typeof value !== "string") damaged("bytes made of something that is no text");
  if (typeof (encoding ?? "") !== "string") damaged("bytes in an encoding that is no text");
  spend(2 * value.length);
  const name = String(encoding ?? "latin1").slice(0, 40).toLowerCase().replaceAll(/[-_]/g, "");
  if (name === "utf8") return new TextEncoder().encode(value);
  if (name !== "latin1" && name !== "ascii" && name !== "iso88591") damaged(`bytes in the encoding ${name}`);
  return latin1Bytes(value);
}

function latin1Bytes(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

function numpyType(code: unknown, damaged: Damaged): NumpyType {
  const known = typeof code === "string" && code.length < 100 && /^[<>=|]?([biufcSUOV?][0-9]*|M8.*|m8.*)$/.exec(code);
  if (!known) damaged("an unknown numpy type");
  const type: NumpyType = {
    kind: "numpyType",
    code: known[1],
    byteOrder: "<",
    setState(state) {
      const order = Array.isArray(state) ? state[1] : undefined;
      if (order === "<" || order === ">" || order === "|" || order === "=") type.byteOrder = order;
    },
  };
  return type;
}

function emptyNumpyArray(): NumpyArray {
  const array: NumpyArray = {
    kind: "numpyArray",
    shape: [0],
    type: undefined,
    fortranOrder: false,
    data: new Uint8Array(0),
    setState(state, { damaged, spend }) {
      // (version, shape, dtype, is Fortran order, bytes or list)
      if (!Array.isArray(state) || state.length !== 5) return damaged("a numpy array without its state");
      const [, shape, type, fortranOrder, data] = state;
      if ((type as NumpyType | null)?.kind !== "numpyType") damaged("a numpy array without a type");
      if (typeof data === "string") {
        spend(data.length);
        array.data = latin1Bytes(data);
      } else if (data instanceof Uint8Array || Array.isArray(data)) array.data = data;
      else damaged("a numpy array without data");
      array.shape = sizes(shape, damaged);
      array.type = type;
      array.fortranOrder = fortranOrder === true;
    },
  };
  return array;
}

/** A numpy scalar as the number, boolean or text it is. */
function numpyScalar(type: unknown, data: unknown, damaged: Damaged): unknown {
  const numpy = type as NumpyType | null;
  if (numpy?.kind !== "numpyType") damaged("a numpy scalar without a type");
  if (typeof data === "string" && data.length > 64) damaged("a numpy scalar that is too long");
  const bytes = typeof data === "string" ? latin1Bytes(data) : data;
  if (!(bytes instanceof Uint8Array)) return data ?? null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const little = numpy.byteOrder !== ">";
  const size = Number(numpy.code.slice(1)) || bytes.length;
  if (bytes.length < size) damaged("a numpy scalar that is too short");
  switch (numpy.code) {
    case "b1":
      return bytes[0] !== 0;
    case "f8":
      return view.getFloat64(0, little);
    case "f4":
      return view.getFloat32(0, little);
    case "f2":
      return view.getFloat16(0, little);
    case "i1":
      return view.getInt8(0);
    case "u1":
      return bytes[0];
    case "i2":
      return view.getInt16(0, little);
    case "u2":
      return view.getUint16(0, little);
    case "i4":
      return view.getInt32(0, little);
    case "u4":
      return view.getUint32(0, little);
    case "i8":
    case "u8": {
      const wide = numpy.code === "i8" ? view.getBigInt64(0, little) : view.getBigUint64(0, little);
      return Number.isSafeInteger(Number(wide)) ? Number(wide) : wide;
    }
    default:
      return damaged(`a numpy scalar of the type ${numpy.code}`);
  }
}
