/** What `train` and `run` make of the flags they share: the training's request, and what is said of its engine and epochs. */
import { join } from "../core/base/path.ts";
import type { RecipeChanges } from "../core/train/recipe.ts";
import type { TrainingTask } from "../core/train/setup.ts";
import type { EpochProgress } from "../core/train/train_request.ts";
import type { AdapterChoice } from "../gpu/adapter.ts";
import { type FollowedEngines, followEngines } from "./engines/training_engines.ts";
import type { TrainValues } from "./flags/train_flags.ts";
import { formatSeconds } from "./terminal.ts";

/** The flags that change a trainer. */
export type ChangeFlags = Pick<
  TrainValues,
  "epochs" | "iterations" | "earlyStopping" | "learningRate" | "batchSize" | "name"
>;

/** The flags about the engine that trains. */
export type EngineFlags = Pick<TrainValues, "device" | "allowCpu" | "allowSoftwareGpu" | "threads" | "precision"> & {
  /** Which of several. */
  readonly gpu?: AdapterChoice;
};

export function changesOf(flags: ChangeFlags): RecipeChanges {
  const { epochs, iterations, earlyStopping, learningRate, batchSize, name } = flags;
  return { epochs, iterations, earlyStopping, learningRate, batchSize, name };
}

/** The dataset's folders of a training. */
export function taskFolders(
  datasetName: string,
  { preprocessed, results }: { readonly preprocessed: string; readonly results: string },
): Pick<TrainingTask, "datasetName" | "preprocessed" | "results"> {
  return { datasetName, preprocessed: join(preprocessed, datasetName), results: join(results, datasetName) };
}

/** Opens the engine that the flags choose, or what goes on in its place, and says which it is, once. */
export function engineOpener(flags: EngineFlags, say: (line: string) => void): FollowedEngines {
  const { device, allowCpu, allowSoftwareGpu, threads, precision, gpu } = flags;
  let said = "";
  return followEngines({ device, allowCpu, allowSoftwareGpu, threads, precision, gpu }, {
    onOpen({ engine, reason }) {
      const line = `engine: ${engine.description}${precision === "f16" ? ", f16" : ""}${reason ? ` (${reason})` : ""}`;
      // A training under a memory limit opens it again, for its validation.
      if (line !== said) say(line);
      said = line;
    },
  });
}

/** Fields of the event of an epoch; epochs from 1 on, as in the lines. */
export function epochFields({ epoch, epochs, record, isBest, secondsLeft }: EpochProgress) {
  return { epoch: epoch + 1, epochs, ...record, isBest, secondsLeft };
}

export function epochLine({ epoch, epochs, record, isBest, secondsLeft }: EpochProgress): string {
  const { trainLoss, validationLoss, meanDice, emaDice, classDice, start, end } = record;
  const each = classDice.length > 1 && classDice.length <= 10 ? ` (${classDice.map(diceText).join(" ")})` : "";
  const left = epoch + 1 < epochs ? `, about ${formatSeconds(secondsLeft)} left` : "";
  return `epoch ${epoch + 1}/${epochs}: train loss ${trainLoss.toFixed(4)}, val loss ${validationLoss.toFixed(4)}, ` +
    `pseudo Dice ${diceText(meanDice)}${each}, average ${diceText(emaDice)}${isBest ? " (best)" : ""}, ` +
    `${formatSeconds(end - start)}${left}`;
}

export function diceText(dice: number): string {
  return Number.isNaN(dice) ? "NaN" : dice.toFixed(4);
}
