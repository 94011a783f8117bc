/** What determine_postprocessing prints, as upstream words it. */
import { pythonFloat } from "../base/json.ts";
import type { Decision } from "./decide.ts";

/** The line about one step that was tried. */
export function decisionLine({ key, accepted, before, after }: Decision): string {
  const dice = `before: ${rounded(before)} after: ${rounded(after)}`;
  if (key === "foreground") {
    return accepted
      ? `Results were improved by removing all but the largest foreground region. Mean dice ${dice}`
      : "Removing all but the largest foreground region did not improve results!";
  }
  return accepted
    ? `Results were improved by removing all but the largest component for ${key}. Dice ${dice}`
    : `Removing all but the largest component for ${key} did not improve results! Dice ${dice}`;
}

/** Python's round(value, 5), printed. A number halfway between two goes to the even one; JavaScript's to the larger. */
function rounded(value: number): string {
  if (Number.isNaN(value)) return "nan";
  const [whole, digits = ""] = value.toFixed(60).split(".");
  const isHalfway = /^5?0*$/.test(digits.slice(5)) && digits[5] === "5";
  const isEven = Number(digits[4]) % 2 === 0;
  return pythonFloat(isHalfway && isEven ? Number(`${whole}.${digits.slice(0, 5)}`) : Number(value.toFixed(5)));
}
