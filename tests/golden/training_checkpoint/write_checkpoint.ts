/** Reads NAME.pth as training does, and writes it again: deno run -A write_checkpoint.ts NAME FILE, to be compared by make_checkpoint.py. */
import { fromFileUrl, join } from "../../../core/base/path.ts";
import { readDatasetJson } from "../../../core/dataset/read_dataset_json.ts";
import { openCheckpoint } from "../../../core/formats/torch/torch_checkpoint.ts";
import { withBatchNorm } from "../../../core/network/architecture.ts";
import { buildGraph } from "../../../core/network/build_graph.ts";
import { weightShapes } from "../../../core/graph/weight_shapes.ts";
import { readPlans, resolveConfiguration } from "../../../core/plan/read_plans.ts";
import { readTrainingCheckpoint } from "../../../core/train/read_checkpoint.ts";
import { readRecipe } from "../../../core/train/recipe.ts";
import type { TrainingRecipe } from "../../../core/trainers/training_recipe.ts";
import { writeCheckpoint } from "../../../core/train/write_checkpoint.ts";

const FOLDER = fromFileUrl(new URL(".", import.meta.url));

/** make_checkpoint.py's, and how they were trained. */
export const CHECKPOINTS: Readonly<Record<string, TrainingRecipe>> = {
  upstream: readRecipe("nnUNetTrainer"),
  adam: readRecipe("nnUNetTrainerAdam"),
  vanilla_adam: readRecipe("nnUNetTrainerVanillaAdam1en3"),
  batch_norm: { ...readRecipe("nnUNetTrainerBN"), iterations: 2 },
};

export async function openUpstream(name: string, file = join(FOLDER, `${name}.pth`)) {
  const planned = resolveConfiguration(await readPlans(join(FOLDER, "plans.json")), "tiny");
  const recipe = CHECKPOINTS[name];
  const configuration = recipe.batchNorm ? { ...planned, architecture: withBatchNorm(planned.architecture) } : planned;
  const { labels } = await readDatasetJson(join(FOLDER, "dataset.json"));
  const graph = buildGraph(configuration.architecture, 1, labels.headCount, { deepSupervision: true });
  using checkpoint = await openCheckpoint(file);
  const weights = checkpoint.members.get("network_weights") as ReadonlyMap<string, unknown>;
  return {
    recipe,
    graph,
    configuration,
    resumed: readTrainingCheckpoint(checkpoint, graph, configuration.architecture, recipe.optimizer),
    members: [...checkpoint.members.keys()],
    keys: [...weights.keys()],
    initArgs: checkpoint.initArgs,
    mirrorAxes: checkpoint.mirrorAxes,
  };
}

export async function rewriteUpstream(name: string, file: string): Promise<void> {
  const { recipe, graph, configuration, resumed, mirrorAxes } = await openUpstream(name);
  await writeCheckpoint(file, { ...resumed.state, seed: 7 }, resumed, {
    recipe,
    architecture: configuration.architecture,
    shapes: new Map(weightShapes(graph).map(({ name, shape }) => [name, shape])),
    configurationName: configuration.name,
    fold: 0,
    plansText: await Deno.readTextFile(join(FOLDER, "plans.json")),
    datasetText: await Deno.readTextFile(join(FOLDER, "dataset.json")),
    device: "cpu",
    mirrorAxes,
    hasRegions: false,
    learningRate: resumed.state.log[1].learningRate,
  });
}

if (import.meta.main) await rewriteUpstream(Deno.args[0], Deno.args[1]);
