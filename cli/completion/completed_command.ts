/** What a shell needs to know of the commands, from the tables of commands and flags. */
import { type CommandEntry, COMMANDS } from "../commands/commands.ts";
import { type Flag, isPositional, takesMany } from "../flags/flag.ts";
import { HELP } from "../flags/parse_flags.ts";

export interface CompletedFlag {
  /** Every way to write it; the first is the one that is offered. */
  readonly names: readonly [string, ...string[]];
  /** First sentence of its help, without the full stop. */
  readonly help: string;
  readonly takes: "nothing" | "one" | "many";
  /** Its fixed values; none: file names are offered. */
  readonly choices: readonly string[];
}

export interface CompletedCommand {
  readonly name: string;
  readonly upstream?: string;
  readonly summary: string;
  readonly flags: readonly CompletedFlag[];
  /** True where it takes words that belong to no flag. */
  readonly positionals: boolean;
  /** Fixed values of those words; none: file names are offered. */
  readonly choices: readonly string[];
}

/** All commands, in the order of the help. */
export async function completedCommands(): Promise<CompletedCommand[]> {
  return await Promise.all(COMMANDS.map(completedCommand));
}

async function completedCommand({ name, upstream, summary, load }: CommandEntry): Promise<CompletedCommand> {
  const all: readonly Flag[] = Object.values((await load()).flags);
  const positionals = all.filter(isPositional);
  return {
    name,
    ...(upstream !== undefined && { upstream }),
    summary,
    flags: [...all.filter((flag) => !isPositional(flag)).map(completedFlag), {
      ...completedFlag(HELP),
      names: ["--help"],
    }],
    positionals: positionals.length > 0,
    choices: positionals.flatMap(choicesOf),
  };
}

function completedFlag(flag: Flag): CompletedFlag {
  const takes = flag.kind === "switch" ? "nothing" : takesMany(flag) ? "many" : "one";
  const help = flag.help.replace(/\.(?: .*)?$/s, "");
  return { names: flag.names, help, takes, choices: choicesOf(flag) };
}

function choicesOf(flag: Flag): readonly string[] {
  return flag.kind === "choice" ? flag.choices : flag.kind === "list" ? flag.choices ?? [] : [];
}
