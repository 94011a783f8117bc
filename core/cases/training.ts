/** Cases of trainings: a step of small networks, their gradients and what the optimizer makes of them. */
import { type Vec3, voxelCount } from "../base/shape.ts";
import type { Precision } from "../engine/engine.ts";
import type {
  LossOptions,
  SgdOptions,
  ShareExchange,
  ShareNeeds,
  TrainingEngine,
  TrainingOptions,
  TrainingProgram,
} from "../engine/training.ts";
import type { Graph } from "../graph/graph.ts";
import { DICE_AND_CROSS_ENTROPY } from "../graph/loss.ts";
import type { AdamOptions, OptimizerOptions } from "../graph/optimizer.ts";
import { buildGraph } from "../network/build_graph.ts";
import {
  type CaseEngine,
  type CaseResult,
  type EngineCase,
  type TimedSize,
  type TimedWork,
  trainerOf,
} from "./case.ts";
import { architecture, EVERY_NODE, type Stages } from "./networks.ts";
import { randomValues, randomWeights } from "./random_data.ts";

/** A network and how it is trained, but for the precision. */
export interface TrainingSize {
  readonly graph: Graph;
  readonly options: Omit<TrainingOptions, "precision">;
}

const LOSS: LossOptions = {
  target: { kind: "labels" },
  batchDice: false,
  ...DICE_AND_CROSS_ENTROPY,
};

/** Compiles a training, with random parameters and samples. */
export async function prepareTraining(
  engine: TrainingEngine,
  { graph, options }: TrainingSize,
  precision: Precision,
): Promise<TrainingProgram> {
  const { patch, batch } = options;
  const program = await engine.compileTraining(graph, { ...options, precision });
  await engine.setParameters(program, randomWeights());
  const voxels = voxelCount(patch);
  for (let sample = 0; sample < batch; sample++) {
    const labels = Int16Array.from(randomValues(voxels, 40 + sample), (v) => Math.floor((v + 1) * 1.5));
    engine.setSample(program, sample, randomValues(voxels, 30 + sample), labels);
  }
  return program;
}

interface TrainingSpec extends Partial<Pick<EngineCase, "precisions" | "selfTest" | "everyWay" | "timed">> {
  readonly name: string;
  readonly net: Stages | Graph;
  readonly patch: Vec3;
  readonly batch: number;
  readonly loss?: Partial<LossOptions>;
  readonly optimizer?: OptimizerOptions;
  /** True: on a GPU as a share of a batch, which is all of it; the CPU, which computes no shares, expects the same of it. */
  readonly shared?: boolean;
}

const PLAIN = { convBias: false, negativeSlope: 0.98, convsPerStageDecoder: [1] };
/** A large eps: where a gradient is next to 0 its sign is rounding's, and Adam's step would be too. */
const ADAM: AdamOptions = { kind: "adam", betas: [0.9, 0.999], eps: 0.1, decoupled: true, amsgrad: true };

/** A plain U-Net of so many features a stage. */
export interface TimedTraining extends TrainingSize, TimedSize {
  readonly features: readonly number[];
  prepare(engine: CaseEngine, precision: Precision): Promise<PreparedTraining>;
}

/** A training that is ready; its work is a step. */
export interface PreparedTraining extends TimedWork {
  readonly program: TrainingProgram;
}

/** A training with deep supervision, the lowest resolution left out, as nnU-Net's. */
export function timedTraining(patch: Vec3, batch: number, features: readonly number[]): TimedTraining {
  const dimensions = patch[0] === 1 ? 2 : 3;
  const graph = buildGraph(architecture({ dimensions, featuresPerStage: features }), 1, 3, { deepSupervision: true });
  const weights = graph.outputs.map((_, i) => (i > 0 && i === graph.outputs.length - 1 ? 0 : 2 ** -i));
  const sum = weights.reduce((a, b) => a + b);
  const size = { graph, options: { patch, batch, loss: LOSS, outputWeights: weights.map((weight) => weight / sum) } };
  return {
    ...size,
    name: `a training step of ${features.join(", ")} features on ${patch.join(" x ")}, batch ${batch}`,
    features,
    async prepare(engine, precision) {
      const trainer = trainerOf(engine);
      const program = await prepareTraining(trainer, size, precision);
      const { parameters, activations } = program.memory;
      return {
        program,
        run: () => trainer.trainStep(program, TIMED_SGD),
        voxels: batch * voxelCount(patch),
        bytes: parameters + activations,
        [Symbol.dispose]: () => program[Symbol.dispose](),
      };
    },
  };
}

/** SGD as benches take it. */
export const TIMED_SGD: SgdOptions = {
  learningRate: 0.01,
  momentum: 0.99,
  weightDecay: 3e-5,
  nesterov: true,
  clipNorm: 12,
  lossScale: 1,
};

/** The trainings that benches time, by name. */
export const TIMED_TRAININGS: Readonly<Record<string, TimedTraining>> = {
  hippocampus2: timedTraining([40, 56, 40], 2, [32, 64, 128, 256]),
  hippocampus9: timedTraining([40, 56, 40], 9, [32, 64, 128, 256]),
  plain64: timedTraining([64, 64, 64], 2, [32, 64, 128, 256, 320]),
  plane256: timedTraining([1, 256, 256], 4, [32, 64, 128, 256, 512, 512]),
};

/**
 * Shapes for which the planner takes Winograd and direct kernels of all sorts, in both directions. Without biases before norms, which take
 * them out again: their gradients are rounding alone. Slopes are close to 1: rounding decides on which side of 0 a value is that is next to
 * it, and with nnU-Net's 0.01 such a voxel's gradient would be there on one engine and not on the other.
 */
const TRAININGS: readonly TrainingSpec[] = [
  {
    name: "a training step of a plain 3-D network",
    net: { featuresPerStage: [32, 40], ...PLAIN },
    patch: [16, 16, 16],
    batch: 2,
    precisions: ["f32", "f16"],
    selfTest: true,
    timed: [TIMED_TRAININGS.hippocampus2, TIMED_TRAININGS.hippocampus9, TIMED_TRAININGS.plain64],
  },
  {
    name: "a training step of an anisotropic 3-D network on regions",
    net: {
      featuresPerStage: [5, 9, 12],
      convBias: false,
      negativeSlope: 0.98,
      convsPerStageDecoder: [1, 1],
      kernelSizes: [[1, 3, 3], [3, 3, 3], [3, 3, 3]],
      strides: [[1, 1, 1], [1, 2, 2], [2, 2, 2]],
    },
    patch: [4, 12, 16],
    batch: 1,
    loss: { target: { kind: "regions", regions: [[1, 2], [2]] }, ignoreLabel: 3, batchDice: true },
    selfTest: true,
  },
  {
    name: "a training step of a 2-D residual encoder of stride 3 with AdamW",
    net: {
      ...PLAIN,
      family: "ResidualEncoderUNet",
      dimensions: 2,
      featuresPerStage: [32, 32],
      strides: [[1, 1, 1], [1, 3, 3]],
      blocksPerStage: [1, 2],
    },
    patch: [1, 48, 66],
    batch: 3,
    optimizer: ADAM,
    selfTest: true,
    timed: [TIMED_TRAININGS.plane256],
  },
  {
    name: "a training step of a small network",
    net: { featuresPerStage: [8, 16], ...PLAIN },
    patch: [8, 12, 16],
    batch: 2,
    precisions: ["f16"],
    selfTest: true,
  },
  {
    name: "a training step of a network with a node of every kind",
    net: EVERY_NODE.graph,
    patch: EVERY_NODE.patch,
    batch: EVERY_NODE.batch,
    precisions: ["f32", "f16"],
    everyWay: true,
  },
  {
    name: "a training step on the voxels of the largest cross-entropy",
    net: { featuresPerStage: [4, 8], ...PLAIN },
    patch: [8, 8, 8],
    batch: 2,
    loss: { topK: { percent: 10, labelSmoothing: 0.1 }, ignoreLabel: 2 },
  },
  {
    name: "a training step of a share of a batch",
    net: { featuresPerStage: [4, 8], ...PLAIN },
    patch: [8, 8, 8],
    batch: 2,
    loss: { batchDice: true, ignoreLabel: 2 },
    shared: true,
    selfTest: true,
  },
  {
    name: "a training step of a share of a batch with batch norm, on the voxels of the largest cross-entropy",
    net: { featuresPerStage: [4, 8], ...PLAIN, norm: { kind: "batch", eps: 1e-5, affine: true } },
    patch: [8, 8, 8],
    batch: 2,
    loss: { topK: { percent: 10, labelSmoothing: 0 } },
    shared: true,
  },
];

/** Large steps: what the optimizer does is to be seen in the parameters. */
const SGD = { learningRate: 1, momentum: 0.9, weightDecay: 1e-2, nesterov: true, clipNorm: 1 };

/** The exchange of a share that is alone. */
function exchangeOfOne({ bucketFloats }: ShareNeeds): ShareExchange {
  const places = bucketFloats.map((floats) => new Float32Array(floats));
  return {
    gather: (own) => Promise.resolve(own.slice()),
    place: (bucket) => places[bucket],
    sum(bucket) {
      const values = places[bucket];
      return Promise.resolve({ values, squares: values.reduce((sum, value) => sum + value ** 2, 0) });
    },
  };
}

/** A step, its gradients and what becomes of the parameters. */
async function step(engine: TrainingEngine, size: TrainingSize, precision: Precision): Promise<CaseResult> {
  using program = await prepareTraining(engine, size, precision);
  // In f16 small gradients would be lost without a scale.
  const options = { ...SGD, lossScale: precision === "f16" ? 1024 : 1 };
  const result = await engine.trainStep(program, options, program.shared && exchangeOfOne(program.shared));
  const gradients = [...await engine.readGradients(program)];
  const { values } = await engine.readParameters(program);
  return Object.fromEntries([
    ["the loss", Float32Array.of(result.loss, result.gradientNorm, 0)],
    ...gradients.map(([of, value]) => [`the gradient of ${of}`, value] as const),
    ...gradients.map(([of]) => [`${of} after the step`, values.get(of) ?? new Float32Array()] as const),
  ]);
}

/** A training of {@link TRAINING_CASES} as the port takes it. */
function sizeOf({ net, patch, batch, loss: changes, optimizer }: TrainingSpec): TrainingSize {
  const loss = { ...LOSS, ...changes };
  const classes = loss.target.kind === "regions" ? loss.target.regions.length : 3;
  const graph = "nodes" in net ? net : buildGraph(architecture(net), 1, classes, { deepSupervision: true });
  const outputWeights = graph.outputs.map((_, i) => 1 / (1 + i));
  return { graph, options: { patch, batch, loss, outputWeights, ...(optimizer && { optimizer }) } };
}

/** A training whose batch is a share that is all of it, where the engine computes shares. */
function asShare({ kind }: TrainingEngine, size: TrainingSize): TrainingSize {
  const { graph, options } = size;
  return kind === "gpu" ? { graph, options: { ...options, share: { first: 0, of: options.batch } } } : size;
}

/** A case that trains. */
export interface TrainingCase extends EngineCase {
  readonly size: TrainingSize;
}

export const TRAINING_CASES: readonly TrainingCase[] = TRAININGS.map((spec) => {
  const { name, precisions = ["f32"], selfTest = false, everyWay = false, timed = [], shared } = spec;
  const size = sizeOf(spec);
  const sizeOn = (trainer: TrainingEngine) => shared ? asShare(trainer, size) : size;
  return {
    name,
    family: "training",
    precisions,
    selfTest,
    everyWay,
    timed,
    size,
    forecast(engine, precision) {
      const trainer = trainerOf(engine);
      const { graph, options } = sizeOn(trainer);
      return trainer.forecastTraining(graph, { ...options, precision }).steps;
    },
    run(engine, precision) {
      const trainer = trainerOf(engine);
      return step(trainer, sizeOn(trainer), precision);
    },
  };
});
