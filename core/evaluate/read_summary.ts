/** What of a summary.json is asked for again: the cases it is of, and its mean. Upstream's have the same form. */
import { z } from "zod";
import { checkFields } from "../base/fields.ts";
import { readJsonFile } from "../base/json.ts";
import { basename } from "../base/path.ts";

export interface Scores {
  /** Ids of the cases. */
  readonly cases: readonly string[];
  /** NaN where a class is in no case. */
  readonly foregroundDice: number;
}

// zod's numbers are finite, and these may be NaN
const NUMBER = z.custom<number>((value) => typeof value === "number", "expected a number");
const SUMMARY = z.object({
  foreground_mean: z.object({ Dice: NUMBER }),
  metric_per_case: z.array(z.object({ prediction_file: z.string() })),
});

/** @param fileEnding Of the predictions. @throws UserError if it is no summary */
export async function readScores(file: string, fileEnding: string): Promise<Scores> {
  const doing = "reading the evaluation";
  const { value } = await readJsonFile(file, doing);
  const remedy = "remove it: the evaluation is made again";
  const { foreground_mean, metric_per_case } = checkFields(SUMMARY, value, { doing, file, path: [], remedy });
  const idOf = (path: string) => {
    // Python on Windows writes backslashes.
    const name = basename(path.replaceAll("\\", "/"));
    return name.endsWith(fileEnding) ? name.slice(0, -fileEnding.length) : name;
  };
  return { cases: metric_per_case.map((one) => idOf(one.prediction_file)), foregroundDice: foreground_mean.Dice };
}
