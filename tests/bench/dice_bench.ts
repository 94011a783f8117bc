// deno-lint-ignore-file no-console
/**
 * Trains fold 0 of a dataset with this program and with the Python nnU-Net, from the same preprocessed cases, splits, plans, epochs and
 * iterations, once for each seed, and compares the mean Dice of the final validations.
 *
 *   deno task bench dice NNUNET_RAW ID CONFIGURATION [--epochs 40] [--iterations 50] [--batch 2] [--features 8,16,32,64]
 *     [--patch 40,56,40] [--seeds 1,2,3] [--threads N] [--out FOLDER]
 *
 * --batch, --features and --patch replace those of the plans, for what a CPU can train in an hour. NNUNET_BENCH_PYTHON names a Python
 * that has nnunetv2 2.5.1; without it only this program is trained. With --out all folders are kept.
 */
import { join } from "../../core/base/path.ts";
import { measureProcess } from "./measure_process.ts";
import { ourCommand } from "./our_command.ts";

const UPSTREAM = new URL("./dice_upstream.py", import.meta.url).pathname;
const USAGE =
  "usage: bench dice NNUNET_RAW ID CONFIGURATION [--epochs N] [--iterations N] [--batch N] [--features A,B,...] " +
  "[--patch Z,Y,X] [--seeds 1,2,3] [--threads N] [--out FOLDER]";

interface Comparison {
  readonly id: string;
  readonly configuration: string;
  readonly epochs: string;
  readonly iterations: string;
  readonly threads: string;
  readonly raw: string;
  readonly out: string;
}

export async function bench(args: readonly string[]): Promise<number> {
  const option = (name: string) => args.includes(name) ? args[args.indexOf(name) + 1] : undefined;
  const numbers = (name: string) => option(name)?.split(",").map(Number);
  const [raw, id, configuration] = args;
  if (!raw || !id || !configuration) {
    console.error(USAGE);
    return 2;
  }
  const kept = option("--out");
  const comparison: Comparison = {
    id,
    configuration,
    epochs: option("--epochs") ?? "40",
    iterations: option("--iterations") ?? "50",
    threads: option("--threads") ?? "2",
    raw,
    out: kept ?? Deno.makeTempDirSync(),
  };
  const dataset = await prepare(comparison, numbers("--batch")?.[0], numbers("--features"), numbers("--patch"));
  const dice: Record<string, number[]> = { nnunet: [], nnUNetv2: [] };
  for (const seed of option("--seeds")?.split(",") ?? ["1", "2", "3"]) {
    dice.nnunet.push(await trainHere(comparison, dataset, seed));
    if (Deno.env.has("NNUNET_BENCH_PYTHON")) dice.nnUNetv2.push(await trainUpstream(comparison, dataset, seed));
  }
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  for (const [name, values] of Object.entries(dice)) {
    if (values.length === 0) continue;
    console.log(
      `${name.padEnd(10)} mean validation Dice ${mean(values).toFixed(4)} (${
        values.map((one) => one.toFixed(4)).join(", ")
      })`,
    );
  }
  if (dice.nnUNetv2.length > 0) console.log(`difference ${(mean(dice.nnunet) - mean(dice.nnUNetv2)).toFixed(4)}`);
  if (kept === undefined) await Deno.remove(comparison.out, { recursive: true });
  return 0;
}

/** Plans, with the given numbers put in, and preprocesses, as Python reads it. @returns the dataset's name */
async function prepare(
  comparison: Comparison,
  batch: number | undefined,
  features: readonly number[] | undefined,
  patch: readonly number[] | undefined,
): Promise<string> {
  const { id, configuration, out } = comparison;
  await nnunet(comparison, "plan_and_preprocess", ["-d", id, "--no_pp"]);
  const names = [...Deno.readDirSync(join(out, "preprocessed"))].map((entry) => entry.name);
  const dataset = names.find((name) => Number(name.slice("Dataset".length, "Dataset".length + 3)) === Number(id)) ?? id;
  const file = join(out, "preprocessed", dataset, "nnUNetPlans.json");
  const plans = JSON.parse(await Deno.readTextFile(file));
  const chosen = plans.configurations[configuration];
  if (batch) chosen.batch_size = batch;
  if (patch) chosen.patch_size = patch;
  if (features) chosen.architecture.arch_kwargs.features_per_stage = features;
  await Deno.writeTextFile(file, JSON.stringify(plans, null, 4));
  await nnunet(comparison, "preprocess", ["-d", id, "-c", configuration, "--format", "npz"]);
  return dataset;
}

async function trainHere(comparison: Comparison, dataset: string, seed: string): Promise<number> {
  const { id, configuration, epochs, iterations, threads } = comparison;
  const flags = [
    "--epochs",
    epochs,
    "--iterations",
    iterations,
    "--name",
    "bench",
    "--seed",
    seed,
    "--threads",
    threads,
  ];
  await nnunet(comparison, "train", [id, configuration, "0", ...flags, "-device", "cpu"], seed);
  return await validationDice(comparison, seed, join(dataset, `nnUNetTrainer_bench__nnUNetPlans__${configuration}`));
}

async function trainUpstream(comparison: Comparison, dataset: string, seed: string): Promise<number> {
  const { configuration, epochs, iterations, threads } = comparison;
  const python = Deno.env.get("NNUNET_BENCH_PYTHON") ?? "python";
  const command = [python, UPSTREAM, dataset, configuration, epochs, iterations, seed, threads];
  await run(comparison, command, `upstream_${seed}`);
  return await validationDice(
    comparison,
    `upstream_${seed}`,
    join(dataset, `nnUNetTrainer__nnUNetPlans__${configuration}`),
  );
}

async function validationDice({ out }: Comparison, results: string, model: string): Promise<number> {
  const summary = await Deno.readTextFile(join(out, results, model, "fold_0", "validation", "summary.json"));
  return JSON.parse(summary).foreground_mean.Dice;
}

function nnunet(comparison: Comparison, command: string, args: readonly string[], results = "results"): Promise<void> {
  return run(comparison, [...ourCommand(command), ...args], results);
}

async function run({ raw, out }: Comparison, command: readonly string[], results: string): Promise<void> {
  const folders = {
    nnUNet_raw: raw,
    nnUNet_preprocessed: join(out, "preprocessed"),
    nnUNet_results: join(out, results),
  };
  for (const folder of [folders.nnUNet_preprocessed, folders.nnUNet_results]) {
    Deno.mkdirSync(folder, { recursive: true });
  }
  const python = { nnUNet_n_proc_DA: "0", nnUNet_def_n_proc: "2", nnUNet_compile: "f", MPLBACKEND: "Agg" };
  const { code, seconds, stderr } = await measureProcess(command, { ...folders, ...python });
  console.error(`${command.slice(1).filter((word) => !word.startsWith("--allow")).join(" ")}: ${seconds.toFixed(0)} s`);
  if (code !== 0) throw new Error(`exit code ${code}: ${stderr.slice(-2000)}`);
}
