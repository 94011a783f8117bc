/** A command's arguments, parsed: prints the help where it is asked for, adds the usage line to errors. */
import { UsageError } from "../../core/base/errors.ts";
import type { Command } from "../commands/command.ts";
import { findCommand } from "../commands/commands.ts";
import type { FlagTable, Values } from "./flag.ts";
import { commandHelp, usageLine } from "../help.ts";
import { parseFlags } from "./parse_flags.ts";
import { print, printError } from "../terminal.ts";

/** The values of `flags`, or null after printing the help. @throws UsageError as argparse prints it */
export function parseCommandLine<T extends FlagTable>(
  name: string,
  command: Command & { readonly flags: T },
  args: readonly string[],
  shownName: string,
): Values<T> | null {
  const entry = findCommand(name);
  if (!entry) throw new Error(`no command ${name} in the table`);
  try {
    const ignores = command.upstreamIgnoresUnknown && shownName === entry.upstream;
    const ignore = (message: string) => printError(`warning: ${message}\nIgnored, as Python's ${shownName} does.`);
    const parsed = parseFlags(command.flags, args, ignores ? ignore : undefined);
    if (!parsed.help) return parsed.values;
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw new UsageError(
      `${usageLine(command.flags, shownName)}\n${shownName}: error: ${error.message}\n` +
        `${shownName} --help shows all flags.`,
    );
  }
  print(commandHelp(entry, command.flags, shownName, command.details));
  return null;
}
