/** The training half of the GPU's self-test: a step of small networks, their gradients and what the optimizer makes of them. */
import { voxelCount } from "../../core/base/shape.ts";
import type { LossOptions, TrainingOptions } from "../../core/engine/training.ts";
import { buildGraph } from "../../core/network/build_graph.ts";
import { type NetworkCase, randomValues, type SelfTestCase, unet, WEIGHTS } from "./self_test_cases.ts";

interface TrainingCase extends NetworkCase {
  readonly loss?: Partial<LossOptions>;
}

const PLAIN = { convBias: false, negativeSlope: 0.98 };

/**
 * Shapes for which the planner takes Winograd and direct kernels of all sorts, in both directions. Without biases before norms, which take
 * them out again: their gradients are rounding alone. Slopes are close to 1: rounding decides on which side of 0 a value is that is next to
 * it, and with nnU-Net's 0.01 such a voxel's gradient would be there on one engine and not on the other.
 */
const CASES: readonly TrainingCase[] = [
  {
    name: "a training step of a plain 3-D network",
    net: { featuresPerStage: [32, 40], ...PLAIN },
    patch: [16, 16, 16],
    batch: 2,
  },
  {
    name: "a training step of an anisotropic 3-D network on regions",
    net: {
      ...{ featuresPerStage: [5, 9, 12], ...PLAIN },
      kernelSizes: [[1, 3, 3], [3, 3, 3], [3, 3, 3]],
      strides: [[1, 1, 1], [1, 2, 2], [2, 2, 2]],
    },
    patch: [4, 12, 16],
    batch: 1,
    loss: { target: { kind: "regions", regions: [[1, 2], [2]] }, ignoreLabel: 3, batchDice: true },
  },
  {
    name: "a training step of a 2-D residual encoder",
    net: {
      ...{ family: "ResidualEncoderUNet", dimensions: 2, featuresPerStage: [32, 32], ...PLAIN },
      blocksPerStage: [1, 2],
    },
    patch: [1, 48, 64],
    batch: 3,
  },
  {
    name: "a training step with activations in f16",
    net: { featuresPerStage: [8, 16], ...PLAIN },
    patch: [8, 12, 16],
    batch: 2,
    precision: "f16",
  },
];

const LOSS: LossOptions = {
  ...{ target: { kind: "labels" }, batchDice: false, smooth: 1e-5, diceWeight: 1, crossEntropyWeight: 1 },
};
/** Large steps: what the optimizer does is to be seen in the parameters. */
const SGD = { learningRate: 1, momentum: 0.9, weightDecay: 1e-2, nesterov: true, clipNorm: 1 };

function trainingCase({ name, net, patch, batch, loss, precision = "f32" }: TrainingCase): SelfTestCase {
  const target = loss?.target ?? LOSS.target;
  const graph = buildGraph(unet(net), 1, target.kind === "regions" ? target.regions.length : 3, {
    deepSupervision: true,
  });
  const options: Omit<TrainingOptions, "precision"> = {
    ...{ patch, batch, loss: { ...LOSS, ...loss } },
    outputWeights: graph.outputs.map((_, i) => 1 / (1 + i)),
  };
  return {
    name,
    precision,
    tolerance: "gradients",
    async run(engine, stored, onAlgorithms) {
      using program = await engine.compileTraining(graph, { ...options, precision: stored });
      onAlgorithms?.(program.steps.map(({ algorithm }) => algorithm));
      await engine.setParameters(program, WEIGHTS);
      const voxels = voxelCount(patch);
      for (let sample = 0; sample < batch; sample++) {
        const labels = Int16Array.from(randomValues(voxels, 40 + sample), (v) => Math.floor((v + 1) * 1.5));
        engine.setSample(program, sample, randomValues(voxels, 30 + sample), labels);
      }
      // In f16 small gradients would be lost without a scale.
      const result = await engine.trainStep(program, { ...SGD, lossScale: stored === "f16" ? 1024 : 1 });
      const gradients = [...await engine.readGradients(program)];
      const { values } = await engine.readParameters(program);
      return Object.fromEntries([
        ["the loss", Float32Array.of(result.loss, result.gradientNorm, 0)],
        ...gradients.map(([of, value]) => [`the gradient of ${of}`, value] as const),
        ...gradients.map(([of]) => [`${of} after the step`, values.get(of) ?? new Float32Array()] as const),
      ]);
    },
  };
}

export const TRAINING_SELF_TEST_CASES: readonly SelfTestCase[] = CASES.map(trainingCase);
