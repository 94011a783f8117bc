/** A checkpoint as the source of a graph's weights, checked before the first one is read. */
import { UserError } from "../base/errors.ts";
import { freeArray } from "../base/free_array.ts";
import type { WeightSource } from "../engine/engine.ts";
import type { Checkpoint, StoredTensor } from "../formats/torch/torch_checkpoint.ts";
import type { Graph } from "../graph/graph.ts";
import { weightShapes } from "../graph/weight_shapes.ts";

/** Stored beside the weights without a use at inference: the other heads of deep supervision, and batch norm's counter. */
const UNUSED = /^decoder\.seg_layers\.[0-9]+\.(weight|bias)$|\.num_batches_tracked$/;
const SHOWN = 4;

/**
 * The weights of `graph` from a checkpoint. Shapes are asked for in 3-D form (kz = 1 in 2-D networks), stored as torch has them.
 * @param file Named in errors.
 * @throws UserError if a weight is missing, has another shape, or is there without being part of the graph: the checkpoint then
 * belongs to another network, and its results would be wrong.
 */
export function checkpointWeights(checkpoint: Checkpoint, graph: Graph, file: string): WeightSource {
  const needed = weightShapes(graph);
  const { weights } = checkpoint;
  const doing = "loading the network's weights";
  const missing: string[] = [];
  const different: string[] = [];
  for (const { name, shape } of needed) {
    const stored = weights.get(name);
    if (!stored) missing.push(name);
    else if (!fits(stored, shape)) {
      const wanted = stored.shape.length === 4 ? [...shape.slice(0, 2), ...shape.slice(3)] : shape;
      different.push(`${name} is ${stored.shape.join("x") || "a single number"}, the plans say ${wanted.join("x")}`);
    }
  }
  const names = new Set(needed.map(({ name }) => name));
  const surplus = Array.from(weights.keys()).filter((name) => !names.has(name) && !UNUSED.test(name));

  const problems = [
    listed(missing, ["weight is missing", "weights are missing"]),
    listed(different, ["weight has another shape", "weights have another shape"]),
    listed(surplus, ["weight belongs to no part of the network", "weights belong to no part of the network"]),
  ].filter(Boolean);
  if (problems.length) {
    throw new UserError({
      doing,
      file,
      problem: `the checkpoint does not fit the network that the plans describe: ${problems.join("; ")}`,
      remedy: probableReason(checkpoint, missing, different, surplus),
    });
  }
  return {
    get(name, shape) {
      const stored = weights.get(name);
      if (!stored || !fits(stored, shape)) {
        const there = stored ? `it is ${stored.shape.join("x")}` : "it is not there";
        throw new UserError({ doing, file, problem: `${name} of ${shape.join("x")} is needed, ${there}` });
      }
      return stored.read();
    },
    release: freeArray,
  };
}

/** Equal shapes; a 2-D kernel (out, in, y, x) fits (out, in, 1, y, x). */
export function fits(stored: StoredTensor, wanted: readonly number[]): boolean {
  const there = stored.shape;
  const same = (a: readonly number[], b: readonly number[]) => a.length === b.length && a.every((n, i) => n === b[i]);
  if (same(there, wanted)) return true;
  return there.length === 4 && wanted.length === 5 && wanted[2] === 1 &&
    same(there, [...wanted.slice(0, 2), ...wanted.slice(3)]);
}

function listed(items: readonly string[], [one, several]: readonly [one: string, several: string]): string {
  if (!items.length) return "";
  const rest = items.length > SHOWN ? ` and ${items.length - SHOWN} more` : "";
  return `${items.length} ${items.length === 1 ? one : several} (${items.slice(0, SHOWN).join(", ")}${rest})`;
}

function probableReason(
  checkpoint: Checkpoint,
  missing: readonly string[],
  different: readonly string[],
  surplus: readonly string[],
): string {
  const only = (pattern: RegExp) =>
    different.length > 0 && !missing.length && !surplus.length && different.every((text) => pattern.test(text));
  if (only(/^decoder\.seg_layers\./)) {
    return "the number of classes differs: dataset.json is probably not the one of this training";
  }
  if (only(/^encoder\.(stem|stages\.0\.0)\.convs\.0\.conv\.weight/)) {
    return "the number of input channels differs: dataset.json is probably not the one of this training";
  }
  const batchNorm = /\.running_(mean|var)$/;
  if (surplus.some((name) => batchNorm.test(name)) || missing.some((name) => batchNorm.test(name))) {
    return "batch norm in one of the two and none in the other: the trainer has probably changed the network";
  }
  return `it is probably of another configuration or trainer (it names ${checkpoint.configurationName} and ` +
    `${checkpoint.trainerName}), or plans.json is not the one of this training`;
}
