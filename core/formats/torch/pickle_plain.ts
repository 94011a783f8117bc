/** Unpickled data spelled out as JSON-like objects. */

/** More parts than this are no trainer's arguments, but shared lists made to grow without end when they are spelled out. */
const MAX_PLAIN_PARTS = 1_000_000;
const MAX_PLAIN_DEPTH = 100;

/** How many parts are spelled out so far. */
interface Spelled {
  parts: number;
}

/**
 * Unpickled data as JSON-like objects: Maps become objects (of their text and number keys), Sets arrays; what has no plain form or
 * lies deeper than 100 levels becomes null, and what would come after a million parts is left out.
 */
export function toPlain(value: unknown): unknown {
  return plainOf(value, 0, { parts: 0 });
}

function plainOf(part: unknown, depth: number, spelled: Spelled): unknown {
  spelled.parts++;
  if (spelled.parts > MAX_PLAIN_PARTS || depth > MAX_PLAIN_DEPTH) return null;
  if (part === null || ["string", "number", "boolean", "bigint"].includes(typeof part)) return part;
  if (Array.isArray(part) || part instanceof Set) return plainList(part, depth + 1, spelled);
  return part instanceof Map ? plainObject(part, depth + 1, spelled) : null;
}

function plainList(items: Iterable<unknown>, depth: number, spelled: Spelled): unknown[] {
  const result: unknown[] = [];
  for (const item of items) {
    if (spelled.parts >= MAX_PLAIN_PARTS) break;
    result.push(plainOf(item, depth, spelled));
  }
  return result;
}

function plainObject(items: ReadonlyMap<unknown, unknown>, depth: number, spelled: Spelled): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  for (const [key, item] of items) {
    if (spelled.parts >= MAX_PLAIN_PARTS) break;
    if (typeof key !== "string" && typeof key !== "number") continue;
    const value = plainOf(item, depth, spelled);
    Object.defineProperty(result, key, { value, enumerable: true, writable: true, configurable: true });
  }
  return result;
}
