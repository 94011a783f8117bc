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
  /** Required, unless this switch is given: its name, "--best". */
  readonly requiredUnless?: string;
}
/** Where a number must lie; max is always said, MAX_SAFE_INTEGER where there is no other. */
export type Range =
  & {
    readonly max: number;
    /** Of threads: no more for each core of the machine; but some more than that can always be asked for. */
    readonly perCore?: number;
  }
  & ({ readonly min: number; readonly above?: undefined } | { readonly above: number; readonly min?: undefined });

/** What a word must look like. */
export interface Form {
  readonly fits: RegExp;
  /** For the message "it is '...'; {needed} is needed". */
  readonly needed: string;
}

/** One word; never an empty one. */
export interface TextFlag extends Valued {
  readonly kind: "text";
  readonly form?: Form;
  /** True: it is not shown, wherever the command line is. */
  readonly secret?: true;
  readonly default?: string;
}
export interface IntegerFlag extends Valued {
  readonly kind: "integer";
  readonly range: Range;
  readonly default?: number;
}
export interface NumberFlag extends Valued {
  readonly kind: "number";
  readonly range: Range;
  readonly default?: number;
}
/** One of a few words. */
export interface ChoiceFlag<T extends string = string> extends Valued {
  readonly kind: "choice";
  readonly choices: readonly T[];
  readonly default?: T;
}
/** One or more words (argparse's nargs="+"), of a few where there are choices. */
export interface ListFlag<T extends string = string> extends Valued {
  readonly kind: "list";
  readonly form?: Form;
  /** True: given again it adds words (argparse's action="extend"); otherwise the last ones count. */
  readonly repeats?: true;
  readonly choices?: readonly T[];
  readonly default?: readonly T[];
}
/** One or more whole numbers. */
export interface IntegersFlag extends Valued {
  readonly kind: "integers";
  readonly range: Range;
  readonly default?: readonly number[];
}
/** One or more numbers. */
export interface NumbersFlag extends Valued {
  readonly kind: "numbers";
  readonly range: Range;
  /** How many, where that is fixed. */
  readonly count?: number;
  readonly default?: readonly number[];
}
/** Bytes: "4G", "512M", "4.5GiB", "1000000". */
export interface BytesFlag extends Valued {
  readonly kind: "bytes";
  readonly default?: number;
}

/** Takes one or more values. */
export type ManyFlag = ListFlag | IntegersFlag | NumbersFlag;
export type Flag = Switch | TextFlag | IntegerFlag | NumberFlag | ChoiceFlag | BytesFlag | ManyFlag;
/** A command's flags by the name the program knows them under. */
export type FlagTable = Readonly<Record<string, Flag>>;

type Value<F extends Flag> = F extends Switch ? boolean
  : F extends ChoiceFlag<infer T> ? T
  : F extends { readonly kind: "list"; readonly choices: readonly (infer T)[] } ? readonly T[]
  : F extends ListFlag ? readonly string[]
  : F extends IntegersFlag | NumbersFlag ? readonly number[]
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

/** True for a flag of one or more values. */
export function takesMany(flag: Flag): flag is ManyFlag {
  return flag.kind === "list" || flag.kind === "integers" || flag.kind === "numbers";
}
