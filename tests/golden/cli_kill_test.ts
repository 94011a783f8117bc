/** The program killed (kill -9) where most is at stake; tests/slow/kill_test.ts does it at every rename and many other moments. */
import { assertEquals } from "../assert.ts";
import { predicting, preprocessingAgain, training } from "./cli/kill_commands.ts";
import { killAndGoOn, runWhole } from "./cli/killed_runs.ts";
import { inTempFolder } from "./cli/run_command.ts";

/** Changes of files that the program is killed at, and the how manieth it is of those that look like it. */
const KILLS = [
  ["a prediction", predicting, [
    [/^write predictions\/\.test_000\.npz\.#\.tmp$/, 1],
    [/^rename predictions\/test_001\.nii\.gz$/, 1],
  ]],
  ["preprocessing over older data", preprocessingAgain, [
    [/^rename Dataset811_Thick\/nnUNetPlans_2d$/, 1],
    // Of a case of the old folder one of two files is removed.
    [/^remove \.nnUNetPlans_3d_fullres\.replaced\/c\d/, 2],
  ]],
  ["a training", training, [
    [/^rename fold_0\/checkpoint_best\.pth$/, 1],
    [/^rename fold_0\/checkpoint_final\.pth$/, 1],
  ]],
] as const;

for (const [name, command, lines] of KILLS) {
  Deno.test({
    name: `${name}, killed and run again, ends as if it had not been killed, and leaves nothing else`,
    ignore: Deno.build.os === "windows",
    fn: () =>
      inTempFolder(async (folder) => {
        const killed = await command(folder);
        const whole = await runWhole(killed);
        for (const [line, occurrence] of lines) {
          const at = whole.moments.filter((moment) => line.test(moment.line)).at(occurrence - 1);
          assertEquals(at && await killAndGoOn(killed, whole, at), true, `${line} did not come`);
        }
      }),
  });
}
