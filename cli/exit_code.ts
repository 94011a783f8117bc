/** What goes wrong, as a message on stderr and an exit code. */
import { isAllocationFailure } from "../core/base/allocation.ts";
import { isOutOfFiles, OUT_OF_FILES } from "../core/base/open_files.ts";
import { Interrupted, UsageError, UserError } from "../core/base/errors.ts";
import { printError } from "./terminal.ts";

/** Exit codes: success, something in the user's files or machine (or a defect), a command line that cannot be taken. */
export const EXIT = { done: 0, failed: 1, usage: 2 } as const;

/** What they mean to a script; these numbers stay as they are. */
export const EXIT_CODES: readonly (readonly [code: number, meaning: string])[] = [
  [EXIT.done, "all that was asked for is done"],
  [EXIT.failed, "something could not be done, and the message says what; what could be is done"],
  [EXIT.usage, "the command line is wrong, and nothing was begun"],
];

/** Says what was thrown; gives the exit code. @param args The command line, which may ask for a stack with --verbose */
export function reportError(error: unknown, args: readonly string[]): number {
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
  if (error instanceof Deno.errors.PermissionDenied) {
    return `no permission${systemCall(error)}. Change it, or run the command as a user who has it.`;
  }
  if (error instanceof Error && "code" in error && error.code === "ENOSPC") {
    const call = systemCall(error);
    return `the disk is full${
      call && ` (it was${call})`
    }. Free some space and run the same command again (predict: with ` +
      "--continue_prediction).";
  }
  if (isOutOfFiles(error)) return `${OUT_OF_FILES.problem}: ${OUT_OF_FILES.remedy}.`;
  if (isAllocationFailure(error)) {
    return "not enough memory. Close other programs, or give a limit with --max-memory (4G, ...) so that less is kept in memory.";
  }
  return null;
}

const CALLS: Readonly<Record<string, string>> = {
  readdir: "list the folder",
  open: "open",
  stat: "look at",
  lstat: "look at",
  mkdir: "make the folder",
  rename: "rename",
  remove: "remove",
  copy: "copy",
  write: "write",
};

/** " to list the folder /x", of Deno's "Permission denied (os error 13): readdir '/x'"; empty where it does not say. */
function systemCall({ message }: Error): string {
  const [, call = "", path] = /: (?:(\w+) )?'(.+)'$/.exec(message) ?? [];
  return path === undefined ? "" : ` to ${CALLS[call] ?? "use"} ${path}`;
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
