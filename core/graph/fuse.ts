/**
 * A graph with norms and activations fused into the operators that read them, and concatenations turned into shared tensors.
 * What remains are the steps that write a tensor. A reader sees stored tensors through a {@link View}: per part a norm and a
 * slope that it applies as it loads. No engine involved; every engine that fuses norms starts from this.
 */
import {
  type BatchNormNode,
  type Graph,
  type GraphNode,
  inferShapes,
  inputsOf,
  type InstanceNormNode,
  type ValueId,
  type ValueShape,
} from "./graph.ts";
import { padToFour, type Vec3 } from "../base/shape.ts";

/** Index of a stored tensor. */
export type TensorId = number;

/** A tensor that is written to memory, alone or as a channel range of a wider one. */
export interface StoredTensor {
  readonly channels: number;
  readonly grid: Vec3;
  /** The group of tensors that share one allocation, channel range beside channel range. */
  readonly group: number;
  /** First channel of its range, every member padded to four. */
  readonly channelOffset: number;
  /** True if a norm by its own values reads it, so that the writer leaves statistics. */
  readonly statistics: boolean;
}

/** Tensors that share an allocation: one, or those of a concatenation. */
export interface TensorGroup {
  readonly members: readonly TensorId[];
  /** Distance of two voxels: the members' channels, each padded to four. */
  readonly channelStride: number;
  readonly grid: Vec3;
}

/** A stored tensor as a reader sees it: y = norm(x), then max(y, y * slope). */
export interface ViewPart {
  readonly tensor: TensorId;
  readonly norm?: InstanceNormNode | BatchNormNode;
  readonly slope: number;
}

/** The channels of each part in turn; all parts lie in one group. */
export type View = readonly ViewPart[];

/** A step of the fused network; it writes the tensor `output`. */
export type FusedStep =
  | {
    readonly kind: "conv";
    readonly input: View;
    readonly output: TensorId;
    readonly kernel: Vec3;
    readonly stride: Vec3;
    /** Undefined: the identity, a copy that applies the view. */
    readonly weight?: string;
    readonly bias?: string;
  }
  | {
    readonly kind: "transposedConv";
    readonly input: View;
    readonly output: TensorId;
    readonly stride: Vec3;
    readonly weight: string;
    readonly bias?: string;
  }
  /** max(s, s * slope) of the sum s of both views. */
  | { readonly kind: "add"; readonly inputs: readonly [View, View]; readonly slope: number; readonly output: TensorId }
  | { readonly kind: "averagePool"; readonly input: View; readonly stride: Vec3; readonly output: TensorId };

/** A fused network. Tensor 0 is the input; every output is raw and alone in its group. */
export interface FusedNetwork {
  readonly tensors: readonly StoredTensor[];
  readonly groups: readonly TensorGroup[];
  readonly steps: readonly FusedStep[];
  /** In the order they were asked for. */
  readonly outputs: readonly TensorId[];
  /** The first of them. */
  readonly output: TensorId;
}

/** The views that a step reads. */
export function viewsOf(step: FusedStep): readonly View[] {
  return step.kind === "add" ? step.inputs : [step.input];
}

/** Names of all parameters that the steps read. */
export function parametersRead(steps: readonly FusedStep[]): Set<string> {
  const names = steps.flatMap((step) => [
    ...(step.kind === "conv" || step.kind === "transposedConv" ? [step.weight, step.bias] : []),
    ...viewsOf(step).flat().flatMap(({ norm }) => [norm?.weight, norm?.bias]),
  ]);
  return new Set(names.filter((name) => name !== undefined));
}

interface DraftTensor {
  readonly channels: number;
  readonly grid: Vec3;
  readonly writer: FusedStep["kind"] | "input";
  concat?: { readonly members: readonly TensorId[] };
  statistics: boolean;
}

/**
 * Fuses a graph for a patch; values that do not lead to one of `outputs` (by default the graph's first alone) are dropped.
 * What a view cannot express (a norm of an activation, a value in two concatenations) becomes an identity convolution first.
 * @param isTrained batch norm takes the moments of the batch, so that it needs statistics as instance norm does
 * @throws RangeError where shapes do not fit.
 * @example
 * ```ts
 * import { deepStrictEqual } from "node:assert";
 *
 * const network = fuseGraph(
 *   {
 *     nodes: [
 *       { kind: "input", channels: 1 },
 *       { kind: "conv", input: 0, channels: 8, kernel: [3, 3, 3], stride: [1, 1, 1], weight: "a.weight" },
 *       { kind: "instanceNorm", input: 1, eps: 1e-5 },
 *       { kind: "leakyRelu", input: 2, negativeSlope: 0.01 },
 *       { kind: "conv", input: 3, channels: 2, kernel: [1, 1, 1], stride: [1, 1, 1], weight: "b.weight" },
 *     ],
 *     outputs: [4],
 *   },
 *   [16, 16, 16],
 * );
 * // Norm and activation are no steps of their own: the second convolution applies them as it loads.
 * deepStrictEqual(network.steps.map(({ kind }) => kind), ["conv", "conv"]);
 * ```
 */
export function fuseGraph(
  graph: Graph,
  patch: Vec3,
  outputs: readonly ValueId[] = graph.outputs.slice(0, 1),
  isTrained = false,
): FusedNetwork {
  const draft: Draft = {
    shapes: inferShapes(graph, patch),
    readers: countReaders(graph, outputs),
    isTrained,
    tensors: [],
    steps: [],
    views: [],
  };
  graph.nodes.forEach((node, id) => draft.views.push(draft.readers[id] === 0 ? [] : fuseNode(draft, node, id)));
  const results = outputs.map((result) => storedAlone(draft, result));
  return { ...groupTensors(draft.tensors), steps: draft.steps, outputs: results, output: results[0] };
}

/** A network being fused. */
interface Draft {
  readonly shapes: readonly ValueShape[];
  readonly readers: readonly number[];
  readonly isTrained: boolean;
  readonly tensors: DraftTensor[];
  readonly steps: FusedStep[];
  /** Of the values so far; empty for those that lead to no output. */
  readonly views: View[];
}

/** Appends the steps that a node needs. @returns how its value is read */
function fuseNode(draft: Draft, node: GraphNode, id: ValueId): View {
  const { shapes, steps, views } = draft;
  const written = (output: TensorId): View => [{ tensor: output, slope: 1 }];
  switch (node.kind) {
    case "input":
      return written(store(draft, shapes[id], "input"));
    case "conv": {
      const { kernel, stride, weight, bias } = node;
      const output = store(draft, shapes[id], "conv");
      steps.push({ kind: "conv", input: views[node.input], output, kernel, stride, weight, bias });
      return written(output);
    }
    case "transposedConv": {
      const { stride, weight, bias } = node;
      const output = store(draft, shapes[id], "transposedConv");
      steps.push({ kind: "transposedConv", input: views[node.input], output, stride, weight, bias });
      return written(output);
    }
    case "instanceNorm":
    case "batchNorm":
      return normalised(draft, node.input, node);
    case "leakyRelu":
      return activated(draft, node.input, node.negativeSlope);
    case "add": {
      const inputs: [View, View] = [single(draft, node.inputs[0]), single(draft, node.inputs[1])];
      const output = store(draft, shapes[id], "add");
      steps.push({ kind: "add", inputs, slope: 1, output });
      return written(output);
    }
    case "averagePool": {
      const input = single(draft, node.input);
      const output = store(draft, shapes[id], "averagePool");
      steps.push({ kind: "averagePool", input, stride: node.stride, output });
      return written(output);
    }
    case "concat":
      return joined(draft, node.inputs);
  }
}

function store({ tensors }: Draft, shape: ValueShape, writer: DraftTensor["writer"]): TensorId {
  return tensors.push({ ...shape, writer, statistics: false }) - 1;
}

/** What a view shows, written by an identity convolution. */
function copy(draft: Draft, view: View, shape: ValueShape): View {
  const output = store(draft, shape, "conv");
  draft.steps.push({ kind: "conv", input: view, output, kernel: [1, 1, 1], stride: [1, 1, 1] });
  return [{ tensor: output, slope: 1 }];
}

/** The same value as one tensor, which its reader may still have to norm. */
function single(draft: Draft, id: ValueId): View {
  const view = draft.views[id];
  return view.length === 1 ? view : copy(draft, view, draft.shapes[id]);
}

function normalised(draft: Draft, id: ValueId, norm: InstanceNormNode | BatchNormNode): View {
  const { tensors, shapes, isTrained } = draft;
  let view = single(draft, id);
  const [{ tensor, norm: former, slope }] = view;
  const needsStatistics = norm.kind === "instanceNorm" || isTrained;
  const lacksStatistics = needsStatistics && tensors[tensor].writer !== "conv";
  if (former || slope !== 1 || lacksStatistics) view = copy(draft, view, shapes[id]);
  if (needsStatistics) tensors[view[0].tensor].statistics = true;
  return [{ tensor: view[0].tensor, norm, slope: 1 }];
}

function activated({ views, steps, readers }: Draft, id: ValueId, slope: number): View {
  const [{ tensor, norm, slope: former }, second] = views[id];
  const writer = steps.findIndex((step) => step.output === tensor);
  const step = steps[writer];
  // A sum that only its activation reads is stored activated.
  if (!second && !norm && former === 1 && step?.kind === "add" && readers[id] === 1) {
    steps[writer] = { ...step, slope: step.slope * slope };
    return views[id];
  }
  return views[id].map((part) => ({ ...part, slope: part.slope * slope }));
}

function joined(draft: Draft, ids: readonly ValueId[]): View {
  const { views, tensors, shapes } = draft;
  const taken = new Set<TensorId>();
  const parts = ids.flatMap((id) => {
    const usable = views[id].every(({ tensor }) => tensor !== 0 && !tensors[tensor].concat && !taken.has(tensor));
    const view = usable ? views[id] : copy(draft, views[id], shapes[id]);
    view.forEach(({ tensor }) => taken.add(tensor));
    return view;
  });
  const concat = { members: parts.map((part) => part.tensor) };
  for (const { tensor } of parts) tensors[tensor].concat = concat;
  return parts;
}

/** The tensor of an output, raw and alone in its group. */
function storedAlone(draft: Draft, result: ValueId): TensorId {
  const { views, tensors, shapes } = draft;
  const [part, ...others] = views[result];
  const plain = others.length === 0 && !part.norm && part.slope === 1 && part.tensor !== 0 &&
    !tensors[part.tensor].concat;
  const [{ tensor }] = plain ? views[result] : copy(draft, views[result], shapes[result]);
  return tensor;
}

/** How often every value is read by values that lead to an output (which itself counts once). */
function countReaders(graph: Graph, outputs: readonly ValueId[]): number[] {
  const readers = graph.nodes.map(() => 0);
  for (const output of outputs) readers[output] = 1;
  for (let id = graph.nodes.length - 1; id >= 0; id--) {
    if (readers[id] > 0) { for (const input of inputsOf(graph.nodes[id])) readers[input]++; }
  }
  readers[0] = Math.max(readers[0], 1);
  return readers;
}

function groupTensors(drafts: readonly DraftTensor[]): { tensors: StoredTensor[]; groups: TensorGroup[] } {
  const groups: TensorGroup[] = [];
  const groupOf = new Map<DraftTensor["concat"], number>();
  const tensors = drafts.map(({ channels, grid, concat, statistics }, id): StoredTensor => {
    const members = concat?.members ?? [id];
    let group = concat && groupOf.get(concat);
    if (group === undefined) {
      const channelStride = members.reduce((sum, member) => sum + padToFour(drafts[member].channels), 0);
      group = groups.push({ members, channelStride, grid }) - 1;
      groupOf.set(concat, group);
    }
    const before = members.slice(0, members.indexOf(id));
    const channelOffset = before.reduce((sum, member) => sum + padToFour(drafts[member].channels), 0);
    return { channels, grid, group, channelOffset, statistics };
  });
  return { tensors, groups };
}
