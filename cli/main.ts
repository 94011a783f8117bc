/** Takes the command line: finds the command, has it run, and gives the exit code (0, 1 or 2). */
import { UsageError } from "../core/base/errors.ts";
import { nearestName } from "../core/base/nearest.ts";
import { basename } from "../core/base/path.ts";
import { COMMANDS, findCommand } from "./commands/commands.ts";
import { EXIT, reportError } from "./exit_code.ts";
import { programHelp } from "./help.ts";
import { oneFileNames } from "./packaging/installed_program.ts";
import { runCommand } from "./run_command.ts";
import { print } from "./terminal.ts";

/**
 * Runs the program. `programNames` are names the program was started under: where one of them is a command's, the program is
 * that command (a copy or link of the compiled program called nnUNetv2_predict).
 */
export async function main(
  args: readonly string[],
  programNames: readonly string[] = oneFileNames().map((file) => basename(file)),
): Promise<number> {
  try {
    return await dispatch(args, programNames);
  } catch (error) {
    return reportError(error, args);
  }
}

/** Commands that the service's executable has; without one it serves. */
const OF_SERVICE: readonly string[] = ["serve", "version", "doctor", "help"];

/** The executable that may listen does nothing else, so that no other command comes by a network. */
function withService(args: readonly string[], programNames: readonly string[]): readonly string[] {
  const isService = programNames.some((name) => /^nnunet-serve(?:-|\.exe$|$)/i.test(name));
  if (!isService || OF_SERVICE.includes(args[0])) return args;
  return ["serve", ...args];
}

async function dispatch(args: readonly string[], programNames: readonly string[]): Promise<number> {
  const own = programNames.map((name) => name.replace(/\.exe$/i, "")).find((name) =>
    findCommand(name)?.upstream === name
  );
  const [name, ...rest] = own === undefined ? withService(args, programNames) : [own, ...args];
  if (name === undefined || name === "-h" || name === "--help" || (name === "help" && rest.length === 0)) {
    print(programHelp());
    return name === undefined ? EXIT.usage : EXIT.done;
  }
  if (name === "help") return await dispatch([...rest, "--help"], []);
  if (name === "--version" || name === "-V") return await dispatch(["version"], []);
  const entry = findCommand(name);
  if (!entry) {
    const names = COMMANDS.flatMap(({ name, upstream }) => upstream ? [name, upstream] : [name]);
    const near = nearestName(name, names);
    throw new UsageError(
      `nnunet: error: there is no command "${name}"${near ? `; did you mean ${near}?` : ""}\n` +
        "nnunet --help lists the commands.",
    );
  }
  const shownName = name === entry.upstream ? name : `nnunet ${name}`;
  return await runCommand(entry, rest, shownName) ? EXIT.done : EXIT.failed;
}
