/** Mistakes of usage: whatever is wrong with a command line alone is exit code 2, before anything is read or started. */
import { main } from "../../cli/main.ts";
import { COMMANDS } from "../../cli/commands/commands.ts";
import { beyondMachine, checkValues } from "../../cli/flags/check_values.ts";
import type { Flag } from "../../cli/flags/flag.ts";
import { STARTED_THREADS, THREADS } from "../../cli/flags/forms.ts";
import { parseFlags } from "../../cli/flags/parse_flags.ts";
import { UsageError } from "../../core/base/errors.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";

const PREDICT = "predict_from_modelfolder -i in -o out -m model";
const TRAIN = "train 4 3d_fullres 0";
const PLAN = "plan_and_preprocess -d 4";

/** Command lines that argparse would take, and a part of what is said. */
const MISTAKES: readonly (readonly [line: string, message: string])[] = [
  [`${PREDICT} -step_size 2`, "argument -step_size: it is 2; a number from 0.001 to 1 is needed"],
  [`${PREDICT} -step_size 0`, "argument -step_size"],
  [`${PREDICT} -step_size nan`, "argument -step_size: it is NaN"],
  [`${PREDICT} -step_size 1e-300`, "argument -step_size"],
  [`${PREDICT} --threads 0`, "argument --threads: it is 0; a whole number from 1 to 1024 is needed"],
  [`${PREDICT} --threads 1000000000`, "argument --threads"],
  [`${PREDICT} -f zero`, "argument -f: it is 'zero'; a number, 0 to 4, or `all` is needed"],
  [`${PREDICT} -f 0 -1`, "argument -f: it is '-1'"],
  [`${PREDICT} -num_parts 2 -part_id 2`, "argument -part_id: it is 2 of -num_parts 2; a number from 0 to 1 is needed"],
  [`${PREDICT} -part_id 1`, "0 is the only part"],
  [`${PREDICT} -part_id -1`, "argument -part_id"],
  [`${PREDICT} -num_parts 0`, "argument -num_parts"],
  [`${PREDICT} -npp -1`, "argument -npp"],
  [`${PREDICT} -nps -1`, "argument -nps"],
  [`${PREDICT} -chk ../other.pth`, "argument -chk: it is '../other.pth'; a name, not a path, is needed"],
  [`${PREDICT} -device cpu --precision f16`, "argument --precision"],
  ["predict_from_modelfolder -i= -o out -m model", "argument -i: it is empty"],
  ["predict -i in -o out -d ../Dataset004 -c 2d", "argument -d"],
  ["predict -i in -o out -d liver -c 2d", "argument -d: it is 'liver'; a dataset's number, or its name"],
  ["preprocess -d 4,5", "argument -d"],
  ["extract_fingerprint -d 1.5", "argument -d"],
  ["plan_experiment -d -1", "argument -d"],
  ["move_plans_between_datasets -s 4 -t liver -sp a -tp b", "argument -t"],
  ["train abc 3d_fullres 0", "argument dataset_name_or_id"],
  [`${PREDICT} --report out/a.nii.gz`, "argument --report: it is 'out/a.nii.gz'; a name that ends in .json is needed"],
  ["preprocess -d 4 --report /", "argument --report"],
  ["export checkpoint_final.pth --safetensors -o plans.json", "argument -o: it is 'plans.json'"],
  ["predict -i in -o out -d 4 -c ..", "argument -c"],
  ["predict -i in -o out -d 4 -c 2d -p a/b", "argument -p"],
  ["predict -i in -o out -d 4 -c 2d -tr a/b", "argument -tr"],
  ["train 4 3d_fullres zero", "argument fold: it is 'zero'"],
  ["train ../4 3d_fullres 0", "argument dataset_name_or_id"],
  [`${TRAIN} --c --val`, "leave one of them out"],
  [`${TRAIN} --c -pretrained_weights x.pth`, "leave one of them out"],
  [`${TRAIN} --strict`, "-pretrained_weights"],
  [`${TRAIN} --val_best --disable_checkpointing`, "leave one of them out"],
  [`${TRAIN} -num_gpus 2 -device cpu`, "-device cpu has the CPU do it"],
  [`${TRAIN} -num_gpus 2 --allow_cpu`, "--allow_cpu has the CPU do it"],
  [`${TRAIN} -num_gpus 0`, "argument -num_gpus"],
  [`${TRAIN} --gpus 1 -device cpu`, "-device cpu uses none"],
  [`${TRAIN} --folds 0 1`, "argument --folds: not allowed with the fold"],
  [`${TRAIN} --epochs 0 --name x`, "argument --epochs"],
  [`${TRAIN} --iterations 0 --name x`, "argument --iterations"],
  [`${TRAIN} --early-stopping 0 --name x`, "argument --early-stopping"],
  [`${TRAIN} --batch-size 0 --name x`, "argument --batch-size"],
  [`${TRAIN} --lr 0 --name x`, "argument --lr"],
  [`${TRAIN} --lr inf --name x`, "argument --lr"],
  [`${TRAIN} --lr 0.1`, "Add --name SUFFIX"],
  [`${TRAIN} --name ../x --val`, "argument --name"],
  [`${TRAIN} --name a__b`, "argument --name"],
  [`${TRAIN} --seed -1`, "argument --seed"],
  [`${TRAIN} --threads 0`, "argument --threads"],
  [`${TRAIN} --sample-threads -1`, "argument --sample-threads"],
  [`${TRAIN} -tr nnUNetTrainerNoMiroring`, "the nearest is nnUNetTrainerNoMirroring"],
  [`${TRAIN} -device cpu --precision f16`, "argument --precision"],
  [`${PLAN} -npfp 0`, "argument -npfp"],
  [`${PLAN} -np 0`, "argument -np"],
  [`${PLAN} -np 1 2`, "2 numbers for 3 configurations"],
  [`${PLAN} -np some`, "argument -np: invalid int value: 'some'"],
  [`${PLAN} -gpu_memory_target 0`, "argument -gpu_memory_target"],
  [`${PLAN} -gpu_memory_target nan`, "argument -gpu_memory_target"],
  [`${PLAN} -overwrite_target_spacing 1 1`, "argument -overwrite_target_spacing: 2 values are given; 3 are needed"],
  [`${PLAN} -overwrite_target_spacing 1 1 1e-300`, "argument -overwrite_target_spacing"],
  [`${PLAN} -overwrite_target_spacing 1 1 x`, "argument -overwrite_target_spacing: invalid float value: 'x'"],
  [`${PLAN} -overwrite_plans_name ../x`, "argument -overwrite_plans_name"],
  [`${PLAN} -pl nnUNetPlannerResEncm`, "did you mean nnUNetPlannerResEncM?"],
  [`${PLAN} -fpe Mine`, 'there is no extractor "Mine"'],
  [`${PLAN} --no_verify --verify_dataset_integrity`, "leave one of them out"],
  ["extract_fingerprint -d 4 -np 0", "argument -np"],
  ["preprocess -d 4 -np -1", "argument -np"],
  ["preprocess -d 4 -plans_name a/b", "argument -plans_name"],
  ["plan_experiment -d 4 -pl Mine", "there is no planner"],
  ["move_plans_between_datasets -s 1 -t 2 -sp ../x", "argument -sp"],
  ["move_plans_between_datasets -s 1 -t 2 -sp x -tp ../x", "argument -tp"],
  ["evaluate_folder a b -djfile c -pfile d -np 0", "argument -np"],
  [
    "evaluate_folder a b -djfile c -pfile d -o summary",
    "argument -o: it is 'summary'; a name that ends in .json is needed",
  ],
  ["evaluate_simple a b -l one", "argument -l: invalid int value: 'one'"],
  [
    "evaluate_simple a b -l 1 --min-dice 1.5",
    "argument --min-dice/--min_dice: it is 1.5; a number from 0 to 1 is needed",
  ],
  ["evaluate_simple a b -l 1 --min-dice nan", "argument --min-dice/--min_dice: it is NaN"],
  ["evaluate_simple a b -l 1 -il 99999999999", "argument -il"],
  ["convert_MSD_dataset -i a -np 0", "argument -np"],
  ["convert_MSD_dataset -i a -overwrite_id -1", "argument -overwrite_id"],
  ["convert_old_nnUNet_dataset a Dataset9", "DatasetXXX_Name"],
  ["export a.pth", "--safetensors"],
];

/** Runs the program in this process; gives the exit code and what went to stderr. */
async function run(line: string): Promise<{ readonly code: number; readonly stderr: string }> {
  const { writeSync } = Deno.stderr;
  const texts: string[] = [];
  Deno.stderr.writeSync = (bytes) => {
    texts.push(new TextDecoder().decode(bytes));
    return bytes.length;
  };
  try {
    const code = await main(line.split(" "));
    return { code, stderr: texts.join("") };
  } finally {
    Deno.stderr.writeSync = writeSync;
  }
}

Deno.test("every mistake of usage ends with exit code 2 and names the flag", async () => {
  for (const [line, message] of MISTAKES) {
    const { code, stderr } = await run(line);
    assertEquals(code, 2, `${line}: ${stderr}`);
    assert(stderr.includes(message), `${line}: ${stderr}`);
    assert(
      stderr.startsWith(`usage: nnunet ${line.split(" ")[0]}`) && stderr.includes(" --help shows all flags."),
      stderr,
    );
  }
});

Deno.test("every command of the table loads, and its flags have ranges, helps and names of their own", async () => {
  for (const { name, load } of COMMANDS) {
    if (!load) continue;
    const { flags } = await load();
    const all: readonly Flag[] = Object.values(flags);
    const names = all.flatMap((flag) => flag.names as readonly string[]);
    assertEquals(names.length, new Set(names).size, name);
    for (const flag of all) {
      assert(flag.help.endsWith("."), `${name} ${flag.names[0]}: ${flag.help}`);
      if (!("range" in flag)) continue;
      const { above, min, max } = flag.range;
      assert(
        Number.isFinite(max) && Number.isFinite(above ?? min) && (above ?? min ?? NaN) < max,
        `${name} ${flag.names}`,
      );
    }
  }
});

Deno.test("the default of every flag is within its own range and form", async () => {
  for (const { name, load } of COMMANDS) {
    const command = await load();
    const optional = Object.fromEntries(
      Object.entries(command.flags).filter(([, flag]) =>
        flag.kind === "switch" || !(flag.required || flag.requiredUnless)
      ),
    );
    const parsed = parseFlags(optional, []);
    assert(!parsed.help, name);
    checkValues(optional, parsed.values);
  }
});

Deno.test("a value at the edge of its range is taken, one beyond is not", async () => {
  const table = {
    share: { kind: "number", names: ["-s"], value: "S", range: { above: 0, max: 1 }, group: "A", help: "A." },
    many: { kind: "integers", names: ["-m"], value: "M", range: { min: 0, max: 3 }, group: "A", help: "B." },
  } as const;
  const check = (line: string) => {
    const parsed = parseFlags(table, line.split(" "));
    if (!parsed.help) checkValues(table, parsed.values);
  };
  check("-s 1 -m 0 3");
  await assertFails(() => check("-s 0"), UsageError, "argument -s: it is 0; a number above 0 and at most 1 is needed");
  await assertFails(() => check("-m 0 4"), UsageError, "argument -m: it is 4; a whole number from 0 to 3 is needed");
});

Deno.test("threads that a machine has the cores for many times over are refused, before they take its memory", async () => {
  assertEquals(
    beyondMachine(STARTED_THREADS, 1000, 2),
    "it is 1000; this machine has 2 cores, and more than 32 threads would take memory and make nothing faster",
  );
  assertEquals(
    [[32, 1], [33, 1], [128, 16], [129, 16], [1024, 128]].map(([n, cores]) =>
      beyondMachine(STARTED_THREADS, n, cores) === null
    ),
    [
      true,
      false,
      true,
      false,
      true,
    ],
  );
  // Of these no more are started than there are cases, and memory for.
  assertEquals(beyondMachine(THREADS, 1000, 2), null);
  if (navigator.hardwareConcurrency > 100) return;
  for (const line of [`${PREDICT} --threads 1000`, `${TRAIN} --sample-threads 1000`]) {
    const [name, ...args] = line.split(" ");
    const command = COMMANDS.find((one) => one.name === name);
    const flags = (await command?.load())?.flags ?? {};
    const parsed = parseFlags(flags, args);
    assert(!parsed.help);
    await assertFails(
      async () => await Promise.resolve(checkValues(flags, parsed.values)),
      UsageError,
      "it is 1000; this machine",
    );
  }
});
