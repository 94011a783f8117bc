/** Small models with their images, `predict_from_modelfolder` on them, and what is asked of its results. */
import { join } from "../../../core/base/path.ts";
import { assert, assertEquals } from "../../assert.ts";
import { type CommandResult, GOLDEN, namesIn, runCommand } from "./run_command.ts";

/** Two channels, T1 and T2. */
export const TWO = { model: join(GOLDEN, "models/regions_ignore"), images: join(GOLDEN, "images/regions_ignore") };
/** One channel (CT), folds 0 and 1. */
export const ONE = { model: join(GOLDEN, "models/iso_ct_two_folds"), images: join(GOLDEN, "images/iso_ct_two_folds") };
export const CASCADE = {
  model: join(GOLDEN, "models/cascade"),
  images: join(GOLDEN, "images/cascade"),
  previous: join(GOLDEN, "prev/cascade"),
};
export const FAST = ["--disable_tta", "-step_size", "1", "-f", "0"];

export function predict(model: string, input: string, output: string, ...more: string[]): Promise<CommandResult> {
  return runCommand(["predict_from_modelfolder", "-m", model, "-i", input, "-o", output, ...FAST, ...more]);
}

/** Fails with exit code 1 and a message with all of `parts`; no defect of the program. */
export function assertRefused(result: CommandResult, ...parts: string[]): void {
  assertEquals(result.code, 1, `${result.stdout}\n${result.stderr}`);
  for (const part of parts) {
    assert(result.stderr.includes(part), `stderr lacks ${JSON.stringify(part)}:\n${result.stderr}`);
  }
  assert(!result.stderr.includes("defect"), result.stderr);
}

/** What a folder of predictions holds besides the model's JSON files. */
export async function predictions(folder: string): Promise<string[]> {
  return (await namesIn(folder)).filter((name) => !name.endsWith(".json"));
}
