/** Cases of networks: each has something that the others have not. */
import { type Vec3, voxelCount } from "../base/shape.ts";
import type { Engine, Precision, Program, WeightSet } from "../engine/engine.ts";
import type { PatchPlacement } from "../engine/volume.ts";
import type { Graph } from "../graph/graph.ts";
import type { NetworkArchitecture } from "../network/architecture.ts";
import { buildGraph } from "../network/build_graph.ts";
import { type CaseEngine, type CaseResult, type EngineCase, type TimedSize, type TimedWork, uploaded } from "./case.ts";
import { randomValues, randomWeights } from "./random_data.ts";

export type Stages = Partial<NetworkArchitecture> & Pick<NetworkArchitecture, "featuresPerStage">;

/** A U-Net as nnU-Net plans it, but for what `options` says. */
export function architecture(options: Stages): NetworkArchitecture {
  const stages = options.featuresPerStage.length;
  const cube = (n: number): Vec3 => [options.dimensions === 2 ? 1 : n, n, n];
  return {
    family: "PlainConvUNet",
    dimensions: 3,
    kernelSizes: Array.from({ length: stages }, () => cube(3)),
    strides: Array.from({ length: stages }, (_, stage) => cube(stage === 0 ? 1 : 2)),
    blocksPerStage: new Array(stages).fill(2),
    convsPerStageDecoder: new Array(stages - 1).fill(2),
    convBias: true,
    norm: { kind: "instance", eps: 1e-5, affine: true },
    negativeSlope: 0.01,
    nonlinFirst: false,
    ...options,
  };
}

/** A network and what it is run on. */
export interface NetworkSize {
  readonly graph: Graph;
  readonly patch: Vec3;
  readonly batch: number;
}

/** A network ready to run on random patches. */
export interface PreparedNetwork extends TimedWork {
  readonly program: Program;
  readonly weights: WeightSet;
}

/** Compiles a network, with random weights and patches. */
export async function prepareNetwork(
  engine: Engine,
  { graph, patch, batch }: NetworkSize,
  precision: Precision,
): Promise<PreparedNetwork> {
  using taken = new DisposableStack();
  const program = taken.use(await engine.compile(graph, { patch, batch, precision }));
  const weights = taken.use(await engine.loadWeights(program, randomWeights()));
  const [input] = graph.nodes;
  const channels = input.kind === "input" ? input.channels : 0;
  const grid: Vec3 = [patch[0] + 1, patch[1] + 2, patch[2] + batch];
  const volume = taken.use(uploaded(engine, "volume", randomValues(channels * voxelCount(grid), 5)));
  const patches = Array.from({ length: batch }, (_, i): PatchPlacement => ({
    origin: [1, 2, i],
    mirror: [i % 2 === 1, false, false],
  }));
  engine.gatherPatches({ volume, channels, grid, patches, program });
  const { memory } = program;
  const owned = taken.move();
  return {
    program,
    weights,
    voxels: batch * voxelCount(patch),
    bytes: memory.weights + memory.activations,
    run: () => engine.run(program, weights),
    [Symbol.dispose]: () => owned.dispose(),
  };
}

/** The logits of every sample. */
async function forward(engine: Engine, size: NetworkSize, precision: Precision): Promise<CaseResult> {
  using prepared = await prepareNetwork(engine, size, precision);
  prepared.run();
  const outputs: [string, Float32Array][] = [];
  for (let i = 0; i < size.batch; i++) outputs.push([`output ${i}`, await engine.downloadOutput(prepared.program, i)]);
  return Object.fromEntries(outputs);
}

async function twoWeightSets(engine: Engine): Promise<CaseResult> {
  const graph = buildGraph(architecture({ featuresPerStage: [4, 8] }), 1, 2);
  const patch: Vec3 = [8, 8, 8];
  using one = await engine.compile(graph, { patch, batch: 1, precision: "f32" });
  using two = await engine.compile(graph, { patch, batch: 2, precision: "f32" });
  using first = await engine.loadWeights(one, randomWeights(1));
  using second = await engine.loadWeights(two, randomWeights(2));
  using volume = uploaded(engine, "volume", randomValues(voxelCount(patch), 51));
  const placement: PatchPlacement = { origin: [0, 0, 0], mirror: [false, false, false] };
  const results: [string, Float32Array][] = [];
  for (const program of [one, two]) {
    const patches = new Array(program.batch).fill(placement);
    engine.gatherPatches({ volume, channels: 1, grid: patch, patches, program });
  }
  for (const [i, weights] of [first, second].entries()) {
    for (const program of [one, two]) {
      engine.run(program, weights);
      const sample = program.batch - 1;
      results.push([`weights ${i}, sample ${sample}`, await engine.downloadOutput(program, sample)]);
    }
  }
  return Object.fromEntries(results);
}

const CUBE: Vec3 = [3, 3, 3];
const ONE: Vec3 = [1, 1, 1];
const TWO: Vec3 = [2, 2, 2];

/** One node of every kind, convolutions of every form. No biases before norms, and slopes near 1: see training.ts. */
export const EVERY_NODE: NetworkSize = {
  graph: {
    nodes: [
      { kind: "input", channels: 1 },
      { kind: "conv", input: 0, channels: 8, kernel: CUBE, stride: ONE, weight: "a.weight" },
      { kind: "instanceNorm", input: 1, eps: 1e-5, weight: "b.norm.weight", bias: "b.norm.bias" },
      { kind: "leakyRelu", input: 2, negativeSlope: 0.98 },
      { kind: "conv", input: 3, channels: 16, kernel: CUBE, stride: TWO, weight: "c.weight" },
      { kind: "batchNorm", input: 4, eps: 1e-5, runningMean: "d.running_mean", runningVar: "d.running_var" },
      { kind: "leakyRelu", input: 5, negativeSlope: 0.98 },
      { kind: "conv", input: 6, channels: 16, kernel: [1, 3, 3], stride: ONE, weight: "e.weight" },
      { kind: "instanceNorm", input: 7, eps: 1e-5 },
      { kind: "averagePool", input: 3, stride: TWO },
      { kind: "conv", input: 9, channels: 16, kernel: ONE, stride: ONE, weight: "f.weight" },
      { kind: "add", inputs: [8, 10] },
      { kind: "leakyRelu", input: 11, negativeSlope: 0.98 },
      { kind: "transposedConv", input: 12, channels: 8, stride: TWO, weight: "transpconvs.weight", bias: "g.bias" },
      { kind: "concat", inputs: [13, 3] },
      { kind: "conv", input: 14, channels: 8, kernel: CUBE, stride: ONE, weight: "h.weight" },
      { kind: "instanceNorm", input: 15, eps: 1e-5 },
      { kind: "leakyRelu", input: 16, negativeSlope: 0.98 },
      { kind: "conv", input: 17, channels: 3, kernel: ONE, stride: ONE, weight: "i.weight", bias: "i.bias" },
    ],
    outputs: [18],
  },
  patch: [4, 6, 8],
  batch: 2,
};

/** A plain U-Net of so many features a stage. */
export interface TimedNetwork extends NetworkSize, TimedSize {
  readonly features: readonly number[];
  prepare(engine: CaseEngine, precision: Precision): Promise<PreparedNetwork>;
}

export function timedNetwork(
  edge: number,
  features: readonly number[],
  dimensions: 2 | 3 = 3,
  batch = 1,
): TimedNetwork {
  const patch: Vec3 = [dimensions === 2 ? 1 : edge, edge, edge];
  const size = { graph: buildGraph(architecture({ dimensions, featuresPerStage: features }), 1, 3), patch, batch };
  return {
    ...size,
    name: `a plain ${dimensions}-D network of ${features.join(", ")} features on ${patch.join(" x ")}`,
    features,
    prepare: (engine, precision) => prepareNetwork(engine, size, precision),
  };
}

/** The networks that benches time, by name. */
export const TIMED_NETWORKS: Readonly<Record<string, TimedNetwork>> = {
  "64": timedNetwork(64, [32, 64, 128, 256, 320]),
  "96": timedNetwork(96, [32, 64, 128, 256, 320]),
  "128": timedNetwork(128, [32, 64, 128, 256, 320, 320]),
  "2d": timedNetwork(256, [32, 64, 128, 256, 512, 512, 512], 2),
};

interface NetworkSpec extends Partial<Pick<EngineCase, "precisions" | "selfTest" | "everyWay" | "timed">> {
  readonly name: string;
  /** Or a graph of its own. */
  readonly net: Stages | Graph;
  /** Channels of the image and of the logits; 1 and 3 unless given. */
  readonly channels?: readonly [number, number];
  readonly patch: Vec3;
  readonly batch: number;
}

/** Shapes for which the planner takes Winograd and direct kernels of all sorts; tests/engine/gpu_self_test_test.ts counts them. */
const NETWORKS: readonly NetworkSpec[] = [
  {
    name: "a plain 3-D network",
    net: { featuresPerStage: [32, 64], convsPerStageDecoder: [1] },
    patch: [16, 16, 16],
    batch: 1,
    selfTest: true,
    timed: [TIMED_NETWORKS["64"], TIMED_NETWORKS["96"], TIMED_NETWORKS["128"]],
  },
  {
    name: "a 3-D network on a grid that Winograd tiles do not fit",
    net: { featuresPerStage: [6, 10] },
    channels: [2, 5],
    patch: [10, 14, 22],
    batch: 2,
    selfTest: true,
  },
  {
    name: "an anisotropic 3-D network",
    net: {
      featuresPerStage: [5, 9, 12],
      kernelSizes: [[1, 3, 3], [3, 3, 3], [3, 3, 3]],
      strides: [[1, 1, 1], [1, 2, 2], [2, 2, 2]],
    },
    patch: [6, 20, 28],
    batch: 1,
    selfTest: true,
  },
  {
    name: "a 2-D network in a batch of three",
    net: { dimensions: 2, featuresPerStage: [16, 32, 64], convsPerStageDecoder: [1, 1] },
    channels: [3, 4],
    patch: [1, 36, 44],
    batch: 3,
    selfTest: true,
    timed: [TIMED_NETWORKS["2d"]],
  },
  {
    name: "a residual encoder",
    net: {
      family: "ResidualEncoderUNet",
      featuresPerStage: [8, 16],
      blocksPerStage: [1, 2],
      convsPerStageDecoder: [1],
    },
    patch: [16, 8, 24],
    batch: 2,
    precisions: ["f32", "f16"],
    selfTest: true,
  },
  {
    name: "a 2-D residual encoder",
    net: {
      family: "ResidualEncoderUNet",
      dimensions: 2,
      featuresPerStage: [6, 11, 18],
      blocksPerStage: [1, 2, 1],
      convsPerStageDecoder: [1, 1],
    },
    patch: [1, 40, 24],
    batch: 1,
  },
  {
    name: "a network with batch norm",
    net: { featuresPerStage: [8, 12], norm: { kind: "batch", eps: 1e-5, affine: true } },
    patch: [12, 12, 12],
    batch: 2,
    selfTest: true,
  },
  {
    name: "a network without norms and biases",
    net: {
      featuresPerStage: [8, 12],
      convBias: false,
      norm: { kind: "none", eps: 0, affine: false },
      negativeSlope: 0.2,
    },
    patch: [8, 12, 12],
    batch: 1,
  },
  {
    name: "a network whose activation comes before its norm",
    net: { featuresPerStage: [8, 12], nonlinFirst: true },
    patch: [8, 12, 12],
    batch: 2,
  },
  {
    name: "a network of kernels 5 and 1 and stride 3",
    net: { featuresPerStage: [4, 8], kernelSizes: [[5, 5, 5], ONE], strides: [ONE, [3, 1, 3]] },
    patch: [9, 7, 12],
    batch: 1,
  },
  {
    name: "a value that is concatenated twice and pooled",
    net: {
      nodes: [
        { kind: "input", channels: 2 },
        { kind: "conv", input: 0, channels: 5, kernel: CUBE, stride: ONE, weight: "a.weight" },
        { kind: "instanceNorm", input: 1, eps: 1e-5 },
        { kind: "leakyRelu", input: 2, negativeSlope: 0.1 },
        { kind: "concat", inputs: [0, 3] },
        { kind: "concat", inputs: [3, 4] },
        { kind: "averagePool", input: 5, stride: [2, 1, 3] },
        { kind: "instanceNorm", input: 6, eps: 1e-5 },
        { kind: "leakyRelu", input: 7, negativeSlope: 0.3 },
      ],
      outputs: [8],
    },
    patch: [5, 6, 10],
    batch: 2,
  },
  {
    name: "a network with a node of every kind",
    net: EVERY_NODE.graph,
    patch: EVERY_NODE.patch,
    batch: EVERY_NODE.batch,
    precisions: ["f32", "f16"],
    everyWay: true,
  },
];

function networkCase(
  { name, net, channels: [inputs, outputs] = [1, 3], patch, batch, ...more }: NetworkSpec,
): EngineCase {
  const graph = "nodes" in net ? net : buildGraph(architecture(net), inputs, outputs);
  return {
    name,
    family: "network",
    precisions: ["f32"],
    ...more,
    forecast: (engine, precision) => engine.forecast(graph, { patch, batch, precision }).steps,
    run: (engine, precision) => forward(engine, { graph, patch, batch }, precision),
  };
}

export const NETWORK_CASES: readonly EngineCase[] = [
  ...NETWORKS.map(networkCase),
  {
    name: "two weight sets serve programs of different batch, input kept",
    family: "network",
    precisions: ["f32"],
    forecast: () => [],
    run: twoWeightSets,
  },
];
