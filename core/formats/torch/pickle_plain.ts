/** Unpickled data spelled out as JSON-like objects. */

/** More parts than this are no trainer's arguments, but shared lists made to grow without end when they are spelled out. */
const MAX_PLAIN_PARTS = 1_000_000;
const MAX_PLAIN_DEPTH = 100;

/**
 * Unpickled data as JSON-like objects: Maps become objects (of their text and number keys), Sets arrays; what has no plain form or
 * lies deeper than 100 levels becomes null, and what would come after a million parts is left out.
 */
export function toPlain(value: unknown): unknown {
  let parts = 0;
  const list = (items: Iterable<unknown>, depth: number): unknown[] => {
    const result: unknown[] = [];
    for (const item of items) {
      if (parts >= MAX_PLAIN_PARTS) break;
      result.push(convert(item, depth));
    }
    return result;
  };
  const convert = (part: unknown, depth: number): unknown => {
    if (++parts > MAX_PLAIN_PARTS || depth > MAX_PLAIN_DEPTH) return null;
    if (part === null || ["string", "number", "boolean", "bigint"].includes(typeof part)) return part;
    if (Array.isArray(part) || part instanceof Set) return list(part, depth + 1);
    if (!(part instanceof Map)) return null;
    const result: Record<string, unknown> = {};
    for (const [key, item] of part) {
      if (parts >= MAX_PLAIN_PARTS) break;
      if (typeof key !== "string" && typeof key !== "number") continue;
      const converted = convert(item, depth + 1);
      Object.defineProperty(result, key, { value: converted, enumerable: true, writable: true, configurable: true });
    }
    return result;
  };
  return convert(value, 0);
}
