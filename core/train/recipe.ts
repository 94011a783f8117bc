/** The recipe of a training: what the trainer's name says, and what the user changes of it; and what follows from its numbers. */
import { UserError } from "../base/errors.ts";
import { nearestName } from "../base/nearest.ts";
import { TRAINERS } from "../trainers/trainer_table.ts";
import { UnknownTrainer } from "../trainers/unknown_trainer.ts";
import { STANDARD_RECIPE, type TrainingRecipe } from "../trainers/training_recipe.ts";

/** What the user may change of a trainer. */
export interface RecipeChanges {
  readonly epochs?: number;
  readonly iterations?: number;
  readonly earlyStopping?: number;
  readonly learningRate?: number;
  readonly batchSize?: number;
  /** Suffix of the results folder. */
  readonly name?: string;
}

const DOING = "reading the trainer's name";
/** Of nnUNetTrainer_warmup, however long the training is. */
const WARMUP_EPOCHS = 50;

/**
 * The recipe of a trainer with the user's changes.
 * @throws UserError if the trainer is unknown or not implemented, or a change needs a folder of its own and `name` is missing
 */
export function readRecipe(trainerName: string, changes: RecipeChanges = {}): TrainingRecipe {
  const base = trainerRecipe(trainerName);
  const { epochs = base.epochs, iterations = base.iterations, learningRate = base.learningRate } = changes;
  checkChanges(changes);
  // Where upstream has a class for this number of epochs, it is that class; with a name of its own the folder is that trainer's.
  const named = epochs === base.epochs || changes.name !== undefined ? base : withEpochs(base, epochs) ?? base;
  const changed: TrainingRecipe = {
    ...named,
    epochs,
    iterations,
    ...(iterations !== named.iterations && { validationIterations: Math.max(1, Math.round(iterations / 5)) }),
    learningRate,
    ...(changes.batchSize !== undefined && { batchSize: changes.batchSize }),
    ...(changes.earlyStopping !== undefined && { earlyStopping: changes.earlyStopping }),
  };
  const different = changesOf(named, changed);
  if (changes.name === undefined && different.length > 0) {
    throw new UserError({
      doing: "choosing the results folder",
      problem: `${different.join(" and ")} make${
        different.length === 1 ? "s" : ""
      } another trainer of ${named.trainerName}, and nnU-Net has no name for it`,
      remedy: "add --name SUFFIX: the model gets a folder of its own, " +
        `${named.trainerName}_SUFFIX__PLANS__CONFIGURATION`,
    });
  }
  const folderName = changes.name === undefined ? named.trainerName : `${named.trainerName}_${changes.name}`;
  return { ...changed, folderName };
}

/** For a validation alone, which takes no more of it than the folder: any trainer. */
export function validationRecipe(trainerName: string, name: string | undefined): TrainingRecipe {
  const folderName = name === undefined ? trainerName : `${trainerName}_${name}`;
  return { trainerName, folderName, ...STANDARD_RECIPE, ...TRAINERS.get(trainerName)?.changes };
}

function trainerRecipe(name: string): TrainingRecipe {
  const found = TRAINERS.get(name);
  if (found && found.untrained === undefined) {
    return { trainerName: name, folderName: name, ...STANDARD_RECIPE, ...found.changes };
  }
  const trained = trainedNames();
  const nearest = nearestName(name, trained);
  const epochs = /^nnUNetTrainer_([0-9]+)epochs$/.exec(name)?.[1];
  const Kind = found ? UserError : UnknownTrainer;
  throw new Kind({
    doing: DOING,
    problem: found
      ? `${name} cannot be trained: ${found.untrained}`
      : `there is no trainer ${name}${nearest ? ` (the nearest is ${nearest})` : ""}`,
    remedy: epochs === undefined
      ? `trainers that can be used: ${trained.join(", ")}`
      : `for another number of epochs say --epochs ${epochs} --name ${epochs}epochs`,
  });
}

function trainedNames(): string[] {
  return [...TRAINERS].flatMap(([name, { untrained }]) => untrained === undefined ? [name] : []);
}

/** The trainer that differs from `base` in nothing but its epochs. */
function withEpochs(base: TrainingRecipe, epochs: number): TrainingRecipe | undefined {
  for (const name of trainedNames()) {
    const { trainerName: _name, folderName: _folder, ...other } = trainerRecipe(name);
    const { trainerName: _baseName, folderName: _baseFolder, ...own } = base;
    // Classes of the same numbers as others are not what is meant.
    if (/probabilistic/.test(name)) continue;
    if (JSON.stringify(other) === JSON.stringify({ ...own, epochs })) return trainerRecipe(name);
  }
  return undefined;
}

function changesOf(base: TrainingRecipe, changed: TrainingRecipe): string[] {
  const { epochs, iterations, learningRate, batchSize, earlyStopping } = changed;
  return [
    epochs !== base.epochs && `--epochs ${epochs}`,
    iterations !== base.iterations && `--iterations ${iterations}`,
    learningRate !== base.learningRate && `--lr ${learningRate}`,
    batchSize !== undefined && `--batch-size ${batchSize}`,
    earlyStopping !== undefined && `--early-stopping ${earlyStopping}`,
  ].filter((text) => text !== false);
}

function checkChanges({ epochs, iterations, earlyStopping, learningRate, batchSize, name }: RecipeChanges): void {
  const doing = "reading the command line";
  const counts = { "--epochs": epochs, "--iterations": iterations, "--early-stopping": earlyStopping };
  for (const [flag, count] of Object.entries({ ...counts, "--batch-size": batchSize })) {
    if (count !== undefined && !(Number.isSafeInteger(count) && count >= 1)) {
      throw new UserError({ doing, problem: `${flag} is ${count}; a whole number from 1 on is needed` });
    }
  }
  if (learningRate !== undefined && !(learningRate > 0 && learningRate < Infinity)) {
    throw new UserError({ doing, problem: `--lr is ${learningRate}; a number above 0 is needed`, remedy: "try 0.01" });
  }
  if (name !== undefined && (!/^[A-Za-z0-9_.-]+$/.test(name) || name.includes("__"))) {
    throw new UserError({
      doing,
      problem: `--name ${name}: it becomes part of a folder's name, in which two underscores are separators`,
      remedy: "use letters, digits, dots, dashes and single underscores",
    });
  }
}

/** The learning rate of epoch `epoch`, from 0 on. */
export function learningRateOf(
  { learningRate, schedule, epochs }: Pick<TrainingRecipe, "learningRate" | "schedule" | "epochs">,
  epoch: number,
): number {
  if (schedule === "cosine") return learningRate * (1 + Math.cos(Math.PI * epoch / epochs)) / 2;
  const warmup = schedule === "warmup" ? WARMUP_EPOCHS : 0;
  if (epoch < warmup) return learningRate / warmup * (epoch + 1);
  return learningRate * (1 - (epoch - warmup) / (epochs - warmup)) ** 0.9;
}

/** Weights of the losses of the network's outputs, highest resolution first. */
export function outputWeights(outputs: number, deepSupervision: boolean): number[] {
  const weights = Array.from({ length: outputs }, (_, i) => (deepSupervision ? 1 / 2 ** i : i === 0 ? 1 : 0));
  // The coarsest output counts nothing; the only one counts (upstream divides 0 by 0 there).
  if (deepSupervision && outputs > 1) weights[outputs - 1] = 0;
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}
