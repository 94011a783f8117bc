/** What a prediction says of its cases without a terminal. */
import { createPredictionProgress } from "../../cli/prediction_progress.ts";
import { assertEquals } from "../assert.ts";

Deno.test("cases are counted within their group, of which a watched folder has one after the other", () => {
  const lines: string[] = [];
  const say = (line: string) => void lines.push(line);
  const context = { print: say, printError: say, warn: say, draw: () => {}, draws: false };
  const show = createPredictionProgress(context, { quiet: false, verbose: false, bar: false });
  for (const ids of [["a", "b"], ["c"]]) {
    show({ kind: "start", cases: ids.length, skipped: 0 });
    for (const id of ids) show({ kind: "failed", id, error: { doing: "testing", problem: id }, message: id });
  }
  assertEquals(lines, ["error: [1/2] a", "error: [2/2] b", "error: [1/1] c"]);
});
