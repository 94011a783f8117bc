/** Several processes on one output folder: each case is done once, whoever is killed, and another model is refused. */
import { join } from "../../core/base/path.ts";
import { assert, assertEquals } from "../assert.ts";
import { GOLDEN, inTempFolder, interruptCommand, namesIn, runCommand } from "./cli/run_command.ts";

const MODEL = join(GOLDEN, "models/iso_ct_two_folds");
const IMAGES = join(GOLDEN, "images/iso_ct_two_folds");
const CASES = [..."abcdefghijkl"];
const RUN_FILES = ["dataset.json", "plans.json", "predict_from_raw_data_args.json", "predict_shared_run.json"];
const ALL = [...CASES.map((id) => `${id}.nii.gz`), ...RUN_FILES].sort();

async function makeInput(folder: string): Promise<string> {
  const input = join(folder, "in");
  await Deno.mkdir(input);
  for (const id of CASES) {
    await Deno.copyFile(join(IMAGES, "test_000_0000.nii.gz"), join(input, `${id}_0000.nii.gz`));
  }
  return input;
}

function sharing(input: string, output: string, ...more: string[]): string[] {
  const command = ["predict_from_modelfolder", "-m", MODEL, "-i", input, "-o", output, "--share", "--threads", "1"];
  return [...command, "-f", "0", "--disable_tta", ...more];
}

/** Cases that a run says it has written. */
function written(stdout: string): string[] {
  return [...stdout.matchAll(/^\[\d+\/\d+\] (\w+): .* -> /gm)].map(([, id]) => id);
}

Deno.test({
  name: "of two processes on one folder one is killed: every case is done once, and all of them, by the other one",
  ignore: Deno.build.os === "windows",
  fn: () =>
    inTempFolder(async (folder) => {
      const [input, output] = [await makeInput(folder), join(folder, "out")];
      const [killed, other] = await Promise.all([
        interruptCommand(sharing(input, output), "[1/", "SIGKILL"),
        runCommand(sharing(input, output)),
      ]);
      assert(killed.code !== 0);
      assertEquals(other.code, 0, other.stderr);
      const both = [...written(killed.stdout), ...written(other.stdout)];
      assertEquals(both.length, new Set(both).size, `${killed.stdout}\n${other.stdout}`);
      const files = await namesIn(output);
      assertEquals(files.filter((name) => !name.endsWith(".tmp")), ALL);
      const again = await runCommand(sharing(input, output));
      assertEquals([again.code, written(again.stdout)], [0, []]);
      assert(again.stdout.includes("nothing is left to do"), again.stdout);
      assertEquals(await namesIn(output), ALL);
    }),
});

Deno.test({
  name: "what a killed process had claimed is done by a rerun at once, and by it alone",
  ignore: Deno.build.os === "windows",
  fn: () =>
    inTempFolder(async (folder) => {
      const [input, output] = [await makeInput(folder), join(folder, "out")];
      const killed = await interruptCommand(sharing(input, output), "[2/", "SIGKILL");
      const there = (await namesIn(output)).filter((name) => name.endsWith(".nii.gz") && !name.startsWith("."));
      assert(there.length >= 2 && there.length < CASES.length, there.join(" "));
      const again = await runCommand(sharing(input, output));
      assertEquals(again.code, 0, again.stderr);
      assertEquals(written(again.stdout), CASES.filter((id) => !there.includes(`${id}.nii.gz`)));
      assert(written(killed.stdout).every((id) => there.includes(`${id}.nii.gz`)));
      assertEquals(await namesIn(output), ALL);
    }),
});

Deno.test("a run of another model or other settings into a shared folder is refused, and changes nothing", async () => {
  await inTempFolder(async (folder) => {
    const output = join(folder, "out");
    assertEquals((await runCommand(sharing(IMAGES, output, "-step_size", "1"))).code, 0);
    const plans = await Deno.readTextFile(join(output, "plans.json"));
    const settings = await runCommand(sharing(IMAGES, output, "-step_size", "0.5"));
    assertEquals(settings.code, 1);
    assert(settings.stderr.includes("another model or other settings"), settings.stderr);
    const other = ["-m", join(GOLDEN, "models/regions_ignore"), "-i", join(GOLDEN, "images/regions_ignore")];
    for (const more of [["--share"], ["--continue_prediction"], ["-num_parts", "2", "-part_id", "0"]]) {
      const command = ["predict_from_modelfolder", ...other, "-o", output, "-f", "0", "--disable_tta", ...more];
      const result = await runCommand(command);
      assertEquals(result.code, 1, more.join(" "));
      assert(result.stderr.includes("predicted with another model"), result.stderr);
    }
    assertEquals(await Deno.readTextFile(join(output, "plans.json")), plans);
  });
});

Deno.test("sharing one file as the output is refused", async () => {
  await inTempFolder(async (folder) => {
    const image = join(IMAGES, "test_000_0000.nii.gz");
    const result = await runCommand(sharing(image, join(folder, "x.nii.gz")));
    assertEquals(result.code, 1);
    assert(result.stderr.includes("--share is for a folder"), result.stderr);
    assertEquals(await namesIn(folder), []);
  });
});
