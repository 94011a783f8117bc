/**
 * Parses a command line as Python's argparse does, which nnU-Net's commands use: single-dash flags of several letters
 * (`-step_size 0.5`, `-step_size=0.5`), one or more values (`-f 0 1`), unique prefixes (`--disable_p`, `-step`), a value glued to
 * a one-letter flag (`-d4`), negative numbers as values, `--`. tests/golden/cli_flags compares it with argparse.
 *
 * Why not a library: most on npm read `-step_size` as a bundle of one-letter flags. `argparse` (2.0.1), a port of CPython's, takes 9 of
 * the 110 stored command lines otherwise than CPython: `1_0`, `nan` and `inf` as numbers, `-step_size=` as 0, other words for wrong
 * numbers. It has no types for values, suggests no near name, takes `-disable_tta` for `-d isable_tta`, and cannot put upstream's flags
 * before ours where an abbreviation fits both, but through its private methods.
 */
import { UsageError } from "../../core/base/errors.ts";
import { nearestName } from "../../core/base/nearest.ts";
import { type Flag, type FlagTable, isPositional, type ManyFlag, type Switch, takesMany, type Values } from "./flag.ts";

/** The flag every command has. */
export const HELP: Switch = {
  kind: "switch",
  names: ["-h", "--help"],
  group: "Other",
  help: "Show this help and exit.",
};

/** Result of {@link parseFlags}: the values, or that help was asked for. */
export type ParsedFlags<T extends FlagTable> = { readonly help: true } | {
  readonly help: false;
  readonly values: Values<T>;
};

interface Match {
  readonly flag: Flag;
  readonly key: string;
  /** As written in the table, for messages. */
  readonly name: string;
  /** The value behind "=" or glued to a one-letter flag. */
  readonly explicit?: string;
}

const HELP_KEY = "";
const NEGATIVE_NUMBER = /^-(?:\d+|\d*\.\d+)$/;

/**
 * @param onUnknown Is told of arguments that are not in the table, which are left out then (argparse's parse_known_args).
 * @throws UsageError in argparse's wording, with the nearest flag for a typo.
 */
export function parseFlags<T extends FlagTable>(
  table: T,
  args: readonly string[],
  onUnknown?: (message: string) => void,
): ParsedFlags<T> {
  const names = new Map<string, { readonly flag: Flag; readonly key: string }>();
  for (const name of HELP.names) names.set(name, { flag: HELP, key: HELP_KEY });
  for (const [key, flag] of Object.entries(table)) {
    if (!isPositional(flag)) { for (const name of flag.names) names.set(name, { flag, key }); }
  }
  const values: Record<string, unknown> = {};
  const loose: string[] = [];
  const unknown: string[] = [];

  for (let i = 0; i < args.length; i++) {
    const arg = args[i];
    if (arg === "--") {
      loose.push(...args.slice(i + 1));
      break;
    }
    const match = matchFlag(arg, names);
    if (match === "value") {
      loose.push(arg);
    } else if (match === "unknown") {
      unknown.push(arg);
      // What follows an unknown flag is most likely its value, not a positional.
      while (i + 1 < args.length && isValue(args[i + 1], names)) unknown.push(args[++i]);
    } else if (match.key === HELP_KEY) {
      return { help: true };
    } else {
      i += take(match, args, i, names, values);
    }
  }
  takePositionals(table, loose, values, unknown);
  if (unknown.length > 0) {
    const message = unknownMessage(unknown, names);
    if (!onUnknown) throw new UsageError(message);
    onUnknown(message);
  }
  const isGiven = (name: string) => (names.get(name)?.key ?? HELP_KEY) in values;
  const absent = Object.entries(table).filter(([key, flag]) =>
    flag.kind !== "switch" && !(key in values) &&
    (flag.required || (flag.requiredUnless !== undefined && !isGiven(flag.requiredUnless)))
  );
  if (absent.length > 0) {
    throw new UsageError(
      `the following arguments are required: ${absent.map(([, flag]) => flag.names.join("/")).join(", ")}`,
    );
  }
  return { help: false, values: withDefaults(table, values) };
}

/** Stores the value of one flag; returns how many further arguments it took. */
function take(
  match: Match,
  args: readonly string[],
  at: number,
  names: ReadonlyMap<string, unknown>,
  values: Record<string, unknown>,
): number {
  const { flag, key, explicit } = match;
  const label = `argument ${flag.names.join("/")}`;
  if (flag.kind === "switch") {
    if (explicit !== undefined) throw new UsageError(`${label}: ignored explicit argument '${explicit}'`);
    values[key] = true;
    return 0;
  }
  const known = names as ReadonlyMap<string, { flag: Flag; key: string }>;
  if (takesMany(flag)) {
    if (explicit !== undefined) {
      values[key] = [...earlier(flag, values[key]), ...convertMany(flag, [explicit], label)];
      return 0;
    }
    let count = 0;
    while (at + count + 1 < args.length && isValue(args[at + count + 1], known)) count++;
    if (count === 0) throw new UsageError(`${label}: expected at least one argument`);
    values[key] = [...earlier(flag, values[key]), ...convertMany(flag, args.slice(at + 1, at + 1 + count), label)];
    return count;
  }
  if (explicit === undefined && !(at + 1 < args.length && isValue(args[at + 1], known))) {
    throw new UsageError(`${label}: expected one argument`);
  }
  values[key] = convert(flag, explicit ?? args[at + 1], label);
  return explicit === undefined ? 1 : 0;
}

/** Words of a flag that adds to them. */
function earlier(flag: ManyFlag, value: unknown): readonly unknown[] {
  return flag.kind === "list" && flag.repeats && Array.isArray(value) ? value : [];
}

function convertMany(flag: ManyFlag, texts: readonly string[], label: string): readonly (string | number)[] {
  if (flag.kind === "list") {
    for (const text of texts) if (flag.choices && !flag.choices.includes(text)) throw notOne(flag.choices, text, label);
    return texts;
  }
  const toNumber = flag.kind === "integers" ? integerOf : numberOf;
  return texts.map((text) => toNumber(text, label));
}

function convert(flag: Exclude<Flag, Switch | ManyFlag>, text: string, label: string): string | number {
  switch (flag.kind) {
    case "text":
      return text;
    case "choice":
      if (flag.choices.includes(text)) return text;
      throw notOne(flag.choices, text, label);
    case "integer":
      return integerOf(text, label);
    case "number":
      return numberOf(text, label);
    case "bytes": {
      const value = parseBytes(text);
      if (value === null) throw new UsageError(`${label}: invalid size: '${text}' (4G, 512M and the like)`);
      return value;
    }
  }
}

function notOne(choices: readonly string[], text: string, label: string): UsageError {
  const all = choices.map((choice) => `'${choice}'`).join(", ");
  return new UsageError(`${label}: invalid choice: '${text}' (choose from ${all})`);
}

function integerOf(text: string, label: string): number {
  const value = parseInteger(text);
  if (value === null) throw new UsageError(`${label}: invalid int value: '${text}'`);
  return value;
}

function numberOf(text: string, label: string): number {
  const value = parseNumber(text);
  if (value === null) throw new UsageError(`${label}: invalid float value: '${text}'`);
  return value;
}

/** Python's int(): an optional sign, digits, single underscores between them. */
export function parseInteger(text: string): number | null {
  const plain = text.trim();
  return /^[+-]?\d+(_\d+)*$/.test(plain) ? Number(plain.replaceAll("_", "")) : null;
}

/** Python's float(), with inf and nan. */
export function parseNumber(text: string): number | null {
  const plain = text.trim().toLowerCase();
  if (/^[+-]?(inf|infinity)$/.test(plain)) return plain.startsWith("-") ? -Infinity : Infinity;
  if (/^[+-]?nan$/.test(plain)) return NaN;
  const digits = String.raw`\d+(?:_\d+)*`;
  const form = new RegExp(`^[+-]?(?:${digits}\\.?(?:${digits})?|\\.${digits})(?:e[+-]?${digits})?$`);
  return form.test(plain) ? Number(plain.replaceAll("_", "")) : null;
}

/** "4G", "4GiB", "4GB", "512m", "1.5T", "1000000": bytes, in powers of 1024; null if it is none, below 1 or beyond any memory. */
export function parseBytes(text: string): number | null {
  const match = /^(\d+(?:\.\d+)?|\.\d+)\s*([kmgt]?)(?:i?b)?$/i.exec(text.trim());
  if (!match) return null;
  const bytes = Number(match[1]) * 1024 ** " kmgt".indexOf(match[2].toLowerCase() || " ");
  return bytes >= 1 && bytes <= Number.MAX_SAFE_INTEGER ? Math.floor(bytes) : null;
}

/** What one argument is: a flag of the table, a value, or something that looks like a flag and is not known. */
function matchFlag(
  arg: string,
  names: ReadonlyMap<string, { readonly flag: Flag; readonly key: string }>,
): Match | "value" | "unknown" {
  if (arg === "" || arg === "-" || !arg.startsWith("-")) return "value";
  const exact = names.get(arg);
  if (exact) return { ...exact, name: arg };
  const equals = arg.indexOf("=");
  if (equals > 0) {
    const flag = names.get(arg.slice(0, equals));
    if (flag) return { ...flag, name: arg.slice(0, equals), explicit: arg.slice(equals + 1) };
  }
  const matches = abbreviations(arg, names);
  const chosen = unique(matches) ?? unique(matches.filter(({ flag }) => !flag.beyond));
  if (chosen) return chosen;
  if (matches.length > 1) {
    throw new UsageError(`ambiguous option: ${arg} could match ${matches.map(({ name }) => name).join(", ")}`);
  }
  if (NEGATIVE_NUMBER.test(arg) || arg.includes(" ")) return "value";
  return "unknown";
}

/** The flags an argument may abbreviate (argparse's _get_option_tuples). */
function abbreviations(
  arg: string,
  names: ReadonlyMap<string, { readonly flag: Flag; readonly key: string }>,
): Match[] {
  const matches: Match[] = [];
  if (arg.startsWith("--")) {
    const equals = arg.indexOf("=");
    const prefix = equals < 0 ? arg : arg.slice(0, equals);
    const explicit = equals < 0 ? undefined : arg.slice(equals + 1);
    for (const [name, known] of names) if (name.startsWith(prefix)) matches.push({ ...known, name, explicit });
    return matches;
  }
  // `-disable_tta` would be `-d isable_tta` to argparse; nobody means that.
  if (arg.length > 2 && names.has(`-${arg}`)) {
    throw new UsageError(`unrecognized arguments: ${arg}\n  ${arg}: did you mean -${arg}?`);
  }
  for (const [name, known] of names) {
    if (name.length === 2 && name === arg.slice(0, 2)) matches.push({ ...known, name, explicit: arg.slice(2) });
    else if (name.startsWith(arg)) matches.push({ ...known, name });
  }
  return matches;
}

/** The only match, or null; two names of one flag count as one. */
function unique(matches: readonly Match[]): Match | null {
  const [first] = matches;
  return first && matches.every(({ key }) => key === first.key) ? first : null;
}

function isValue(arg: string, names: ReadonlyMap<string, { readonly flag: Flag; readonly key: string }>): boolean {
  return arg !== "--" && matchFlag(arg, names) === "value";
}

function takePositionals(
  table: FlagTable,
  loose: readonly string[],
  values: Record<string, unknown>,
  unknown: string[],
): void {
  const positionals = Object.entries(table).filter(([, flag]) => isPositional(flag));
  positionals.forEach(([key, flag], i) => {
    if (i >= loose.length || flag.kind === "switch") return;
    const label = `argument ${flag.names[0]}`;
    values[key] = takesMany(flag) ? convertMany(flag, loose.slice(i), label) : convert(flag, loose[i], label);
  });
  const last = positionals.at(-1)?.[1];
  if (!last || !takesMany(last)) unknown.push(...loose.slice(positionals.length));
}

function unknownMessage(unknown: readonly string[], names: ReadonlyMap<string, unknown>): string {
  const lines = [`unrecognized arguments: ${unknown.join(" ")}`];
  for (const word of unknown) {
    const near = word.startsWith("-") ? nearestName(word.split("=")[0], names.keys()) : undefined;
    if (near) lines.push(`  ${word.split("=")[0]}: did you mean ${near}?`);
  }
  return lines.join("\n");
}

function withDefaults<T extends FlagTable>(table: T, given: Record<string, unknown>): Values<T> {
  const values: Record<string, unknown> = {};
  for (const [key, flag] of Object.entries(table)) {
    values[key] = given[key] ?? (flag.kind === "switch" ? false : flag.default);
  }
  return values as Values<T>;
}
