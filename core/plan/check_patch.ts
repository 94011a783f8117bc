/** Whether a network can be run on the patch of its configuration. */
import { UserError, type UserErrorParts } from "../base/errors.ts";
import { type Graph, inferShapes } from "../graph/graph.ts";
import type { Configuration } from "./plans.ts";

/**
 * @param error What was being done, with which file, and what to do.
 * @throws UserError if the patch is not divisible by the network's strides
 */
export function checkPatch(
  graph: Graph,
  { name, patchSize, dimensions }: Configuration,
  error: Pick<UserErrorParts, "doing" | "file" | "remedy">,
): void {
  try {
    inferShapes(graph, patchSize);
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    const patch = patchSize.slice(3 - dimensions).join("x");
    const problem =
      `configurations.${name}: the patch_size ${patch} does not fit the network's strides, each axis has to be ` +
      "divisible by the product of its strides";
    throw new UserError({ ...error, problem }, { cause });
  }
}
