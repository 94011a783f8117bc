/**
 * JSON as Python's json module reads and writes it: NaN, Infinity and -Infinity are values, `1.0` and `1` are different numbers
 * when a file is copied, keys keep the file's order (also "10" before "9", which JavaScript objects lose), non-ASCII is escaped.
 * Format: https://docs.python.org/3/library/json.html; nnU-Net writes json.dump(indent=4).
 */
import { UserError } from "./errors.ts";
import { readError } from "./read_error.ts";

/** A number that Python holds as a float: written "1.0" where a plain 1 is written "1". */
export class JsonFloat {
  constructor(readonly value: number) {}
}

export interface StringifyOptions {
  /** Keys ascending by code point, as json.dump(sort_keys=True). Otherwise the file's, or insertion, order. */
  readonly sortKeys?: boolean;
}

/** Deeper nesting is refused, as it can only be damage or malice; Python's own limit is about 1000. */
const MAX_DEPTH = 500;

/** Hidden property of parsed objects that have integer-like keys: the keys in file order. */
const KEY_ORDER = Symbol("key order");

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
  return parse(text, file, doing, Number);
}

/** Reads a JSON file: its text, byte for byte as it may be copied, and its value. */
export async function readJsonFile(
  path: string,
  doing = "reading the JSON file",
): Promise<{ readonly text: string; readonly value: unknown }> {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(await Deno.readFile(path));
  } catch (error) {
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
  return parse(text, file, doing, exactNumber);
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

const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?/y;
const WORDS: readonly (readonly [string, unknown])[] = [
  ["true", true],
  ["false", false],
  ["null", null],
  ["NaN", NaN],
  ["Infinity", Infinity],
  ["-Infinity", -Infinity],
];

function parse(text: string, file: string, doing: string, toNumber: (token: string) => unknown): unknown {
  let at = text.charCodeAt(0) === 0xfeff ? 1 : 0;

  function fail(problem: string, where = at): never {
    const before = text.slice(0, where).split("\n");
    const position = `line ${before.length}, column ${before[before.length - 1].length + 1}`;
    const remedy = "correct the file, or copy it again";
    throw new UserError({ doing, file, problem: `it is not valid JSON at ${position}: ${problem}`, remedy });
  }
  function space(): void {
    while (at < text.length && " \t\n\r".includes(text[at])) at++;
  }
  function found(): string {
    return at < text.length ? `found ${JSON.stringify(text[at])}` : "the file ends there";
  }
  function string(): string {
    const start = at++;
    for (;;) {
      const unit = text[at];
      if (unit === undefined) fail("a text is not closed", start);
      if (unit === '"') break;
      if (unit < " ") fail("a text holds a line break or another control character");
      at += unit === "\\" ? 2 : 1;
    }
    at++;
    try {
      return JSON.parse(text.slice(start, at));
    } catch {
      return fail("a text holds an unknown escape", start);
    }
  }
  function list(depth: number): unknown[] {
    const items: unknown[] = [];
    at++;
    space();
    if (text[at] === "]") {
      at++;
      return items;
    }
    for (;;) {
      items.push(value(depth));
      space();
      if (text[at] === "]") break;
      if (text[at] !== ",") fail(`expected a comma or "]", ${found()}`);
      at++;
    }
    at++;
    return items;
  }
  function object(depth: number): Record<string, unknown> {
    const result: Record<string, unknown> = {};
    const order: string[] = [];
    at++;
    space();
    if (text[at] === "}") {
      at++;
      return result;
    }
    for (;;) {
      space();
      if (text[at] !== '"') fail(`expected a name in double quotes, ${found()}`);
      const key = string();
      space();
      if (text[at] !== ":") fail(`expected a colon after ${JSON.stringify(key)}, ${found()}`);
      at++;
      const item = value(depth);
      if (!Object.hasOwn(result, key)) order.push(key);
      Object.defineProperty(result, key, { value: item, enumerable: true, writable: true, configurable: true });
      space();
      if (text[at] === "}") break;
      if (text[at] !== ",") fail(`expected a comma or "}", ${found()}`);
      at++;
    }
    at++;
    if (order.some((key) => /^[0-9]+$/.test(key))) Object.defineProperty(result, KEY_ORDER, { value: order });
    return result;
  }
  function value(depth: number): unknown {
    if (depth > MAX_DEPTH) fail(`it is nested more than ${MAX_DEPTH} deep`);
    space();
    const unit = text[at];
    if (unit === "{") return object(depth + 1);
    if (unit === "[") return list(depth + 1);
    if (unit === '"') return string();
    for (const [word, meaning] of WORDS) {
      if (text.startsWith(word, at)) {
        at += word.length;
        return meaning;
      }
    }
    NUMBER.lastIndex = at;
    const token = NUMBER.exec(text)?.[0];
    if (token === undefined) fail(`expected a value, ${found()}`);
    at += token.length;
    return toNumber(token);
  }

  const result = value(0);
  space();
  if (at < text.length) fail(`there is more after the value, ${found()}`);
  return result;
}
