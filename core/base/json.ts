/**
 * JSON as Python's json module reads and writes it: NaN, Infinity and -Infinity are values, `1.0` and `1` are different numbers
 * when a file is copied, keys keep the file's order (also "10" before "9", which JavaScript objects lose), non-ASCII is escaped.
 * Format: https://docs.python.org/3/library/json.html; nnU-Net writes json.dump(indent=4).
 */
import { UserError } from "./errors.ts";
import { refuseSpecialFile } from "./odd_file.ts";
import { KEY_ORDER, parseJsonText } from "./json_parser.ts";
import { readError } from "./read_error.ts";

/** Larger files are none of nnU-Net's, and would not fit into a text. */
const MAX_FILE_BYTES = 2 ** 28;

/** A number that Python holds as a float: written "1.0" where a plain 1 is written "1". */
export class JsonFloat {
  constructor(readonly value: number) {}
}

export interface StringifyOptions {
  /** Keys ascending by code point, as json.dump(sort_keys=True). Otherwise the file's, or insertion, order. */
  readonly sortKeys?: boolean;
}

/** The keys of a parsed object in the order of its file. */
export function keysOf(object: object): readonly string[] {
  const keys = Object.keys(object);
  const order = (object as { [KEY_ORDER]?: readonly string[] })[KEY_ORDER];
  return order && order.length === keys.length && order.every((key) => Object.hasOwn(object, key)) ? order : keys;
}

/**
 * Parses `text`; integers beyond 2^53 become the nearest double.
 * @param file Named in errors.
 * @throws UserError with file, line and column.
 */
export function parseJson(text: string, file: string, doing = "reading the JSON file"): unknown {
  return parseJsonText(text, file, doing, Number);
}

/** Reads a JSON file: its text, byte for byte as it may be copied, and its value. */
export async function readJsonFile(
  path: string,
  doing = "reading the JSON file",
): Promise<{ readonly text: string; readonly value: unknown }> {
  let text: string;
  try {
    refuseSpecialFile(path, doing);
    const { size } = await Deno.stat(path);
    if (size > MAX_FILE_BYTES) {
      const problem = `it has ${size.toLocaleString("en-US")} bytes; nnU-Net's JSON files have a few million at most`;
      throw new UserError({ doing, file: path, problem, remedy: "check that it is the right file" });
    }
    text = new TextDecoder("utf-8", { fatal: true }).decode(await Deno.readFile(path));
  } catch (error) {
    if (error instanceof UserError) throw error;
    if (error instanceof TypeError) {
      throw new UserError({ doing, file: path, problem: "it is not UTF-8 text", remedy: "save it as UTF-8" });
    }
    throw readError(error, path, doing);
  }
  return { text, value: parseJson(text, path, doing) };
}

/**
 * The text json.dump(indent=4) writes for `value`; no newline at the end. `undefined` members are left out.
 * @example
 * ```ts
 * import { strictEqual } from "node:assert";
 *
 * strictEqual(stringifyJson({ dice: NaN, mean: new JsonFloat(1) }), `{\n    "dice": NaN,\n    "mean": 1.0\n}`);
 * ```
 */
export function stringifyJson(value: unknown, options: StringifyOptions = {}): string {
  const parts: string[] = [];
  write(value, "\n", options.sortKeys ?? false, parts);
  return parts.join("");
}

/**
 * As {@link parseJson}, for values that are written again: floats are {@link JsonFloat}, integers beyond 2^53 bigint.
 */
export function parseJsonExactly(text: string, file: string, doing = "reading the JSON file"): unknown {
  return parseJsonText(text, file, doing, exactNumber);
}

/** What Python makes of a JSON file when it loads and saves it again: json.dump(json.load(file), indent=4). */
export function reformatJson(text: string, file: string, options: StringifyOptions = {}): string {
  return stringifyJson(parseJsonExactly(text, file, "copying the JSON file"), options);
}

function exactNumber(token: string): JsonFloat | number | bigint {
  if (/[.eE]/.test(token)) return new JsonFloat(Number(token));
  return Number.isSafeInteger(Number(token)) && token !== "-0" ? Number(token) : BigInt(token);
}

/** Python's repr of a float: shortest digits that read back the same, "1.0", "1e-05", "1e+16", "nan" as JSON's NaN. */
export function pythonFloat(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "Infinity" : "-Infinity";
  if (value === 0) return Object.is(value, -0) ? "-0.0" : "0.0";
  const [mantissa, exponentText] = Math.abs(value).toExponential().split("e");
  const digits = mantissa.replace(".", "");
  const exponent = Number(exponentText);
  const sign = value < 0 ? "-" : "";
  if (exponent < -4 || exponent >= 16) {
    const shown = Math.abs(exponent).toString().padStart(2, "0");
    return `${sign}${mantissa}e${exponent < 0 ? "-" : "+"}${shown}`;
  }
  if (exponent < 0) return `${sign}0.${"0".repeat(-exponent - 1)}${digits}`;
  const whole = digits.slice(0, exponent + 1).padEnd(exponent + 1, "0");
  return `${sign}${whole}.${digits.slice(exponent + 1) || "0"}`;
}

function write(value: unknown, newline: string, sortKeys: boolean, parts: string[]): void {
  if (value === null || value === undefined) parts.push("null");
  else if (typeof value === "string") parts.push(quote(value));
  else if (typeof value === "boolean" || typeof value === "bigint") parts.push(String(value));
  else if (typeof value === "number") {
    const integer = Number.isInteger(value) && !Object.is(value, -0) && Math.abs(value) < 1e16;
    parts.push(integer ? String(value) : pythonFloat(value));
  } else if (value instanceof JsonFloat) parts.push(pythonFloat(value.value));
  else if (Array.isArray(value) || ArrayBuffer.isView(value)) {
    writeItems("[", "]", Array.from(value as ArrayLike<unknown>), newline, parts, (item, inner) => {
      write(item, inner, sortKeys, parts);
    });
  } else if (typeof value === "object") {
    const record = value as Readonly<Record<string, unknown>>;
    const keys = keysOf(record).filter((key) => record[key] !== undefined);
    writeItems("{", "}", sortKeys ? keys.sort(compareCodePoints) : keys, newline, parts, (key, inner) => {
      parts.push(quote(key), ": ");
      write(record[key], inner, sortKeys, parts);
    });
  } else throw new TypeError(`Writing JSON: a ${typeof value} has no JSON form`);
}

function writeItems<T>(
  open: string,
  close: string,
  items: readonly T[],
  newline: string,
  parts: string[],
  writeItem: (item: T, newline: string) => void,
): void {
  const inner = `${newline}    `;
  parts.push(open);
  items.forEach((item, index) => {
    parts.push(index ? "," : "", inner);
    writeItem(item, inner);
  });
  if (items.length) parts.push(newline);
  parts.push(close);
}

const SHORT_ESCAPES: Readonly<Record<string, string>> = {
  '"': '\\"',
  "\\": "\\\\",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\f": "\\f",
  "\b": "\\b",
};

function quote(text: string): string {
  const escaped = text.replace(/["\\]|[^ -~]/g, (unit) => {
    return SHORT_ESCAPES[unit] ?? `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
  return `"${escaped}"`;
}

function compareCodePoints(a: string, b: string): number {
  const [left, right] = [Array.from(a), Array.from(b)];
  const common = Math.min(left.length, right.length);
  for (let i = 0; i < common; i++) {
    const difference = (left[i].codePointAt(0) ?? 0) - (right[i].codePointAt(0) ?? 0);
    if (difference) return difference;
  }
  return left.length - right.length;
}
