/** Mutations of pickles opcode by opcode, so that what comes out is mostly a pickle still. Format: CPython Lib/pickletools.py. */
import { concat, EXTREMES, mutateBytes } from "./mutate_bytes.ts";
import type { Random } from "./random.ts";

/** Bytes of an opcode's argument: a number, the width of the length before it, or lines. */
const FIXED: Readonly<Record<string, number>> = {
  "\x80": 1,
  "\x95": 8,
  J: 4,
  K: 1,
  M: 2,
  G: 8,
  h: 1,
  j: 4,
  q: 1,
  r: 4,
};
const COUNTED: Readonly<Record<string, number>> = {
  T: 4,
  U: 1,
  X: 4,
  "\x8c": 1,
  "\x8d": 8,
  B: 4,
  C: 1,
  "\x8e": 8,
  "\x96": 8,
  "\x8a": 1,
  "\x8b": 4,
};
const LINES: Readonly<Record<string, number>> = { I: 1, L: 1, F: 1, S: 1, V: 1, g: 1, p: 1, P: 1, c: 2, i: 2 };

/** Opcodes with their arguments, as far as they are known. */
function tokensOf(bytes: Uint8Array): Uint8Array[] {
  const tokens: Uint8Array[] = [];
  for (let at = 0; at < bytes.length;) {
    const opcode = String.fromCharCode(bytes[at]);
    let end = at + 1 + (FIXED[opcode] ?? 0);
    const width = COUNTED[opcode];
    if (width !== undefined) {
      let length = 0;
      for (let i = Math.min(width, 4) - 1; i >= 0; i--) length = length * 256 + (bytes[at + 1 + i] ?? 0);
      end += width + length;
    }
    for (let left = LINES[opcode] ?? 0; left > 0; left--) {
      const newline = bytes.indexOf(10, end);
      end = newline < 0 ? bytes.length : newline + 1;
    }
    tokens.push(bytes.subarray(at, Math.min(end, bytes.length)));
    at = end;
  }
  return tokens;
}

function latin1(text: string): Uint8Array {
  return Uint8Array.from(text, (letter) => letter.charCodeAt(0));
}

const GLOBALS = [
  ...["builtins list", "builtins tuple", "builtins set", "builtins dict", "builtins bytearray", "builtins slice"],
  ...["collections OrderedDict", "collections defaultdict", "collections Counter", "_codecs encode", "torch Size"],
  ...["pathlib PosixPath", "torch device", "torch FloatStorage", "torch._utils _rebuild_tensor_v2", "numpy dtype"],
  ...["numpy.core.multiarray _reconstruct", "numpy.core.multiarray scalar", "numpy.core.numeric _frombuffer"],
  ...["numpy ndarray", "torch._tensor _rebuild_from_type_v2", "torch.nn.parameter Parameter", "os system"],
].map((name) => latin1(`c${name.replace(" ", "\n")}\n`));
const PIECES = [
  ...GLOBALS,
  ...[
    "(",
    ")",
    "]",
    "}",
    "\x8f",
    "t",
    "l",
    "d",
    "a",
    "e",
    "s",
    "u",
    "\x85",
    "\x86",
    "\x87",
    "\x90",
    "\x91",
    "0",
    "1",
    "2",
  ],
  ...[
    "R",
    "\x81",
    "\x92",
    "b",
    "o",
    "Q",
    "N",
    "\x88",
    "K\x01",
    "K\xff",
    "J\xff\xff\xff\xff",
    "\x94",
    "h\x00",
    "h\x01",
    "h\x02",
  ],
  ...[
    "q\x00",
    "q\x01",
    "h\x00h\x00\x86R",
    "h\x01h\x01\x86",
    "X\x02\x00\x00\x00f8",
    "X\x01\x00\x00\x00<",
    "C\x08AAAAAAAA",
  ],
  ...[
    "G\x7f\xf8\x00\x00\x00\x00\x00\x00",
    "\x8a\x09\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
    "Pa\n",
    "I01\n",
    "Fnan\n",
    ".",
  ],
].map((piece) => typeof piece === "string" ? latin1(piece) : piece);

/** A changed copy. */
export function mutatePickle(bytes: Uint8Array, random: Random, other: Uint8Array = bytes): Uint8Array {
  if (random.chance(0.15)) return mutateBytes(bytes, random, other);
  const tokens = tokensOf(bytes);
  for (let left = 1 + random.int(random.pick([1, 1, 2, 5])); left > 0 && tokens.length > 0; left--) {
    const at = random.int(tokens.length);
    switch (random.int(7)) {
      case 0:
        tokens.splice(at, 1 + random.int(3));
        break;
      case 1:
        tokens.splice(at, 0, ...tokens.slice(random.int(tokens.length)).slice(0, 1 + random.int(8)));
        break;
      case 2: {
        const from = tokensOf(other);
        tokens.splice(at, random.int(3), ...from.slice(random.int(from.length)).slice(0, 1 + random.int(12)));
        break;
      }
      case 3: { // one of them again and again
        const again = tokens.slice(at, at + 1 + random.int(4));
        tokens.splice(at, 0, ...Array.from({ length: random.pick([2, 20, 300]) }, () => again).flat());
        break;
      }
      case 4:
        tokens[at] = withNumber(tokens[at], random);
        break;
      case 5:
        [tokens[at], tokens[random.int(tokens.length)]] = [tokens[random.int(tokens.length)], tokens[at]];
        break;
      default:
        tokens.splice(at, random.int(2), ...Array.from({ length: 1 + random.int(3) }, () => random.pick(PIECES)));
    }
  }
  return concat(tokens);
}

/** An integer in the place of a number, else a changed argument. */
function withNumber(token: Uint8Array, random: Random): Uint8Array {
  if (!"KMJG".includes(String.fromCharCode(token[0]))) return mutateBytes(token, random);
  const value = random.pick(EXTREMES);
  const bytes = new Uint8Array(9);
  const view = new DataView(bytes.buffer);
  if (random.chance(0.3) || !Number.isFinite(value)) {
    bytes[0] = 0x47;
    view.setFloat64(1, value);
    return bytes;
  }
  return concat([latin1("\x8a\x09"), numberBytes(BigInt(Math.trunc(value)))]);
}

function numberBytes(value: bigint): Uint8Array {
  return Uint8Array.from({ length: 9 }, (_, i) => Number(BigInt.asUintN(8, value >> BigInt(8 * i))));
}
