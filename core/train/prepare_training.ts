/**
 * Where a training starts: anew, from another model's weights, or where it was stopped. Settings of a training that goes on are those
 * it was started with; others are refused. Source: maybe_load_checkpoint of nnunetv2/run/run_training.py (2.5.1).
 */
import { UserError } from "../base/errors.ts";
import { refuseOverwriting } from "../base/overwriting.ts";
import { openCheckpoint } from "../formats/torch/torch_checkpoint.ts";
import { weightShapes } from "../graph/weight_shapes.ts";
import { initialWeights } from "./initial_weights.ts";
import { readPretrainedWeights } from "./pretrained_weights.ts";
import { readTrainingCheckpoint, type ResumedTraining } from "./read_checkpoint.ts";
import type { TrainingRecipe } from "../trainers/training_recipe.ts";
import { readRecipe, type RecipeChanges } from "./recipe.ts";
import { readTrainingSetup, type TrainingSetup } from "./setup.ts";
import type { TrainRequest } from "./train_request.ts";
import { checkpointPaths, earlierTraining, openLastCheckpoint } from "./training_folder.ts";
import type { TrainingState, TrainingValues } from "./training_state.ts";

export interface PreparedTraining {
  readonly setup: TrainingSetup;
  readonly state: TrainingState;
  /** True: checkpoint_final.pth is there, and it goes on from it. */
  readonly hasFinal: boolean;
  /** Gives the values it starts with, once: they take much memory, and the engine has its own. */
  takeValues(): TrainingValues;
  /** Where it goes on from, for the user. */
  readonly notes: readonly string[];
  readonly warnings: readonly string[];
  /** For the log alone. */
  readonly logged?: readonly string[];
}

/** @throws UserError if something is missing, damaged or does not fit */
export async function prepareTraining(request: TrainRequest): Promise<PreparedTraining> {
  const { task, changes, start } = request;
  const recipe = readRecipe(request.trainerName, changes);
  const setup = await readTrainingSetup(task, recipe);
  if (start.kind === "continue") {
    const resumed = await resume(setup);
    if (resumed) return await continued(request, setup, resumed);
  }
  const seed = request.seed ?? crypto.getRandomValues(new Uint32Array(1))[0];
  const state: TrainingState = { epoch: 0, log: [], seed };
  const initial = initialWeights(weightShapes(setup.graph), seed);
  const startingFrom = (values: ReadonlyMap<string, Float32Array>) => handOver({ values, kept: {} });
  const fresh = { setup, state, hasFinal: false, warnings: await earlierTraining(setup.foldFolder) };
  if (start.kind === "pretrained") {
    refuseOverwriting(
      [{ path: start.file, what: "the weights it is to start from" }],
      checkpointPaths(setup.foldFolder).map((path) => ({ path, what: "this training's checkpoint" })),
      { doing: "choosing the results folder", remedy: "copy that checkpoint to another place, or add a --name" },
    );
    using checkpoint = await openCheckpoint(start.file, { weightsAlone: true });
    const { dimensions } = setup.configuration;
    const { strict } = start;
    const { values, note, left, loaded } = readPretrainedWeights(checkpoint, setup.graph, initial, {
      dimensions,
      strict,
    });
    return {
      ...fresh,
      takeValues: startingFrom(values),
      notes: left.length === 0 ? [note] : [],
      warnings: [...fresh.warnings, ...left.length === 0 ? [] : [[note, ...left].join("\n  ")]],
      logged: [`layers taken from ${start.file}: ${loaded.join(", ")}`],
    };
  }
  if (start.kind !== "continue") return { ...fresh, takeValues: startingFrom(initial), notes: [] };
  // Cluster scripts pass --c always, so this is no error; but it must not be overlooked.
  const warning = `--c: THERE IS NO CHECKPOINT TO CONTINUE FROM in ${setup.foldFolder}: A NEW TRAINING STARTS`;
  return { ...fresh, takeValues: startingFrom(initial), notes: [], warnings: [warning] };
}

interface Resumed extends ResumedTraining {
  readonly file: string;
  readonly trainerName: string;
  readonly isFinal: boolean;
  readonly warnings: readonly string[];
}

async function resume({ foldFolder, graph, configuration, recipe }: TrainingSetup): Promise<Resumed | undefined> {
  using last = await openLastCheckpoint(foldFolder);
  if (!last) return undefined;
  const { checkpoint, isFinal, warnings } = last;
  const { file, trainerName } = checkpoint;
  const resumed = readTrainingCheckpoint(checkpoint, graph, configuration.architecture, recipe.optimizer);
  return { ...resumed, file, trainerName, isFinal, warnings };
}

async function continued(request: TrainRequest, asked: TrainingSetup, resumed: Resumed): Promise<PreparedTraining> {
  const { file, state, trainerName, isFinal, values, kept, steps } = resumed;
  const recipe = resumed.recipe ? sameRecipe(request, asked.recipe, resumed.recipe, resumed) : asked.recipe;
  const setup = resumed.recipe ? await readTrainingSetup(asked.task, recipe) : asked;
  const seed = state.seed ?? request.seed ?? crypto.getRandomValues(new Uint32Array(1))[0];
  const where = state.within ? `, step ${state.within.iteration}` : "";
  const other = trainerName === recipe.trainerName ? [] : [
    `${file} was made by the trainer ${trainerName}; it is continued as ${recipe.trainerName}`,
  ];
  return {
    setup,
    state: { ...state, seed },
    hasFinal: isFinal,
    takeValues: handOver({ values, kept, ...(steps !== undefined && { steps }) }),
    notes: [`continuing from ${file}: epoch ${state.epoch + 1}${where}`],
    warnings: [...resumed.warnings, ...other],
  };
}

/**
 * What of the settings asked for is other than what a training was started with, in words: what is not asked for is as it was.
 * @param asked The recipe that `changes` make
 */
export function recipeDifferences(
  { changes, seed }: Pick<TrainRequest, "changes" | "seed">,
  asked: TrainingRecipe,
  stored: TrainingRecipe,
  storedSeed: number | undefined,
): string[] {
  const values: Record<keyof Omit<RecipeChanges, "name">, readonly [flag: string, stored: number | undefined]> = {
    epochs: ["--epochs", stored.epochs],
    iterations: ["--iterations", stored.iterations],
    learningRate: ["--lr", stored.learningRate],
    batchSize: ["--batch-size", stored.batchSize],
    earlyStopping: ["--early-stopping", stored.earlyStopping],
  };
  const different: string[] = [];
  for (const [key, [flag, value]] of Object.entries(values)) {
    const given = changes[key as keyof typeof values];
    if (given === undefined || given === value) continue;
    different.push(`${flag} ${given}, it was started ${value === undefined ? "without" : `with ${value}`}`);
  }
  if (seed !== undefined && storedSeed !== undefined && seed !== storedSeed) {
    different.push(`--seed ${seed}, it was started with ${storedSeed}`);
  }
  if (asked.trainerName !== stored.trainerName) {
    different.push(`the trainer ${asked.trainerName}, it was started with ${stored.trainerName}`);
  }
  return different;
}

/** What the training was started with, if nothing else is asked for. @throws UserError listing what is */
function sameRecipe(
  request: TrainRequest,
  asked: TrainingRecipe,
  stored: TrainingRecipe,
  { state, file }: Resumed,
): TrainingRecipe {
  const different = recipeDifferences(request, asked, stored, state.seed);
  if (different.length === 0) return { ...stored, folderName: asked.folderName };
  throw new UserError({
    doing: "continuing the training",
    file,
    problem: `it is asked to go on with other settings: ${different.join("; ")}`,
    remedy: "leave these flags out to continue it, or give another --name to start a new training",
  });
}

function handOver(values: TrainingValues): () => TrainingValues {
  let held: TrainingValues | undefined = values;
  return () => {
    if (!held) throw new Error("The values a training starts with were taken before");
    const given = held;
    held = undefined;
    return given;
  };
}
