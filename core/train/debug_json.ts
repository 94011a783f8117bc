/** debug.json: what a training was, in the words of upstream's trainer, for people who look for why a model is as it is. */
import { writeAtomically } from "../base/files.ts";
import { stringifyJson } from "../base/json.ts";
import { join } from "../base/path.ts";
import type { TrainingEngine, TrainingOptions } from "../engine/training.ts";
import { SGD } from "../trainers/training_recipe.ts";
import type { TrainingSetup } from "./setup.ts";

/** Writes it into the fold's folder. Values are texts, as upstream's are. */
export async function writeDebugJson(
  setup: TrainingSetup,
  engine: TrainingEngine,
  options: TrainingOptions,
  run: { readonly seed: number; readonly epoch: number; readonly logFile: string; readonly checkpointing: boolean },
): Promise<void> {
  const { recipe, configuration, task, dataset, plans, augmentation, foldFolder, modelFolder } = setup;
  const { labels } = dataset;
  const described: Readonly<Record<string, unknown>> = {
    batch_size: setup.batch,
    configuration_name: configuration.name,
    current_epoch: run.epoch,
    dataset_json: dataset.json,
    device: engine.kind === "gpu" ? "cuda" : "cpu",
    disable_checkpointing: !run.checkpointing,
    enable_deep_supervision: recipe.deepSupervision,
    engine: engine.description,
    fold: task.fold,
    folder_with_segs_from_previous_stage: setup.previousFolder ?? "None",
    gpu_name: engine.kind === "gpu" ? engine.description : "None",
    hostname: hostname(),
    inference_allowed_mirroring_axes: augmentation.inferenceMirrorAxes ?? "None",
    initial_lr: recipe.learningRate,
    is_cascaded: configuration.previousStage !== undefined,
    log_file: run.logFile,
    loss: options.loss,
    network: { ...configuration.architecture, inputChannels: setup.inputChannels, outputChannels: labels.headCount },
    num_epochs: recipe.epochs,
    num_input_channels: setup.inputChannels,
    num_iterations_per_epoch: recipe.iterations,
    num_val_iterations_per_epoch: recipe.validationIterations,
    optimizer: {
      ...(recipe.optimizer ? { ...recipe.optimizer, weightDecay: SGD.weightDecay, clipNorm: SGD.clipNorm } : SGD),
      lr: recipe.learningRate,
      schedule: recipe.schedule,
    },
    output_folder: foldFolder,
    output_folder_base: modelFolder,
    oversample_foreground_percent: recipe.foregroundShare,
    plans_manager: plans.json,
    precision: options.precision,
    preprocessed_dataset_folder: setup.dataFolder,
    program: `nnunet, Deno ${Deno.version.deno}, V8 ${Deno.version.v8}`,
    recipe,
    seed: run.seed,
    splits: { train: setup.split.train, val: setup.split.val },
    weight_decay: SGD.weightDecay,
  };
  const texts = Object.fromEntries(
    Object.entries(described).map(([key, value]) => [
      key,
      typeof value === "string" ? value : JSON.stringify(value) ?? "None",
    ]),
  );
  const doing = "writing debug.json";
  await writeAtomically(join(foldFolder, "debug.json"), stringifyJson(texts, { sortKeys: true }), { doing });
}

function hostname(): string {
  try {
    return Deno.hostname();
  } catch {
    return "unknown"; // not permitted
  }
}
