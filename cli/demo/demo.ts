/**
 * `deno task demo`: the whole cycle on phantom CTs, from plans to the Dice of a model trained a minute ago. With `--predict-only` the
 * training is left out and a stored model predicts. Everything goes to demo-output/.
 */
import { printError } from "../terminal.ts";
import { cycleDemo } from "./cycle_demo.ts";
import { predictDemo } from "./predict_demo.ts";

/** Seeds of phantoms that neither model has seen: both were trained on 1 to 16. */
const SEEDS = [101, 102, 103];
const FOLDER = "demo-output";

/** Runs the demo in the current folder. @returns the exit code */
export async function demo(args: readonly string[]): Promise<number> {
  if (args.length === 0) return await cycleDemo(FOLDER, SEEDS);
  if (args.length === 1 && args[0] === "--predict-only") return await predictDemo(FOLDER, SEEDS);
  printError("usage: deno task demo [--predict-only]");
  return 2;
}

if (import.meta.main) Deno.exit(await demo(Deno.args));
