/**
 * What the GPU's self-test computes: small networks and volume operators that between them run every kind of kernel, written against
 * the engine port alone, so that the same case runs on the GPU and on the CPU. The training half is self_test_training.ts.
 */
import { padToFour, type Vec3, voxelCount } from "../../core/base/shape.ts";
import type {
  AxisTable,
  Engine,
  LogitRing,
  PatchPlacement,
  Precision,
  WeightSource,
} from "../../core/engine/engine.ts";
import type { TrainingEngine } from "../../core/engine/training.ts";
import type { NetworkArchitecture } from "../../core/network/architecture.ts";
import { buildGraph } from "../../core/network/build_graph.ts";

/** Arrays by name; integers are labels. */
export type SelfTestResult = Readonly<Record<string, Float32Array | Uint8Array | Uint16Array>>;

export interface SelfTestCase {
  readonly name: string;
  /** How the GPU keeps activations. */
  readonly precision: Precision;
  /** Which tolerance holds: the precision's if absent. */
  readonly tolerance?: "gradients";
  /** `onAlgorithms` is told what a network's steps are computed by. */
  run(
    engine: Engine & TrainingEngine,
    precision: Precision,
    onAlgorithms?: (names: readonly string[]) => void,
  ): Promise<SelfTestResult>;
}

/** Numbers in [-1, 1) that depend on seed and index alone (SplitMix32). */
export function randomValues(count: number, seed: number): Float32Array<ArrayBuffer> {
  const values = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    let h = (Math.imul(seed + 1, 0x9e3779b9) + Math.imul(i + 1, 0x85ebca6b)) | 0;
    h = Math.imul(h ^ (h >>> 16), 0x21f0aaad);
    h = Math.imul(h ^ (h >>> 15), 0x735a2d97);
    values[i] = ((h ^ (h >>> 15)) >>> 0) / 2 ** 31 - 1;
  }
  return values;
}

/** Weights that keep values near 1. */
export const WEIGHTS: WeightSource = {
  get(name, shape) {
    const count = shape.reduce((a, b) => a * b, 1);
    const values = randomValues(count, [...name].reduce((hash, c) => (Math.imul(hash, 31) + c.charCodeAt(0)) | 0, 1));
    if (shape.length > 1) return values.map((v) => v * Math.sqrt(6 * shape[0] / count));
    return values.map((v) => (/norm\.weight$|running_var$/.test(name) ? 1 : 0) + v / 2);
  },
};

type Stages = Partial<NetworkArchitecture> & Pick<NetworkArchitecture, "featuresPerStage">;

/** A U-Net as nnU-Net plans it, but for what `options` says. */
export function unet(options: Stages): NetworkArchitecture {
  const stages = options.featuresPerStage.length;
  const cube = (n: number): Vec3 => [options.dimensions === 2 ? 1 : n, n, n];
  return {
    family: "PlainConvUNet",
    dimensions: 3,
    kernelSizes: Array.from({ length: stages }, () => cube(3)),
    strides: Array.from({ length: stages }, (_, stage) => cube(stage === 0 ? 1 : 2)),
    blocksPerStage: new Array(stages).fill(2),
    convsPerStageDecoder: new Array(stages - 1).fill(1),
    convBias: true,
    norm: { kind: "instance", eps: 1e-5, affine: true },
    negativeSlope: 0.01,
    nonlinFirst: false,
    ...options,
  };
}

export interface NetworkCase {
  readonly name: string;
  readonly net: Stages;
  readonly patch: Vec3;
  readonly batch: number;
  readonly precision?: Precision;
}

/** Shapes for which the planner takes Winograd and direct kernels of all sorts; tests/engine/gpu_self_test_test.ts counts them. */
const NETWORKS: readonly NetworkCase[] = [
  { name: "a plain 3-D network", net: { featuresPerStage: [32, 64] }, patch: [16, 16, 16], batch: 1 },
  { name: "a 3-D network on an odd grid", net: { featuresPerStage: [6, 10] }, patch: [10, 14, 22], batch: 2 },
  {
    name: "an anisotropic 3-D network",
    net: {
      featuresPerStage: [5, 9, 12],
      kernelSizes: [[1, 3, 3], [3, 3, 3], [3, 3, 3]],
      strides: [[1, 1, 1], [1, 2, 2], [2, 2, 2]],
    },
    patch: [6, 20, 28],
    batch: 1,
  },
  {
    name: "a 2-D network",
    net: { dimensions: 2, featuresPerStage: [16, 32, 64] },
    patch: [1, 36, 44],
    batch: 3,
  },
  {
    name: "a residual encoder",
    net: { family: "ResidualEncoderUNet", featuresPerStage: [8, 16], blocksPerStage: [1, 2] },
    patch: [16, 8, 24],
    batch: 2,
  },
  {
    name: "a network with batch norm",
    net: { featuresPerStage: [8, 12], norm: { kind: "batch", eps: 1e-5, affine: true } },
    patch: [12, 12, 12],
    batch: 1,
  },
  {
    name: "a network with activations in f16",
    net: { family: "ResidualEncoderUNet", featuresPerStage: [8, 16], blocksPerStage: [1, 2] },
    patch: [12, 16, 20],
    batch: 1,
    precision: "f16",
  },
];

function networkCase({ name, net, patch, batch, precision = "f32" }: NetworkCase): SelfTestCase {
  const graph = buildGraph(unet(net), 1, 3);
  return {
    name,
    precision,
    async run(engine, stored, onAlgorithms) {
      using program = await engine.compile(graph, { patch, batch, precision: stored });
      onAlgorithms?.(program.steps.map(({ algorithm }) => algorithm));
      using weights = await engine.loadWeights(program, WEIGHTS);
      const grid: Vec3 = [patch[0] + 1, patch[1] + 2, patch[2] + batch];
      using volume = engine.alloc("f32", voxelCount(grid), "volume");
      engine.upload(volume, randomValues(volume.length, 5));
      const placements = Array.from({ length: batch }, (_, i): PatchPlacement => ({
        origin: [1, 2, i],
        mirror: [i % 2 === 1, false, false],
      }));
      engine.gatherPatches({ volume, channels: 1, grid, patches: placements, program });
      engine.run(program, weights);
      const outputs: [string, Float32Array][] = [];
      for (let i = 0; i < batch; i++) outputs.push([`output ${i}`, await engine.downloadOutput(program, i)]);
      return Object.fromEntries(outputs);
    },
  };
}

/** Linear resampling of an axis. */
function axisTable(from: number, to: number): AxisTable {
  const at = Array.from({ length: to }, (_, j) => Math.min(Math.max((j + 0.5) * from / to - 0.5, 0), from - 1));
  return {
    first: Int32Array.from(at, Math.floor),
    second: Int32Array.from(at, (x) => Math.min(Math.floor(x) + 1, from - 1)),
    fraction: Float32Array.from(at, (x) => x - Math.floor(x)),
  };
}

/** From a volume to labels: everything around the network, along the given axes. */
function volumeCase(axes: Vec3): SelfTestCase {
  return {
    name: `gathering, summing and resampling along axes ${axes.join(", ")}`,
    precision: "f32",
    async run(engine, precision) {
      const [grid, patch]: Vec3[] = [[14, 10, 12], [6, 8, 7]];
      const channels = 5;
      const head = { channels, kernel: [1, 1, 1], stride: [1, 1, 1] } as const;
      using program = await engine.compile({
        nodes: [
          { kind: "input", channels: 4 },
          { kind: "conv", input: 0, ...head, weight: "head.weight", bias: "head.bias" },
        ],
        outputs: [1],
      }, { patch, batch: 2, precision });
      using weights = await engine.loadWeights(program, WEIGHTS);
      using volume = engine.alloc("f32", 2 * voxelCount(grid), "volume");
      engine.upload(volume, randomValues(volume.length, 21));
      using previous = engine.alloc("i16", voxelCount(grid), "previous stage");
      engine.upload(previous, Int16Array.from(randomValues(previous.length, 12), (v) => Math.floor((v + 1) * 2)));
      using importance = engine.alloc("f32", voxelCount(patch), "importance");
      engine.upload(importance, randomValues(importance.length, 22).map((v) => 1.5 + v));

      const [planes, rows, columns] = axes.map((axis) => grid[axis]);
      using logits = engine.alloc("f32", planes * rows * columns * padToFour(channels), "logit ring");
      using weightSums = engine.alloc("f32", planes * rows * columns, "weight sums");
      engine.clear(logits);
      engine.upload(weightSums, new Float32Array(weightSums.length).fill(0.25));
      const size = { channels, channelStride: padToFour(channels), planes, rows, columns };
      const ring: LogitRing = { logits, weightSums, ...size, axes, depth: planes };
      const patches: PatchPlacement[] = [
        { origin: [-2, 1, 5], mirror: [true, false, true] },
        { origin: [5, 3, 3], mirror: [false, true, false] },
      ];
      const labelMap = { labels: previous, oneHot: [2, 3] };
      engine.gatherPatches({ volume, channels: 2, grid, labelMap, patches, program });
      engine.run(program, weights);
      patches.forEach((placement, sample) =>
        engine.accumulate({ program, sample, placement, importance, scale: 0.5, addWeight: sample === 0, ring })
      );
      engine.finishPlanes(ring, 0, planes, 2);
      const sums = await engine.download(logits);

      const to = [planes + 5, rows - 2, columns * 2];
      const tables = [axisTable(planes, to[0]), axisTable(rows, to[1]), axisTable(columns, to[2])] as const;
      const whole = { ring, tables, from: 0, to: to[0] };
      const voxels = to[0] * to[1] * to[2];
      const view = { offset: 0, strides: [to[1] * to[2], to[2], 1] } as const;
      using bytes = engine.alloc("u8", voxels, "labels");
      using words = engine.alloc("u16", voxels, "labels");
      using probabilities = engine.alloc("f32", channels * voxels, "probabilities");
      engine.clear(bytes);
      engine.clear(words);
      engine.resampleToLabels({ ...whole, rule: { kind: "argmax", values: [0, 1, 2, 3, 200] }, target: bytes, view });
      engine.resampleToLabels({ ...whole, rule: { kind: "regions", values: [1, 2, 3, 4, 500] }, target: words, view });
      engine.resampleToProbabilities({ ...whole, nonlinearity: "softmax", target: probabilities });
      const softmax = await engine.download(probabilities);
      engine.resampleToProbabilities({ ...whole, nonlinearity: "sigmoid", target: probabilities });
      return {
        sums,
        labels: await engine.download(bytes),
        regions: await engine.download(words),
        softmax,
        sigmoid: await engine.download(probabilities),
      };
    },
  };
}

/** All cases, a few hundred million multiplications together. */
export const SELF_TEST_CASES: readonly SelfTestCase[] = [
  ...NETWORKS.map(networkCase),
  ...([[0, 1, 2], [2, 0, 1]] as const).map(volumeCase),
];
