/** Command lines through the flag parser against what argparse makes of them in nnU-Net's own entry points (cli_flags/cases.json). */
import type { Flag, FlagTable } from "../../cli/flags/flag.ts";
import { parseFlags } from "../../cli/flags/parse_flags.ts";
import { PREDICT, PREDICT_FROM_MODELFOLDER } from "../../cli/flags/predict_flags.ts";
import { UsageError } from "../../core/base/errors.ts";
import { assert, assertEquals } from "../assert.ts";
import cases from "./cli_flags/cases.json" with { type: "json" };

interface Case {
  readonly command: string;
  readonly line: string;
  readonly values?: Readonly<Record<string, unknown>>;
  readonly error?: string;
}

const TABLES: Readonly<Record<string, FlagTable>> = {
  predict: PREDICT,
  predict_from_modelfolder: PREDICT_FROM_MODELFOLDER,
};

/** Defaults that differ on purpose: the device is found; -npp, -nps and the part may come from the environment. */
const OWN_DEFAULTS: Readonly<Record<string, unknown>> = {
  device: "auto",
  npp: null,
  nps: null,
  num_parts: null,
  part_id: null,
};

/** argparse's name of a flag: its first long name or, without one, its first name. */
function destination(flag: Flag): string {
  return (flag.names.find((name) => name.startsWith("--")) ?? flag.names[0]).replace(/^-+/, "");
}

function ourValues(table: FlagTable, line: string): Record<string, unknown> {
  const parsed = parseFlags(table, line.split(" ").filter((word) => word !== ""));
  if (parsed.help) throw new Error("asked for help");
  const values: Record<string, unknown> = {};
  for (const [key, flag] of Object.entries(table)) {
    const value: unknown = parsed.values[key];
    const odd = typeof value === "number" && !Number.isFinite(value);
    values[destination(flag)] = odd ? String(value).replace("Infinity", "inf").replace("NaN", "nan") : value ?? null;
  }
  return values;
}

/** Up to where messages are the same: extra flags of ours may be named too, and argparse 3.11 repeats "--". */
function comparable(message: string): string {
  return message.replace(/(ambiguous option: \S+ could match).*/, "$1").replace("arguments: -- ", "arguments: ");
}

function outcome(table: FlagTable, line: string): Record<string, unknown> | string {
  try {
    return ourValues(table, line);
  } catch (thrown) {
    assert(thrown instanceof UsageError, `${line}: not a usage error: ${thrown}`);
    return comparable(thrown.message.split("\n")[0]);
  }
}

for (const [command, table] of Object.entries(TABLES)) {
  Deno.test(`${command} reads every command line as upstream's argparse does, and refuses the same ones in the same words`, () => {
    const own = (cases as readonly Case[]).filter((one) => one.command === command);
    assert(own.length > 20, "the stored command lines are there");
    const base = own[0].values ?? {};
    for (const { line, values, error } of own) {
      const actual = outcome(table, line);
      if (error !== undefined) {
        assertEquals(actual, comparable(error), line);
        continue;
      }
      assert(typeof actual !== "string", `${line}: ${actual}`);
      const expected = { ...base, ...OWN_DEFAULTS, ...(values === base ? {} : values) };
      for (const [name, value] of Object.entries(expected)) assertEquals(actual[name], value, `${name} of "${line}"`);
    }
  });
}
