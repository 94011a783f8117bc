/** A prepared training on an engine: memory, samples, epochs, and what is written of them. */
import { describeBytes } from "../base/describe_bytes.ts";
import { Interrupted } from "../base/errors.ts";
import { join } from "../base/path.ts";
import { voxelCount } from "../base/shape.ts";
import type { Precision } from "../engine/engine.ts";
import type { TrainingEngine, TrainingProgram } from "../engine/training.ts";
import { CHECKPOINTS } from "./training_folder.ts";
import { writeDebugJson } from "./debug_json.ts";
import type { RunDescription, RunState } from "./report/html_report.ts";
import { epochLines, type LogFile, rounded } from "./log_file.ts";
import { INITIAL_LOSS_SCALE } from "./loss_scale.ts";
import type { PreparedTraining } from "./prepare_training.ts";
import type { ReadingLane } from "../predict/run/run_memory.ts";
import { learningRateOf } from "./recipe.ts";
import type { SampleSetting } from "./samples/sample_loader.ts";
import type { SampleSlice } from "./samples/sample_slice.ts";
import { createSampleStream } from "./samples/sample_stream.ts";
import { trainingOptions, type TrainingSetup } from "./setup.ts";
import { type EpochHooks, type EpochRun, readFinite, sampleNames, trainEpochs } from "./train_epochs.ts";
import type { TrainHooks, TrainingShares } from "./train_request.ts";
import type { EpochRecord } from "./training_log.ts";
import {
  forecastTraining,
  type Loading,
  type Planner,
  requireMemory,
  type TrainingForecast,
} from "./training_memory.ts";
import { startTrainingReport, type TrainingReport } from "./report/training_report.ts";
import type { TrainingState, TrainingValues } from "./training_state.ts";
import { type CheckpointContext, writeCheckpoint } from "./write_checkpoint.ts";

export interface RunOptions {
  readonly precision: Precision;
  readonly checkpointing: boolean;
  readonly pictures: boolean;
  readonly sampleThreads?: number;
  readonly maxMemory?: number;
  readonly shares?: Pick<TrainingShares, "count">;
  /** `maxMemory` is its part. */
  readonly lane?: ReadingLane;
}

/** Steps whose samples are loaded ahead. */
const STEPS_AHEAD = 2;
/** Bytes of opened cases that a sample thread keeps. */
const CACHE_BYTES = 128 * 2 ** 20;
/** Files that all sample threads keep open together, two a case: systems often allow a program 1024. */
const OPEN_FILES = 400;
/** Logits of a patch that may be read back in every epoch for the report. */
const LARGEST_LOGITS = 256 * 2 ** 20;
/** Epochs the time left is estimated from. */
const RECENT = 10;

/**
 * Trains to the end and writes checkpoint_final.pth.
 * @returns the parameters
 * @throws Interrupted when the signal aborts, a checkpoint written; UserError if memory is too small or the training diverges
 */
export async function runTraining(
  engine: TrainingEngine,
  prepared: PreparedTraining,
  log: LogFile,
  options: RunOptions,
  hooks: TrainHooks,
): Promise<TrainingValues> {
  const { setup } = prepared;
  const compileOptions = trainingOptions(setup, options.precision);
  const state: TrainingState = options.precision === "f16" && !prepared.state.lossScale
    ? { ...prepared.state, lossScale: INITIAL_LOSS_SCALE }
    : prepared.state;
  const loading = loadingOf(engine, setup, options);
  const { threads } = loading;
  sayMemory(forecastTraining(engine, setup, compileOptions, loading), setup, loading, hooks);
  await writeDebugJson(setup, engine, compileOptions, {
    seed: state.seed,
    epoch: state.epoch,
    logFile: log.path,
    checkpointing: options.checkpointing,
  });

  using program = await engine.compileTraining(setup.graph, compileOptions);
  await setValues(engine, program, prepared.takeValues());
  const setting = sampleSetting(setup, state.seed, threads);
  using samples = createSampleStream(setting, sampleNames(setup, state), loading);
  await using report = options.pictures
    ? startTrainingReport(setup.foldFolder, describeRun(setup, engine, state.seed), hooks.warn)
    : undefined;
  const shown = tellEpochs(setup, state.log, log, report, hooks);
  shown.show("running");
  const run: EpochRun = {
    engine,
    program,
    setup,
    samples,
    slices: options.pictures && logitBytes(setup) <= LARGEST_LOGITS,
    hooks: {
      ...shown.hooks,
      save: async (why, saved, read) => {
        if (!options.checkpointing) return log.say("No checkpoint written, checkpointing is disabled");
        const file = join(setup.foldFolder, why === "best" ? CHECKPOINTS.best : CHECKPOINTS.latest);
        await writeCheckpoint(file, saved, await read(), contextOf(setup, engine, saved));
        hooks.onSave?.();
      },
    },
    ...(hooks.signal && { signal: hooks.signal }),
  };
  try {
    const ended = await trainEpochs(run, state);
    const values = await readFinite(run);
    await shown.end();
    if (options.checkpointing) {
      await writeFinal(setup, engine, ended, values);
      hooks.onSave?.();
    }
    log.say("Training done.");
    return values;
  } catch (error) {
    shown.show("stopped");
    if (!(error instanceof Interrupted) || options.checkpointing) throw error;
    throw new Interrupted("stopped; nothing is left to continue from, as --disable_checkpointing asks for");
  }
}

/**
 * Ends a training whose epochs are finished, where it was killed before it ended: checkpoint_final.pth and the report are written if they
 * are not there, and what the final checkpoint replaces is removed.
 * @returns the parameters
 */
export async function endTraining(
  engine: TrainingEngine,
  { setup, state, hasFinal, takeValues }: PreparedTraining,
  log: LogFile,
  { pictures, checkpointing }: RunOptions,
  hooks: TrainHooks,
): Promise<TrainingValues> {
  const values = takeValues();
  if (!checkpointing) return values;
  if (hasFinal) {
    await removeLatest(setup);
    return values;
  }
  await using report = pictures
    ? startTrainingReport(setup.foldFolder, describeRun(setup, engine, state.seed), hooks.warn)
    : undefined;
  await tellEpochs(setup, state.log, log, report, hooks).end();
  await writeFinal(setup, engine, state, values);
  log.say("Training done.");
  return values;
}

interface ToldEpochs {
  readonly hooks: Omit<EpochHooks, "save">;
  /** Has the report drawn anew. */
  show(what: "running" | "stopped"): void;
  /** Has it drawn a last time, and waits: whoever finds the final checkpoint finds the report as it is to be. */
  end(): Promise<void>;
}

/** What log, report and caller are told of the epochs. @param done The epochs before */
function tellEpochs(
  { recipe }: TrainingSetup,
  done: readonly EpochRecord[],
  log: LogFile,
  report: TrainingReport | undefined,
  hooks: TrainHooks,
): ToldEpochs {
  let records = done;
  let slices: readonly SampleSlice[] = [];
  const show = (state: RunState["state"]) => report?.update({ log: records, samples: slices, state });
  return {
    show,
    async end() {
      show("finished");
      await report?.drawn();
    },
    hooks: {
      onEpochStart(epoch, learningRate) {
        log.say("");
        // Upstream counts from 0; here as on the terminal and in the report.
        log.say(`Epoch ${epoch + 1}`);
        log.say(`Current learning rate: ${rounded(learningRate, 5)}`);
      },
      onStep: (steps, of) => hooks.onStep?.(steps, of, records.length),
      onEpochEnd(record, epochSlices, isBest) {
        const epoch = records.length;
        records = [...records, record];
        slices = epochSlices;
        for (const line of epochLines(record)) log.say(line);
        if (isBest) log.say(`Yayy! New best EMA pseudo Dice: ${rounded(record.emaDice, 4)}`);
        show("running");
        const { epochs } = recipe;
        hooks.onEpoch?.({ epoch, epochs, record, isBest, secondsLeft: secondsLeft(records, epochs) });
      },
    },
  };
}

async function writeFinal(
  setup: TrainingSetup,
  engine: TrainingEngine,
  state: TrainingState,
  values: TrainingValues,
): Promise<void> {
  await writeCheckpoint(join(setup.foldFolder, CHECKPOINTS.final), state, values, contextOf(setup, engine, state));
  await removeLatest(setup);
}

async function removeLatest(setup: TrainingSetup): Promise<void> {
  try {
    await Deno.remove(join(setup.foldFolder, CHECKPOINTS.latest));
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

function contextOf(setup: TrainingSetup, engine: TrainingEngine, state: TrainingState): CheckpointContext {
  const { recipe, configuration, task, texts, augmentation, dataset, shapes } = setup;
  return {
    recipe,
    architecture: configuration.architecture,
    shapes,
    configurationName: configuration.name,
    fold: task.fold,
    plansText: texts.plans,
    datasetText: texts.dataset,
    device: engine.kind === "gpu" ? "cuda" : "cpu",
    mirrorAxes: augmentation.inferenceMirrorAxes,
    hasRegions: dataset.labels.hasRegions,
    learningRate: state.within
      ? learningRateOf(recipe, state.epoch)
      : state.log.at(-1)?.learningRate ?? recipe.learningRate,
  };
}

function sampleSetting(setup: TrainingSetup, seed: number, threads: number): SampleSetting {
  const { dataFolder, previousFolder, split, augmentation, batch, recipe, dataset } = setup;
  return {
    folder: dataFolder,
    ...(previousFolder !== undefined && { previousFolder }),
    train: split.train,
    val: split.val,
    spec: augmentation.spec,
    batch,
    foregroundShare: recipe.foregroundShare,
    hasIgnoreLabel: dataset.labels.ignoreLabel !== undefined,
    seed,
    cacheBytes: CACHE_BYTES,
    openCases: Math.max(4, Math.floor(OPEN_FILES / 2 / Math.max(1, threads))),
  };
}

/** On the CPU a step takes seconds and all cores, on GPUs the samples have to be there in time. */
function defaultThreads(kind: TrainingEngine["kind"], gpus: number): number {
  const cores = navigator.hardwareConcurrency;
  return kind === "cpu" ? Math.max(1, Math.floor(cores / 8)) : Math.max(1, Math.min(12 * gpus, cores - 2));
}

/** Threads that load samples, and how many samples they are ahead. */
export function loadingOf(
  { kind }: Pick<Planner, "kind">,
  { batch }: Pick<TrainingSetup, "batch">,
  { sampleThreads, shares, lane }: Pick<RunOptions, "sampleThreads" | "shares" | "lane">,
): Loading {
  const engines = shares?.count ?? 1;
  const threads = sampleThreads ?? defaultThreads(kind, engines);
  return { threads, engines, ahead: STEPS_AHEAD * batch, ...(lane && { lane }) };
}

/** Before anything is written. @throws UserError if the training would take more memory than it may, saying what would fit */
export function requireTrainingMemory(
  engine: Planner,
  setup: TrainingSetup,
  options: Pick<RunOptions, "precision" | "sampleThreads" | "maxMemory" | "shares" | "lane">,
): void {
  const compileOptions = trainingOptions(setup, options.precision);
  const forecast = forecastTraining(engine, setup, compileOptions, loadingOf(engine, setup, options));
  // A GPU's memory is its own; the engine says when it is too small.
  const available = options.maxMemory ?? (engine.kind === "cpu" ? Deno.systemMemoryInfo().available : Infinity);
  requireMemory(engine, setup, compileOptions, forecast, available, options.lane);
}

function sayMemory(forecast: TrainingForecast, setup: TrainingSetup, { engines }: Loading, hooks: TrainHooks): void {
  const { memory, samples, program, total, seconds } = forecast;
  hooks.info(
    `memory: ${describeBytes(total)}${engines > 1 ? ` for all ${engines} GPUs` : ""} (weights, gradients and ${
      setup.recipe.optimizer ? "moments" : "momentum"
    } ${describeBytes(memory.parameters)}, activations ${describeBytes(memory.activations)}, scratch ${
      describeBytes(memory.scratch)
    }, samples ${describeBytes(samples)}, the program and its threads ${
      describeBytes(program)
    }); a step is forecast to take ${seconds.toFixed(2)} s`,
  );
}

function logitBytes({ configuration, dataset }: TrainingSetup): number {
  return 4 * dataset.labels.headCount * voxelCount(configuration.patchSize);
}

async function setValues(
  engine: TrainingEngine,
  program: TrainingProgram,
  { values, ...optimizer }: TrainingValues,
): Promise<void> {
  const get = (name: string): Float32Array => {
    const value = values.get(name);
    if (!value) throw new Error(`Training: there is no value for ${name}`);
    return value;
  };
  await engine.setParameters(program, { get }, optimizer);
}

function secondsLeft(records: readonly EpochRecord[], epochs: number): number {
  const recent = records.slice(-RECENT);
  const seconds = recent.reduce((sum, { start, end }) => sum + end - start, 0) / recent.length;
  return seconds * (epochs - records.length);
}

function describeRun(setup: TrainingSetup, engine: TrainingEngine, seed: number): RunDescription {
  const { recipe, task, configuration, split, batch, plans } = setup;
  const patch = configuration.patchSize.slice(3 - configuration.dimensions).join(" x ");
  return {
    title: task.datasetName,
    subtitle: `${recipe.folderName}, ${plans.plansName}, ${configuration.name}, fold ${task.fold}`,
    epochs: recipe.epochs,
    classNames: setup.classNames,
    facts: [
      ["Engine", engine.description],
      ["Patch and batch", `${patch}, ${batch}`],
      ["Cases", `${split.train.length} to train on, ${split.val.length} to validate on`],
      ["Steps of an epoch", `${recipe.iterations}, and ${recipe.validationIterations} of validation`],
      ["Seed", String(seed)],
    ],
  };
}
