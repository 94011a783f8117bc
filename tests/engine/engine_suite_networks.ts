/** The networks of the engine suite: each has something that the others have not. */
import type { Vec3 } from "../../core/base/shape.ts";
import type { Graph } from "../../core/graph/graph.ts";
import { buildGraph } from "../../core/network/build_graph.ts";
import { architecture } from "./networks.ts";

export interface SuiteNetwork {
  readonly name: string;
  readonly graph: () => Graph;
  readonly patch: Vec3;
  readonly batch: number;
}

export const SUITE_NETWORKS: readonly SuiteNetwork[] = [
  {
    name: "a plain 3-D U-Net",
    graph: () => buildGraph(architecture({ featuresPerStage: [8, 12, 16] }), 1, 3),
    patch: [16, 16, 16],
    batch: 1,
  },
  {
    name: "a plain 3-D U-Net on a grid that Winograd tiles do not fit",
    graph: () => buildGraph(architecture({ featuresPerStage: [6, 10] }), 2, 5),
    patch: [10, 14, 22],
    batch: 2,
  },
  {
    name: "an anisotropic 3-D U-Net",
    graph: () =>
      buildGraph(
        architecture({
          featuresPerStage: [5, 9, 12],
          kernelSizes: [[1, 3, 3], [3, 3, 3], [3, 3, 3]],
          strides: [[1, 1, 1], [1, 2, 2], [2, 2, 2]],
        }),
        1,
        2,
      ),
    patch: [6, 20, 28],
    batch: 1,
  },
  {
    name: "a 2-D U-Net in a batch of three",
    graph: () => buildGraph(architecture({ dimensions: 2, featuresPerStage: [8, 16, 32] }), 3, 4),
    patch: [1, 36, 44],
    batch: 3,
  },
  {
    name: "a residual encoder U-Net",
    graph: () =>
      buildGraph(
        architecture({
          family: "ResidualEncoderUNet",
          featuresPerStage: [8, 16, 16],
          blocksPerStage: [1, 2, 2],
          convsPerStageDecoder: [1, 1],
        }),
        1,
        3,
      ),
    patch: [16, 8, 24],
    batch: 2,
  },
  {
    name: "a 2-D residual encoder U-Net",
    graph: () =>
      buildGraph(
        architecture({
          family: "ResidualEncoderUNet",
          dimensions: 2,
          featuresPerStage: [6, 11, 18],
          blocksPerStage: [1, 2, 1],
          convsPerStageDecoder: [1, 1],
        }),
        1,
        2,
      ),
    patch: [1, 40, 24],
    batch: 1,
  },
  {
    name: "a U-Net with batch norm",
    graph: () =>
      buildGraph(
        architecture({ featuresPerStage: [8, 12], norm: { kind: "batch", eps: 1e-5, affine: true } }),
        1,
        3,
      ),
    patch: [12, 12, 12],
    batch: 2,
  },
  {
    name: "a U-Net without norms and biases",
    graph: () =>
      buildGraph(
        architecture({
          featuresPerStage: [8, 12],
          convBias: false,
          norm: { kind: "none", eps: 0, affine: false },
          negativeSlope: 0.2,
        }),
        1,
        3,
      ),
    patch: [8, 12, 12],
    batch: 1,
  },
  {
    name: "a U-Net whose activation comes before its norm",
    graph: () => buildGraph(architecture({ featuresPerStage: [8, 12], nonlinFirst: true }), 1, 3),
    patch: [8, 12, 12],
    batch: 2,
  },
  {
    name: "a U-Net of kernels 5 and 1 and stride 3",
    graph: () =>
      buildGraph(
        architecture({
          featuresPerStage: [4, 8],
          kernelSizes: [[5, 5, 5], [1, 1, 1]],
          strides: [[1, 1, 1], [3, 1, 3]],
        }),
        1,
        2,
      ),
    patch: [9, 7, 12],
    batch: 1,
  },
  {
    name: "a value that is concatenated twice and pooled",
    graph: () => ({
      nodes: [
        { kind: "input", channels: 2 },
        { kind: "conv", input: 0, channels: 5, kernel: [3, 3, 3], stride: [1, 1, 1], weight: "a.weight" },
        { kind: "instanceNorm", input: 1, eps: 1e-5 },
        { kind: "leakyRelu", input: 2, negativeSlope: 0.1 },
        { kind: "concat", inputs: [0, 3] },
        { kind: "concat", inputs: [3, 4] },
        { kind: "averagePool", input: 5, stride: [2, 1, 3] },
        { kind: "instanceNorm", input: 6, eps: 1e-5 },
        { kind: "leakyRelu", input: 7, negativeSlope: 0.3 },
      ],
      outputs: [8],
    }),
    patch: [5, 6, 10],
    batch: 2,
  },
];
