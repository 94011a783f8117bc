// deno-lint-ignore-file no-console
/**
 * Whole runs of the commands that end the recipe, this program against the Python nnU-Net on the same machine, in turn: wall time and
 * peak memory of all processes.
 *
 *   deno task bench recipe FOLDER [--runs N] [--processes N] [--only COMMAND,...]
 *
 * make_recipe_dataset.py makes FOLDER. NNUNET_BENCH_PYTHON names a Python that has nnunetv2; without it only this program is measured.
 */
import { join } from "../../core/base/path.ts";
import { type Measurement, measureProcess } from "./measure_process.ts";
import { describeRuns, median } from "./measurements.ts";
import { UPSTREAM_ENTRIES } from "./recipe_upstream.ts";
import { ourCommand } from "./our_command.ts";

const USAGE = "usage: bench recipe FOLDER [--runs N] [--processes N] [--only COMMAND,...]";
const DATASET = "Dataset950_Bench";

/** The commands with their flags; what they write is in `scratch` or is removed by {@link clean}. */
function commands(folder: string, scratch: string): ReadonlyMap<string, readonly string[]> {
  const predictions = join(folder, "predictions");
  const truth = join(folder, "raw", DATASET, "labelsTr");
  const [dataset, plans] = [join(predictions, "dataset.json"), join(predictions, "plans.json")];
  const members = ["2d", "3d_fullres"].map((one) => join(folder, "members", one));
  const summary = join(scratch, "summary.json");
  return new Map([
    ["evaluate_folder", [truth, predictions, "-djfile", dataset, "-pfile", plans, "-o", summary]],
    ["determine_postprocessing", ["-i", predictions, "-ref", truth]],
    ["ensemble", ["-i", ...members, "-o", join(scratch, "ensemble")]],
    ["find_best_configuration", [DATASET, "-c", "2d", "3d_fullres", "-f", "0", "1"]],
  ]);
}

/** Removes what an earlier command has left, so that the next one has everything to do. */
async function clean(folder: string, scratch: string): Promise<void> {
  const results = join(folder, "results", DATASET);
  const models = ["2d", "3d_fullres"].map((one) => join(results, `nnUNetTrainer__nnUNetPlans__${one}`));
  const left = [
    scratch,
    ...["postprocessed", "postprocessing.pkl", "postprocessing.json", "summary.json"].map((name) =>
      join(folder, "predictions", name)
    ),
    ...models.map((model) => join(model, "crossval_results_folds_0_1")),
    ...["ensembles", "inference_information.json", "inference_instructions.txt"].map((name) => join(results, name)),
  ];
  for (const path of left) await Deno.remove(path, { recursive: true }).catch(() => {});
  await Deno.mkdir(scratch);
}

export async function bench(args: readonly string[]): Promise<number> {
  const option = (name: string) => args.includes(name) ? args[args.indexOf(name) + 1] : undefined;
  const [folder] = args;
  if (!folder) {
    console.error(USAGE);
    return 2;
  }
  const processes = option("--processes") ?? "2";
  const only = option("--only")?.split(",");
  const python = Deno.env.get("NNUNET_BENCH_PYTHON");
  const scratch = join(folder, "scratch");
  for (const [command, flags] of commands(folder, scratch)) {
    if (only && !only.includes(command)) continue;
    const runs = new Map<string, Measurement[]>();
    for (let run = 0; run < Number(option("--runs") ?? 3); run++) {
      for (const [name, program] of programs(command, python)) {
        await clean(folder, scratch);
        const measured = await measureProcess([...program, ...flags, "-np", processes], {
          nnUNet_raw: join(folder, "raw"),
          nnUNet_preprocessed: join(folder, "preprocessed"),
          nnUNet_results: join(folder, "results"),
          nnUNet_def_n_proc: processes,
        });
        if (measured.code !== 0) {
          console.error(`${name} ${command} ended with exit code ${measured.code}:\n${measured.stderr.slice(-2000)}`);
          return 1;
        }
        runs.set(name, [...runs.get(name) ?? [], measured]);
      }
    }
    describe(command, runs);
  }
  await clean(folder, scratch);
  await Deno.remove(scratch);
  return 0;
}

function programs(command: string, python: string | undefined): [string, readonly string[]][] {
  const ours: [string, readonly string[]] = ["nnunet", ourCommand(command)];
  return python ? [ours, ["nnUNetv2", [python, "-c", UPSTREAM_ENTRIES[command]]]] : [ours];
}

function describe(command: string, runs: ReadonlyMap<string, readonly Measurement[]>): void {
  for (const [name, all] of runs) console.log(`${command.padEnd(25)} ${describeRuns(name, all)}`);
  const [ours, theirs] = [runs.get("nnunet") ?? [], runs.get("nnUNetv2")];
  if (!theirs) return;
  const ratio = (pick: (run: Measurement) => number) => median(ours.map((one, i) => pick(one) / pick(theirs[i])));
  const [wall, memory] = [ratio((run) => run.seconds), ratio((run) => run.peakMB)];
  console.log(`${command.padEnd(25)} ratio      wall ${wall.toFixed(3)}   memory ${memory.toFixed(3)}`);
}
