/** Trainings on several GPUs against the same on one. Here they are all the one adapter there is; each has a thread and a device of its own. */
import { architecture } from "../../core/cases/networks.ts";
import { prepareTraining, type TrainingSize } from "../../core/cases/training.ts";
import type { SgdOptions, TrainingEngine, TrainStepResult, ValidationStepResult } from "../../core/engine/training.ts";
import { buildGraph } from "../../core/network/build_graph.ts";
import type { ShareStart } from "../../core/train/parallel/share_threads.ts";
import type { GpuEngineOptions } from "../../gpu/engine.ts";
import { assert, assertEquals } from "../assert.ts";

/** Small bindings: gradients lie in several chunks. */
export const OPTIONS: GpuEngineOptions = { allowSoftware: true, forceBindingLimit: 2 ** 14 };

export function shareThreads(gpus: number): ShareStart<GpuEngineOptions>[] {
  const url = new URL("./parallel_worker.ts", import.meta.url);
  return Array.from({ length: gpus }, (_, i) => ({
    name: `GPU ${i}`,
    does: "trains on a GPU",
    startWorker: () => new Worker(url, { type: "module" }),
    setting: OPTIONS,
  }));
}

/** Gradients are clipped in the first steps. */
export const STEP: SgdOptions = {
  learningRate: 0.01,
  momentum: 0.99,
  weightDecay: 3e-5,
  nesterov: true,
  clipNorm: 0.5,
  lossScale: 8,
};

const SMALL = {
  featuresPerStage: [8, 16],
  blocksPerStage: [1, 1],
  convsPerStageDecoder: [1],
  convBias: false,
  negativeSlope: 0.98,
} as const;

/** A small network with deep supervision. With an ignore label, 2, samples have different numbers of voxels that count. */
export function smallTraining(batch: number, batchDice: boolean, ignores: boolean): TrainingSize {
  const stages = architecture(SMALL);
  const graph = buildGraph(stages, 1, ignores ? 2 : 3, { deepSupervision: true });
  const loss = {
    target: { kind: "labels" },
    ...(ignores && { ignoreLabel: 2 }),
    batchDice,
    smooth: 1e-5,
    diceWeight: 1,
    crossEntropyWeight: 1,
  } as const;
  return { graph, options: { patch: [4, 8, 4], batch, loss, outputWeights: graph.outputs.map((_, i) => 2 ** -i) } };
}

/** The same with batch norm, Dice of each sample. */
export function withBatchNorm(batch: number): TrainingSize {
  const { options } = smallTraining(batch, false, false);
  const stages = architecture({ ...SMALL, norm: { kind: "batch", eps: 1e-5, affine: true } });
  return { graph: buildGraph(stages, 1, 3, { deepSupervision: true }), options };
}

/** On the largest tenth of the cross-entropies. */
export function withTopK(batch: number, { graph, options } = smallTraining(batch, true, false)): TrainingSize {
  return { graph, options: { ...options, loss: { ...options.loss, topK: { percent: 10, labelSmoothing: 0.1 } } } };
}

export interface Trained {
  readonly steps: readonly TrainStepResult[];
  readonly validation: ValidationStepResult;
  readonly values: ReadonlyMap<string, Float32Array>;
  readonly momentum: ReadonlyMap<string, Float32Array>;
  readonly gradients: ReadonlyMap<string, Float32Array>;
  /** Of the last sample. */
  readonly logits: Float32Array;
}

/** Three steps and a validation. */
export async function train(engine: TrainingEngine, training: TrainingSize): Promise<Trained> {
  using program = await prepareTraining(engine, training, "f32");
  const steps: TrainStepResult[] = [];
  for (let i = 0; i < 3; i++) steps.push(await engine.trainStep(program, STEP));
  assert(steps[0].gradientNorm > STEP.clipNorm, "nothing was clipped");
  const gradients = await engine.readGradients(program);
  const validation = await engine.validationStep(program);
  const logits = await engine.readLogits(program, 0, training.options.batch - 1);
  const { values, kept } = await engine.readParameters(program);
  return { steps, validation, values, momentum: kept.momentum ?? new Map(), gradients, logits };
}

/** The run is the same to 1e-5. */
export function assertAlike(actual: Trained, expected: Trained): void {
  actual.steps.forEach((step, i) => {
    for (const number of ["loss", "gradientNorm"] as const) {
      const [found, wanted] = [step[number], expected.steps[i][number]];
      assert(Math.abs(found - wanted) <= 1e-5 * Math.abs(wanted), `step ${i}: ${number} is ${found}, not ${wanted}`);
    }
  });
  const { loss, ...counts } = actual.validation;
  const { loss: wanted, ...wantedCounts } = expected.validation;
  assert(Math.abs(loss - wanted) <= 1e-5 * Math.abs(wanted), `a validation's loss of ${loss}, not ${wanted}`);
  assertEquals(counts, wantedCounts);
  for (const kind of ["values", "momentum", "gradients"] as const) {
    assertEquals([...actual[kind].keys()], [...expected[kind].keys()]);
    for (const [name, values] of expected[kind]) assertClose(`${kind} of ${name}`, actual[kind].get(name), values);
  }
  assertClose("logits", actual.logits, expected.logits);
}

/** To 1e-5 of the largest value. */
function assertClose(what: string, actual: Float32Array = new Float32Array(), expected: Float32Array): void {
  const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const worst = expected.reduce((most, value, i) => Math.max(most, Math.abs(value - actual[i])), 0);
  assertEquals(actual.length, expected.length, what);
  assert(worst <= 1e-5 * largest, `${what} differ by ${worst}, the largest is ${largest}`);
}
