/** The command `demo`: the program's whole cycle on phantom CTs that it makes itself. */
import { ensureFolder } from "../../core/base/files.ts";
import { cycleDemo } from "../demo/cycle_demo.ts";
import { predictDemo } from "../demo/predict_demo.ts";
import { EXIT } from "../exit_code.ts";
import type { FlagTable } from "../flags/flag.ts";
import { LOG } from "../flags/forms.ts";
import { defineCommand } from "./command.ts";

/** Seeds of phantoms that neither model has seen: both were trained on 1 to 16. */
const SEEDS = [101, 102, 103];

const FLAGS = {
  predictOnly: {
    kind: "switch",
    names: ["--predict-only"],
    group: "Arguments",
    help: "Leave the training out: a stored model predicts, in seconds.",
  },
  output: {
    kind: "text",
    names: ["-o"],
    value: "FOLDER",
    default: "demo-output",
    group: "Arguments",
    help: "Folder for all that the demo writes.",
  },
  log: LOG,
} as const satisfies FlagTable;

export const demoCommand = defineCommand({
  flags: FLAGS,
  examples: [
    { does: "Only predict, in seconds", args: "--predict-only -o demo-output" },
  ],
  details: [
    "Makes phantom CTs, plans, preprocesses, trains a small model for a minute or two, predicts, evaluates, and draws the result. " +
    "Each step is printed as the command that it is.",
  ],
  async run({ predictOnly, output, log }, { print }) {
    await ensureFolder(output, "making the demo's folder");
    return await (predictOnly ? predictDemo : cycleDemo)(output, SEEDS, { print, log }) === EXIT.done;
  },
});
