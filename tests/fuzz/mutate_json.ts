/** Mutations of JSON that keep it JSON: another value, a key more or less, two values exchanged; and now and then of its text. */
import { mutateBytes } from "./mutate_bytes.ts";
import type { Random } from "./random.ts";

const VALUES: readonly unknown[] = [
  ...[0, -1, 1, 2, 1.5, 1e-300, 1e308, 2 ** 31, 2 ** 32, 2 ** 40, 2 ** 53, -(2 ** 53), "@NaN", "@Infinity", "@1e999"],
  ...[
    null,
    true,
    false,
    "",
    "a",
    "..",
    "a/../../b",
    "/etc",
    "\u0000",
    "x".repeat(300),
    "NaN",
    "1",
    "nan",
    "é",
    "toString",
    "constructor",
  ],
  ...[[], {}, [[]], [0, 0, 0], [1, 1, 1], [1, 2], [null], [1e9, 1e9, 1e9], ["a"], { a: 1 }, { "0": 0 }, [[[[1]]]]],
];
const KEYS = ["", "0", "1", "__proto__", "constructor", "toString", "length", "background", "ignore", "a"];

/** Where a value is: its container and key. */
interface Place {
  readonly holder: Record<string, unknown>;
  readonly key: string;
}

/** A changed copy of a JSON text. */
export function mutateJson(text: string, random: Random): string {
  const root = { value: parse(text) } as Record<string, unknown>;
  if (root.value === undefined || random.chance(0.1)) return mutateText(text, random);
  for (let left = 1 + random.int(random.pick([1, 1, 2, 4])); left > 0; left--) {
    const places = placesOf(root);
    change(random.pick(places), random.pick(places), random);
  }
  // What JSON.stringify can't write.
  const written = JSON.stringify(root.value, undefined, random.pick([undefined, 4])) ?? "null";
  return written.replace(/"@([^"]*)"/g, "$1");
}

/** A changed copy of the bytes of a JSON file. */
export function mutateJsonBytes(bytes: Uint8Array, random: Random): Uint8Array {
  return new TextEncoder().encode(mutateJson(new TextDecoder().decode(bytes), random));
}

function change({ holder, key }: Place, other: Place, random: Random): void {
  const value = holder[key];
  switch (random.int(8)) {
    case 0:
      if (Array.isArray(holder)) holder.splice(Number(key), 1);
      else if (Object.keys(holder).length > 0 && key !== "value") delete holder[key];
      break;
    case 1: {
      const name = random.pick(KEYS);
      if (typeof value !== "object" || value === null) break;
      if (Array.isArray(value)) value.push(copy(random.pick(VALUES)));
      else put(value as Record<string, unknown>, name, copy(random.pick(VALUES)));
      break;
    }
    case 2: {
      const theirs = copy(other.holder[other.key]);
      put(other.holder, other.key, copy(value));
      put(holder, key, theirs);
      break;
    }
    case 3:
      if (typeof value === "number") {
        holder[key] = random.pick([-value, value + 0.5, value * 1e6, value + 1, String(value)]);
      } else if (Array.isArray(value)) holder[key] = [...value, ...copy(value) as unknown[]];
      else holder[key] = [value];
      break;
    case 4: {
      let deep: unknown = value;
      for (let i = 0; i < 600; i++) deep = [deep];
      holder[key] = random.chance(0.1) ? deep : copy(random.pick(VALUES));
      break;
    }
    default:
      holder[key] = copy(random.pick(VALUES));
  }
}

/** Sets a key of its own, also "__proto__". */
function put(holder: Record<string, unknown>, key: string, value: unknown): void {
  Object.defineProperty(holder, key, { value, enumerable: true, configurable: true, writable: true });
}

function placesOf(root: Record<string, unknown>): Place[] {
  const places: Place[] = [];
  const visit = (holder: Record<string, unknown>): void => {
    for (const key of Object.keys(holder)) {
      places.push({ holder, key });
      const value = holder[key];
      if (typeof value === "object" && value !== null && places.length < 5000) visit(value as Record<string, unknown>);
    }
  };
  visit(root);
  return places;
}

function copy(value: unknown): unknown {
  return value === undefined ? null : JSON.parse(JSON.stringify(value));
}

function mutateText(text: string, random: Random): string {
  return new TextDecoder().decode(mutateBytes(new TextEncoder().encode(text), random));
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
