/**
 * What a command is. Adding one: a file here that ends in `export const ... = defineCommand({...})`, and its entry in commands.ts.
 * The runner (cli/run_command.ts) does the rest: it parses, prints the help, checks, and turns errors into exit codes.
 */
import type { Environment } from "../../core/dataset/environment.ts";
import type { FlagTable, Values } from "../flags/flag.ts";

/** How a progress is shown: a bar (lines where there is no terminal), a line a minute, or not at all. */
export type ProgressStyle = "bar" | "lines" | "none";

/** Tells how much of countable work is done. */
export type CountProgress = (done: number, of: number) => void;

/** Says an event of `--log json`; the fields are JSON. */
export type SayEvent = (name: string, fields: Readonly<Record<string, unknown>>) => void;

/** How a command was called, and what it says and is told while it runs. */
export interface CommandContext {
  /** As the user called it, for messages: "nnunet predict", or "nnUNetv2_predict". */
  readonly shownName: string;
  /** True where it was called by the name of Python nnU-Net's script. */
  readonly byUpstreamName: boolean;
  /** What stands behind the command's name, as given but for secrets. */
  readonly args: readonly string[];
  /** nnU-Net's environment variables. */
  readonly environment: Environment;
  /** Aborted by ctrl-C or SIGTERM. Those end the program at once as long as nobody has asked for it. */
  readonly signal: AbortSignal;
  /** Results and news, to stdout. */
  print(text: string): void;
  /** To stderr, as it is. */
  printError(text: string): void;
  /** "warning: ..." to stderr. */
  warn(message: string): void;
  /** @param label What is counted: "Dataset004_Hippocampus: cases read" */
  count(label: string, style: ProgressStyle): CountProgress;
  /** Draws a bar, or redraws it, at the foot of the terminal; nothing where there is none. Text that is printed takes it away. */
  draw(bar: { readonly name: string; readonly done: number; readonly of: number; readonly note: string }): void;
  /** True if {@link draw} draws. */
  readonly draws: boolean;
  /** Under `--log json`: says an event that is more than a line of text. The other functions say theirs by themselves. */
  readonly event?: SayEvent;
}

/** A command line that does something useful, for the help. */
export interface Example {
  /** What it does, without a full stop. */
  readonly does: string;
  /** What stands behind the command's name; single spaces between words, no quotes. */
  readonly args: string;
}

export interface Command<T extends FlagTable = FlagTable> {
  readonly flags: T;
  /** Paragraphs under the summary in the help. */
  readonly details?: readonly string[];
  /** At least one, shown at the end of the help. */
  readonly examples: readonly [Example, ...Example[]];
  /** True: called by upstream's name, it leaves out flags it does not know as upstream does, with a warning. */
  readonly upstreamIgnoresUnknown?: true;
  /**
   * What the ranges in the table cannot say: flags that don't go together, numbers of values, names from a list of ours.
   * Whatever is wrong with the command line alone belongs here: UsageErrors and UserErrors thrown here are exit code 2.
   */
  check?(values: NoInfer<Values<T>>): void;
  /** @returns false if something could not be done, and the user has been told what: exit code 1 */
  run(values: NoInfer<Values<T>>, context: CommandContext): Promise<boolean>;
}

/** The command with the types of its values taken from its table of flags. */
export function defineCommand<const T extends FlagTable>(command: Command<T>): Command<T> {
  return command;
}
