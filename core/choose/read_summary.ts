/** The one number that models are compared by, from a summary.json. */
import { UserError } from "../base/errors.ts";
import { readJsonFile } from "../base/json.ts";

/** The mean Dice of the foreground; NaN where a label is in no case. @throws UserError if the file has none */
export async function readForegroundDice(file: string): Promise<number> {
  const doing = "reading the summary";
  const { value } = await readJsonFile(file, doing);
  const dice = (value as { readonly foreground_mean?: { readonly Dice?: unknown } | null } | null)?.foreground_mean
    ?.Dice;
  if (typeof dice === "number" && (Number.isNaN(dice) || (dice >= 0 && dice <= 1))) return dice;
  const problem = "foreground_mean.Dice is no number from 0 to 1";
  throw new UserError({ doing, file, problem, remedy: "remove the file: it is then made anew" });
}
