/** The command `export_model_to_zip`. */
import { plural } from "../../core/base/plural.ts";
import { resolveDatasetName } from "../../core/dataset/dataset_names.ts";
import { exportModel } from "../../core/share/export_model.ts";
import { requireFolders } from "../dataset_folders.ts";
import type { FlagTable } from "../flags/flag.ts";
import { DATASET, FOLD, foldName, LOG, NAME } from "../flags/forms.ts";
import { defineCommand } from "./command.ts";
import { countBytes } from "./count_bytes.ts";

const MODEL = "Model";
const ZIP = "Zip file";
const FLAGS = {
  dataset: {
    kind: "text",
    names: ["-d"],
    value: "DATASET",
    form: DATASET,
    required: true,
    group: MODEL,
    help: "Dataset, by name or number.",
  },
  output: {
    kind: "text",
    names: ["-o"],
    value: "FILE",
    required: true,
    group: ZIP,
    help: "The zip file to write. One that is there is replaced.",
  },
  configurations: {
    kind: "list",
    names: ["-c"],
    value: "NAME",
    form: NAME,
    default: ["3d_lowres", "3d_fullres", "2d", "3d_cascade_fullres"],
    group: MODEL,
    help: "Configurations.",
  },
  trainer: {
    kind: "text",
    names: ["-tr"],
    value: "NAME",
    form: NAME,
    default: "nnUNetTrainer",
    group: MODEL,
    help: "Trainer.",
  },
  plans: {
    kind: "text",
    names: ["-p"],
    value: "NAME",
    form: NAME,
    default: "nnUNetPlans",
    group: MODEL,
    help: "Name of the plans.",
  },
  folds: {
    kind: "list",
    names: ["-f"],
    value: "FOLD",
    form: FOLD,
    default: ["0", "1", "2", "3", "4"],
    group: MODEL,
    help: "Folds.",
  },
  checkpoints: {
    kind: "list",
    names: ["-chk"],
    value: "FILE",
    form: NAME,
    default: ["checkpoint_final.pth"],
    group: MODEL,
    help: "Names of the checkpoints.",
  },
  notStrict: {
    kind: "switch",
    names: ["--not_strict"],
    group: ZIP,
    help: "Leave out configurations, folds and files that are not there, with a warning.",
  },
  crossValidation: {
    kind: "switch",
    names: ["--exp_cv_preds"],
    group: ZIP,
    help: "Put the predictions of the cross-validation into it too.",
  },
  log: LOG,
} as const satisfies FlagTable;

export const exportZipCommand = defineCommand({
  flags: FLAGS,
  examples: [
    { does: "Pack the five folds of a model", args: "-d 4 -c 3d_fullres -o hippocampus.zip" },
    { does: "Pack what there is of two configurations", args: "-d 4 -c 2d 3d_fullres -o hippocampus.zip --not_strict" },
  ],
  details: [
    "Packs plans, dataset.json, fingerprint, checkpoints, curves and results of the validation, ensembles of the configurations, and " +
    "what find_best_configuration chose. install_pretrained_model_from_zip, Python's or this one, installs the zip.",
  ],
  async run(values, { environment, print, warn, signal, count, event }) {
    const { results } = requireFolders(environment, ["results"], {
      doing: "looking for the trained model",
      remedy: "set it to the folder that holds the trained models (export nnUNet_results=/path/to/results)",
    });
    const exported = await exportModel({
      results,
      dataset: await resolveDatasetName(values.dataset, environment.folders),
      datasetAsGiven: values.dataset,
      trainer: values.trainer,
      plans: values.plans,
      configurations: values.configurations,
      folds: [...new Set(values.folds.map(foldName))],
      checkpoints: [...new Set(values.checkpoints)],
      strict: !values.notStrict,
      crossValidation: values.crossValidation,
      output: values.output,
      signal,
      say: print,
      warn,
      onProgress: countBytes(count, "packed"),
    });
    event?.("exported", { zip: values.output, models: exported.models, files: exported.files, bytes: exported.bytes });
    print(`${plural(exported.files, "file")} of ${plural(exported.models.length, "model")}: ${values.output}`);
    return true;
  },
});
