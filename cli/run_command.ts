/**
 * Runs a command of the table: parses its flags, prints its help where that is asked for, checks the values, and hands them to the
 * command with a context. What is wrong with the command line is a {@link UsageError} that begins with the usage line.
 */
import { UsageError, UserError } from "../core/base/errors.ts";
import { requireOpenFiles } from "../core/base/open_files.ts";
import { readEnvironment } from "../core/dataset/environment.ts";
import type { Command, CommandContext } from "./commands/command.ts";
import type { CommandEntry } from "./commands/commands.ts";
import { checkValues } from "./flags/check_values.ts";
import type { FlagTable, Values } from "./flags/flag.ts";
import { parseFlags } from "./flags/parse_flags.ts";
import { EXIT } from "./exit_code.ts";
import { commandHelp, usageLine } from "./help.ts";
import { type Interruption, listenForInterrupts } from "./interrupt.ts";
import { print, printError } from "./terminal.ts";
import { VERSION } from "./version.ts";

/**
 * @param args What stands behind the command's name.
 * @param shownName As the user called it: "nnunet predict", or upstream's name.
 * @returns false if the command could not do everything, and has said so
 * @throws UsageError, and what the command throws
 */
export async function runCommand(
  entry: CommandEntry,
  args: readonly string[],
  shownName: string,
): Promise<boolean> {
  const command = await entry.load();
  const byUpstreamName = shownName === entry.upstream;
  const values = usable(command, args, shownName, byUpstreamName);
  if (values === null) {
    print(commandHelp(entry, command, shownName));
    return true;
  }
  // Loaded only now, so that --help and usage errors start nothing.
  using display = values.log === "json"
    ? (await import("./event_log.ts")).createEventDisplay()
    : (await import("./display.ts")).createDisplay();
  let interruption: Interruption | undefined;
  using _listening = { [Symbol.dispose]: () => interruption?.[Symbol.dispose]() };
  const context: CommandContext = {
    shownName,
    byUpstreamName,
    args,
    environment: readEnvironment((name) => Deno.env.get(name)),
    get signal() {
      interruption ??= listenForInterrupts(display.printError);
      return interruption.signal;
    },
    print: display.print,
    printError: display.printError,
    warn: display.warn,
    count: display.count,
    draw: display.draw,
    draws: display.draws,
    ...(display.event && { event: display.event }),
  };
  const { event } = context;
  event?.("start", { command: entry.name, args, version: VERSION });
  try {
    requireOpenFiles(typeof values.threads === "number" ? values.threads : navigator.hardwareConcurrency);
    const isDone = await command.run(values, context);
    event?.("done", { code: isDone ? EXIT.done : EXIT.failed });
    return isDone;
  } catch (error) {
    if (event) (await import("./event_log.ts")).sayFailure(error, event);
    throw error;
  }
}

/** The values of a command line; null where it asks for help. @throws UsageError */
function usable(
  command: Command,
  args: readonly string[],
  shownName: string,
  byUpstreamName: boolean,
): Values<FlagTable> | null {
  const ignore = (message: string) => printError(`warning: ${message}\nIgnored, as Python's ${shownName} does.`);
  try {
    const ignores = command.upstreamIgnoresUnknown && byUpstreamName;
    const parsed = parseFlags(command.flags, args, ignores ? ignore : undefined);
    if (parsed.help) return null;
    checkValues(command.flags, parsed.values);
    command.check?.(parsed.values);
    return parsed.values;
  } catch (error) {
    if (!(error instanceof UsageError || error instanceof UserError)) throw error;
    throw new UsageError(
      `${usageLine(command.flags, shownName)}\n${shownName}: error: ${error.message}\n` +
        `${shownName} --help shows all flags.`,
    );
  }
}
