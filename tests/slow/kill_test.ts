/**
 * The program killed (kill -9) at 30 moments and more of each command, every rename among them: the same command, run again, comes to
 * what a run in one piece comes to, byte by byte, and leaves no other file. Not compared: the training's logs, in debug.json the epoch
 * that the run began with, the sample patches of the report, and the order of the lines of preprocessed.jsonl. The clock of all runs
 * stands still, so times are compared, too.
 */
import { assert } from "../assert.ts";
import { predicting, preprocessing, preprocessingAgain, running, training } from "../golden/cli/kill_commands.ts";
import { chooseMoments, killAndGoOn, type KilledCommand, type Moment, runWhole } from "../golden/cli/killed_runs.ts";
import { inTempFolder } from "../golden/cli/run_command.ts";

const MOMENTS = 30;
/** Of these, moments of the clock. */
const TIMES = 5;

async function killEverywhere(command: KilledCommand): Promise<void> {
  const whole = await runWhole(command);
  const moments = chooseMoments(whole, MOMENTS - TIMES);
  assert(moments.length >= MOMENTS - TIMES, `${moments.length} moments`);
  const problems: string[] = [];
  const kill = (at: Moment | number) =>
    killAndGoOn(command, whole, at).catch((error: Error) => {
      problems.push(error.message);
      return true;
    });
  for (const moment of moments) {
    if (!await kill(moment)) problems.push(`not killed at ${moment.line} (${moment.occurrence})`);
  }
  for (let i = 1; i <= TIMES; i++) await kill(whole.milliseconds * i / (TIMES + 1));
  assert(problems.length === 0, problems.join("\n\n"));
}

for (
  const [name, command] of [
    ["a prediction", predicting],
    ["planning and preprocessing", preprocessing],
    ["preprocessing over older data", preprocessingAgain],
    ["a training", training],
    ["the whole recipe", running],
  ] as const
) {
  Deno.test({
    name: `${name}, killed at 30 moments and at every rename, ends as if it had not been, and leaves nothing else`,
    ignore: Deno.build.os === "windows",
    fn: () => inTempFolder(async (folder) => killEverywhere(await command(folder))),
  });
}
