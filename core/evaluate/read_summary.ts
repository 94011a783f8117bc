/** What of a summary.json is asked for again: the mean, by which models are compared, and the cases. Upstream's have the same form. */
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

// zod's numbers are finite, and these may be NaN.
const DICE = z.custom<number>(
  (value) => typeof value === "number" && (Number.isNaN(value) || (value >= 0 && value <= 1)),
  "expected a number from 0 to 1",
);
const MEAN = z.object({ foreground_mean: z.object({ Dice: DICE }) });
const SUMMARY = MEAN.extend({ metric_per_case: z.array(z.object({ prediction_file: z.string() })) });

/** The mean Dice of the foreground; NaN where a label is in no case. @throws UserError if the file has none */
export async function readForegroundDice(file: string): Promise<number> {
  return (await readSummary(MEAN, file)).foreground_mean.Dice;
}

/** @param fileEnding Of the predictions. @throws UserError if it is no summary */
export async function readScores(file: string, fileEnding: string): Promise<Scores> {
  const { foreground_mean, metric_per_case } = await readSummary(SUMMARY, file);
  const idOf = (path: string) => {
    // Python on Windows writes backslashes.
    const name = basename(path.replaceAll("\\", "/"));
    return name.endsWith(fileEnding) ? name.slice(0, -fileEnding.length) : name;
  };
  return { cases: metric_per_case.map((one) => idOf(one.prediction_file)), foregroundDice: foreground_mean.Dice };
}

async function readSummary<T>(schema: z.ZodType<T>, file: string): Promise<T> {
  const doing = "reading the evaluation";
  const { value } = await readJsonFile(file, doing);
  const remedy = "remove it: the evaluation is made again";
  return checkFields(schema, value, { doing, file, path: [], remedy });
}
