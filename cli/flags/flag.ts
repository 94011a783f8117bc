/** What a command line flag is: one typed table a command, from which parsing, defaults and help are derived. */

interface FlagBase {
  /** Every way to write it, the main one first: ["--continue_prediction", "--c"]; without dashes: a positional's name. */
  readonly names: readonly [string, ...string[]];
  /** One or two sentences for the help. */
  readonly help: string;
  /** Heading of the help it stands under. */
  readonly group: string;
  /** True where Python's nnU-Net has no such flag: then abbreviations that fit upstream's flags too mean upstream's. */
  readonly beyond?: true;
}

/** A flag without a value. */
export interface Switch extends FlagBase {
  readonly kind: "switch";
}

interface Valued extends FlagBase {
  /** The value's name in the help: "FOLDER". */
  readonly value: string;
  readonly required?: true;
}
export interface TextFlag extends Valued {
  readonly kind: "text";
  readonly default?: string;
}
export interface IntegerFlag extends Valued {
  readonly kind: "integer";
  readonly default?: number;
}
export interface NumberFlag extends Valued {
  readonly kind: "number";
  readonly default?: number;
}
/** One of a few words. */
export interface ChoiceFlag<T extends string = string> extends Valued {
  readonly kind: "choice";
  readonly choices: readonly T[];
  readonly default?: T;
}
/** One or more values (argparse's nargs="+"). */
export interface ListFlag extends Valued {
  readonly kind: "list";
  readonly default?: readonly string[];
}
/** Bytes: "4G", "512M", "4.5GiB", "1000000". */
export interface BytesFlag extends Valued {
  readonly kind: "bytes";
  readonly default?: number;
}

export type Flag = Switch | TextFlag | IntegerFlag | NumberFlag | ChoiceFlag | ListFlag | BytesFlag;
/** A command's flags by the name the program knows them under. */
export type FlagTable = Readonly<Record<string, Flag>>;

type Value<F extends Flag> = F extends Switch ? boolean
  : F extends ChoiceFlag<infer T> ? T
  : F extends ListFlag ? readonly string[]
  : F extends TextFlag ? string
  : number;
type Given<F extends Flag> = F extends Switch | { readonly required: true } | { readonly default: unknown } ? Value<F>
  : Value<F> | undefined;

/** The values of a parsed command line; a flag that was not given and has no default is undefined. */
export type Values<T extends FlagTable> = { readonly [K in keyof T]: Given<T[K]> };

/** True for a positional argument: its name has no dash. */
export function isPositional(flag: Flag): boolean {
  return !flag.names[0].startsWith("-");
}
