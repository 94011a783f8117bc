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
  const draft: Draft = { architecture, nodes: [], channels: [] };
  const input = add(draft, { kind: "input", channels: inputChannels }, inputChannels);
  const skips = encoder(draft, input);
  const heads = decoder(draft, skips, outputChannels, options.deepSupervision ?? false);
  return { nodes: draft.nodes, outputs: heads };
}

/** A graph being built. */
interface Draft {
  readonly architecture: NetworkArchitecture;
  readonly nodes: GraphNode[];
  /** Of each node. */
  readonly channels: number[];
}

/** The output of each stage, highest resolution first. */
function encoder(draft: Draft, input: ValueId): ValueId[] {
  const { family, featuresPerStage: features, kernelSizes, strides, blocksPerStage, stemChannels } = draft.architecture;
  const residual = family === "ResidualEncoderUNet";
  let value = input;
  if (residual) value = stackedConvs(draft, value, "encoder.stem", 1, stemChannels ?? features[0], kernelSizes[0], ONE);
  return features.map((outputs, stage) => {
    const [kernel, stride, count] = [kernelSizes[stage], strides[stage], blocksPerStage[stage]];
    if (!residual) value = stackedConvs(draft, value, `encoder.stages.${stage}.0`, count, outputs, kernel, stride);
    for (let i = 0; residual && i < count; i++) {
      value = residualBlock(draft, value, `encoder.stages.${stage}.blocks.${i}`, outputs, kernel, i ? ONE : stride);
    }
    return value;
  });
}

/** From the lowest resolution up. @returns the segmentation heads, highest resolution first */
function decoder(draft: Draft, skips: readonly ValueId[], outputChannels: number, deepSupervision: boolean): ValueId[] {
  const { featuresPerStage: features, kernelSizes, strides, convsPerStageDecoder, convBias } = draft.architecture;
  const heads: ValueId[] = [];
  let value = skips[skips.length - 1];
  for (let i = 0; i < features.length - 1; i++) {
    const skipStage = features.length - 2 - i;
    const outputs = features[skipStage];
    const name = `decoder.transpconvs.${i}`;
    const up = add(draft, {
      kind: "transposedConv",
      input: value,
      channels: outputs,
      stride: strides[skipStage + 1],
      weight: `${name}.weight`,
      ...(convBias ? { bias: `${name}.bias` } : {}),
    }, outputs);
    const joined = add(draft, { kind: "concat", inputs: [up, skips[skipStage]] }, 2 * outputs);
    const convs = convsPerStageDecoder[i];
    value = stackedConvs(draft, joined, `decoder.stages.${i}`, convs, outputs, kernelSizes[skipStage], ONE);
    if (deepSupervision || skipStage === 0) {
      const head = { channels: outputChannels, kernel: ONE, stride: ONE, bias: true };
      heads.unshift(convolution(draft, value, `decoder.seg_layers.${i}`, head));
    }
  }
  return heads;
}

/** StackedConvBlocks: the first block has the stride. */
function stackedConvs(
  draft: Draft,
  input: ValueId,
  name: string,
  count: number,
  channels: number,
  kernel: Vec3,
  stride: Vec3,
): ValueId {
  const bias = draft.architecture.convBias;
  let value = input;
  for (let i = 0; i < count; i++) {
    const block: Block = { channels, kernel, stride: i ? ONE : stride, bias, activate: true };
    value = convBlock(draft, value, `${name}.convs.${i}`, block);
  }
  return value;
}

/** BasicBlockD: two conv blocks beside a skip of average pool (if strided) and 1x1 conv (if channels change). */
function residualBlock(
  draft: Draft,
  input: ValueId,
  name: string,
  outputs: number,
  kernel: Vec3,
  stride: Vec3,
): ValueId {
  const { architecture: { convBias }, channels } = draft;
  const block: Block = { channels: outputs, kernel, stride, bias: convBias, activate: true };
  const first = convBlock(draft, input, `${name}.conv1`, block);
  const second = convBlock(draft, first, `${name}.conv2`, { ...block, stride: ONE, activate: false });
  const strided = stride.some((step) => step !== 1);
  let skip = strided ? add(draft, { kind: "averagePool", input, stride }, channels[input]) : input;
  if (channels[input] !== outputs) {
    const projection: Block = { channels: outputs, kernel: ONE, stride: ONE, bias: false, activate: false };
    skip = convBlock(draft, skip, `${name}.skip.${strided ? 1 : 0}`, projection);
  }
  return activation(draft, add(draft, { kind: "add", inputs: [second, skip] }, outputs));
}

/** ConvDropoutNormReLU: conv, norm, activation; the last two swapped with nonlinFirst. */
function convBlock(draft: Draft, input: ValueId, name: string, block: Block): ValueId {
  const value = convolution(draft, input, `${name}.conv`, block);
  if (!block.activate) return normalisation(draft, value, `${name}.norm`);
  return draft.architecture.nonlinFirst
    ? normalisation(draft, activation(draft, value), `${name}.norm`)
    : activation(draft, normalisation(draft, value, `${name}.norm`));
}

function convolution(draft: Draft, input: ValueId, name: string, block: Omit<Block, "activate">): ValueId {
  const { channels, kernel, stride, bias } = block;
  const weights = { weight: `${name}.weight`, ...(bias ? { bias: `${name}.bias` } : {}) };
  return add(draft, { kind: "conv", input, channels, kernel, stride, ...weights }, channels);
}

function normalisation(draft: Draft, input: ValueId, name: string): ValueId {
  const { norm: { kind, eps, affine } } = draft.architecture;
  if (kind === "none") return input;
  const parameters = affine ? { weight: `${name}.weight`, bias: `${name}.bias` } : {};
  const node: GraphNode = kind === "instance" ? { kind: "instanceNorm", input, eps, ...parameters } : {
    kind: "batchNorm",
    input,
    eps,
    ...parameters,
    runningMean: `${name}.running_mean`,
    runningVar: `${name}.running_var`,
  };
  return add(draft, node, draft.channels[input]);
}

function activation(draft: Draft, input: ValueId): ValueId {
  const { negativeSlope } = draft.architecture;
  return negativeSlope === 1 ? input : add(draft, { kind: "leakyRelu", input, negativeSlope }, draft.channels[input]);
}

function add({ nodes, channels }: Draft, node: GraphNode, outputs: number): ValueId {
  channels.push(outputs);
  return nodes.push(node) - 1;
}
