/** The commands that tests kill, on small data. */
import { fromFileUrl, join } from "../../../core/base/path.ts";
import { DATASET, makePreprocessed } from "../../unit/train_fixture.ts";
import type { KilledCommand } from "./killed_runs.ts";
import { makeRecipeDataset, recipeEnvironment } from "./recipe_dataset.ts";
import { copyFolder, GOLDEN, runCommand } from "./run_command.ts";

const DATASET_TO_PREPROCESS = "Dataset811_Thick";
const RAW = fromFileUrl(new URL("../preprocess_dataset/raw", import.meta.url));

/** A prediction of two cases with their probabilities, and a report elsewhere. */
export function predicting(folder: string): KilledCommand {
  const place = join(folder, "place");
  const report = join(place, "reports", "report.json");
  const [images, model] = ["images", "models"].map((kind) => join(GOLDEN, kind, "aniso"));
  const flags = ["-f", "0", "--save_probabilities", "--continue_prediction", "--threads", "1", "-device", "cpu"];
  return {
    args: [
      "predict_from_modelfolder",
      "-i",
      images,
      "-o",
      join(place, "predictions"),
      "-m",
      model,
      ...flags,
      "--report",
      report,
    ],
    folder: place,
    prepare: () => Deno.mkdir(join(place, "reports")),
    // What a run found done it tells less of.
    compared: (name) => name.endsWith("report.json") ? "" : undefined,
  };
}

/** Fingerprint, plans and the data of two configurations of three cases. */
export function preprocessing(folder: string): KilledCommand {
  const preprocessed = join(folder, "preprocessed");
  return {
    args: ["plan_and_preprocess", "-d", "811", "-c", "2d", "3d_fullres", "-npfp", "1", "-np", "1"],
    env: { nnUNet_raw: RAW, nnUNet_preprocessed: preprocessed },
    folder: preprocessed,
    prepare: () => Promise.resolve(),
    compared: (name, text) => name.endsWith("preprocessed.jsonl") ? sortedLines(text()) : undefined,
  };
}

/**
 * The same over older data, in Python's format: of 2d a case has changed since, whose data are made anew, and the others' taken over; of
 * 3d_fullres there is no record, as Python leaves them. Both folders are replaced.
 */
export async function preprocessingAgain(folder: string): Promise<KilledCommand> {
  const [raw, before] = [join(folder, "raw"), join(folder, "before")];
  await copyFolder(RAW, raw);
  const command = preprocessing(folder);
  const args = [...command.args, "--format", "npz"];
  await Deno.mkdir(before);
  const made = await runCommand(args, { env: { nnUNet_raw: raw, nnUNet_preprocessed: before } });
  if (made.code !== 0) throw new Error(made.stderr);
  await Deno.remove(join(before, DATASET_TO_PREPROCESS, "nnUNetPlans_3d_fullres", ".preprocessed"), {
    recursive: true,
  });
  const changed = join(raw, DATASET_TO_PREPROCESS, "labelsTr", "c1.nii.gz");
  await Deno.utime(changed, new Date(2026, 0, 1), new Date(2026, 0, 1));
  return {
    ...command,
    args,
    env: { ...command.env, nnUNet_raw: raw },
    prepare: () => copyFolder(before, command.folder),
  };
}

/** A training of two epochs of data that are unpacked first, with its validation. */
export async function training(folder: string): Promise<KilledCommand> {
  const [before, place] = [join(folder, "before"), join(folder, "place")];
  await makePreprocessed(before, { format: "npz" });
  const flags = "--c --epochs 2 --iterations 2 --name x --seed 5 -device cpu --threads 1 --sample-threads 0 --npz"
    .split(" ");
  return {
    args: ["train", DATASET, "tiny", "0", ...flags],
    env: { nnUNet_preprocessed: join(place, "preprocessed"), nnUNet_results: join(place, "results") },
    folder: place,
    prepare: () => copyFolder(before, place),
    compared: comparedOfTraining,
  };
}

function comparedOfTraining(name: string, text: () => string): string | undefined {
  if (/training_log_.*\.txt$/.test(name)) return "";
  if (name.endsWith("debug.json")) return text().replace(/"current_epoch": "\d+"/, "");
  // Patches of the last epoch are drawn by the run that had it.
  if (name.endsWith("report.html")) {
    return text().replace(/<section class="card"><h2>Validation patches.*?<\/section>/s, "");
  }
  return undefined;
}

/** The whole recipe of one configuration and two folds, from the raw dataset on. */
export async function running(folder: string): Promise<KilledCommand> {
  const place = join(folder, "place");
  await makeRecipeDataset(folder);
  const flags = "--epochs 2 --iterations 2 --name x --seed 5 -device cpu --threads 1 --sample-threads 0 -np 1".split(
    " ",
  );
  return {
    args: ["run", "7", "-c", "3d_fullres", ...flags],
    env: { ...recipeEnvironment(place), nnUNet_raw: recipeEnvironment(folder).nnUNet_raw },
    folder: place,
    prepare: () => Promise.resolve(),
    compared: (name, text) =>
      name.endsWith("preprocessed.jsonl") ? sortedLines(text()) : comparedOfTraining(name, text),
  };
}

function sortedLines(text: string): string {
  return text.split("\n").sort().join("\n");
}
