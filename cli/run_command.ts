/**
 * Runs a command of the table: parses its flags, prints its help where that is asked for, checks the values, and hands them to the
 * command with a context. What is wrong with the command line is a {@link UsageError} that begins with the usage line.
 */
import { UsageError, UserError } from "../core/base/errors.ts";
import { requireOpenFiles } from "../core/base/open_files.ts";
import { readEnvironment } from "../core/dataset/environment.ts";
import { UnknownTrainer } from "../core/trainers/unknown_trainer.ts";
import type { Command, CommandContext } from "./commands/command.ts";
import type { CommandEntry } from "./commands/commands.ts";
import { checkValues } from "./flags/check_values.ts";
import { withVariables } from "./flags/environment_defaults.ts";
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
  const parsed = usable(command, args, shownName, byUpstreamName);
  if (parsed === null) {
    print(commandHelp(entry, command, shownName));
    return true;
  }
  const variable = (name: string) => Deno.env.get(name);
  // Loaded only now, so that --help and usage errors start nothing.
  using display = parsed.log === "json"
    ? (await import("./event_log.ts")).createEventDisplay()
    : (await import("./display.ts")).createDisplay();
  const values = withVariables(command.flags, parsed, variable, display.warn);
  const shownArgs = withoutSecrets(command.flags, values, args);
  let interruption: Interruption | undefined;
  using _listening = { [Symbol.dispose]: () => interruption?.[Symbol.dispose]() };
  const context: CommandContext = {
    shownName,
    byUpstreamName,
    args: shownArgs,
    environment: readEnvironment(variable),
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
  event?.("start", { command: entry.name, args: shownArgs, version: VERSION });
  try {
    requireOpenFiles(typeof values.threads === "number" ? values.threads : navigator.hardwareConcurrency);
    const isDone = await command.run(values, context);
    event?.("done", { code: isDone ? EXIT.done : EXIT.failed });
    return isDone;
  } catch (thrown) {
    const error = namingExternalTrainers(thrown);
    if (event) (await import("./event_log.ts")).sayFailure(error, event);
    throw error;
  }
}

/** The arguments as reports and logs may have them. */
function withoutSecrets(flags: FlagTable, values: Values<FlagTable>, args: readonly string[]): readonly string[] {
  const secrets = Object.entries(flags).flatMap(([key, flag]) => {
    const value: unknown = values[key];
    return flag.kind === "text" && flag.secret && typeof value === "string" ? [value] : [];
  });
  return args.map((arg) => secrets.reduce((text, secret) => text.replaceAll(secret, "***"), arg));
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
  } catch (thrown) {
    const error = namingExternalTrainers(thrown);
    if (!(error instanceof UsageError || error instanceof UserError)) throw error;
    throw new UsageError(
      `${usageLine(command.flags, shownName)}\n${shownName}: error: ${error.message}\n` +
        `${shownName} --help shows all flags.`,
    );
  }
}

/** An unknown trainer may be one of the folders in which upstream (2.8 and later) looks for the user's own. */
function namingExternalTrainers(error: unknown): unknown {
  const folders = Deno.env.get("nnUNet_extTrainer");
  if (!(error instanceof UnknownTrainer) || !folders) return error;
  return error.withRemedy(
    `Trainers written in Python, as in nnUNet_extTrainer=${folders}, cannot be run here: there is no Python in this program`,
  );
}
