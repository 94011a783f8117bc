/**
 * The epochs of a training: steps, validation, records and checkpoints. What is computed depends on the state, the setup and the engine
 * alone, so a training that was stopped anywhere goes on to the same weights.
 * Source: run_training, on_epoch_end and what they call in nnunetv2/training/nnUNetTrainer/nnUNetTrainer.py (2.5.1).
 */
import { plural } from "../base/plural.ts";
import { Interrupted, UserError } from "../base/errors.ts";
import { UnknownLabel } from "../engine/training_checks.ts";
import type { TrainingEngine, TrainingProgram, TrainStepResult, ValidationStepResult } from "../engine/training.ts";
import { meanLoss, nextEma, validationMetrics } from "./epoch_metrics.ts";
import { lossScaleBefore, withResult } from "./loss_scale.ts";
import { SGD, type TrainingRecipe } from "../trainers/training_recipe.ts";
import { learningRateOf } from "./recipe.ts";
import type { Sample, SampleName } from "./samples/sample_loader.ts";
import type { SampleSlice } from "./samples/sample_slice.ts";
import type { SampleStream } from "./samples/sample_stream.ts";
import type { TrainingSetup } from "./setup.ts";
import { batchBytesOf, stepsAhead } from "./steps_ahead.ts";
import type { EpochRecord } from "./training_log.ts";
import type { TrainingState, TrainingValues } from "./training_state.ts";
import { validationSlices } from "./report/validation_slices.ts";

/** What the epochs run on. */
export interface EpochRun {
  readonly engine: TrainingEngine;
  readonly program: TrainingProgram;
  readonly setup: TrainingSetup;
  /** Samples in the order of {@link sampleNames}, from the state's place on. */
  readonly samples: SampleStream;
  /** Validation patches with their predictions are given to {@link EpochHooks.onEpochEnd}. */
  readonly slices: boolean;
  /** Stops after the step that runs. */
  readonly signal?: AbortSignal;
  readonly hooks: EpochHooks;
}

export interface EpochHooks {
  onEpochStart?(epoch: number, learningRate: number): void;
  /** Steps done of the epoch, those of validation included. */
  onStep?(done: number, of: number): void;
  onEpochEnd?(record: EpochRecord, slices: readonly SampleSlice[], isBest: boolean): void;
  /** Has the checkpoint written. `why` is best, latest (every 50 epochs, or time has passed) or stopped. */
  save(why: SaveReason, state: TrainingState, read: () => Promise<TrainingValues>): Promise<void>;
}

export type SaveReason = "best" | "latest" | "stopped";

/** Epochs between checkpoints. */
const SAVE_EVERY = 50;
/** Seconds after which a checkpoint is due whatever the epoch, so that a power cut costs no more. */
const SAVE_SECONDS = 20 * 60;
/** Steps in a row without a finite loss or gradient after which there is no hope. */
const HOPELESS_STEPS = 20;

/** All samples from a state on, in the order in which they are taken. */
export function* sampleNames(
  { recipe, batch }: Pick<TrainingSetup, "recipe" | "batch">,
  { epoch: first, within }: Pick<TrainingState, "epoch" | "within">,
): Generator<SampleName, void> {
  for (let epoch = first; epoch < recipe.epochs; epoch++) {
    const start = epoch === first ? within?.iteration ?? 0 : 0;
    for (let iteration = start; iteration < recipe.iterations; iteration++) {
      for (let sample = 0; sample < batch; sample++) yield { phase: "train", epoch, iteration, sample };
    }
    for (let iteration = 0; iteration < recipe.validationIterations; iteration++) {
      for (let sample = 0; sample < batch; sample++) yield { phase: "val", epoch, iteration, sample };
    }
  }
}

/**
 * Runs the epochs that are left, or until early stopping.
 * @throws Interrupted when the signal aborts, the checkpoint written; UserError when the training has diverged
 */
export async function trainEpochs(run: EpochRun, from: TrainingState): Promise<TrainingState> {
  const { setup: { recipe } } = run;
  let state = from;
  let saved = performance.now();
  const hope = createHope(run);
  while (!isFinished(state, recipe)) {
    const { state: after, record, slices } = await trainEpoch(run, state, hope);
    const best = isBetter(record.emaDice, state.bestEma);
    state = { ...after, ...(best && { bestEma: record.emaDice }) };
    run.hooks.onEpochEnd?.(record, slices, best);
    // One reading serves both checkpoints.
    const read = once(() => readFinite(run));
    const ended = state;
    if (best) await run.hooks.save("best", ended, read);
    const isLast = ended.epoch >= recipe.epochs;
    if (!isLast && (ended.epoch % SAVE_EVERY === 0 || performance.now() - saved > 1000 * SAVE_SECONDS)) {
      await run.hooks.save("latest", ended, read);
      saved = performance.now();
    }
  }
  return state;
}

/** Parameters and the optimizer's state. @throws UserError if a parameter is not finite */
export async function readFinite({ engine, program, setup }: EpochRun): Promise<TrainingValues> {
  const read = await engine.readParameters(program);
  for (const [name, data] of read.values) {
    if (!isFiniteThroughout(data)) throw diverged(`the weights ${name} are no longer finite`, setup);
  }
  return read;
}

/** Zero times a number is zero, but NaN for NaN and the infinities. */
function isFiniteThroughout(data: Float32Array): boolean {
  let zero = 0;
  for (let i = 0; i < data.length; i++) zero += 0 * data[i];
  return zero === 0;
}

/** Upstream's comparison: NaN is never better, and nothing is better than NaN. */
function isBetter(ema: number, best: number | undefined): boolean {
  return best === undefined || ema > best;
}

/** True where no epoch is left, or early stopping leaves none. */
export function isFinished(state: TrainingState, { epochs, earlyStopping }: TrainingRecipe): boolean {
  return state.epoch >= epochs || isExhausted(state, earlyStopping);
}

function isExhausted({ log }: TrainingState, patience: number | undefined): boolean {
  if (patience === undefined || log.length <= patience) return false;
  const emas = log.map(({ emaDice }) => emaDice);
  const best = emas.reduce((index, ema, i) => (ema > emas[index] || Number.isNaN(emas[index]) ? i : index), 0);
  return log.length - 1 - best >= patience;
}

interface TrainedEpoch {
  readonly state: TrainingState;
  readonly record: EpochRecord;
  readonly slices: readonly SampleSlice[];
}

async function trainEpoch(run: EpochRun, from: TrainingState, hope: Hope): Promise<TrainedEpoch> {
  const { engine, program, setup, hooks } = run;
  const { recipe, dataset: { labels } } = setup;
  const { epoch } = from;
  const learningRate = learningRateOf(recipe, epoch);
  hooks.onEpochStart?.(epoch, learningRate);
  const trained = await trainSteps(run, from, learningRate, hope);
  const validated = await validationSteps(run, trained.state);
  const { loss, classDice, meanDice } = validationMetrics(validated.results, labels.hasRegions);
  const { within, ...rest } = trained.state;
  const record: EpochRecord = {
    trainLoss: meanLoss(within.losses),
    validationLoss: loss,
    classDice,
    meanDice,
    emaDice: nextEma(from.log.at(-1)?.emaDice, meanDice, labels.hasRegions),
    learningRate,
    start: trained.start,
    end: Date.now() / 1000,
  };
  const slices = run.slices ? await validationSlices(engine, program, setup, validated.lastBatch) : [];
  return { state: { ...rest, epoch: epoch + 1, log: [...from.log, record] }, record, slices };
}

interface TrainedSteps {
  readonly state: StateWithin;
  /** Seconds since 1970. */
  readonly start: number;
}

type StateWithin = TrainingState & { readonly within: NonNullable<TrainingState["within"]> };

interface RunningStep {
  readonly iteration: number;
  readonly scale: number;
  readonly cases: readonly string[];
  readonly result: Promise<TrainStepResult>;
}

/** The training steps of an epoch that are left. One step at least is enqueued while another runs. */
async function trainSteps(run: EpochRun, from: TrainingState, learningRate: number, hope: Hope): Promise<TrainedSteps> {
  const { engine, program, setup, signal, hooks } = run;
  const { recipe } = setup;
  const ahead = stepsAhead(engine.kind, batchBytesOf(setup), from.lossScale !== undefined);
  const losses = [...from.within?.losses ?? []];
  // A pause does not count.
  const start = Date.now() / 1000 - (from.within?.seconds ?? 0);
  const all = recipe.iterations + recipe.validationIterations;
  const running: RunningStep[] = [];
  let lossScale = from.lossScale;
  let iteration = losses.length;

  const settle = async (left: number) => {
    while (running.length > left) {
      const [{ result, scale, cases, iteration: settled }] = running.splice(0, 1);
      const { loss, skipped } = await result;
      losses.push(loss);
      if (lossScale) {
        lossScale = withResult(lossScale, { step: from.epoch * recipe.iterations + settled, scale, skipped });
      }
      hope.count(skipped || !Number.isFinite(loss), cases);
      hooks.onStep?.(losses.length, all);
    }
  };
  try {
    for (; iteration < recipe.iterations && !signal?.aborted; iteration++) {
      const cases = (await setBatch(run)).map(({ caseId }) => caseId);
      const { unsettled, later } = ahead.next();
      await settle(unsettled);
      if (lossScale) lossScale = lossScaleBefore(lossScale, from.epoch * recipe.iterations + iteration);
      const scale = lossScale?.scale ?? 1;
      const isLast = iteration + 1 === recipe.iterations;
      const result = engine.trainStep(program, { ...SGD, learningRate, lossScale: scale, later: later && !isLast });
      result.catch(() => {}); // it is met when it is awaited
      running.push({ iteration, scale, cases, result });
    }
  } finally {
    await Promise.allSettled(running.map(({ result }) => result));
  }
  await settle(0);
  const state: StateWithin = {
    ...from,
    within: { iteration: losses.length, losses, seconds: Date.now() / 1000 - start },
    ...(lossScale && { lossScale }),
  };
  if (signal?.aborted) return await stop(run, state);
  return { state, start };
}

interface Validated {
  readonly results: readonly ValidationStepResult[];
  readonly lastBatch: readonly Sample[];
}

/** The validation steps of an epoch, which change nothing. */
async function validationSteps(run: EpochRun, state: StateWithin): Promise<Validated> {
  const { engine, program, setup: { recipe }, signal, hooks } = run;
  const results: ValidationStepResult[] = [];
  const running: Promise<ValidationStepResult>[] = [];
  let lastBatch: readonly Sample[] = [];
  const settle = async (left: number) => {
    while (running.length > left) {
      results.push(await running.splice(0, 1)[0]);
      hooks.onStep?.(recipe.iterations + results.length, recipe.iterations + recipe.validationIterations);
    }
  };
  try {
    for (let iteration = 0; iteration < recipe.validationIterations && !signal?.aborted; iteration++) {
      lastBatch = await setBatch(run);
      await settle(1);
      const result = engine.validationStep(program);
      result.catch(() => {});
      running.push(result);
    }
  } finally {
    await Promise.allSettled(running);
  }
  await settle(0);
  if (signal?.aborted) return await stop(run, state);
  return { results, lastBatch };
}

/** Gives the engine the samples of the next step. */
async function setBatch({ engine, program, samples, setup }: EpochRun): Promise<readonly Sample[]> {
  const { batch } = setup;
  const set: Sample[] = [];
  for (let index = 0; index < batch; index++) {
    const sample = await samples.next();
    try {
      engine.setSample(program, index, sample.image, sample.labels);
    } catch (error) {
      throw error instanceof UnknownLabel ? undeclared(error.label, sample.caseId, setup) : error;
    }
    set.push(sample);
  }
  return set;
}

/** Of data that were preprocessed elsewhere, or before their labels were checked. */
function undeclared(label: number, caseId: string, { dataFolder, dataset, task }: TrainingSetup): UserError {
  return new UserError({
    doing: "training",
    caseId,
    file: dataFolder,
    problem: `its segmentation has the label ${label}, and dataset.json declares ${
      dataset.labels.allLabels.join(", ")
    }`,
    remedy: "correct the segmentation, or add the label to the raw dataset's dataset.json, and run nnunet " +
      `plan_and_preprocess -d ${task.datasetName}`,
  });
}

/** Has the state saved and ends the training. */
async function stop(run: EpochRun, state: StateWithin): Promise<never> {
  await run.hooks.save("stopped", state, () => readFinite(run));
  const { recipe } = run.setup;
  throw new Interrupted(
    `stopped in epoch ${state.epoch + 1} after ${state.within.iteration} of ${
      plural(recipe.iterations, "step")
    }; the same command ` +
      "with --c goes on from there",
  );
}

/** Counts steps in a row that came to nothing. */
interface Hope {
  count(failed: boolean, cases: readonly string[]): void;
}

function createHope({ setup }: EpochRun): Hope {
  let failed: string[] = [];
  let steps = 0;
  return {
    count(hasFailed, cases) {
      if (!hasFailed) {
        failed = [];
        steps = 0;
        return;
      }
      failed.push(...cases);
      if (++steps < HOPELESS_STEPS) return;
      const ids = [...new Set(failed)];
      const shown = ids.slice(0, 8).join(", ") + (ids.length > 8 ? `, and ${ids.length - 8} more` : "");
      throw diverged(`losses or gradients of ${steps} steps in a row were not finite (cases: ${shown})`, setup);
    },
  };
}

function diverged(problem: string, { foldFolder }: TrainingSetup): UserError {
  return new UserError({
    doing: "training",
    file: foldFolder,
    problem: `${problem}; the last good checkpoint is kept`,
    remedy:
      "look at these cases for extreme intensities, or train with a smaller learning rate (--lr 0.001 --name lr0001)",
  });
}

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => (made ??= make());
}
