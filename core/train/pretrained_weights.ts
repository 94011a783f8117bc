/**
 * Fine-tuning (-pretrained_weights): what of another training's checkpoint a network starts from. All layers but the segmentation heads
 * are taken, as upstream takes them; where the networks differ (other channels, another depth), those that fit, and the others are named.
 * Upstream (run/load_pretrained_weights.py, 2.5.1) knows equal networks only and fails for all others; so does `strict`.
 */
import { UserError } from "../base/errors.ts";
import { plural } from "../base/plural.ts";
import type { Checkpoint, StoredTensor } from "../formats/torch/torch_checkpoint.ts";
import type { Graph } from "../graph/graph.ts";
import { type WeightShape, weightShapes } from "../graph/weight_shapes.ts";
import { fits } from "../network/weights.ts";

/** A layer: a convolution with its bias and its norm, which start together or not at all. */
interface Layer {
  readonly name: string;
  readonly weights: readonly WeightShape[];
}

/** What a training starts from. */
export interface PretrainedWeights {
  readonly values: Map<string, Float32Array>;
  /** What was taken, in a sentence. */
  readonly note: string;
  /** A line for each layer that starts anew: its name, both shapes, and why; the heads are not among them. */
  readonly left: readonly string[];
  /** Names of the layers that were taken. */
  readonly loaded: readonly string[];
}

export interface PretrainedOptions {
  readonly dimensions: 2 | 3;
  /** Refuse what does not fit instead of leaving it at its random start. */
  readonly strict: boolean;
}

const DOING = "reading the weights to start from";
const HEAD = /^decoder\.seg_layers\./;
const SHOWN = 4;
const MOVE_PLANS = "give both trainings the same plans (nnunet move_plans_between_datasets)";

/**
 * @param initial The network's random start, which the heads and all that does not fit keep
 * @throws UserError if it is another network: none of its encoder's layers fits but for the first, or its images have other dimensions;
 * or, under `strict`, if anything does not fit
 */
export function readPretrainedWeights(
  checkpoint: Checkpoint,
  graph: Graph,
  initial: ReadonlyMap<string, Float32Array>,
  { dimensions, strict }: PretrainedOptions,
): PretrainedWeights {
  const { file, weights: stored } = checkpoint;
  requireDimensions(checkpoint, dimensions);
  const layers = layersOf(weightShapes(graph));
  const there = namesByLayer(stored.keys());
  const body = layers.filter(({ name }) => !HEAD.test(name));
  const first = body[0].name;
  const values = new Map(initial);
  const left: string[] = [];
  const loaded: string[] = [];
  for (const layer of body) {
    const why = misfit(layer, stored, there.get(layer.name) ?? [], layer.name === first);
    if (why === null) loaded.push(layer.name);
    else left.push(`${layer.name}: ${why}`);
  }
  if (strict && left.length > 0) {
    throw new UserError({
      doing: DOING,
      file,
      problem: `${left.length} of the network's ${plural(body.length, "layer")} ${left.length === 1 ? "does" : "do"} ` +
        `not fit: ${shown(left)}`,
      remedy: `without --strict the layers that fit are taken and the others start anew; or ${MOVE_PLANS}`,
    });
  }
  if (!loaded.some((name) => name.startsWith("encoder.") && name !== first)) {
    throw new UserError({
      doing: DOING,
      file,
      problem: `it is of another network, whose encoder has no layer that fits beyond the first: ${shown(left)}`,
      remedy: MOVE_PLANS,
    });
  }
  const taken = new Set(loaded);
  for (const { name, weights } of layers) {
    if (!taken.has(name)) continue;
    for (const weight of weights) {
      const tensor = stored.get(weight.name);
      if (tensor) values.set(weight.name, tensor.read());
    }
  }
  return { values, note: noteOf(file, body.length, left.length, headsOf(layers, stored)), left, loaded };
}

function noteOf(file: string, layers: number, left: number, heads: string): string {
  const start = `starting from the weights of ${file}`;
  if (left === 0) return `${start}, but for the segmentation heads${heads}`;
  return `${start}: ${layers - left} of ${layers} layers are taken; ${
    left === 1 ? "1 does" : `${left} do`
  } not fit and ` +
    `${left === 1 ? "starts" : "start"} anew, as do the segmentation heads${heads}`;
}

/** Where the networks' classes differ: how many each has. */
function headsOf(layers: readonly Layer[], stored: ReadonlyMap<string, StoredTensor>): string {
  const ours = layers.find(({ name }) => HEAD.test(name))?.weights[0];
  const theirs = [...stored].find(([name]) => HEAD.test(name) && name.endsWith(".weight"))?.[1].shape[0];
  if (!ours || theirs === undefined || theirs === ours.shape[0]) return "";
  return ` (${theirs} outputs there, ${ours.shape[0]} here)`;
}

/** A 2-D network fits a 3-D one with flat kernels by its shapes alone. */
function requireDimensions({ file, weights }: Checkpoint, dimensions: 2 | 3): void {
  const kernel = Array.from(weights.values(), ({ shape }) => shape.length - 2).find((n) => n === 2 || n === 3);
  if (kernel === undefined || kernel === dimensions) return;
  throw new UserError({
    doing: DOING,
    file,
    problem: `it is of a ${kernel}-D network, and the one that is trained is ${dimensions}-D`,
    remedy: `give a checkpoint of a ${dimensions}-D configuration`,
  });
}

/** Why a layer can't be taken; null where it can. */
function misfit(
  { name, weights }: Layer,
  stored: ReadonlyMap<string, StoredTensor>,
  there: readonly string[],
  isFirst: boolean,
): string | null {
  if (there.length === 0) return "it is not in the file: another architecture, or a patch of other size";
  for (const { name: weight, shape } of weights) {
    const tensor = stored.get(weight);
    if (tensor && !fits(tensor, shape)) {
      const { text, reason } = compare(tensor.shape, shape, isFirst);
      return `${text}: ${reason}`;
    }
  }
  const wanted = new Set(weights.map((weight) => weight.name));
  const member = (weight: string) => weight.slice(name.length + 1);
  const lacking = [...wanted].filter((weight) => !stored.has(weight)).map(member);
  const more = there.filter((weight) => !wanted.has(weight)).map(member);
  if (lacking.length + more.length === 0) return null;
  const parts = [
    lacking.length > 0 && `${lacking.join(", ")} is missing there`,
    more.length > 0 &&
    `${more.join(", ")} is there alone`,
  ].filter(Boolean);
  return `${parts.join(", ")}: another architecture${
    /running_/.test(parts.join()) ? " (batch norm in one alone)" : ""
  }`;
}

/** Both shapes as torch has them, and what the difference means. */
function compare(
  there: readonly number[],
  wanted: readonly number[],
  isFirst: boolean,
): { readonly text: string; readonly reason: string } {
  const here = there.length === 4 && wanted.length === 5 ? [...wanted.slice(0, 2), ...wanted.slice(3)] : wanted;
  const text = `${there.join("x") || "one number"} there, ${here.join("x")} here`;
  if (there.length !== here.length) return { text, reason: "another architecture" };
  const differs = (axis: number) => there[axis] !== here[axis];
  const reasons = [
    isFirst && differs(1) && "other input channels",
    (differs(0) || (!isFirst && differs(1))) && "another number of features",
    here.some((_, axis) => axis >= 2 && differs(axis)) && "kernels of another size",
  ].filter(Boolean);
  return { text, reason: reasons.join(", ") };
}

function layersOf(shapes: readonly WeightShape[]): Layer[] {
  const layers = new Map<string, WeightShape[]>();
  for (const weight of shapes) {
    const name = layerName(weight.name);
    const layer = layers.get(name);
    if (layer) layer.push(weight);
    else layers.set(name, [weight]);
  }
  return Array.from(layers, ([name, weights]) => ({ name, weights }));
}

function namesByLayer(names: Iterable<string>): Map<string, string[]> {
  const layers = new Map<string, string[]>();
  for (const name of names) {
    if (name.endsWith(".num_batches_tracked")) continue;
    const layer = layerName(name);
    layers.set(layer, [...layers.get(layer) ?? [], name]);
  }
  return layers;
}

/** "encoder.stages.0.0.convs.0" of its ".conv.weight", its ".norm.bias", ... */
function layerName(weight: string): string {
  return weight.replace(/(?:\.(?:conv|norm))?\.[a-z_]+$/, "");
}

function shown(lines: readonly string[]): string {
  const rest = lines.length > SHOWN ? `; and ${lines.length - SHOWN} more` : "";
  return lines.slice(0, SHOWN).join("; ") + rest;
}
