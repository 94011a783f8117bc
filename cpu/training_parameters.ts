/**
 * Where parameters lie: one range of floats, laid out alike for the parameters, their gradients and their momentum. Those with a gradient
 * come first, so that the optimizer is one pass over one range; what is between parameters is zero and stays zero.
 */
import { padToFour } from "../core/base/shape.ts";
import { UserError } from "../core/base/errors.ts";
import type { TrainedParameter } from "../core/engine/training.ts";
import type { Graph } from "../core/graph/graph.ts";

export interface PlacedParameter extends TrainedParameter {
  /** First float. */
  readonly offset: number;
  readonly length: number;
}

export interface ParameterLayout {
  /** In the order of the graph's nodes. */
  readonly parameters: readonly PlacedParameter[];
  /** Floats of those with a gradient, and of all. */
  readonly trainedFloats: number;
  readonly floats: number;
}

/** Parameters that lie together: a convolution's weight with its bias right behind it, or a vector alone. */
interface Block {
  readonly parameters: readonly { readonly name: string; readonly shape: readonly number[]; readonly at: number }[];
  readonly floats: number;
}

/**
 * @param trained Names of the parameters that get a gradient.
 * @throws UserError if two nodes share a parameter.
 */
export function layOutParameters(graph: Graph, trained: ReadonlySet<string>): ParameterLayout {
  const blocks = blocksOf(graph);
  const names = blocks.flatMap(({ parameters }) => parameters.map(({ name }) => name));
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) {
    throw new UserError({
      doing: "planning the training of the network",
      problem: `two of its nodes share the parameter ${twice}, which cannot be trained`,
    });
  }
  const isTrained = ({ parameters }: Block) => parameters.some(({ name }) => trained.has(name));
  const offsets = new Map<Block, number>();
  let floats = 0;
  let trainedFloats = 0;
  for (const wanted of [true, false]) {
    for (const block of blocks.filter((candidate) => isTrained(candidate) === wanted)) {
      offsets.set(block, floats);
      floats += Math.ceil(block.floats / 16) * 16;
    }
    if (wanted) trainedFloats = floats;
  }
  const parameters = blocks.flatMap((block) =>
    block.parameters.map(({ name, shape, at }): PlacedParameter => ({
      name,
      shape,
      hasGradient: isTrained(block),
      offset: (offsets.get(block) ?? 0) + at,
      length: shape.reduce((a, b) => a * b, 1),
    }))
  );
  return { parameters, trainedFloats, floats };
}

/** A convolution has room for a bias even if it has none: its packing reads zeros there. */
function blocksOf(graph: Graph): Block[] {
  const channels: number[] = [];
  return graph.nodes.flatMap((node): Block[] => {
    const inputs = "input" in node ? channels[node.input] : 0;
    switch (node.kind) {
      case "input":
        channels.push(node.channels);
        return [];
      case "conv":
      case "transposedConv": {
        channels.push(node.channels);
        const shape = node.kind === "conv"
          ? [node.channels, inputs, ...node.kernel]
          : [inputs, node.channels, ...node.stride];
        const length = shape.reduce((a, b) => a * b);
        const weight = { name: node.weight, shape, at: 0 };
        const bias = node.bias === undefined ? [] : [{ name: node.bias, shape: [node.channels], at: length }];
        return [{ parameters: [weight, ...bias], floats: length + node.channels }];
      }
      case "instanceNorm":
      case "batchNorm": {
        channels.push(inputs);
        const names = [node.weight, node.bias].filter((name) => name !== undefined);
        return names.map((name) => ({ parameters: [{ name, shape: [inputs], at: 0 }], floats: padToFour(inputs) }));
      }
      case "concat":
        channels.push(channels[node.inputs[0]] + channels[node.inputs[1]]);
        return [];
      case "add":
        channels.push(channels[node.inputs[0]]);
        return [];
      default:
        channels.push(inputs);
        return [];
    }
  });
}
