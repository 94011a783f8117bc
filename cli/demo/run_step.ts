/** A step of the demo: a command of the program, shown as a user would type it, then run. */
import { main } from "../main.ts";
import { print } from "../terminal.ts";

/** @returns the exit code */
export async function runStep(command: readonly string[]): Promise<number> {
  print(`\nnnunet ${command.map((word) => /[ '"]/.test(word) ? `"${word}"` : word).join(" ")}`);
  return await main(command);
}
