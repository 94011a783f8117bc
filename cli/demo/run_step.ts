/** A step of the demo: a command of the program, shown as a user would type it, then run. */
import { main } from "../main.ts";
import type { CommandContext } from "../commands/command.ts";

/** What the demo and its steps say, and how. */
export interface DemoVoice extends Pick<CommandContext, "print"> {
  readonly log: "text" | "json";
}

/** @returns the exit code */
export async function runStep(command: readonly string[], { print, log }: DemoVoice): Promise<number> {
  print(`\nnnunet ${command.map((word) => /[ '"]/.test(word) ? `"${word}"` : word).join(" ")}`);
  return await main(log === "json" ? [...command, "--log", log] : command);
}
