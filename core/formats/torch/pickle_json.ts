/** JSON as the Python objects json.load makes of it, to be pickled. */
import { JsonFloat, keysOf } from "../../base/json.ts";
import { float, int, type PickleValue } from "./pickle_writer.ts";

/** @param value As parseJsonExactly gives it, so that 1 and 1.0 stay an int and a float */
export function pickleJson(value: unknown): PickleValue {
  if (value === null || value === undefined) return null;
  if (typeof value === "boolean" || typeof value === "string") return value;
  if (value instanceof JsonFloat) return float(value.value);
  if (typeof value === "number" || typeof value === "bigint") {
    const number = Number(value);
    return Number.isSafeInteger(number) ? int(number) : float(number);
  }
  if (Array.isArray(value)) return value.map(pickleJson);
  const record = value as Readonly<Record<string, unknown>>;
  return new Map<PickleValue, PickleValue>(keysOf(record).map((key) => [key, pickleJson(record[key])]));
}
