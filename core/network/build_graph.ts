import type { Graph } from "../graph/graph.ts";
import type { NetworkArchitecture } from "./architecture.ts";
export function buildGraph(_architecture: NetworkArchitecture, _inputChannels: number, _outputChannels: number): Graph {
  throw new Error("being written");
}
