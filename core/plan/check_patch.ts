/** Whether a network can be run on the patch of its configuration. */
import { describeBytes } from "../base/describe_bytes.ts";
import { plural } from "../base/plural.ts";
import { UserError, type UserErrorParts } from "../base/errors.ts";
import { type Graph, type GraphNode, inferShapes, type ValueShape } from "../graph/graph.ts";
import { weightShapes } from "../graph/weight_shapes.ts";
import type { Configuration } from "./plans.ts";

/** A feature map or weight of more cannot be kept by any engine: 16 GiB in float32. */
const MOST_ELEMENTS = 2 ** 32;
const BYTES = 4;

/**
 * @param error What was being done, with which file, and what to do.
 * @throws UserError if the patch is not divisible by the network's strides, or a layer is too large for any machine, naming it
 */
export function checkPatch(
  graph: Graph,
  { name, patchSize, dimensions }: Configuration,
  error: Pick<UserErrorParts, "doing" | "file" | "remedy">,
): void {
  const patch = patchSize.slice(3 - dimensions).join("x");
  const unfit = (cause?: unknown) => {
    const problem =
      `configurations.${name}: the patch_size ${patch} does not fit the network's strides, each axis has to be ` +
      "divisible by the product of its strides";
    return new UserError({ ...error, problem }, { cause });
  };
  for (const { name: weight, shape } of weightShapes(graph)) {
    const elements = shape.reduce((product, n) => product * n, 1);
    if (elements > MOST_ELEMENTS) {
      const problem = `configurations.${name}: the weight ${weight} would be ${shape.join(" x ")}`;
      throw new UserError({ ...error, problem: `${problem}, ${tooMuch(elements)}` });
    }
  }
  let shapes: readonly ValueShape[];
  try {
    shapes = inferShapes(graph, patchSize);
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw unfit(cause);
  }
  shapes.forEach(({ channels, grid }, i) => {
    if (grid.some((n) => n < 1)) throw unfit();
    const elements = channels * grid[0] * grid[1] * grid[2];
    if (elements <= MOST_ELEMENTS) return;
    const size = `${plural(channels, "channel")} of ${grid.slice(3 - dimensions).join("x")} voxels`;
    throw new UserError({
      ...error,
      problem: `configurations.${name}: with the patch_size ${patch} ${layerOf(graph.nodes, i)} gives ${size}, ` +
        tooMuch(elements),
    });
  });
}

function tooMuch(elements: number): string {
  return `${describeBytes(elements * BYTES)}; no layer may have more than ${describeBytes(MOST_ELEMENTS * BYTES)}`;
}

/** A node by the weight that it, or the nearest before it, has. */
function layerOf(nodes: readonly GraphNode[], index: number): string {
  for (let i = index; i > 0; i--) {
    const node = nodes[i];
    if ("weight" in node && node.weight) return `the layer ${node.weight.replace(/\.weight$/, "")}`;
  }
  return "the network's input";
}
