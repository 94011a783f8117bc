// deno-lint-ignore-file no-console
/**
 * The end of the recipe on one cross-validation, by this program and by the Python nnU-Net, each on a copy of the same results folder:
 * find_best_configuration, apply_postprocessing with the other's .pkl, ensemble, and zips taken by the other side. A line for each
 * comparison; exit code 1 if one fails.
 *
 *   NNUNET_BENCH_PYTHON=PYTHON deno task bench parity ID [-tr TRAINER...] [-c CONFIGURATION...] [-f FOLD...]
 *
 * nnUNet_raw, nnUNet_preprocessed and nnUNet_results name the folders; all folds have been trained with --npz. The Python has an
 * nnunetv2 of 2.7 or later for regions (before, ensembles of regions are wrong), of 2.5.1 for all else. Its
 * TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD and the like are taken from the environment.
 */
import { join } from "../../core/base/path.ts";
import { readJsonFile } from "../../core/base/json.ts";
import { averageTies } from "./recipe_ties.ts";
import { UPSTREAM_ENTRIES } from "./recipe_upstream.ts";
import { compareJson, compareSegmentations, filesBelow, filesOf } from "./recipe_compare.ts";
import { ourCommand } from "./our_command.ts";

const USAGE = "usage: bench parity ID [-tr TRAINER...] [-c CONFIGURATION...] [-f FOLD...]";

interface Parity {
  readonly dataset: string;
  readonly id: string;
  readonly trainers: readonly string[];
  readonly configurations: readonly string[];
  readonly folds: readonly string[];
  readonly fileEnding: string;
  /** Whether regions are predicted. */
  readonly regions: boolean;
  /** Results folders of the two sides. */
  readonly ours: string;
  readonly theirs: string;
  readonly work: string;
  readonly python: string;
  failed: number;
}

export async function bench(args: readonly string[]): Promise<number> {
  const python = Deno.env.get("NNUNET_BENCH_PYTHON");
  const [id] = args;
  if (!id || !python) {
    console.error(python ? USAGE : "NNUNET_BENCH_PYTHON has to name a Python with nnunetv2");
    return 2;
  }
  const work = await Deno.makeTempDir({ prefix: "nnunet_parity_" });
  try {
    const parity = await prepare(args, python, work);
    await findBest(parity);
    await determineForAll(parity);
    await exchangePostprocessing(parity);
    await ensembleFolders(parity);
    await exchangeZips(parity);
    console.log(parity.failed === 0 ? "all equal" : `${parity.failed} comparisons failed`);
    return parity.failed === 0 ? 0 : 1;
  } finally {
    await Deno.remove(work, { recursive: true });
  }
}

/** The two copies of the dataset's results. */
async function prepare(args: readonly string[], python: string, work: string): Promise<Parity> {
  const values = (flag: string, otherwise: readonly string[]) => {
    const start = args.indexOf(flag) + 1;
    if (start === 0) return otherwise;
    const end = args.findIndex((word, i) => i >= start && word.startsWith("-"));
    return args.slice(start, end < 0 ? undefined : end);
  };
  const results = Deno.env.get("nnUNet_results") ?? "";
  const names = await Array.fromAsync(Deno.readDir(results), ({ name }) => name);
  const dataset = names.find((name) => Number(/^Dataset(\d{3})_/.exec(name)?.[1]) === Number(args[0]));
  if (dataset === undefined) throw new Error(`no dataset ${args[0]} in nnUNet_results, ${results}`);
  const [ours, theirs] = [join(work, "ours"), join(work, "theirs")];
  for (const side of [ours, theirs]) {
    await copyModels(join(results, dataset), join(side, dataset));
  }
  const configurations = values("-c", ["2d", "3d_fullres", "3d_lowres", "3d_cascade_fullres"]);
  const trainers = values("-tr", ["nnUNetTrainer"]);
  const model = join(results, dataset, `${trainers[0]}__nnUNetPlans__${configurations[0]}`);
  const { value } = await readJsonFile(join(model, "dataset.json"));
  const json = value as Readonly<Record<string, unknown>>;
  return {
    dataset,
    id: args[0],
    trainers,
    configurations,
    folds: values("-f", ["0", "1", "2", "3", "4"]),
    fileEnding: String(json.file_ending),
    regions: json.regions_class_order !== undefined,
    ours,
    theirs,
    work,
    python,
    failed: 0,
  };
}

/** Without what earlier runs of find_best_configuration have left. */
async function copyModels(from: string, to: string): Promise<void> {
  for (const path of await filesBelow(from)) {
    if (/(^|\/)(crossval_results_folds_|ensembles\/|inference_)/.test(path)) continue;
    await Deno.mkdir(join(to, path, ".."), { recursive: true });
    await Deno.copyFile(join(from, path), join(to, path));
  }
}

async function findBest(parity: Parity): Promise<void> {
  const { dataset, id, trainers, configurations, folds, ours, theirs } = parity;
  const flags = [id, "-tr", ...trainers, "-c", ...configurations, "-f", ...folds, "-np", "2"];
  await both(parity, "find_best_configuration", flags, flags);
  const [here, there] = [join(ours, dataset), join(theirs, dataset)];
  const information = "inference_information.json";
  const json = (name: string) =>
    compareJson({ path: join(here, name), folders: { ROOT: ours } }, {
      path: join(there, name),
      folders: { ROOT: theirs },
    });
  report(parity, information, await json(information));
  const { value } = await readJsonFile(join(there, information));
  console.log(`   ${JSON.stringify((value as { all_results: unknown }).all_results)}`);

  const written = (await filesBelow(there)).filter((path) => /crossval_results_folds_|^ensembles\//.test(path));
  for (const path of written.filter((path) => /(summary|postprocessing|dataset|plans)\.json$/.test(path))) {
    report(parity, path, await json(path));
  }
  const folders = new Set(
    written.filter((path) => path.endsWith(parity.fileEnding)).map((path) => path.slice(0, path.lastIndexOf("/"))),
  );
  for (const folder of folders) {
    await compareFolders(parity, folder, join(here, folder), join(there, folder));
  }
  const extra = (await filesBelow(here)).filter((path) =>
    /crossval_results_folds_|^ensembles\/|^inference_/.test(path)
  );
  const known = new Set([...written, information, "inference_instructions.txt"]);
  report(parity, "no other files", extra.filter((path) => !known.has(path)));
}

/** determine_postprocessing on what was not chosen: single models and ensembles, each with decisions of its own. */
async function determineForAll(parity: Parity): Promise<void> {
  const { ours, theirs, dataset } = parity;
  const truth = join(Deno.env.get("nnUNet_preprocessed") ?? "", dataset, "gt_segmentations");
  for (const file of await filesBelow(join(theirs, dataset))) {
    const folder = join(dataset, file, "..");
    if (!/\/(crossval_results_folds_\w+|ensembles\/[^/]+)\/summary\.json$/.test(`/${file}`)) continue;
    if ((await filesOf(join(theirs, folder), "postprocessing.pkl")).length > 0) continue;
    const flags = (side: string) => ["-i", join(side, folder), "-ref", truth, "-np", "2"];
    await both(parity, "determine_postprocessing", flags(ours), flags(theirs));
    const decisions = (side: string) => ({
      path: join(side, folder, "postprocessing.json"),
      folders: { ROOT: side },
    });
    report(parity, `postprocessing of ${folder}`, await compareJson(decisions(ours), decisions(theirs)));
    const kept = (side: string) => join(side, folder, "postprocessed");
    await compareFolders(parity, `${folder}/postprocessed`, kept(ours), kept(theirs));
  }
}

/** Each side applies the other's postprocessing.pkl to the best model's folder. */
async function exchangePostprocessing(parity: Parity): Promise<void> {
  const { ours, theirs, dataset, work } = parity;
  const { value } = await readJsonFile(join(theirs, dataset, "inference_information.json"));
  const best = (value as { best_model_or_ensemble: { postprocessing_file: string } }).best_model_or_ensemble;
  const source = join(best.postprocessing_file, "..").slice(theirs.length + 1);
  const flags = (input: string, pickle: string, output: string) => [
    ...["-i", join(input, source), "-o", join(work, output)],
    ...["-pp_pkl_file", join(pickle, source, "postprocessing.pkl"), "-np", "2"],
  ];
  const command = "apply_postprocessing";
  await run(parity, ours, command, flags(ours, theirs, "applied_here"));
  await run(parity, theirs, command, flags(theirs, ours, "applied_there"));
  const kept = join(theirs, source, "postprocessed");
  await compareFolders(parity, "Python's postprocessing.pkl applied here", join(work, "applied_here"), kept);
  await compareFolders(parity, "this program's postprocessing.pkl applied there", join(work, "applied_there"), kept);
}

/** The ensemble command on the first fold's validation cases of all configurations, which the folds have in common. */
async function ensembleFolders(parity: Parity): Promise<void> {
  const { ours, dataset, configurations, trainers, folds, work } = parity;
  const inputs: string[] = [];
  for (const configuration of configurations) {
    const model = join(ours, dataset, `${trainers[0]}__nnUNetPlans__${configuration}`);
    const input = join(work, "members", configuration);
    const validation = join(model, `fold_${folds[0]}`, "validation");
    await Deno.mkdir(input, { recursive: true });
    for (const name of await filesOf(validation, "")) await Deno.copyFile(join(validation, name), join(input, name));
    for (const name of ["plans.json", "dataset.json"]) await Deno.copyFile(join(model, name), join(input, name));
    inputs.push(input);
  }
  const [here, there] = [join(work, "ensemble_here"), join(work, "ensemble_there")];
  const flags = (output: string) => ["-i", ...inputs, "-o", output, "--save_npz", "-np", "2"];
  await both(parity, "ensemble", flags(here), flags(there));
  await compareFolders(parity, "ensemble", here, there, inputs);
  report(parity, "ensemble of ensembles", await ensembleAgain(parity, here, there));
}

/** What one side saved with --save_npz is a member for the other. @returns differences */
async function ensembleAgain(parity: Parity, here: string, there: string): Promise<string[]> {
  const { work, ours, dataset, configurations, trainers } = parity;
  const plans = join(ours, dataset, `${trainers[0]}__nnUNetPlans__${configurations[0]}`, "plans.json");
  for (const folder of [here, there]) await Deno.copyFile(plans, join(folder, "plans.json"));
  const again = [join(work, "again_here"), join(work, "again_there")];
  const flags = (inputs: readonly string[], output: string) => ["-i", ...inputs, "-o", output, "-np", "2"];
  // The first folder's .pkl is read: of 2.5.1's it holds no properties.
  await both(parity, "ensemble", flags([here, there], again[0]), flags([here, there], again[1]));
  const { differing, problems } = await compareSegmentations(again[0], again[1], parity.fileEnding, "SimpleITKIO");
  return differing === 0 ? [...problems] : [...problems, `${differing} voxels`];
}

async function exchangeZips(parity: Parity): Promise<void> {
  const { ours, theirs, work, id, trainers, configurations, folds, dataset } = parity;
  const flags = (zip: string) => [
    ...["-d", id, "-o", zip, "-c", ...configurations, "-tr", trainers[0], "-f", ...folds, "--exp_cv_preds"],
  ];
  const zips = [join(work, "ours.zip"), join(work, "theirs.zip")];
  await run(parity, ours, "export_model_to_zip", flags(zips[0]));
  await run(parity, theirs, "export_model_to_zip", flags(zips[1]));
  for (
    const [side, zip, from, what] of [
      ["installed_here", zips[1], theirs, "Python's zip installed here"],
      ["installed_there", zips[0], ours, "this program's zip installed there"],
    ]
  ) {
    const results = join(work, side);
    await Deno.mkdir(results);
    const isHere = side === "installed_here";
    await (isHere ? runHere : runThere)(parity, results, "install_pretrained_model_from_zip", [zip]);
    const differences: string[] = [];
    // This program keeps checksums of what it installs.
    const installed = (await filesBelow(join(results, dataset))).filter((path) =>
      !path.endsWith("/nnunet_checksums.json")
    );
    for (const path of installed) {
      const [a, b] = [await Deno.readFile(join(results, dataset, path)), await readOr(join(from, dataset, path))];
      if (b === undefined) differences.push(`${path} is of no model`);
      else if (a.length !== b.length || a.some((byte, i) => byte !== b[i])) differences.push(`${path} has other bytes`);
    }
    for (const configuration of configurations) {
      for (const fold of folds) {
        const file = `${trainers[0]}__nnUNetPlans__${configuration}/fold_${fold}/checkpoint_final.pth`;
        if (!installed.includes(file)) differences.push(`${file} is missing`);
      }
    }
    report(parity, `${what} (${installed.length} files)`, differences);
  }
}

async function readOr(file: string): Promise<Uint8Array | undefined> {
  try {
    return await Deno.readFile(file);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** @param members Folders whose probabilities were averaged: voxels that differ are looked up in them, as ties may fall either way. */
async function compareFolders(
  parity: Parity,
  what: string,
  here: string,
  there: string,
  members?: readonly string[],
): Promise<void> {
  const compared = await compareSegmentations(here, there, parity.fileEnding, "SimpleITKIO");
  const { files, voxels, differing, problems } = compared;
  const lines = [...problems];
  let ties = 0;
  if (differing > 0 && members) ties = await averageTies(compared.where, members, parity.fileEnding, parity.regions);
  if (differing > ties) lines.push(`${differing - ties} of ${voxels} voxels differ`);
  report(parity, `${what} (${files} files, ${voxels} voxels${ties > 0 ? `, ${ties} ties` : ""})`, lines);
}

function report(parity: Parity, what: string, differences: readonly string[]): void {
  console.log(`${differences.length === 0 ? "ok" : "DIFFERENT"} ${what}`);
  for (const line of differences.slice(0, 10)) console.log(`   ${line}`);
  if (differences.length > 0) parity.failed++;
}

async function both(parity: Parity, command: string, ours: readonly string[], theirs: readonly string[]) {
  await runHere(parity, parity.ours, command, ours);
  await runThere(parity, parity.theirs, command, theirs);
}

function run(parity: Parity, results: string, command: string, args: readonly string[]): Promise<void> {
  return (results === parity.ours ? runHere : runThere)(parity, results, command, args);
}

function runHere(_parity: Parity, results: string, command: string, args: readonly string[]): Promise<void> {
  return start([...ourCommand(command), ...args], results, command);
}

function runThere({ python }: Parity, results: string, command: string, args: readonly string[]): Promise<void> {
  return start([python, "-c", UPSTREAM_ENTRIES[command], ...args], results, `Python's ${command}`);
}

async function start(command: readonly string[], results: string, name: string): Promise<void> {
  const { code, stderr } = await new Deno.Command(command[0], {
    args: command.slice(1),
    env: { nnUNet_results: results, nnUNet_def_n_proc: "2" },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).output();
  if (code !== 0) throw new Error(`${name} ended with ${code}: ${new TextDecoder().decode(stderr).slice(-3000)}`);
}
