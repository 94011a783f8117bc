import type { FlagTable } from "../../cli/flags/flag.ts";
import { commandHelp, programHelp, usageLine, wrap } from "../../cli/help.ts";
import { checkValues } from "../../cli/flags/check_values.ts";
import { predictCommand } from "../../cli/commands/predict_command.ts";
import { parseBytes, parseFlags, parseInteger, parseNumber } from "../../cli/flags/parse_flags.ts";
import { PREDICT, PREDICT_FROM_MODELFOLDER } from "../../cli/flags/predict_flags.ts";
import { COMMANDS, findCommand } from "../../cli/commands/commands.ts";
import { UsageError } from "../../core/base/errors.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";

const TABLE = {
  target: { kind: "text", names: ["TARGET"], value: "TARGET", required: true, group: "A", help: "Where to." },
  many: { kind: "list", names: ["-many"], value: "X", group: "A", help: "Several." },
  size: { kind: "bytes", names: ["--size"], value: "SIZE", group: "A", help: "Size." },
  colour: { kind: "choice", names: ["--colour"], value: "C", choices: ["red", "blue"], group: "A", help: "Colour." },
  dry: { kind: "switch", names: ["--dry_run"], group: "A", help: "Only say." },
} as const satisfies FlagTable;

function valuesOf<T extends FlagTable>(table: T, line: string) {
  const parsed = parseFlags(table, line.split(" "));
  if (parsed.help) throw new Error("asked for help");
  return parsed.values;
}

Deno.test("a positional argument is taken wherever it stands", () => {
  assertEquals(valuesOf(TABLE, "--dry_run there").target, "there");
  assertEquals(valuesOf(TABLE, "there --dry_run").target, "there");
  assertEquals(valuesOf(TABLE, "-many a b -- there").target, "there");
});

Deno.test("a missing and a surplus positional are usage errors that name it", async () => {
  await assertFails(() => valuesOf(TABLE, "--dry_run"), UsageError, "required: TARGET");
  await assertFails(() => valuesOf(TABLE, "there again"), UsageError, "unrecognized arguments: again");
});

Deno.test("sizes are taken in powers of 1024 with their usual spellings", () => {
  assertEquals(parseBytes("4G"), 4 * 1024 ** 3);
  assertEquals(parseBytes("4GiB"), 4 * 1024 ** 3);
  assertEquals(parseBytes("1.5m"), 1.5 * 1024 ** 2);
  assertEquals(parseBytes("1000000"), 1000000);
  for (const wrong of ["", "G", "-1G", "0", "0.5", "4X", "4 G B", `${"9".repeat(400)}`, "9000000000T"]) {
    assertEquals(parseBytes(wrong), null, wrong);
  }
});

Deno.test("numbers are those Python takes", () => {
  assertEquals(parseInteger(" +1_000 "), 1000);
  for (const wrong of ["1.0", "1__0", "_1", "0x10", ""]) assertEquals(parseInteger(wrong), null, wrong);
  assertEquals(parseNumber("-1.5e-1"), -0.15);
  assertEquals(parseNumber("-inf"), -Infinity);
  assert(Number.isNaN(parseNumber("nan")));
  for (const wrong of ["", ".", "1e", "0x1", "1,5", "e5"]) assertEquals(parseNumber(wrong), null, wrong);
});

Deno.test("a word that is none of the choices is refused with the choices", async () => {
  await assertFails(() => valuesOf(TABLE, "x --colour green"), UsageError, "invalid choice: 'green'", "'red', 'blue'");
});

Deno.test("a mistyped flag is answered with the nearest one", async () => {
  const line = "-i a -o b -d 4 -c 2d";
  const near: [string, string][] = [
    ["--save_probabilites", "--save_probabilities"],
    ["--continue-prediction", "--continue_prediction"],
    ["-disable_tta", "--disable_tta"],
    ["-stepsize 0.5", "-step_size"],
    ["--step_size 0.5", "-step_size"],
    ["--alow_cpu", "--allow_cpu"],
  ];
  for (const [typo, flag] of near) {
    await assertFails(() => valuesOf(PREDICT, `${line} ${typo}`), UsageError, `did you mean ${flag}?`);
  }
});

Deno.test("a flag of ours never takes an abbreviation away from upstream's", () => {
  const line = "-i a -o b -d 4 -c 2d";
  assertEquals(valuesOf(PREDICT, `${line} --disable_t`).disableTta, true);
  assertEquals(valuesOf(PREDICT, `${line} --c`).continuePrediction, true);
  assertEquals(valuesOf(PREDICT_FROM_MODELFOLDER, "-i a -o b -m c -p stage").previousStage, "stage");
  assertEquals(valuesOf(PREDICT_FROM_MODELFOLDER, "-i a -o b -m c -part_id 1 -num_parts 2").part, 1);
});

Deno.test("a flag's names don't repeat within a command", () => {
  for (const table of [PREDICT, PREDICT_FROM_MODELFOLDER]) {
    const names = Object.values(table).flatMap((flag) => flag.names as readonly string[]);
    assertEquals(names.length, new Set(names).size);
  }
});

Deno.test("help asked for anywhere wins over what is wrong elsewhere", () => {
  assert(parseFlags(PREDICT, ["-i", "a", "-h"]).help);
  assert(parseFlags(PREDICT, ["--help"]).help);
});

Deno.test("the help of a command names every flag, its default and what is required", () => {
  const entry = findCommand("predict");
  assert(entry);
  const text = commandHelp(entry, predictCommand, "nnunet predict");
  for (const flag of Object.values(PREDICT)) for (const name of flag.names) assert(text.includes(`${name}`), name);
  const unbroken = text.replaceAll(/\s+/g, " ");
  assert(unbroken.includes("Default: checkpoint_final.pth."));
  assert(unbroken.includes("Default: 0 1 2 3 4."));
  assertEquals(usageLine(PREDICT, "x"), "usage: x -i PATH -o PATH -d DATASET (-c CONFIG | --best) [FLAGS]");
});

Deno.test("every example of the help is taken by its command, under both names, and no line of a help is longer than 110", async () => {
  for (const entry of COMMANDS) {
    const command = await entry.load();
    const shown = [`nnunet ${entry.name}`, ...(entry.upstream ? [entry.upstream] : [])];
    for (const { does, args } of command.examples) {
      assert(!does.endsWith("."), does);
      const parsed = parseFlags(command.flags, args.split(" "));
      assert(!parsed.help, args);
      checkValues(command.flags, parsed.values);
      command.check?.(parsed.values);
      for (const name of shown) assert(commandHelp(entry, command, name).includes(`\n  ${name} ${args}\n`), args);
    }
    for (const name of shown) {
      const lines = commandHelp(entry, command, name).split("\n");
      for (const line of lines) assert(line.length <= 110, line);
      assertEquals(lines.slice(-5).map((line) => line.slice(0, 4)), ["Exit", "  0 ", "  1 ", "  2 ", ""]);
    }
  }
});

Deno.test("every command of upstream is known under both names, and the help lists all", () => {
  const upstream = COMMANDS.filter((entry) => entry.upstream);
  assertEquals(upstream.length, 21);
  for (const entry of upstream) assertEquals(findCommand(`nnUNetv2_${entry.name}`), entry);
  const help = programHelp();
  for (const { name } of COMMANDS) assert(help.includes(`\n  ${name} `), name);
});

Deno.test("long words are left whole when lines are broken", () => {
  assertEquals(wrap("aa bbbbbbbb cc dd", 5), ["aa", "bbbbbbbb", "cc dd"]);
  assertEquals(wrap("aa bb", 4, "  "), ["aa", "  bb"]);
});
