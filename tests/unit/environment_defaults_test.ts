/** Variables of nnU-Net's that are defaults of flags. */
import { withVariables } from "../../cli/flags/environment_defaults.ts";
import { EVALUATE_SIMPLE } from "../../cli/flags/evaluate_flags.ts";
import type { FlagTable } from "../../cli/flags/flag.ts";
import { parseFlags } from "../../cli/flags/parse_flags.ts";
import { PREDICT } from "../../cli/flags/predict_flags.ts";
import { PREPROCESS } from "../../cli/flags/preprocess_flags.ts";
import { TRAIN } from "../../cli/flags/train_flags.ts";
import { assertEquals } from "../assert.ts";

/** The values of a command line with these variables set, and what is warned of. */
function valuesOf<T extends FlagTable>(table: T, line: string, variables: Readonly<Record<string, string>>) {
  const parsed = parseFlags(table, line.split(" "));
  if (parsed.help) throw new Error("asked for help");
  const warnings: string[] = [];
  const values = withVariables(table, parsed.values, (name) => variables[name], (text) => warnings.push(text));
  return { values, warnings };
}

Deno.test("numbers of processes come from nnU-Net's variables where the command line gives none", () => {
  const predict = "-i in -o out -d 4 -c 2d";
  const variables = { nnUNet_npp: "0", nnUNet_nps: " 2 ", nnUNet_def_n_proc: "3" };
  const { values, warnings } = valuesOf(PREDICT, predict, variables);
  assertEquals([values.npp, values.nps, values.threads, warnings], [0, 2, undefined, []]);
  assertEquals(valuesOf(PREDICT, `${predict} -npp 1`, variables).values.npp, 1);
  assertEquals(valuesOf(PREDICT, predict, { nnUNet_npp: "" }).values.npp, undefined);
  assertEquals(valuesOf(EVALUATE_SIMPLE, "gt pred -l 1", variables).values.threads, 3);
  assertEquals(valuesOf(EVALUATE_SIMPLE, "gt pred -l 1 -np 5", variables).values.threads, 5);
  // Upstream's preprocess has numbers of its own for each configuration.
  assertEquals(valuesOf(PREPROCESS, "-d 4", variables).values.processes, undefined);
});

Deno.test("nnUNet_n_proc_DA is at most the number of cores, and may be 0", () => {
  const threads = (text: string) => valuesOf(TRAIN, "4 3d_fullres 0", { nnUNet_n_proc_DA: text }).values.sampleThreads;
  assertEquals([threads("0"), threads("1000")], [0, navigator.hardwareConcurrency]);
});

Deno.test("a variable whose value is no number of processes is named and not used", () => {
  const { values, warnings } = valuesOf(EVALUATE_SIMPLE, "gt pred -l 1", { nnUNet_def_n_proc: "all" });
  assertEquals(values.threads, undefined);
  assertEquals(warnings, ["nnUNet_def_n_proc is 'all' and is not used: a whole number from 1 to 1024 is needed"]);
  assertEquals(valuesOf(EVALUATE_SIMPLE, "gt pred -l 1", { nnUNet_def_n_proc: "0" }).warnings.length, 1);
});
