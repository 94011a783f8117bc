/** What a training program does besides computing right: order, memory, refusals. Numbers are tested in tests/golden/training_traces_test.ts. */
import { assert, assertEquals, assertFails } from "../assert.ts";
import { UserError } from "../../core/base/errors.ts";
import type { Vec3 } from "../../core/base/shape.ts";
import { voxelCount } from "../../core/base/shape.ts";
import type { TrainingOptions, TrainingProgram } from "../../core/engine/training.ts";
import { buildGraph } from "../../core/network/build_graph.ts";
import { type CpuEngine, createCpuEngine } from "../../cpu/engine.ts";
import { architecture } from "../../core/cases/networks.ts";
import { randomValues, randomWeights } from "../../core/cases/random_data.ts";

const PATCH: Vec3 = [8, 8, 8];
const OPTIONS: TrainingOptions = {
  patch: PATCH,
  batch: 2,
  precision: "f32",
  loss: { target: { kind: "labels" }, batchDice: true, smooth: 1e-5, diceWeight: 1, crossEntropyWeight: 1 },
  outputWeights: [1, 0],
};
const GRAPH = buildGraph(architecture({ featuresPerStage: [4, 6, 8] }), 1, 3, { deepSupervision: true });
const SGD = { learningRate: 0.05, momentum: 0.9, weightDecay: 1e-3, nesterov: true, clipNorm: 12, lossScale: 1 };

function setBatch(engine: CpuEngine, program: TrainingProgram, seed: number): void {
  const voxels = voxelCount(PATCH);
  const image = new Float32Array(voxels);
  const labels = new Int16Array(voxels);
  for (let sample = 0; sample < OPTIONS.batch; sample++) {
    image.set(randomValues(voxels, seed + sample));
    labels.set(randomValues(voxels, 50 + seed + sample).map((v) => Math.floor((v + 1) * 1.5)));
    engine.setSample(program, sample, image, labels);
  }
  // What was passed in may be used for something else at once.
  image.fill(NaN);
  labels.fill(-1);
}

Deno.test("Batches and steps enqueued ahead give what waiting for every step gives", async () => {
  await using engine = await createCpuEngine({ threads: 2 });
  const losses = async (waits: boolean) => {
    using program = await engine.compileTraining(GRAPH, OPTIONS);
    const ready = engine.setParameters(program, randomWeights());
    const steps: Promise<number>[] = [];
    for (let step = 0; step < 5; step++) {
      setBatch(engine, program, step * 2);
      steps.push(engine.trainStep(program, SGD).then(({ loss }) => loss));
      if (waits) await steps[step];
    }
    const validation = engine.validationStep(program);
    await ready;
    return { steps: await Promise.all(steps), validation: await validation, ...(await engine.readParameters(program)) };
  };
  assertEquals(await losses(false), await losses(true));
});

Deno.test("A batch stays set: a validation step changes nothing, and a step can take the batch again", async () => {
  await using engine = await createCpuEngine({ threads: 2 });
  using program = await engine.compileTraining(GRAPH, OPTIONS);
  await engine.setParameters(program, randomWeights());
  setBatch(engine, program, 0);
  const first = await engine.validationStep(program);
  assertEquals(await engine.validationStep(program), first);
  const { loss } = await engine.trainStep(program, { ...SGD, learningRate: 0 });
  assertEquals(loss, first.loss);
  assertEquals((await engine.trainStep(program, SGD)).loss, loss);
});

Deno.test("Momentum that is not given begins with the next step, as torch's does", async () => {
  await using engine = await createCpuEngine({ threads: 2 });
  using program = await engine.compileTraining(GRAPH, OPTIONS);
  await engine.setParameters(program, randomWeights());
  assertEquals((await engine.readParameters(program)).kept.momentum?.size, 0);
  setBatch(engine, program, 0);
  await engine.trainStep(program, { ...SGD, learningRate: 0, weightDecay: 0 });
  const gradients = await engine.readGradients(program);
  const { kept } = await engine.readParameters(program);
  assertEquals(kept, { momentum: gradients });
});

Deno.test("The forecast is what a program takes, and disposing it gives all of it back", async () => {
  await using engine = await createCpuEngine({ threads: 2 });
  {
    using program = await engine.compileTraining(GRAPH, OPTIONS);
    setBatch(engine, program, 0);
    await engine.trainStep(program, SGD);
  }
  await engine.flush();
  const before = engine.memoryUse().used;
  const { memory } = engine.forecastTraining(GRAPH, OPTIONS);
  const program = await engine.compileTraining(GRAPH, OPTIONS);
  const taken = engine.memoryUse().used - before;
  assert(Math.abs(taken - memory.parameters - memory.activations) < 2 ** 12, `${taken} bytes were taken`);
  program[Symbol.dispose]();
  program[Symbol.dispose]();
  await engine.flush();
  assertEquals(engine.memoryUse().used, before);
});

Deno.test("Too little memory, and samples that do not fit, are told as such", async () => {
  await using engine = await createCpuEngine({ threads: 1, memoryLimitBytes: 64 * 2 ** 20 });
  const before = engine.memoryUse().used;
  const large = { ...OPTIONS, patch: [96, 96, 96] as const, batch: 8 };
  await assertFails(() => engine.compileTraining(GRAPH, large), UserError, "the activations and gradients", "MiB");
  assertEquals(engine.memoryUse().used, before);
  using program = await engine.compileTraining(GRAPH, OPTIONS);
  const voxels = voxelCount(PATCH);
  const set = (image: number, labels: Int16Array) => engine.setSample(program, 1, new Float32Array(image), labels);
  await assertFails(() => set(voxels - 1, new Int16Array(voxels)), RangeError, "image");
  await assertFails(() => set(voxels, new Int16Array(voxels + 1)), RangeError, "label map");
  await assertFails(() => set(voxels, new Int16Array(voxels).fill(3)), RangeError, "label 3", "3 classes");
});
