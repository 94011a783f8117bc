/** A prediction that is spread over processes as a scheduler starts them: their variables in the environment, nothing on the command line. */
import { join } from "../../core/base/path.ts";
import { assert, assertEquals } from "../assert.ts";
import { GOLDEN, inTempFolder, namesIn, runCommand } from "./cli/run_command.ts";

/** Two cases. */
const MODEL = join(GOLDEN, "models/iso_ct_two_folds");
const IMAGES = join(GOLDEN, "images/iso_ct_two_folds");

function slurm(index: number): Readonly<Record<string, string>> {
  return {
    SLURM_ARRAY_TASK_ID: `${index}`,
    SLURM_ARRAY_TASK_COUNT: "2",
    SLURM_ARRAY_TASK_MIN: "3",
    SLURM_ARRAY_TASK_MAX: "8",
    SLURM_ARRAY_TASK_STEP: "5",
  };
}

function predicting(output: string, ...more: string[]): string[] {
  const fast = ["--disable_tta", "-step_size", "1", "-f", "0"];
  return ["predict_from_modelfolder", "-m", MODEL, "-i", IMAGES, "-o", output, ...fast, ...more];
}

async function cases(folder: string): Promise<string[]> {
  return (await namesIn(folder)).filter((name) => name.endsWith(".nii.gz"));
}

Deno.test("an element of a SLURM array predicts its part and says so; -num_parts 1 predicts all", async () => {
  await inTempFolder(async (output) => {
    const second = await runCommand(predicting(output), { env: slurm(8) });
    assertEquals(second.code, 0, second.stderr);
    assert(second.stdout.includes("part 1 of 0 to 1, by SLURM's array, SLURM_ARRAY_TASK_ID=8"), second.stdout);
    assertEquals(await cases(output), ["test_001.nii.gz"]);
    const first = await runCommand(predicting(output, "-num_parts", "1"), { env: slurm(8) });
    assertEquals(first.code, 0, first.stderr);
    assertEquals(await cases(output), ["test_000.nii.gz", "test_001.nii.gz"]);
  });
});

Deno.test("the elements of an array with uneven gaps share the cases, and say so", async () => {
  await inTempFolder(async (output) => {
    const uneven = { SLURM_ARRAY_TASK_COUNT: "4", SLURM_ARRAY_TASK_MIN: "0", SLURM_ARRAY_TASK_MAX: "9" };
    const run = (id: string) => runCommand(predicting(output), { env: { ...uneven, SLURM_ARRAY_TASK_ID: id } });
    const runs = await Promise.all([run("3"), run("4")]);
    for (const { code, stdout, stderr } of runs) {
      assertEquals(code, 0, stderr);
      assert(stdout.includes("uneven gaps") && stdout.includes("shared with its other processes"), stdout);
    }
    const written = runs.flatMap(({ stdout }) =>
      [...stdout.matchAll(/^\[\d+\/\d+\] (\w+): .* -> /gm)].map(([, id]) => id)
    );
    assertEquals(written.sort(), ["test_000", "test_001"]);
    assertEquals(await cases(output), ["test_000.nii.gz", "test_001.nii.gz"]);
  });
});

Deno.test("an index without a count ends with 1, one beyond -num_parts with 2, and nothing is written", async () => {
  await inTempFolder(async (folder) => {
    const output = join(folder, "out");
    const pod = await runCommand(predicting(output), { env: { JOB_COMPLETION_INDEX: "1" } });
    assertEquals([pod.code, pod.stdout], [1, ""]);
    assert(pod.stderr.includes("Set JOB_COMPLETIONS to their number"), pod.stderr);
    const beyond = await runCommand(predicting(output, "-num_parts", "2"), { env: { JOB_COMPLETION_INDEX: "2" } });
    assertEquals([beyond.code, beyond.stdout], [2, ""]);
    assert(beyond.stderr.includes("goes to 2"), beyond.stderr);
    assertEquals(await namesIn(folder), []);
  });
});
