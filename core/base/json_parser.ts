/**
 * A JSON text as a value: as Python's json module reads it, with line and column in errors. What it is for is in json.ts, whose
 * functions are called instead of this one.
 */
import { UserError } from "./errors.ts";

/** Deeper nesting is refused, as it can only be damage or malice; Python's own limit is about 1000. */
const MAX_DEPTH = 500;

/**
 * Lists and objects a text may have: a million, and one for each so many of its letters. Empty ones take dozens of bytes of memory for
 * three letters, and none of nnU-Net's files is made of them.
 */
const FREE_CONTAINERS = 1e6;
const LETTERS_PER_CONTAINER = 16;

/** Hidden property of parsed objects that have integer-like keys: the keys in file order. */
export const KEY_ORDER = Symbol("key order");

const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?/y;
const WORDS: readonly (readonly [string, unknown])[] = [
  ["true", true],
  ["false", false],
  ["null", null],
  ["NaN", NaN],
  ["Infinity", Infinity],
  ["-Infinity", -Infinity],
];

/** A text being read. */
interface Reading {
  readonly text: string;
  readonly file: string;
  readonly doing: string;
  readonly toNumber: (token: string) => unknown;
  /** The next unit. */
  at: number;
  /** Lists and objects that may still begin. */
  containers: number;
}

/**
 * @param toNumber Makes a value of a number's text
 * @throws UserError with file, line and column
 */
export function parseJsonText(
  text: string,
  file: string,
  doing: string,
  toNumber: (token: string) => unknown,
): unknown {
  const at = text.charCodeAt(0) === 0xfeff ? 1 : 0;
  const containers = FREE_CONTAINERS + text.length / LETTERS_PER_CONTAINER;
  const reading: Reading = { text, file, doing, toNumber, at, containers };
  const result = readValue(reading, 0);
  skipSpace(reading);
  if (reading.at < text.length) fail(reading, `there is more after the value, ${found(reading)}`);
  return result;
}

function fail({ text, file, doing, at }: Reading, problem: string, where = at): never {
  const before = text.slice(0, where).split("\n");
  const position = `line ${before.length}, column ${before[before.length - 1].length + 1}`;
  const remedy = "correct the file, or copy it again";
  throw new UserError({ doing, file, problem: `it is not valid JSON at ${position}: ${problem}`, remedy });
}

function found({ text, at }: Reading): string {
  return at < text.length ? `found ${JSON.stringify(text[at])}` : "the file ends there";
}

function skipSpace(reading: Reading): void {
  const { text } = reading;
  while (reading.at < text.length && " \t\n\r".includes(text[reading.at])) reading.at++;
}

function readValue(reading: Reading, depth: number): unknown {
  if (depth > MAX_DEPTH) fail(reading, `it is nested more than ${MAX_DEPTH} deep`);
  skipSpace(reading);
  const { text, at } = reading;
  const unit = text[at];
  if ((unit === "{" || unit === "[") && --reading.containers < 0) fail(reading, "it has too many lists and objects");
  if (unit === "{") return readObject(reading, depth + 1);
  if (unit === "[") return readList(reading, depth + 1);
  if (unit === '"') return readString(reading);
  for (const [word, meaning] of WORDS) {
    if (text.startsWith(word, at)) {
      reading.at += word.length;
      return meaning;
    }
  }
  NUMBER.lastIndex = at;
  const token = NUMBER.exec(text)?.[0];
  if (token === undefined) return fail(reading, `expected a value, ${found(reading)}`);
  reading.at += token.length;
  return reading.toNumber(token);
}

function readString(reading: Reading): string {
  const { text } = reading;
  const start = reading.at++;
  for (;;) {
    const unit = text[reading.at];
    if (unit === undefined) fail(reading, "a text is not closed", start);
    if (unit === '"') break;
    if (unit < " ") fail(reading, "a text holds a line break or another control character");
    reading.at += unit === "\\" ? 2 : 1;
  }
  reading.at++;
  try {
    return JSON.parse(text.slice(start, reading.at));
  } catch {
    return fail(reading, "a text holds an unknown escape", start);
  }
}

function readList(reading: Reading, depth: number): unknown[] {
  const items: unknown[] = [];
  readItems(reading, "]", () => items.push(readValue(reading, depth)));
  return items;
}

function readObject(reading: Reading, depth: number): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  const order: string[] = [];
  readItems(reading, "}", () => {
    skipSpace(reading);
    if (reading.text[reading.at] !== '"') fail(reading, `expected a name in double quotes, ${found(reading)}`);
    const key = readString(reading);
    skipSpace(reading);
    if (reading.text[reading.at] !== ":") {
      fail(reading, `expected a colon after ${JSON.stringify(key)}, ${found(reading)}`);
    }
    reading.at++;
    const value = readValue(reading, depth);
    if (!Object.hasOwn(result, key)) order.push(key);
    Object.defineProperty(result, key, { value, enumerable: true, writable: true, configurable: true });
  });
  if (order.some((key) => /^[0-9]+$/.test(key))) Object.defineProperty(result, KEY_ORDER, { value: order });
  return result;
}

/** From the opening bracket to behind the closing one, with commas between items. */
function readItems(reading: Reading, close: string, readItem: () => void): void {
  const { text } = reading;
  reading.at++;
  skipSpace(reading);
  if (text[reading.at] === close) {
    reading.at++;
    return;
  }
  for (;;) {
    readItem();
    skipSpace(reading);
    if (text[reading.at] === close) break;
    if (text[reading.at] !== ",") fail(reading, `expected a comma or "${close}", ${found(reading)}`);
    reading.at++;
  }
  reading.at++;
}
