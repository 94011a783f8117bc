/**
 * Checkpoints as upstream's save_checkpoint writes them, so that upstream predicts with them, continues them and fine-tunes from them.
 * One member is this program's own, `nnunet_run`, which upstream passes over: what resuming exactly takes.
 * Source: nnunetv2/training/nnUNetTrainer/nnUNetTrainer.py (2.5.1), torch/optim/optimizer.py (state_dict).
 */
import { JsonFloat, parseJsonExactly, stringifyJson } from "../base/json.ts";
import { dict, float, float32, float64, int, type PickleValue, tuple } from "../formats/torch/pickle_writer.ts";
import { pickleJson } from "../formats/torch/pickle_json.ts";
import { writeTorchFile } from "../formats/torch/torch_file.ts";
import type { NetworkArchitecture } from "../network/architecture.ts";
import { parameterOrder, torchModules } from "../network/torch_modules.ts";
import { GRAD_SCALER, type LossScaleState } from "./loss_scale.ts";
import { writeOptimizerState } from "./optimizer_state.ts";
import type { TrainingRecipe } from "../trainers/training_recipe.ts";
import type { Fold } from "./splits.ts";
import type { EpochRecord } from "./training_log.ts";
import type { TrainingState, TrainingValues } from "./training_state.ts";

/** What a checkpoint says of the training beside its state. */
export interface CheckpointContext {
  readonly recipe: TrainingRecipe;
  readonly architecture: NetworkArchitecture;
  /** Torch's shapes by parameter: 4-D kernels in 2-D networks. */
  readonly shapes: ReadonlyMap<string, readonly number[]>;
  readonly configurationName: string;
  readonly fold: Fold;
  /** Texts of plans.json and dataset.json, which become the trainer's arguments. */
  readonly plansText: string;
  readonly datasetText: string;
  readonly device: "cpu" | "cuda";
  readonly mirrorAxes: readonly number[] | null;
  /** With regions upstream's Dice values are of double precision. */
  readonly hasRegions: boolean;
  /** The learning rate of the epoch that was finished, or runs. */
  readonly learningRate: number;
}

/** Names what is in `nnunet_run`. */
export const RUN_MEMBER = "nnunet_run";
export const RUN_VERSION = 2;

/**
 * Writes a checkpoint beside `path` and gives it its name once it is whole.
 * @throws UserError if it can't be written; the one that was there stays
 */
export async function writeCheckpoint(
  path: string,
  state: TrainingState,
  { values, ...optimizer }: TrainingValues,
  context: CheckpointContext,
): Promise<void> {
  const storages: (Float32Array | BigInt64Array)[] = [];
  const numbers = new Map<string, number>();
  const stored = (key: string, data: Float32Array | BigInt64Array): number => {
    const number = numbers.get(key) ?? storages.push(data) - 1;
    numbers.set(key, number);
    return number;
  };
  const tensor = (name: string, data: Float32Array | undefined, key = name): PickleValue => {
    const shape = context.shapes.get(name);
    if (!data || !shape) throw new Error(`Writing a checkpoint: there is no parameter ${name}`);
    return { python: "tensor", type: "float32", storage: stored(key, data), shape };
  };
  const { recipe } = context;
  // Batch norm counts its batches, which torch has no use for at a fixed momentum.
  const steps = BigInt(state.epoch * recipe.iterations + (state.within?.iteration ?? 0));
  const counter = (name: string): PickleValue => (
    { python: "tensor", type: "int64", storage: stored(name, BigInt64Array.of(steps)), shape: [] }
  );
  const modules = torchModules(context.architecture);
  const weights = modules.flatMap(({ parameters }) =>
    parameters.map(({ key, name }) =>
      [key, name.endsWith(".num_batches_tracked") ? counter(name) : tensor(name, values.get(name))] as const
    )
  );
  const metadata = modules.map(({ path, version }) => [path, dict({ version: int(version) })] as const);
  const order = parameterOrder(modules);
  const scalar = (value: number, key: string): PickleValue => (
    { python: "tensor", type: "float32", storage: stored(key, Float32Array.of(value)), shape: [] }
  );
  const value = dict({
    network_weights: {
      python: "orderedDict",
      items: new Map(weights),
      attributes: { _metadata: { python: "orderedDict", items: new Map(metadata) } },
    },
    optimizer_state: writeOptimizerState(optimizer, recipe, context.learningRate, order, tensor, scalar),
    grad_scaler_state: scalerState(state.lossScale),
    logging: logging(state, context),
    _best_ema: state.bestEma === undefined ? null : dice(state.bestEma, context),
    current_epoch: int(state.epoch),
    init_args: dict({
      plans: pickleJson(parseJsonExactly(context.plansText, "plans.json")),
      configuration: context.configurationName,
      fold: context.fold === "all" ? "all" : int(context.fold),
      dataset_json: pickleJson(parseJsonExactly(context.datasetText, "dataset.json")),
      unpack_dataset: true,
      device: { python: "device", type: context.device, ...(context.device === "cuda" && { index: 0 }) },
    }),
    trainer_name: recipe.trainerName,
    inference_allowed_mirroring_axes: context.mirrorAxes && tuple(context.mirrorAxes.map(int)),
    [RUN_MEMBER]: pickleJson(runMember(state, recipe)),
  });
  await writeTorchFile(path, value, storages);
}

function scalerState(state: LossScaleState | undefined): PickleValue {
  if (!state) return null;
  return dict({
    scale: float(state.scale),
    growth_factor: float(GRAD_SCALER.growthFactor),
    backoff_factor: float(GRAD_SCALER.backoffFactor),
    growth_interval: int(GRAD_SCALER.growthInterval),
    _growth_tracker: int(state.growthTracker),
  });
}

function dice(value: number, { hasRegions }: CheckpointContext): PickleValue {
  return hasRegions ? float64(value) : float32(value);
}

/** nnUNetLogger's lists. */
function logging({ log }: TrainingState, context: CheckpointContext): PickleValue {
  const list = (of: (record: EpochRecord) => PickleValue): PickleValue => log.map(of);
  return dict({
    mean_fg_dice: list(({ meanDice }) => dice(meanDice, context)),
    ema_fg_dice: list(({ emaDice }) => dice(emaDice, context)),
    dice_per_class_or_region: list(({ classDice }) => classDice.map((one) => dice(one, context))),
    train_losses: list(({ trainLoss }) => float32(trainLoss)),
    val_losses: list(({ validationLoss }) => float32(validationLoss)),
    lrs: list(({ learningRate }) => float(learningRate)),
    epoch_start_timestamps: list(({ start }) => float(start)),
    epoch_end_timestamps: list(({ end }) => float(end)),
  });
}

/** The recipe is stored as text: it is only compared, and read by people. */
function runMember({ seed, within, lossScale }: TrainingState, recipe: TrainingRecipe): unknown {
  return {
    version: RUN_VERSION,
    seed,
    recipe: stringifyJson(recipe),
    ...(within && {
      within: {
        iteration: within.iteration,
        losses: within.losses.map((loss) => new JsonFloat(loss)),
        seconds: new JsonFloat(within.seconds),
      },
    }),
    ...(lossScale && {
      pending: lossScale.pending.map(({ step, scale, skipped }) => ({ step, scale: new JsonFloat(scale), skipped })),
    }),
  };
}
