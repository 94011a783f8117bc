/**
 * Before a cascade's next stage: the validation cases predicted on the grid that stage has them on, written as it reads them.
 * Source: resample_and_save of nnunetv2/inference/export_prediction.py (2.5.1).
 */
import { UserError } from "../base/errors.ts";
import { ensureFolder } from "../base/files.ts";
import { removeLeftovers } from "../base/leftovers.ts";
import { join } from "../base/path.ts";
import type { Vec3 } from "../base/shape.ts";
import type { Engine } from "../engine/engine.ts";
import type { StoredCase } from "../formats/preprocessed/training_data.ts";
import { resolveConfiguration } from "../plan/read_plans.ts";
import { planCase, uploadCase } from "../predict/stream/case_plan.ts";
import type { Model } from "../predict/model/model_folder.ts";
import { type LoadedNetwork, loadNetwork } from "../predict/model/network.ts";
import { predictCase } from "../predict/stream/predict_case.ts";
import { measureRuntime } from "../predict/run/run_memory.ts";
import { readStoredCase } from "../predict/run/stored_case.ts";
import type { PreprocessedCase } from "../preprocess/case.ts";
import { writePreviousStage } from "../preprocess/predicted_previous_stage.ts";
import { openPreprocessedCase } from "../preprocess/training_case_reader.ts";
import type { ValidationHooks, ValidationOptions } from "./validation_options.ts";
import type { TrainingSetup } from "./setup.ts";

/** A validation case to be predicted on the grid of a configuration that comes next. */
export interface NextStageCase {
  readonly configuration: string;
  readonly id: string;
}

/**
 * Writes predicted_next_stage/CONFIGURATION/<case>.npz of the model's folder for every configuration that comes next; <case>.b2nd where
 * its data are such files, as the nnU-Net that reads these looks for it.
 * @param share Predicts cases on other engines. @returns those that it could not
 */
export async function predictNextStages(
  engine: Engine,
  setup: TrainingSetup,
  model: Model,
  options: ValidationOptions,
  { say }: ValidationHooks,
  share?: (cases: readonly NextStageCase[]) => Promise<readonly NextStageCase[]>,
): Promise<void> {
  const { configuration: { nextStages }, split, modelFolder } = setup;
  if (nextStages.length === 0) return;
  const cases: NextStageCase[] = [];
  for (const configuration of nextStages) {
    const folder = folderOf(modelFolder, configuration);
    await ensureFolder(folder, "making the folder of the next stage");
    removeLeftovers(folder);
    for (const id of split.val) {
      if (await lookAtCase(setup, { configuration, id })) cases.push({ configuration, id });
      else {
        say(
          `Predicting next stage ${configuration} failed for case ${id} because the preprocessed file is missing! ` +
            "Run the preprocessing for this configuration first!",
        );
      }
    }
  }
  const left = share ? await share(cases) : cases;
  if (left.length === 0) return;
  await using stages = openNextStages(engine, setup, model, options);
  for (const one of left) await stages.predict(one);
}

export interface NextStages extends AsyncDisposable {
  /** Writes the case, where it is preprocessed for that configuration. */
  predict(one: NextStageCase): Promise<void>;
}

/** The model on an engine, for cases of next stages. */
export function openNextStages(
  engine: Engine,
  setup: TrainingSetup,
  model: Model,
  { maxMemory, lane, signal }: Pick<ValidationOptions, "maxMemory" | "lane" | "signal">,
): NextStages {
  const { dataset, plans, modelFolder, dataFolder, previousFolder } = setup;
  const memory = { runtimeBytes: lane?.runtimeBytes ?? measureRuntime(engine), maxMemory };
  const network = loadNetwork(engine, model, maxMemory !== undefined);
  return {
    async predict(one) {
      const { configuration, id } = one;
      const there = await lookAtCase(setup, one);
      if (!there) return;
      const folder = folderOf(modelFolder, configuration);
      const stored = { folder: dataFolder, ...(previousFolder !== undefined && { previousFolder }) };
      const input = await readStoredCase(id, stored, plans);
      const labels = await predictOn(engine, model, network, onGrid(input, there.grid, setup), folder, memory, signal);
      const Labels = dataset.labels.foregroundLabels.length < 255 ? Uint8Array : Uint16Array;
      const next = resolveConfiguration(plans, configuration);
      await writePreviousStage(folder, id, new Labels(labels), there, next, signal);
    },
    [Symbol.asyncDispose]: () => network[Symbol.asyncDispose](),
  };
}

const folderOf = (modelFolder: string, configuration: string) =>
  join(modelFolder, "predicted_next_stage", configuration);

async function lookAtCase(
  { plans, task }: TrainingSetup,
  { configuration, id }: NextStageCase,
): Promise<Pick<StoredCase, "grid" | "file"> | undefined> {
  const { dataIdentifier } = resolveConfiguration(plans, configuration);
  try {
    using stored = await openPreprocessedCase(join(task.preprocessed, dataIdentifier), id);
    const { grid, file } = stored;
    return { grid, file };
  } catch (error) {
    if (error instanceof UserError) return undefined;
    throw error;
  }
}

/** The case as if it had been resampled from `grid`, uncropped: then that is what its prediction goes back to. */
function onGrid(input: PreprocessedCase, grid: Vec3, { configuration }: TrainingSetup): PreprocessedCase {
  const { properties } = input;
  const [z, y, x] = configuration.dimensions === 3
    ? configuration.spacing
    : [properties.originalSpacing[0], ...configuration.spacing];
  return {
    ...input,
    properties: {
      ...properties,
      // Upstream gives the resampling this stage's spacing for both grids.
      originalSpacing: [z, y, x],
      shapeBeforeCropping: grid,
      boundingBox: [[0, grid[0]], [0, grid[1]], [0, grid[2]]],
      shapeAfterCropping: grid,
    },
  };
}

async function predictOn(
  engine: Engine,
  model: Model,
  network: LoadedNetwork,
  input: PreprocessedCase,
  scratchFolder: string,
  { runtimeBytes, maxMemory }: { readonly runtimeBytes: number; readonly maxMemory: number | undefined },
  signal: AbortSignal | undefined,
): Promise<Uint8Array | Uint16Array | Int16Array> {
  const untransposed: Model = { ...model, plans: { ...model.plans, transposeBackward: [0, 1, 2] } };
  const plan = planCase(untransposed, network, input, {
    stepSize: 0.5,
    mirroring: true,
    saveProbabilities: false,
    runtimeBytes,
    besideBytes: 0,
    ...(maxMemory !== undefined && { maxMemory }),
  });
  using uploaded = uploadCase(engine, input);
  const { data } = await predictCase({
    engine,
    model: untransposed,
    network,
    input: uploaded,
    plan,
    scratchFolder,
    ...(signal && { signal }),
  });
  return data;
}
