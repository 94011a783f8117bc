/**
 * The graphs of nnU-Net's two U-Nets, with torch's names for their weights.
 * Source: dynamic_network_architectures 0.3.1, architectures/unet.py (PlainConvUNet, ResidualEncoderUNet) and the building blocks
 * it uses: ConvDropoutNormReLU, StackedConvBlocks, BasicBlockD, UNetDecoder. 2-D networks have z = 1.
 */
import type { Vec3 } from "../base/shape.ts";
import type { Graph, GraphNode, ValueId } from "../graph/graph.ts";
import type { NetworkArchitecture } from "./architecture.ts";

export interface BuildGraphOptions {
  /** True: one output for each decoder stage, highest resolution first. False (default): the highest resolution alone. */
  readonly deepSupervision?: boolean;
}

/** What a block does besides its convolution. */
interface Block {
  readonly channels: number;
  readonly kernel: Vec3;
  readonly stride: Vec3;
  readonly bias: boolean;
  readonly activate: boolean;
}

const ONE: Vec3 = [1, 1, 1];

/**
 * Builds the network of a configuration.
 * @param inputChannels Image channels, and for a cascade's later stage one for each foreground label.
 * @param outputChannels Segmentation heads.
 * @example
 * ```ts
 * import { deepStrictEqual } from "node:assert";
 * import { inferShapes } from "../graph/graph.ts";
 *
 * const graph = buildGraph(
 *   {
 *     family: "PlainConvUNet",
 *     dimensions: 3,
 *     featuresPerStage: [8, 16],
 *     kernelSizes: [[3, 3, 3], [3, 3, 3]],
 *     strides: [[1, 1, 1], [2, 2, 2]],
 *     blocksPerStage: [2, 2],
 *     convsPerStageDecoder: [2],
 *     convBias: true,
 *     norm: { kind: "instance", eps: 1e-5, affine: true },
 *     negativeSlope: 0.01,
 *     nonlinFirst: false,
 *   },
 *   1,
 *   3,
 * );
 * const shapes = inferShapes(graph, [16, 32, 32]);
 * deepStrictEqual(shapes[graph.outputs[0]], { channels: 3, grid: [16, 32, 32] });
 * ```
 */
export function buildGraph(
  architecture: NetworkArchitecture,
  inputChannels: number,
  outputChannels: number,
  options: BuildGraphOptions = {},
): Graph {
  const { featuresPerStage: features, kernelSizes, strides, norm, negativeSlope: slope, convBias } = architecture;
  const nodes: GraphNode[] = [];
  const channels: number[] = [];

  function add(node: GraphNode, outputs: number): ValueId {
    channels.push(outputs);
    return nodes.push(node) - 1;
  }
  function activation(input: ValueId): ValueId {
    if (slope === 1) return input;
    return add({ kind: "leakyRelu", input, negativeSlope: slope }, channels[input]);
  }
  function normalisation(input: ValueId, name: string): ValueId {
    if (norm.kind === "none") return input;
    const affine = norm.affine ? { weight: `${name}.weight`, bias: `${name}.bias` } : {};
    const node: GraphNode = norm.kind === "instance" ? { kind: "instanceNorm", input, eps: norm.eps, ...affine } : {
      kind: "batchNorm",
      input,
      eps: norm.eps,
      ...affine,
      runningMean: `${name}.running_mean`,
      runningVar: `${name}.running_var`,
    };
    return add(node, channels[input]);
  }
  function convolution(input: ValueId, name: string, block: Omit<Block, "activate">): ValueId {
    const { channels: outputs, kernel, stride, bias } = block;
    const weights = { weight: `${name}.weight`, ...(bias ? { bias: `${name}.bias` } : {}) };
    return add({ kind: "conv", input, channels: outputs, kernel, stride, ...weights }, outputs);
  }
  /** ConvDropoutNormReLU: conv, norm, activation; the last two swapped with nonlinFirst. */
  function convBlock(input: ValueId, name: string, block: Block): ValueId {
    const value = convolution(input, `${name}.conv`, block);
    if (!block.activate) return normalisation(value, `${name}.norm`);
    return architecture.nonlinFirst
      ? normalisation(activation(value), `${name}.norm`)
      : activation(normalisation(value, `${name}.norm`));
  }
  /** StackedConvBlocks: the first block has the stride. */
  function stackedConvs(
    input: ValueId,
    name: string,
    count: number,
    outputs: number,
    kernel: Vec3,
    stride: Vec3,
  ): ValueId {
    let value = input;
    for (let i = 0; i < count; i++) {
      const block: Block = { channels: outputs, kernel, stride: i ? ONE : stride, bias: convBias, activate: true };
      value = convBlock(value, `${name}.convs.${i}`, block);
    }
    return value;
  }
  /** BasicBlockD: two conv blocks beside a skip of average pool (if strided) and 1x1 conv (if channels change). */
  function residualBlock(input: ValueId, name: string, outputs: number, kernel: Vec3, stride: Vec3): ValueId {
    const block: Block = { channels: outputs, kernel, stride, bias: convBias, activate: true };
    const first = convBlock(input, `${name}.conv1`, block);
    const second = convBlock(first, `${name}.conv2`, { ...block, stride: ONE, activate: false });
    const strided = stride.some((step) => step !== 1);
    let skip = strided ? add({ kind: "averagePool", input, stride }, channels[input]) : input;
    if (channels[input] !== outputs) {
      const projection: Block = { channels: outputs, kernel: ONE, stride: ONE, bias: false, activate: false };
      skip = convBlock(skip, `${name}.skip.${strided ? 1 : 0}`, projection);
    }
    return activation(add({ kind: "add", inputs: [second, skip] }, outputs));
  }

  let value = add({ kind: "input", channels: inputChannels }, inputChannels);
  const residual = architecture.family === "ResidualEncoderUNet";
  if (residual) {
    const stem = architecture.stemChannels ?? features[0];
    value = stackedConvs(value, "encoder.stem", 1, stem, kernelSizes[0], ONE);
  }
  const skips: ValueId[] = features.map((outputs, stage) => {
    const kernel = kernelSizes[stage];
    const count = architecture.blocksPerStage[stage];
    if (!residual) value = stackedConvs(value, `encoder.stages.${stage}.0`, count, outputs, kernel, strides[stage]);
    for (let i = 0; residual && i < count; i++) {
      value = residualBlock(value, `encoder.stages.${stage}.blocks.${i}`, outputs, kernel, i ? ONE : strides[stage]);
    }
    return value;
  });

  const heads: ValueId[] = [];
  for (let i = 0; i < features.length - 1; i++) {
    const skipStage = features.length - 2 - i;
    const outputs = features[skipStage];
    const name = `decoder.transpconvs.${i}`;
    const up = add({
      kind: "transposedConv",
      input: value,
      channels: outputs,
      stride: strides[skipStage + 1],
      weight: `${name}.weight`,
      ...(convBias ? { bias: `${name}.bias` } : {}),
    }, outputs);
    const joined = add({ kind: "concat", inputs: [up, skips[skipStage]] }, 2 * outputs);
    const convs = architecture.convsPerStageDecoder[i];
    value = stackedConvs(joined, `decoder.stages.${i}`, convs, outputs, kernelSizes[skipStage], ONE);
    if (options.deepSupervision || skipStage === 0) {
      const head = { channels: outputChannels, kernel: ONE, stride: ONE, bias: true };
      heads.unshift(convolution(value, `decoder.seg_layers.${i}`, head));
    }
  }
  return { nodes, outputs: heads };
}
