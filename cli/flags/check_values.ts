/** Whether the values of a parsed command line are within what their flags declare, in the wording of argparse's errors. */
import { UsageError } from "../../core/base/errors.ts";
import { plural } from "../../core/base/plural.ts";
import type { Flag, FlagTable, Range, Values } from "./flag.ts";

/** @throws UsageError for the first value that is not */
export function checkValues<T extends FlagTable>(table: T, values: Values<T>): void {
  for (const [key, flag] of Object.entries(table)) {
    const value: unknown = values[key];
    if (value === undefined) continue;
    const problem = Array.isArray(value) ? problemOfList(flag, value) : problemOf(flag, value);
    if (problem !== null) throw new UsageError(`argument ${flag.names.join("/")}: ${problem}`);
  }
}

function problemOfList(flag: Flag, values: readonly unknown[]): string | null {
  if (flag.kind === "numbers" && flag.count !== undefined && values.length !== flag.count) {
    return `${values.length === 1 ? "1 value is" : `${values.length} values are`} given; ${flag.count} are needed`;
  }
  for (const value of values) {
    const problem = problemOf(flag, value);
    if (problem !== null) return problem;
  }
  return null;
}

function problemOf(flag: Flag, value: unknown): string | null {
  if (typeof value === "number" && "range" in flag) {
    return isWithin(flag.range, value) ? beyondMachine(flag.range, value) : outside(flag, value);
  }
  if (typeof value !== "string") return null;
  if (value === "") return "it is empty";
  const form = flag.kind === "text" || flag.kind === "list" ? flag.form : undefined;
  return form === undefined || form.fits.test(value) ? null : `it is '${value}'; ${form.needed} is needed`;
}

/** True for a number in the range. */
export function isWithin({ above, min, max }: Range, value: number): boolean {
  return (above === undefined || value > above) && (min === undefined || value >= min) && value <= max;
}

function outside({ kind, range }: Flag & { readonly range: Range }, value: number): string {
  const isWhole = kind === "integer" || kind === "integers";
  return `it is ${value}; ${isWhole ? "a whole number" : "a number"} ${describeRange(range)} is needed`;
}

/** Threads that any machine may start, as for a test of what they give. */
const FEW_THREADS = 32;

/** What is said of threads that the machine has the cores for several times over; null of others. */
export function beyondMachine(
  { perCore }: Range,
  value: number,
  cores: number = navigator.hardwareConcurrency,
): string | null {
  const most = Math.max(FEW_THREADS, (perCore ?? Infinity) * cores);
  if (value <= most) return null;
  const machine = `this machine has ${plural(cores, "core")}`;
  return `it is ${value}; ${machine}, and more than ${most} threads would take memory and make nothing faster`;
}

/** "from 0 on", "from 1 to 1024", "above 0 and at most 1". */
export function describeRange({ above, min, max }: Range): string {
  const end = max === Number.MAX_SAFE_INTEGER ? null : String(max);
  if (above !== undefined) return `above ${above}${end === null ? "" : ` and at most ${end}`}`;
  return `from ${min} ${end === null ? "on" : `to ${end}`}`;
}
