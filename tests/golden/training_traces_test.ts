/** Training steps against the real nnU-Net's, on every engine that trains: logits, loss, every gradient, ten losses. */
import { UserError } from "../../core/base/errors.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";
import type { SgdOptions, TrainingEngine, TrainingProgram } from "../../core/engine/training.ts";
import { createCpuEngine } from "../../cpu/engine.ts";
import { createGpuEngine } from "../../gpu/engine.ts";
import { randomWeights } from "../../core/cases/random_data.ts";
import { readTrace, type Trace, TRACES } from "./training/trace_data.ts";
import { ignore } from "../without_gpu.ts";

/** Without its learning rate, which is the trace's. */
const STEP = {
  momentum: 0.99,
  weightDecay: 3e-5,
  nesterov: true,
  clipNorm: 12,
  lossScale: 1,
} as const;

const stepOf = ({ clipNorm, learningRate }: Trace): SgdOptions => ({ ...STEP, clipNorm, learningRate });

async function prepare(engine: TrainingEngine, trace: Trace): Promise<TrainingProgram> {
  const program = await engine.compileTraining(trace.graph, trace.options);
  await engine.setParameters(program, randomWeights());
  trace.images.forEach((image, sample) => engine.setSample(program, sample, image, trace.labels[sample]));
  return program;
}

/** The largest difference, and the largest expected value. */
function differences(actual: ArrayLike<number>, expected: ArrayLike<number>) {
  assertEquals(actual.length, expected.length);
  let [error, largest] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    error = Math.max(error, Math.abs(actual[i] - expected[i]));
    if (Number.isNaN(actual[i])) error = Infinity;
    largest = Math.max(largest, Math.abs(expected[i]));
  }
  return { error, largest };
}

/** A bias that an instance norm takes out again: its true gradient is 0. */
function isBeforeNorm(name: string, trace: Trace): boolean {
  const isActivatedFirst = trace.graph.nodes.some((node) => {
    return node.kind === "leakyRelu" && trace.graph.nodes[node.input].kind === "conv";
  });
  return !isActivatedFirst && name.endsWith(".conv.bias") &&
    trace.gradientValues.has(name.replace(/conv\.bias$/, "norm.weight"));
}

async function compare(engine: TrainingEngine, trace: Trace): Promise<void> {
  using program = await prepare(engine, trace);
  const { truePositives, falsePositives, falseNegatives, loss } = await engine.validationStep(program);
  const first = trace.loss.regions ? 0 : 1;
  assert(Math.abs(loss - trace.validation.loss) <= 1e-4, `validation loss ${loss}, expected ${trace.validation.loss}`);
  const { tp, fp, fn } = trace.validation;
  assertEquals([...truePositives].slice(first), [...tp]);
  assertEquals([...falsePositives].slice(first), [...fp]);
  assertEquals([...falseNegatives].slice(first), [...fn]);

  const losses: number[] = [];
  for (let step = 0; step < trace.losses.length; step++) {
    const result = await engine.trainStep(program, stepOf(trace));
    losses.push(result.loss);
    const norm = trace.gradientNorms[step];
    assert(Math.abs(result.gradientNorm - norm) <= 1e-3 * norm, `norm ${result.gradientNorm}, expected ${norm}`);
    assertEquals(result.skipped, false);
    if (step > 0) continue;
    for (const [output, expected] of trace.logits.entries()) {
      if (trace.outputWeights[output] === 0) continue;
      const length = expected.length / trace.batch;
      for (let sample = 0; sample < trace.batch; sample++) {
        const logits = await engine.readLogits(program, output, sample);
        const { error } = differences(logits, expected.subarray(sample * length, (sample + 1) * length));
        assert(error <= 1e-4, `logits of output ${output}: error ${error}`);
      }
    }
    const { values: afterFirst } = await engine.readParameters(program);
    for (const [name, expected] of trace.runningValues) {
      const { error, largest } = differences(afterFirst.get(name) ?? [], expected);
      assert(error <= 1e-5 * largest, `${name}: error ${error} of ${largest}`);
    }
    const gradients = await engine.readGradients(program);
    assertEquals([...gradients.keys()].sort(), [...trace.gradientValues.keys()].sort());
    for (const [name, expected] of trace.gradientValues) {
      const actual = gradients.get(name) ?? [];
      if (isBeforeNorm(name, trace)) {
        const weight = trace.gradientValues.get(name.replace(/bias$/, "weight")) ?? [];
        const { error } = differences(actual, new Float32Array(actual.length));
        assert(error <= 1e-6 * differences(weight, weight).largest, `gradient of ${name}: ${error}`);
        continue;
      }
      const { error, largest } = differences(actual, expected);
      assert(error <= 1e-4 * largest, `gradient of ${name}: error ${error} of ${largest}`);
    }
  }
  const { error } = differences(losses, trace.losses);
  assert(error <= 1e-3, `ten losses ${losses}, expected ${trace.losses}`);

  if (trace.validationLossAfter !== undefined) {
    const after = await engine.validationStep(program);
    const expected = trace.validationLossAfter;
    assert(Math.abs(after.loss - expected) <= 1e-3, `validation loss ${after.loss}, expected ${expected}`);
  }
  const { values, kept } = await engine.readParameters(program);
  const heads = ["decoder.seg_layers.0.weight", "decoder.seg_layers.0.bias"];
  for (const { name, shape } of program.parameters.filter(({ hasGradient }) => !hasGradient)) {
    if (trace.runningValues.has(name)) continue;
    assert(heads.includes(name));
    assertEquals(values.get(name), randomWeights().get(name, shape));
  }
  assertEquals([...kept.momentum?.keys() ?? []].sort(), [...trace.gradientValues.keys()].sort());
}

for (const name of TRACES) {
  Deno.test(`Training steps of ${name} on the CPU engine follow the real nnU-Net's`, async () => {
    await using engine = await createCpuEngine({ threads: 2 });
    await compare(engine, await readTrace(name));
  });
}

/** A network of each kind: a software adapter takes a minute for its kernels. */
const GPU_TRACES = [
  "plain_3d_anisotropic",
  "plain_2d_many_regions_ignore",
  "residual_3d_labels",
  "plain_3d_batch_norm",
  "residual_2d_batch_norm",
  "plain_2d_top_k_ignore",
  "residual_3d_top_k_smoothed",
  "plain_3d_adam",
  "residual_2d_vanilla_adam",
];

for (const name of GPU_TRACES) {
  Deno.test({ name: `Training steps of ${name} on the GPU engine follow the real nnU-Net's`, ignore }, async () => {
    await using engine = await createGpuEngine({ allowSoftware: true });
    await compare(engine, await readTrace(name));
  });
}

/** Losses and parameters after some steps, the state read and set again in between where asked. */
async function train(opened: Promise<TrainingEngine & AsyncDisposable>, trace: Trace, restart: boolean) {
  await using engine = await opened;
  using program = await prepare(engine, trace);
  const losses: number[] = [];
  for (let step = 0; step < 4; step++) {
    if (restart && step === 2) {
      const { values, ...state } = await engine.readParameters(program);
      await engine.setParameters(program, randomWeights(5));
      await engine.setParameters(program, { get: (name) => values.get(name) ?? new Float32Array() }, state);
    }
    losses.push((await engine.trainStep(program, stepOf(trace))).loss);
  }
  return { losses, ...(await engine.readParameters(program)) };
}

Deno.test("Training gives the same bits with one thread and three, and after its state was read and set again", async () => {
  for (const name of ["plain_3d_anisotropic", "residual_3d_regions", "plain_3d_adam", "residual_2d_batch_norm"]) {
    const trace = await readTrace(name);
    const expected = await train(createCpuEngine({ threads: 1 }), trace, false);
    assertEquals(await train(createCpuEngine({ threads: 3 }), trace, false), expected);
    assertEquals(await train(createCpuEngine({ threads: 2 }), trace, true), expected);
  }
});

Deno.test(
  { name: "Training on the GPU gives the same bits again, and after its state was read and set", ignore },
  async () => {
    for (const name of ["plain_2d_regions", "plain_3d_adam"]) {
      const trace = await readTrace(name);
      const expected = await train(createGpuEngine({ allowSoftware: true }), trace, false);
      assertEquals(await train(createGpuEngine({ allowSoftware: true }), trace, true), expected);
    }
  },
);

async function skipStep(opened: Promise<TrainingEngine & AsyncDisposable>): Promise<void> {
  await using engine = await opened;
  for (const name of ["plain_2d_regions", "plain_3d_adam"]) await skipStepOf(engine, await readTrace(name));
}

async function skipStepOf(engine: TrainingEngine, trace: Trace): Promise<void> {
  using program = await prepare(engine, trace);
  engine.setSample(program, 0, trace.images[0].map(() => NaN), trace.labels[0]);
  const { skipped, loss } = await engine.trainStep(program, stepOf(trace));
  assertEquals([skipped, loss], [true, NaN]);
  const { values, kept } = await engine.readParameters(program);
  assertEquals(kept.momentum?.size, 0);
  for (const { name, shape } of program.parameters) assertEquals(values.get(name), randomWeights().get(name, shape));
  engine.setSample(program, 0, trace.images[0], trace.labels[0]);
  for (const expected of trace.losses.slice(0, 3)) {
    const next = await engine.trainStep(program, stepOf(trace));
    assert(Math.abs(next.loss - expected) <= 1e-3, `loss ${next.loss}, expected ${expected}`);
  }
}

Deno.test("A step whose gradients are not finite changes nothing on the CPU engine", () =>
  skipStep(createCpuEngine({ threads: 2 })));

Deno.test(
  { name: "A step whose gradients are not finite changes nothing on the GPU engine", ignore },
  () => skipStep(createGpuEngine({ allowSoftware: true })),
);

Deno.test(
  { name: "Training in f16 follows f32 as far as 3 digits allow, and skips what overflows", ignore },
  async () => {
    const trace = await readTrace("plain_2d_regions");
    await using engine = await createGpuEngine({ allowSoftware: true });
    const options = { ...trace.options, precision: "f16" as const };
    if (!engine.supports("f16")) {
      await assertFails(() => engine.compileTraining(trace.graph, options), UserError, "--precision f32");
      return;
    }
    using program = await prepare(engine, { ...trace, options });
    const overflowing = await engine.trainStep(program, { ...stepOf(trace), lossScale: 2 ** 40 });
    assertEquals(overflowing.skipped, true);
    for (const [step, expected] of trace.losses.entries()) {
      const { loss, gradientNorm, skipped } = await engine.trainStep(program, { ...stepOf(trace), lossScale: 1024 });
      assertEquals(skipped, false);
      assert(Math.abs(loss - expected) <= 2e-2, `loss ${loss} of step ${step}, expected ${expected}`);
      const norm = trace.gradientNorms[step];
      assert(Math.abs(gradientNorm - norm) <= 5e-2 * norm, `norm ${gradientNorm} of step ${step}, expected ${norm}`);
      if (step > 0) continue;
      // A leaky ReLU may see a value within 1e-3 of zero on its other side. That is one in a thousand: 3 % of a gradient's norm.
      const gradients = await engine.readGradients(program);
      for (
        const [name, share] of [["encoder.stages.0.0.convs.0.conv.weight", 0.1], [
          "decoder.seg_layers.2.weight",
          1e-3,
        ]] as const
      ) {
        const wanted = trace.gradientValues.get(name) ?? new Float32Array();
        const actual = gradients.get(name) ?? new Float32Array();
        const norm = (values: Float32Array) => Math.hypot(...values);
        const error = norm(wanted.map((value, i) => actual[i] - value)) / norm(wanted);
        assert(error <= share, `gradient of ${name}: error ${error} of its norm`);
      }
    }
  },
);
