/** Names and shapes of the weights of a graph. */
import type { Graph } from "./graph.ts";

/** A weight that a graph needs. */
export interface WeightShape {
  readonly name: string;
  /** (out, in, kz, ky, kx) of convolutions, (in, out, sz, sy, sx) of transposed ones, (channels) of the rest. */
  readonly shape: readonly number[];
}

/** All weights of a graph, in the order of its nodes. */
export function weightShapes(graph: Graph): WeightShape[] {
  const channels: number[] = [];
  const weights: WeightShape[] = [];
  const need = (name: string | undefined, shape: readonly number[]) => {
    if (name !== undefined) weights.push({ name, shape });
  };
  for (const node of graph.nodes) {
    switch (node.kind) {
      case "input":
        channels.push(node.channels);
        break;
      case "conv":
        need(node.weight, [node.channels, channels[node.input], ...node.kernel]);
        need(node.bias, [node.channels]);
        channels.push(node.channels);
        break;
      case "transposedConv":
        need(node.weight, [channels[node.input], node.channels, ...node.stride]);
        need(node.bias, [node.channels]);
        channels.push(node.channels);
        break;
      case "instanceNorm":
      case "batchNorm": {
        const shape = [channels[node.input]];
        need(node.weight, shape);
        need(node.bias, shape);
        if (node.kind === "batchNorm") {
          need(node.runningMean, shape);
          need(node.runningVar, shape);
        }
        channels.push(shape[0]);
        break;
      }
      case "concat":
        channels.push(channels[node.inputs[0]] + channels[node.inputs[1]]);
        break;
      case "add":
        channels.push(channels[node.inputs[0]]);
        break;
      default:
        channels.push(channels[node.input]);
    }
  }
  return weights;
}
