/**
 * Where parameters lie: one range of floats, laid out alike for the parameters, their gradients and their momentum. Those with a gradient
 * come first, so that the optimizer is one pass over one range; what is between parameters is zero and stays zero.
 */
import { padToFour } from "../../core/base/shape.ts";
import type { Graph } from "../../core/graph/graph.ts";
import { weightShapes } from "../../core/graph/weight_shapes.ts";
import type { PlacedParameter } from "../../core/lowering/parameter_values.ts";

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
 * No two nodes share a parameter. The running statistics of a batch norm are among those without a gradient.
 * @param trained Names of the parameters that get a gradient.
 */
export function layOutParameters(graph: Graph, trained: ReadonlySet<string>): ParameterLayout {
  const blocks = blocksOf(graph);
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
  const shapes = new Map(weightShapes(graph).map(({ name, shape }) => [name, shape]));
  const placed = (name: string, at: number) => ({ name, shape: shapes.get(name) ?? [], at });
  return graph.nodes.flatMap((node): Block[] => {
    if (node.kind === "conv" || node.kind === "transposedConv") {
      const weight = placed(node.weight, 0);
      const length = weight.shape.reduce((a, b) => a * b);
      const bias = node.bias === undefined ? [] : [placed(node.bias, length)];
      return [{ parameters: [weight, ...bias], floats: length + node.channels }];
    }
    if (node.kind !== "instanceNorm" && node.kind !== "batchNorm") return [];
    const running = node.kind === "batchNorm" ? [node.runningMean, node.runningVar] : [];
    return [node.weight, node.bias, ...running].filter((name) => name !== undefined).map((name) => {
      const vector = placed(name, 0);
      return { parameters: [vector], floats: padToFour(vector.shape[0]) };
    });
  });
}
