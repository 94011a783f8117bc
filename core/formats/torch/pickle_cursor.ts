/**
 * The bytes of a pickle, read from front to back: numbers and texts as its opcodes carry them; what they are for is not known here.
 * Formats: CPython Lib/pickletools.py.
 */

/** Throws the error about a damaged pickle. */
type Damaged = (problem: string) => never;

/** Reads at a position that moves on; every read is checked against the end. Multi-byte numbers are little-endian but `f8`. */
export interface PickleCursor {
  /** Offset of the next byte. */
  readonly at: () => number;
  /** Moves past `length` bytes and returns where they start. */
  readonly take: (length: number) => number;
  readonly u1: () => number;
  readonly u2: () => number;
  readonly u4: () => number;
  readonly u8: () => number;
  readonly i4: () => number;
  /** Big-endian. */
  readonly f8: () => number;
  /** A copy of `length` bytes. */
  readonly raw: (length: number) => Uint8Array;
  /** UTF-8 of `length` bytes. */
  readonly text: (length: number) => string;
  readonly latin1: (length: number) => string;
  /** A line of latin-1, as protocol 0 has them. */
  readonly line: () => string;
  /** A two's complement integer of `length` bytes. */
  readonly integer: (length: number) => number | bigint;
}

export function createPickleCursor(bytes: Uint8Array, offset: number, damaged: Damaged): PickleCursor {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = offset;

  function take(length: number): number {
    const start = at;
    if (!(length >= 0 && start + length <= bytes.length)) {
      damaged(`it ends ${start + length - bytes.length} bytes early`);
    }
    at += length;
    return start;
  }
  function raw(length: number): Uint8Array {
    const start = take(length);
    return bytes.slice(start, start + length);
  }
  function latin1(length: number): string {
    const end = take(length) + length;
    const parts: string[] = [];
    for (let start = end - length; start < end; start += 8192) {
      parts.push(String.fromCharCode(...bytes.subarray(start, Math.min(end, start + 8192))));
    }
    return parts.join("");
  }
  return {
    at: () => at,
    take,
    u1: () => bytes[take(1)],
    u2: () => view.getUint16(take(2), true),
    u4: () => view.getUint32(take(4), true),
    u8: () => Number(view.getBigUint64(take(8), true)),
    i4: () => view.getInt32(take(4), true),
    f8: () => view.getFloat64(take(8), false),
    raw,
    text: (length) => {
      const start = take(length);
      return new TextDecoder().decode(bytes.subarray(start, start + length));
    },
    latin1,
    line: () => {
      const end = bytes.indexOf(10, at);
      if (end < 0) damaged("a line does not end");
      const result = latin1(end - at);
      at++;
      return result;
    },
    integer: (length) => {
      const start = take(length);
      if (length > 64) damaged(`an integer of ${length} bytes`);
      let value = 0n;
      for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[start + i]);
      return narrow(length ? BigInt.asIntN(8 * length, value) : 0n);
    },
  };
}

/** STRING: the repr of Python 2. */
export function parseQuoted(text: string, damaged: Damaged): string {
  const quoted = /^(['"])(.*)\1$/s.exec(text);
  if (!quoted) damaged("a text without quotes");
  return quoted[2].replace(/\\x([0-9a-f]{2})|\\(.)/g, (_, hex, other) => {
    return hex ? String.fromCharCode(parseInt(hex, 16)) : ({ n: "\n", r: "\r", t: "\t" }[other as string] ?? other);
  });
}

/** UNICODE of protocol 0: raw-unicode-escape. */
export function parseEscaped(text: string): string {
  return text.replace(/\\u([0-9a-fA-F]{4})|\\U([0-9a-fA-F]{8})/g, (whole, short, long) => {
    const point = parseInt(short ?? long, 16);
    return point <= 0x10ffff ? String.fromCodePoint(point) : whole;
  });
}

function narrow(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

/** INT and LONG of protocol 0. */
export function parseInteger(digits: string, damaged: Damaged): number | bigint {
  return /^[-+]?[0-9]{1,400}$/.test(digits) ? narrow(BigInt(digits)) : damaged("an integer that is none");
}

/** FLOAT of protocol 0. */
export function parseFloatText(digits: string, damaged: Damaged): number {
  const words = new Map([["nan", NaN], ["inf", Infinity], ["-inf", -Infinity]]);
  const value = words.get(digits) ?? Number(digits);
  return Number.isNaN(value) && digits !== "nan" ? damaged("a float that is none") : value;
}
