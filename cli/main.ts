/** Takes the command line: finds the command, runs it, and turns what goes wrong into a message and an exit code (0, 1 or 2). */
import { Interrupted, UsageError, UserError } from "../core/base/errors.ts";
import { nearestName } from "../core/base/nearest.ts";
import { basename } from "../core/base/path.ts";
import { ALL_COMMANDS, findCommand } from "./commands/commands.ts";
import { loadCommand } from "./commands/load_command.ts";
import { programHelp } from "./help.ts";
import { print, printError } from "./terminal.ts";

/** Exit codes: success, something in the user's files or machine (or a defect), a command line that cannot be taken. */
export const EXIT = { ok: 0, failed: 1, usage: 2 } as const;

/**
 * Runs the program. `programNames` are names the program was started under: where one of them is a command's, the program is
 * that command (a copy or link of the compiled program called nnUNetv2_predict).
 */
export async function main(args: readonly string[], programNames: readonly string[] = ownNames()): Promise<number> {
  try {
    return await dispatch(args, programNames);
  } catch (error) {
    return report(error, args);
  }
}

async function dispatch(args: readonly string[], programNames: readonly string[]): Promise<number> {
  const own = programNames.map((name) => name.replace(/\.exe$/i, "")).find((name) =>
    findCommand(name)?.upstream === name
  );
  const [name, ...rest] = own === undefined ? args : [own, ...args];
  if (name === undefined || name === "-h" || name === "--help" || (name === "help" && rest.length === 0)) {
    print(programHelp());
    return name === undefined ? EXIT.usage : EXIT.ok;
  }
  if (name === "help") return await dispatch([...rest, "--help"], []);
  if (name === "--version" || name === "-V") return await dispatch(["version"], []);
  const entry = findCommand(name);
  if (!entry) {
    const names = ALL_COMMANDS.flatMap(({ name, upstream }) => upstream ? [name, upstream] : [name]);
    const near = nearestName(name, names);
    throw new UsageError(
      `nnunet: error: there is no command "${name}"${near ? `; did you mean ${near}?` : ""}\n` +
        "nnunet --help lists the commands.",
    );
  }
  const shownName = own ?? (name === entry.upstream ? name : `nnunet ${name}`);
  const command = await loadCommand(entry.name);
  if (!command) {
    printError(`${shownName}: ${entry.summary}: not implemented in this version of nnunet.`);
    return EXIT.failed;
  }
  return await command.run(rest, shownName);
}

function report(error: unknown, args: readonly string[]): number {
  const wantsStack = args.includes("--verbose") || hasEnvironment("NNUNET_DEBUG");
  if (error instanceof UsageError) {
    printError(error.message);
    return EXIT.usage;
  }
  if (error instanceof UserError) {
    printError(`error: ${error.message}`);
    if (wantsStack) printError(stackOf(error));
    return EXIT.failed;
  }
  if (error instanceof Interrupted) {
    printError(error.message);
    return EXIT.failed;
  }
  const known = systemError(error);
  if (known) {
    printError(`error: ${known}`);
    if (wantsStack) printError(stackOf(error));
    return EXIT.failed;
  }
  printError(
    `error: this is a defect of nnunet, not of your files. Please report it with the command line and the lines below.\n` +
      stackOf(error),
  );
  return EXIT.failed;
}

/** What the operating system refused, in words; null for anything else. */
function systemError(error: unknown): string | null {
  if (error instanceof Deno.errors.NotCapable) {
    return `${error.message}. The program was started without a permission it needs; \`deno task nnunet\` gives them all.`;
  }
  if (error instanceof Deno.errors.PermissionDenied) return `permission denied: ${error.message}`;
  if (error instanceof Error && "code" in error && error.code === "ENOSPC") {
    return `the disk is full: ${error.message}. Free some space and run the same command again (predict: with --continue_prediction).`;
  }
  if (error instanceof RangeError && /allocation failed|could not allocate|out of memory/i.test(error.message)) {
    return `not enough memory: ${error.message}. Close other programs, or give a limit with --max-memory (4G, ...) so that ` +
      "less is kept in memory.";
  }
  return null;
}

function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause === undefined ? "" : `\ncaused by: ${stackOf(error.cause)}`;
  return `${error.stack ?? error.message}${cause}`;
}

function hasEnvironment(name: string): boolean {
  try {
    return Boolean(Deno.env.get(name));
  } catch {
    return false;
  }
}

/** The names the program was started under: of the compiled executable, and argv[0] (a symbolic link's name). */
function ownNames(): string[] {
  if (!Deno.build.standalone) return [];
  const names = [basename(Deno.execPath())];
  const zero = (globalThis as { process?: { argv0?: string } }).process?.argv0;
  if (zero) names.push(basename(zero));
  return names;
}
