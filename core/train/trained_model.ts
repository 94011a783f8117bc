/** A trained fold as a model to predict with, and weights in memory as a checkpoint. */
import type { Checkpoint } from "../formats/torch/torch_checkpoint.ts";
import { buildGraph } from "../network/build_graph.ts";
import { checkpointWeights } from "../network/weights.ts";
import type { Model } from "../predict/model/model_folder.ts";
import { trainerArchitecture } from "../trainers/trainer_network.ts";
import type { TrainingSetup } from "./setup.ts";

/** The fold as a model to predict with; the network without the outputs of deep supervision. */
export function trainedModel(setup: TrainingSetup, checkpoint: Checkpoint, assumePlansNetwork: boolean): Model {
  const { configuration, dataset, inputChannels, modelFolder, plans, task } = setup;
  const { file, trainerName, mirrorAxes } = checkpoint;
  const architecture = trainerArchitecture(trainerName, configuration.architecture, assumePlansNetwork, file);
  const graph = buildGraph(architecture, inputChannels, dataset.labels.headCount);
  checkpointWeights(checkpoint, graph, file); // names and shapes
  return {
    folder: modelFolder,
    plans,
    dataset,
    configuration: { ...configuration, architecture },
    trainerName,
    mirrorAxes,
    folds: [{ name: String(task.fold), file, checkpoint }],
    inputChannels,
    outputChannels: dataset.labels.headCount,
    graph,
    [Symbol.dispose]: () => {},
  };
}

/** Weights in memory in a checkpoint's place, for trainings that write none. */
export function checkpointInMemory(
  setup: TrainingSetup,
  values: ReadonlyMap<string, Float32Array>,
): Checkpoint {
  const { recipe, configuration, augmentation, shapes } = setup;
  return {
    file: "the weights in memory",
    trainerName: recipe.trainerName,
    configurationName: configuration.name,
    mirrorAxes: augmentation.inferenceMirrorAxes,
    initArgs: null,
    weights: new Map(
      Array.from(values, ([name, data]) => {
        // A copy: who reads it may give its memory back.
        return [name, { shape: shapes.get(name) ?? [], dtype: "float32", read: () => data.slice() }];
      }),
    ),
    [Symbol.dispose]: () => {},
  };
}
