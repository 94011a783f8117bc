/**
 * Checkpoints to go on from: this program's and upstream's. (Fine-tuning: pretrained_weights.ts.)
 * Source: load_checkpoint of nnunetv2/training/nnUNetTrainer/nnUNetTrainer.py (2.5.1).
 */
import { z } from "zod";
import { UserError } from "../base/errors.ts";
import { checkFields } from "../base/fields.ts";
import { parseJson } from "../base/json.ts";
import type { CheckpointFile } from "../formats/torch/torch_checkpoint.ts";
import { toPlain } from "../formats/torch/pickle_plain.ts";
import type { Graph } from "../graph/graph.ts";
import type { LossTerms } from "../graph/loss.ts";
import type { AdamOptions, OptimizerOptions } from "../graph/optimizer.ts";
import type { NetworkArchitecture } from "../network/architecture.ts";
import { weightShapes } from "../graph/weight_shapes.ts";
import { parameterOrder, torchModules } from "../network/torch_modules.ts";
import { checkpointWeights } from "../network/weights.ts";
import { readOptimizerState } from "./optimizer_state.ts";
import type { LossScaleState } from "./loss_scale.ts";
import type { TrainingRecipe } from "../trainers/training_recipe.ts";
import type { TrainingLog } from "./training_log.ts";
import type { TrainingState, TrainingValues } from "./training_state.ts";
import { RUN_MEMBER, RUN_VERSION } from "./write_checkpoint.ts";

const DOING = "continuing from the checkpoint";

export interface ResumedTraining extends TrainingValues {
  /** Without `seed` where upstream wrote the checkpoint. */
  readonly state: Omit<TrainingState, "seed"> & { readonly seed?: number };
  /** What the training was started with; undefined where upstream wrote the checkpoint. */
  readonly recipe?: TrainingRecipe;
}

/**
 * Reads all that is needed to go on; nothing refers to the file afterwards.
 * @param graph With the outputs of deep supervision
 * @param optimizer Absent: SGD
 * @throws UserError if it is of another network or optimizer, listing what differs, or damaged
 */
export function readTrainingCheckpoint(
  checkpoint: CheckpointFile,
  graph: Graph,
  architecture: NetworkArchitecture,
  optimizer?: OptimizerOptions,
): ResumedTraining {
  const { file, members } = checkpoint;
  const source = checkpointWeights(checkpoint, graph, file);
  const shapes = weightShapes(graph);
  const values = new Map(shapes.map(({ name, shape }) => [name, source.get(name, shape)]));
  const epoch = members.get("current_epoch");
  if (typeof epoch !== "number" || !Number.isInteger(epoch) || epoch < 0) {
    throw damaged(file, "current_epoch is no number of epochs");
  }
  const bestEma = members.get("_best_ema") ?? undefined;
  if (bestEma !== undefined && typeof bestEma !== "number") throw damaged(file, "_best_ema is no number");
  const log = readLog(checkpoint, epoch);
  const run = readRun(checkpoint);
  const order = parameterOrder(torchModules(architecture));
  const sizes = new Map(shapes.map(({ name, shape }) => [name, shape.reduce((product, n) => product * n, 1)]));
  return {
    values,
    ...readOptimizerState(checkpoint, optimizer, order, sizes, (problem) => damaged(file, problem)),
    state: {
      epoch,
      log,
      ...(bestEma !== undefined && { bestEma }),
      ...(run?.within && { within: run.within }),
      ...readScale(checkpoint, run?.pending),
      ...(run && { seed: run.seed }),
    },
    ...(run && { recipe: storedRecipe(run, file) }),
  };
}

/** Records of the epochs that are finished; an epoch that was going on when it was written is left out. */
function readLog({ file, members }: CheckpointFile, epochs: number): TrainingLog {
  const logging = members.get("logging");
  const list = <T>(name: string, isItem: (value: unknown) => value is T): readonly T[] => {
    const values = logging instanceof Map ? logging.get(name) : undefined;
    if (!Array.isArray(values) || values.length < epochs || !values.every(isItem)) {
      throw damaged(file, `logging.${name} does not hold a value for each of the ${epochs} finished epochs`);
    }
    return values;
  };
  const isNumber = (value: unknown): value is number => typeof value === "number";
  const isNumbers = (value: unknown): value is number[] => Array.isArray(value) && value.every(isNumber);
  const [mean, ema] = [list("mean_fg_dice", isNumber), list("ema_fg_dice", isNumber)];
  const classes = list("dice_per_class_or_region", isNumbers);
  const [train, validation, rates] = [
    list("train_losses", isNumber),
    list("val_losses", isNumber),
    list("lrs", isNumber),
  ];
  const [start, end] = [list("epoch_start_timestamps", isNumber), list("epoch_end_timestamps", isNumber)];
  return Array.from({ length: epochs }, (_, epoch) => ({
    trainLoss: train[epoch],
    validationLoss: validation[epoch],
    classDice: classes[epoch],
    meanDice: mean[epoch],
    emaDice: ema[epoch],
    learningRate: rates[epoch],
    start: start[epoch],
    end: end[epoch],
  }));
}

/** What of a training its checkpoint says beside weights and state: for who only looks at it. */
export interface TrainedSummary {
  /** Epochs that are finished. */
  readonly epoch: number;
  /** Of each of these, seconds since 1970. */
  readonly times: readonly { readonly start: number; readonly end: number }[];
  /** Undefined where upstream wrote the checkpoint. */
  readonly seed?: number;
  readonly recipe?: TrainingRecipe;
}

/** @throws UserError if it is damaged */
export function readTrainedSummary(checkpoint: CheckpointFile): TrainedSummary {
  const { file, members } = checkpoint;
  const epoch = members.get("current_epoch");
  if (typeof epoch !== "number" || !Number.isInteger(epoch) || epoch < 0) {
    throw damaged(file, "current_epoch is no number of epochs");
  }
  const run = readRun(checkpoint);
  return {
    epoch,
    times: readLog(checkpoint, epoch).map(({ start, end }) => ({ start, end })),
    ...(run && { seed: run.seed, recipe: storedRecipe(run, file) }),
  };
}

const RUN = z.object({
  version: z.literal([1, RUN_VERSION]),
  seed: z.number(),
  recipe: z.string(),
  within: z.object({
    iteration: z.number(),
    // zod's numbers are finite, and these may be NaN
    losses: z.array(z.custom<number>((value) => typeof value === "number")),
    seconds: z.number(),
  }).optional(),
  pending: z.array(z.object({ step: z.number(), scale: z.number(), skipped: z.boolean() })).optional(),
});

function readRun({ file, members }: CheckpointFile): z.infer<typeof RUN> | undefined {
  const run = members.get(RUN_MEMBER);
  if (run === undefined) return undefined;
  return checkFields(RUN, toPlain(run), { doing: DOING, file, path: [RUN_MEMBER] });
}

/** What a training was started with; the first version had Adam's options and the terms of the loss under other names. */
export function storedRecipe(
  { version, recipe }: Pick<z.infer<typeof RUN>, "version" | "recipe">,
  file: string,
): TrainingRecipe {
  const stored = parseJson(recipe, file) as TrainingRecipe;
  if (version === RUN_VERSION) return stored;
  const { adam, smooth, diceWeight, crossEntropyWeight, topK, ...rest } = stored as unknown as FirstRecipe;
  return {
    ...rest,
    loss: { smooth, diceWeight, crossEntropyWeight, ...(topK && { topK }) },
    ...(adam && { optimizer: { kind: "adam", ...adam } }),
  };
}

interface FirstRecipe extends Omit<TrainingRecipe, "loss" | "optimizer">, LossTerms {
  readonly adam?: Omit<AdamOptions, "kind">;
}

function readScale(
  { members }: CheckpointFile,
  pending: LossScaleState["pending"] = [],
): { readonly lossScale?: LossScaleState } {
  const state = members.get("grad_scaler_state");
  const scale = state instanceof Map ? state.get("scale") : undefined;
  const growthTracker = state instanceof Map ? state.get("_growth_tracker") : undefined;
  if (typeof scale !== "number" || typeof growthTracker !== "number") return {};
  return { lossScale: { scale, growthTracker, pending } };
}

function damaged(file: string, problem: string): UserError {
  return new UserError({ doing: DOING, file, problem, remedy: "copy the file again, or start anew without --c" });
}
