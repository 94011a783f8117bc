/** The files of examples/, run as they stand where a shell is all they need; the command lines of the others are checked. */
import { findCommand } from "../../cli/commands/commands.ts";
import { checkValues } from "../../cli/flags/check_values.ts";
import { parseFlags } from "../../cli/flags/parse_flags.ts";
import { fromFileUrl, join } from "../../core/base/path.ts";
import { assert, assertEquals } from "../assert.ts";
import { GOLDEN, inTempFolder, namesIn, runCommand } from "./cli/run_command.ts";

const ROOT = fromFileUrl(new URL("../../", import.meta.url));
const EXAMPLES = join(ROOT, "examples");
const MODEL = join(GOLDEN, "models/iso_ct_two_folds");
const IMAGES = join(GOLDEN, "images/iso_ct_two_folds");

/** Of the examples' variables that are no paths. */
const VALUES = [
  ["report", "x.json"],
  ["FOLD", "all"],
  ["fold", "all"],
  ["MIN_DICE", "0.9"],
  ["DATASET", "4"],
  ["CPUS", "4"],
  ["CONFIG", "2d"],
  [
    "parts",
    "4",
  ],
  ["part", "1"],
];

/** A program of one word, as the examples call it: this checkout's. */
async function writeProgram(folder: string): Promise<string> {
  const program = join(folder, "nnunet");
  const permissions = "--allow-read --allow-write --allow-env --allow-sys";
  const command = `exec deno run --quiet --no-prompt --frozen ${permissions} '${join(ROOT, "main.ts")}' "$@"`;
  await Deno.writeTextFile(program, `#!/bin/sh\n${command}\n`, { mode: 0o755 });
  return program;
}

async function runScript(script: string, env: Readonly<Record<string, string>>) {
  const { code, stdout, stderr } = await new Deno.Command("sh", { args: [join(EXAMPLES, script)], env }).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

/** The words behind the program's name, of a line of shell or of a manifest's list. */
function commandsOf(file: string, text: string): string[][] {
  if (file.endsWith(".yaml")) {
    const [, list] = /\n +args:\n((?: +- .*\n)+)/.exec(text) ?? [];
    return [list.trim().split(/\n/).map((line) => line.trim().slice(2))];
  }
  const lines = text.split("\n").filter((line) =>
    /^\s*(?:exec )?(?:"\$\{NNUNET:-nnunet\}"|nnunet|#.* nnunet:0\.1\.0) /.test(line)
  );
  return lines.map((line) => {
    const words = line.trim().replace(/^(?:exec )?(?:"\$\{NNUNET:-nnunet\}"|nnunet|#.* nnunet:0\.1\.0) /, "").split(
      " ",
    );
    const filled = (word: string) => VALUES.find(([variable]) => word.includes(variable))?.[1] ?? "x";
    return words.map((word) => (word.includes("$") ? filled(word) : word));
  });
}

Deno.test("the commands in the examples are taken by the program", async () => {
  const files = [
    "slurm/predict.sbatch",
    "slurm/preprocess.sbatch",
    "slurm/train.sbatch",
    "kubernetes/predict-job.yaml",
    "nextflow/main.nf",
    "container/Containerfile",
    "ci/predict-and-check.sh",
  ];
  for (const file of files) {
    const commands = commandsOf(file, await Deno.readTextFile(join(EXAMPLES, file)));
    const one = commands.filter(([name]) => findCommand(name) !== undefined);
    assertEquals(one.length, file.startsWith("ci/") ? 2 : 1, file);
    for (const [name, ...args] of one) {
      const command = await findCommand(name)?.load();
      assert(command, `${file}: ${name}`);
      const parsed = parseFlags(command.flags, args);
      assert(!parsed.help, file);
      checkValues(command.flags, parsed.values);
      if (file !== "slurm/train.sbatch") command.check?.(parsed.values);
    }
  }
});

Deno.test({
  name: "the SLURM script, run as SLURM runs each element, predicts all cases, and a requeued element does none again",
  ignore: Deno.build.os === "windows",
  fn: () =>
    inTempFolder(async (folder) => {
      const out = join(folder, "out");
      const base = { NNUNET: await writeProgram(folder), MODEL, IMAGES, OUT: out, FOLD: "0" };
      const array = { SLURM_ARRAY_TASK_COUNT: "4", SLURM_ARRAY_TASK_MIN: "0", SLURM_ARRAY_TASK_MAX: "3" };
      const stdout: string[] = [];
      for (const id of ["0", "1", "2", "3", "1"]) {
        const run = await runScript("slurm/predict.sbatch", { ...base, ...array, SLURM_ARRAY_TASK_ID: id });
        assertEquals(run.code, 0, run.stderr);
        stdout.push(run.stdout);
      }
      assertEquals(stdout.map((text) => (text.match(/ -> /g) ?? []).length), [1, 1, 0, 0, 0]);
      assert(stdout[4].includes("nothing is left to do"), stdout[4]);
      const cases = (await namesIn(out)).filter((name) => name.endsWith(".nii.gz"));
      assertEquals(cases, ["test_000.nii.gz", "test_001.nii.gz"]);
    }),
});

Deno.test({
  name: "the CI script passes with a Dice above the limit and fails with one below",
  ignore: Deno.build.os === "windows",
  fn: () =>
    inTempFolder(async (folder) => {
      const demo = join(folder, "demo");
      const made = await runCommand(["demo", "--predict-only", "-o", demo]);
      assertEquals(made.code, 0, made.stderr);
      const base = {
        NNUNET: await writeProgram(folder),
        MODEL: join(ROOT, "cli/demo/model"),
        IMAGES: join(demo, "images"),
        TRUTH: join(demo, "truth"),
      };
      const good = await runScript("ci/predict-and-check.sh", { ...base, OUT: join(folder, "a"), MIN_DICE: "0.8" });
      assertEquals(good.code, 0, good.stderr);
      const bad = await runScript("ci/predict-and-check.sh", { ...base, OUT: join(folder, "b"), MIN_DICE: "0.999" });
      assertEquals(bad.code, 1, bad.stdout);
      assert(bad.stderr.includes("0.999"), bad.stderr);
    }),
});
