/** What every command is made of. */
import type { FlagTable } from "../flags/flag.ts";

/** A command's flags and what it does with the arguments behind its name; `run` gives the exit code. */
export interface Command {
  readonly flags: FlagTable;
  /** Paragraphs under the summary in the help. */
  readonly details?: readonly string[];
  /** True: called by upstream's name, it leaves out flags it does not know as upstream does, with a warning. */
  readonly upstreamIgnoresUnknown?: true;
  /** `shownName` is how the user called it, for messages and the help. */
  run(args: readonly string[], shownName: string): Promise<number>;
}
