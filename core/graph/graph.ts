/**
 * A network as data: a static single-assignment graph over channels-of-3-D-grids values. It says what is computed, not how:
 * fusing norms into their consumers, buffer reuse and the choice of algorithms belong to the engines.
 * Node i produces value i; nodes are in topological order; 2-D networks have z = 1 and kernels (1, ky, kx).
 */
import type { Vec3 } from "../base/shape.ts";

/** Index of the node that produces the value. */
export type ValueId = number;

/** The network input: `channels` image (and one-hot) channels. Always node 0. */
export interface InputNode {
  readonly kind: "input";
  readonly channels: number;
}

/** Cross-correlation with zero padding (kernel-1)/2 per axis, torch's ConvNd. Weight (out, in, kz, ky, kx), bias (out). */
export interface ConvNode {
  readonly kind: "conv";
  readonly input: ValueId;
  readonly channels: number;
  readonly kernel: Vec3;
  readonly stride: Vec3;
  readonly weight: string;
  readonly bias?: string;
}

/** torch's ConvTransposeNd with kernel = stride, no padding. Weight (in, out, sz, sy, sx), bias (out). */
export interface TransposedConvNode {
  readonly kind: "transposedConv";
  readonly input: ValueId;
  readonly channels: number;
  readonly stride: Vec3;
  readonly weight: string;
  readonly bias?: string;
}

/** Instance norm: biased variance over the grid of each sample and channel; y = (x-mean)/sqrt(var+eps)*weight+bias. */
export interface InstanceNormNode {
  readonly kind: "instanceNorm";
  readonly input: ValueId;
  readonly eps: number;
  readonly weight?: string;
  readonly bias?: string;
}

/** Batch norm: by the running mean and variance, in training steps by those of the batch over samples and grid. */
export interface BatchNormNode {
  readonly kind: "batchNorm";
  readonly input: ValueId;
  readonly eps: number;
  readonly weight?: string;
  readonly bias?: string;
  readonly runningMean: string;
  readonly runningVar: string;
}

/** max(x, 0) + negativeSlope * min(x, 0), 0 <= negativeSlope <= 1. */
export interface LeakyReluNode {
  readonly kind: "leakyRelu";
  readonly input: ValueId;
  readonly negativeSlope: number;
}

/** Elementwise sum of two values of one shape. */
export interface AddNode {
  readonly kind: "add";
  readonly inputs: readonly [ValueId, ValueId];
}

/** Average pooling with kernel = stride, no padding, odd rests dropped. */
export interface AveragePoolNode {
  readonly kind: "averagePool";
  readonly input: ValueId;
  readonly stride: Vec3;
}

/** Channels of the first input, then those of the second. */
export interface ConcatNode {
  readonly kind: "concat";
  readonly inputs: readonly [ValueId, ValueId];
}

export type GraphNode =
  | InputNode
  | ConvNode
  | TransposedConvNode
  | InstanceNormNode
  | BatchNormNode
  | LeakyReluNode
  | AddNode
  | AveragePoolNode
  | ConcatNode;

/** A network: nodes in topological order and the values that are its results (logits; with deep supervision several). */
export interface Graph {
  readonly nodes: readonly GraphNode[];
  readonly outputs: readonly ValueId[];
}

/** Channels and grid of a value. */
export interface ValueShape {
  readonly channels: number;
  readonly grid: Vec3;
}

/** The values a node reads. */
export function inputsOf(node: GraphNode): readonly ValueId[] {
  if (node.kind === "input") return [];
  return "inputs" in node ? node.inputs : [node.input];
}

/**
 * Channels and grid of every value for a network input of `patch` voxels.
 * @throws RangeError where shapes do not fit, naming the node.
 */
export function inferShapes(graph: Graph, patch: Vec3): ValueShape[] {
  const shapes: ValueShape[] = [];
  graph.nodes.forEach((node, index) => shapes.push(shapeOf(node, index, shapes, patch)));
  return shapes;
}

function shapeOf(node: GraphNode, index: number, shapes: readonly ValueShape[], patch: Vec3): ValueShape {
  switch (node.kind) {
    case "input":
      return { channels: node.channels, grid: patch };
    case "conv": {
      const { grid } = shapes[node.input];
      const out = (i: number) =>
        Math.floor((grid[i] + 2 * Math.floor((node.kernel[i] - 1) / 2) - node.kernel[i]) / node.stride[i]) + 1;
      return { channels: node.channels, grid: [out(0), out(1), out(2)] };
    }
    case "transposedConv": {
      const { grid } = shapes[node.input];
      return {
        channels: node.channels,
        grid: [grid[0] * node.stride[0], grid[1] * node.stride[1], grid[2] * node.stride[2]],
      };
    }
    case "averagePool": {
      const { channels, grid } = shapes[node.input];
      const out = (i: number) => Math.floor(grid[i] / node.stride[i]);
      return { channels, grid: [out(0), out(1), out(2)] };
    }
    case "add":
    case "concat": {
      const [a, b] = node.inputs.map((id) => shapes[id]);
      const sameGrid = a.grid.every((n, i) => n === b.grid[i]);
      if (!sameGrid || (node.kind === "add" && a.channels !== b.channels)) {
        throw new RangeError(
          `Joining the inputs of node ${index} (${node.kind}): ${describeShape(a)} and ${describeShape(b)} do not fit`,
        );
      }
      return { channels: node.kind === "add" ? a.channels : a.channels + b.channels, grid: a.grid };
    }
    default:
      return shapes[node.input];
  }
}

function describeShape(shape: ValueShape): string {
  return `${shape.channels} channels of ${shape.grid.join("x")}`;
}
