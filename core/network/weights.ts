import type { WeightSource } from "../engine/engine.ts";
import type { Checkpoint } from "../formats/torch_checkpoint.ts";
import type { Graph } from "../graph/graph.ts";
export function checkpointWeights(_checkpoint: Checkpoint, _graph: Graph, _file: string): WeightSource {
  throw new Error("being written");
}
