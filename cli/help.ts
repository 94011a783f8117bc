/** Help texts, from the tables of commands and flags. */
import type { Command } from "./commands/command.ts";
import { type CommandEntry, COMMANDS } from "./commands/commands.ts";
import { EXIT_CODES } from "./exit_code.ts";
import { type Flag, type FlagTable, isPositional, takesMany } from "./flags/flag.ts";
import { HELP } from "./flags/parse_flags.ts";

const WIDTH = 100;
const INDENT = 30;

/** The program's own help: all commands. */
export function programHelp(): string {
  const column = Math.max(...COMMANDS.map(({ name }) => name.length)) + 4;
  return [
    "nnunet: nnU-Net v2 as one program. Takes the files, commands and flags of Python's nnU-Net 2.5.1.",
    "",
    "Usage: nnunet COMMAND [FLAGS]        nnunet help COMMAND shows its flags, and examples",
    "",
    "Commands:",
    ...COMMANDS.map(({ name, summary }) => `  ${name.padEnd(column)}${summary}`),
    "",
    "Python nnU-Net's names (nnUNetv2_predict, ...) are taken as commands too; `nnunet link DIR` makes them commands of their own.",
    "",
    ...exitCodeLines(),
    "",
  ].join("\n");
}

/** One command's help: flags under their groups, examples, exit codes. */
export function commandHelp(
  entry: CommandEntry,
  { flags, details = [], examples }: Pick<Command, "flags" | "details" | "examples">,
  shownName: string,
): string {
  const all = [...Object.values(flags), HELP];
  const groups = [...new Set(all.map(({ group }) => group))];
  const lines = [`${entry.summary}.`, "", ...wrap(usageLine(flags, shownName), WIDTH, "    "), ""];
  for (const paragraph of details) lines.push(...wrap(paragraph, WIDTH), "");
  for (const group of groups) {
    lines.push(`${group}:`);
    for (const flag of all.filter((one) => one.group === group)) lines.push(...flagLines(flag));
    lines.push("");
  }
  lines.push("Examples:");
  for (const { does, args } of examples) lines.push(`  # ${does}`, `  ${shownName} ${args}`);
  return [...lines, "", ...exitCodeLines(), ""].join("\n");
}

function exitCodeLines(): string[] {
  return ["Exit codes:", ...EXIT_CODES.map(([code, meaning]) => `  ${code}  ${meaning}`)];
}

/** "usage: nnunet predict -i PATH -o PATH -d DATASET -c CONFIG [FLAGS]", for help and usage errors. */
export function usageLine(flags: FlagTable, shownName: string): string {
  const all = Object.values(flags);
  const required = all.flatMap((flag) => {
    if (flag.kind === "switch" || !(flag.required || flag.requiredUnless)) return [];
    const text = isPositional(flag) ? flag.names[0] : `${flag.names[0]} ${valueName(flag)}`;
    return [flag.requiredUnless === undefined ? text : `(${text} | ${flag.requiredUnless})`];
  });
  return ["usage:", shownName, ...required, "[FLAGS]"].join(" ");
}

function flagLines(flag: Flag): string[] {
  const value = isPositional(flag) ? "" : valueName(flag);
  const left = `  ${flag.names.join(", ")}${value ? ` ${value}` : ""}`;
  const text = wrap(`${flag.help}${rest(flag)}`, WIDTH - INDENT);
  const fits = left.length + 2 <= INDENT;
  const lines = fits ? [] : [left];
  text.forEach((line, i) => lines.push((fits && i === 0 ? left : "").padEnd(INDENT) + line));
  return lines;
}

function valueName(flag: Flag): string {
  if (flag.kind === "switch") return "";
  return takesMany(flag) ? `${flag.value}...` : flag.value;
}

function rest(flag: Flag): string {
  if (flag.kind === "switch") return "";
  const parts: string[] = [];
  if (flag.kind === "choice") parts.push(`One of ${flag.choices.join(", ")}.`);
  if (flag.kind === "list" && flag.choices) parts.push(`One or more of ${flag.choices.join(", ")}.`);
  if (flag.required) parts.push("Required.");
  else if (flag.requiredUnless !== undefined) parts.push(`Required without ${flag.requiredUnless}.`);
  else if (flag.default !== undefined) {
    parts.push(`Default: ${Array.isArray(flag.default) ? flag.default.join(" ") : flag.default}.`);
  }
  return parts.length ? ` ${parts.join(" ")}` : "";
}

/** Breaks text at spaces; lines after the first begin with `hanging`. */
export function wrap(text: string, width: number, hanging = ""): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = hanging + word;
    } else {
      line = line === "" ? word : `${line} ${word}`;
    }
  }
  lines.push(line);
  return lines;
}
