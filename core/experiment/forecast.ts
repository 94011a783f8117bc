/** How long an epoch of a configuration will take by an engine's cost model, before any was measured. */
import type { Precision } from "../engine/engine.ts";
import type { TrainingEngine } from "../engine/training.ts";
import { trainingNetwork, trainingOptions } from "../train/setup.ts";
import type { Experiment } from "./experiment.ts";
import type { EpochForecast } from "./time_left.ts";

/** A step of validation has no backward pass, which takes about two thirds of a training step. */
const VALIDATION_SHARE = 1 / 3;

/** @param names Configurations */
export function forecastEpochs(
  { configurations, dataset, recipe }: Experiment,
  names: ReadonlySet<string>,
  engine: TrainingEngine,
  precision: Precision,
): Map<string, EpochForecast> {
  const forecasts = new Map<string, EpochForecast>();
  for (const configuration of configurations) {
    if (!names.has(configuration.name)) continue;
    const network = trainingNetwork(configuration, dataset, recipe);
    const { steps } = engine.forecastTraining(
      network.graph,
      trainingOptions({ ...network, recipe, dataset }, precision),
    );
    const step = steps.reduce((sum, { seconds }) => sum + seconds, 0);
    forecasts.set(configuration.name, {
      seconds: step * (recipe.iterations + VALIDATION_SHARE * recipe.validationIterations),
    });
  }
  return forecasts;
}
