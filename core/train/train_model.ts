/**
 * A training from its command to the validated model. Source: run_training of nnunetv2/run/run_training.py (2.5.1).
 */
import { takeLock } from "../base/folder_lock.ts";
import { ensureFolder } from "../base/files.ts";
import { collectGarbage } from "../base/collect_garbage.ts";
import { plural } from "../base/plural.ts";
import { Interrupted, UsageError, UserError } from "../base/errors.ts";
import { join } from "../base/path.ts";
import type { Engine } from "../engine/engine.ts";
import type { TrainingEngine } from "../engine/training.ts";
import { type Checkpoint, openCheckpoint } from "../formats/torch/torch_checkpoint.ts";
import { splitBatch } from "../graph/batch_share.ts";
import { shareOfLimit } from "../predict/run/run_memory.ts";
import { missingClasses, unpackCases } from "./case_checks.ts";
import { type ValidatedFold, validateFold } from "./final_validation.ts";
import { createLogFile, type LogFile } from "./log_file.ts";
import { shareForecasts, shareOptions } from "./parallel/parallel_training.ts";
import { type PreparedTraining, prepareTraining } from "./prepare_training.ts";
import { validationRecipe } from "./recipe.ts";
import { endTraining, requireTrainingMemory, runTraining } from "./run_training.ts";
import { isFinished } from "./train_epochs.ts";
import { readTrainingSetup, trainingOptions, type TrainingSetup } from "./setup.ts";
import { openValidators } from "./shared_validation.ts";
import { CHECKPOINTS, checkpointsIn, TRAINING_LOCK, writeModelFiles } from "./training_folder.ts";
import { startAfter, type TrainHooks, type TrainRequest } from "./train_request.ts";
import { checkpointInMemory } from "./trained_model.ts";
import type { TrainingValues } from "./training_state.ts";
import { requireValidation } from "./validation_needs.ts";

/**
 * Trains, or only validates, one fold. Where an engine fails and another can go on, it goes on from the last checkpoint.
 * @throws UserError for what is wrong with files, flags or machine; Interrupted when the signal aborts
 */
export async function trainModel(asked: TrainRequest, hooks: TrainHooks): Promise<ValidatedFold> {
  checkRequest(asked);
  const { lane, maxMemory } = asked;
  const request = lane && maxMemory !== undefined ? { ...asked, maxMemory: shareOfLimit(maxMemory, lane) } : asked;
  let start = request.start;
  let attempts = 0;
  let failed: string | undefined;
  const onSave = () => {
    start = startAfter(start, true);
    attempts = 0;
    hooks.onSave?.();
  };
  for (;;) {
    attempts++;
    try {
      const attempt = start.kind === "validate" ? validateOnly : train;
      return await attempt({ ...request, start }, { ...hooks, onSave }, failed);
    } catch (error) {
      if (error instanceof Interrupted || hooks.signal?.aborted) throw error;
      failed = await request.recover?.(error, attempts);
      if (failed === undefined) throw error;
      hooks.warn(failed);
    }
  }
}

/** @param failed Why the attempt before this one ended, for the log */
async function validateOnly(request: TrainRequest, hooks: TrainHooks, failed?: string): Promise<ValidatedFold> {
  const setup = await readTrainingSetup(request.task, validationRecipe(request.trainerName, request.changes.name));
  using checkpoint = await openToValidate(setup, request.useBest);
  const warnings = await requireValidation(setup, request.saveProbabilities);
  await using engine = await request.openEngine();
  const log = startLog(setup, failed);
  for (const warning of warnings) warn(warning, log, hooks);
  return await validate(engine, request, setup, checkpoint, log, hooks);
}

/** @param failed Why the attempt before this one ended, for the log */
async function train(request: TrainRequest, hooks: TrainHooks, failed?: string): Promise<ValidatedFold> {
  const prepared = await prepareTraining(request);
  const { setup, state } = prepared;
  requireSamples(setup, request);
  const warnings = await requireValidation(setup, request.saveProbabilities);
  const ended = isFinished(state, setup.recipe);
  // Before anything is written: without the engine and the memory it needs no training starts, and none leaves a folder.
  let engine = await (ended ? request.openEngine() : openForTraining(request, setup));
  await using _closing = { [Symbol.asyncDispose]: async () => await engine[Symbol.asyncDispose]() };
  await ensureFolder(setup.foldFolder, "making the results folder");
  using _lock = takeLock(join(setup.foldFolder, TRAINING_LOCK), {
    doing: "opening the results folder",
    problem: "another run is training this fold at this moment, and their checkpoints would replace each other",
    remedy: "wait until it ends, or stop it; or give this one a --name of its own",
  });
  await writeModelFiles(setup);
  const log = startLog(setup, failed);
  describe(prepared, log, hooks);
  for (const warning of warnings) warn(warning, log, hooks);
  if (request.unpack) {
    const all = [...new Set([...setup.split.train, ...setup.split.val])];
    const unpacked = await unpackCases(setup.dataFolder, all, hooks.signal);
    if (unpacked > 0) hooks.info(`${plural(unpacked, "case")} unpacked to .npy in ${setup.dataFolder}`);
    for (const warning of await missingClasses(setup, hooks.signal)) warn(warning, log, hooks);
  }
  if (ended) hooks.info(state.epoch === 1 ? "the epoch is finished" : `all ${state.epoch} epochs are finished`);
  const { values } = ended
    ? await endTraining(engine, prepared, log, request, hooks)
    : await runOnAll(engine, prepared, log, request, hooks);
  // Other engines read them from the file, which holds the same numbers.
  const isRead = request.useBest || (request.validators !== undefined && request.checkpointing);
  using checkpoint = isRead ? await openToValidate(setup, request.useBest) : checkpointInMemory(setup, values);
  // A CPU engine's memory only grows: what the training has taken would count beside the validation's. One that shares have trained for
  // is closed.
  if (!ended && (request.shares || (engine.kind === "cpu" && request.maxMemory !== undefined))) {
    await engine[Symbol.asyncDispose]();
    engine = await request.openEngine();
    collectGarbage();
  }
  return await validate(engine, request, setup, checkpoint, log, hooks);
}

/** @throws UsageError if there are more engines than samples of a batch */
function requireSamples({ batch, configuration }: TrainingSetup, { shares }: TrainRequest): void {
  if (!shares || shares.count <= batch) return;
  throw new UsageError(
    `argument -num_gpus: it is ${shares.count}, and a batch of ${configuration.name} is ${
      plural(batch, "sample")
    }, of which ` +
      `each GPU takes one at least; use ${
        plural(batch, "GPU")
      } at most, or another --batch-size with a --name of its own`,
  );
}

/** Trains on the engine, or on as many as share every batch; the one is closed for these, and they before the validation. */
async function runOnAll(
  engine: TrainingEngine & AsyncDisposable,
  prepared: PreparedTraining,
  log: LogFile,
  request: TrainRequest,
  hooks: TrainHooks,
): Promise<TrainingValues> {
  if (!request.shares) return await runTraining(engine, prepared, log, request, hooks);
  // Its device is that of one of them, and the memory that it keeps for later is theirs.
  await engine[Symbol.asyncDispose]();
  await using shares = await request.shares.open(engine);
  const parts = splitBatch(prepared.setup.batch, request.shares.count).map(({ batch }) => batch).join(" + ");
  const line = `training on ${shares.description}, the samples of a batch shared as ${parts}`;
  hooks.info(line);
  log.say(line);
  return await runTraining(shares, prepared, log, request, hooks);
}

/** Opens the engine; one that would not do this training says so. */
async function openForTraining(request: TrainRequest, setup: TrainingSetup) {
  const engine = await request.openEngine();
  try {
    const count = request.shares?.count ?? 1;
    requireTrainingMemory(count > 1 ? shareForecasts(engine, count) : engine, setup, request);
    if (engine.kind === "cpu") return engine;
    const [options] = shareOptions(trainingOptions(setup, request.precision), count);
    using _program = await engine.compileTraining(setup.graph, options);
    return engine;
  } catch (error) {
    await engine[Symbol.asyncDispose]();
    throw error;
  }
}

async function validate(
  engine: Engine,
  request: TrainRequest,
  setup: TrainingSetup,
  checkpoint: Checkpoint,
  log: LogFile,
  hooks: TrainHooks,
): Promise<ValidatedFold> {
  const { saveProbabilities, assumePlansNetwork, maxMemory, lane } = request;
  const options = {
    saveProbabilities,
    assumePlansNetwork,
    ...(maxMemory !== undefined && { maxMemory }),
    ...(lane && { lane }),
    ...(hooks.signal && { signal: hooks.signal }),
  };
  const info = (line: string) => {
    hooks.info(line);
    log.say(line);
  };
  await using validators = await openValidators(request.validators, setup, checkpoint, info);
  const validated = await validateFold({ engine, validators }, setup, checkpoint, options, {
    say: log.say,
    warn: (message) => warn(message, log, hooks),
    ...(hooks.onCase && { onCase: hooks.onCase }),
  }).catch((error: unknown) => {
    if (!(error instanceof Interrupted)) throw error;
    throw new Interrupted(
      "stopped while validating; the training itself is finished, and the same command with --val in place of --c " +
        "validates it",
    );
  });
  log.say("Validation complete");
  log.say(`Mean Validation Dice:  ${validated.summary.foregroundMean.Dice}`);
  return validated;
}

function startLog({ foldFolder }: TrainingSetup, failed: string | undefined): LogFile {
  const log = createLogFile(foldFolder, new Date());
  if (failed !== undefined) log.say(`WARNING: ${failed}`);
  return log;
}

function warn(message: string, log: LogFile, hooks: TrainHooks): void {
  log.say(`WARNING: ${message}`);
  hooks.warn(message);
}

/** What the training is of and where it starts, for log and terminal. */
function describe(
  { setup, state, notes, warnings, logged = [] }: PreparedTraining,
  log: LogFile,
  hooks: TrainHooks,
): void {
  const { recipe, task, configuration, split, batch, plans, foldFolder } = setup;
  for (const warning of [...warnings, ...split.warnings]) warn(warning, log, hooks);
  const patch = configuration.patchSize.slice(3 - configuration.dimensions).join(" x ");
  const lines = [
    `${task.datasetName}, ${recipe.folderName}, ${plans.plansName}, ${configuration.name}, fold ${task.fold}: ` +
    `${plural(recipe.epochs, "epoch")} of ${plural(recipe.iterations, "step")}, batch ${batch}, patch ${patch}, ` +
    `${plural(split.train.length, "case")} to train on and ${split.val.length} to validate on, seed ${state.seed}`,
    ...notes,
  ];
  for (const line of lines) {
    hooks.info(line);
    log.say(line);
  }
  hooks.info(`results: ${foldFolder}`);
  for (const note of [...logged, ...split.notes]) log.say(note);
  log.sayPlainly(
    `\nThis is the configuration used by this training:\nConfiguration name: ${configuration.name}\n ` +
      `${JSON.stringify(configuration)}\n\nThese are the global plan.json settings:\n ${
        JSON.stringify(settingsOf(plans.json))
      }\n`,
  );
}

function settingsOf(plans: unknown): unknown {
  const { configurations: _configurations, ...settings } = plans as Record<string, unknown>;
  return settings;
}

function checkRequest({ useBest, checkpointing, start }: TrainRequest): void {
  if (useBest && !checkpointing && start.kind !== "validate") {
    throw new UserError({
      doing: "reading the command line",
      problem: "--val_best validates with the best checkpoint, and --disable_checkpointing writes none",
      remedy: "leave one of them out",
    });
  }
}

/** @throws UserError if it is not there, saying what is */
async function openToValidate({ foldFolder }: TrainingSetup, useBest: boolean): Promise<Checkpoint> {
  const file = join(foldFolder, useBest ? CHECKPOINTS.best : CHECKPOINTS.final);
  try {
    return await openCheckpoint(file);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const there = await checkpointsIn(foldFolder);
    const doing = "opening the checkpoint to validate";
    const other = useBest ? "final" : "best";
    const withOther = useBest
      ? `validate with ${CHECKPOINTS.final}: leave --val_best out`
      : `validate with ${CHECKPOINTS.best}: add --val_best`;
    if (there.has(useBest ? "best" : "final")) {
      const ways = [error.parts.remedy, there.has(other) && withOther].filter(Boolean);
      throw new UserError({ ...error.parts, doing, remedy: ways.join(", or ") }, { cause: error });
    }
    const finish = !there.has("final") && there.size > 0 && "finish the training: the same command with --c for --val";
    const ways = [finish, there.has(other) && withOther].filter(Boolean);
    const names = [...there].map((kind) => CHECKPOINTS[kind]).join(" and ");
    throw new UserError({
      ...error.parts,
      doing,
      problem: names === "" ? "this fold has no checkpoint" : `there is no such file, only ${names}`,
      remedy: ways.join(", or ") || "train this fold first: the same command without --val",
    }, { cause: error });
  }
}
