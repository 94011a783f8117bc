/** The cases of core/cases as a test suite: what an engine computes against what the reference computes. */
import {
  type CaseEngine,
  type CaseResult,
  compareResults,
  type EngineCase,
  refusal,
  toleranceOf,
  trainerOf,
} from "../../core/cases/case.ts";
import { ENGINE_CASES } from "../../core/cases/cases.ts";
import { randomValues, randomWeights } from "../../core/cases/random_data.ts";
import { prepareTraining, TRAINING_CASES, type TrainingSize } from "../../core/cases/training.ts";
import type { Precision, WeightSource } from "../../core/engine/engine.ts";
import { createCpuEngine } from "../../cpu/engine.ts";
import { assert, assertEquals } from "../assert.ts";
import { createReferenceEngine } from "./reference_engine.ts";

/** Expected results by case; the reference is slow. */
const expected = new Map<string, Promise<CaseResult>>();

/** The reference engine's results; it does not train, so there the CPU engine's, which the real nnU-Net's traces judge. */
function expectedOf(one: EngineCase): Promise<CaseResult> {
  let results = expected.get(one.name);
  if (!results) expected.set(one.name, results = computeExpected(one));
  return results;
}

async function computeExpected(one: EngineCase): Promise<CaseResult> {
  await using reference = await createReferenceEngine();
  if (refusal(reference, one, "f32") === undefined) return await one.run(reference, "f32");
  await using cpu = await createCpuEngine({ threads: 1 });
  return await one.run(cpu, "f32");
}

/**
 * Every case in each of its precisions, or the engine's own words why not.
 * @param check told what a case gave; for what else is asked of the engine
 * @returns how often the engine said no
 */
export async function runSuite(
  t: Deno.TestContext,
  engine: CaseEngine,
  check: (one: EngineCase, precision: Precision, actual: CaseResult) => Promise<void>,
  cases: readonly EngineCase[] = ENGINE_CASES,
): Promise<number> {
  let refusals = 0;
  for (const one of cases) {
    for (const precision of one.precisions) {
      const refused = refusal(engine, one, precision);
      if (refused !== undefined) refusals++;
      const name = `${one.name}${precision === "f32" ? "" : ` in ${precision}`}`;
      await t.step({
        name: refused === undefined ? name : `${name}: cannot be done, ${refused}`,
        ignore: refused !== undefined,
        async fn() {
          const actual = await one.run(engine, precision);
          const wanted = await expectedOf(one);
          const { worst, failure } = compareResults(actual, wanted, toleranceOf(one, precision));
          assertEquals(failure, undefined);
          assert(precision === "f32" || worst > 1e-5, "f16 changed nothing at all");
          await check(one, precision, actual);
        },
      });
    }
  }
  return refusals;
}

/** That the gradients of the training cases are those of the loss: its slope along a direction, by finite differences, is theirs. */
export async function checkGradients(t: Deno.TestContext, engine: CaseEngine): Promise<void> {
  const trainer = trainerOf(engine);
  for (const { name, size } of TRAINING_CASES.filter(({ precisions }) => precisions.includes("f32"))) {
    await t.step(`${name}: the gradients are the slopes of the loss`, async () => {
      const { wanted, found } = await slopes(trainer, size);
      assert(Math.abs(found - wanted) <= 0.01 * Math.abs(wanted), `the loss has a slope of ${found}, not ${wanted}`);
    });
  }
}

/** No step: parameters stay as they are. */
const NO_STEP = { learningRate: 0, momentum: 0, weightDecay: 0, nesterov: false, clipNorm: 1, lossScale: 1 };
/** How far parameters are moved, all of them together. */
const DISTANCE = 5e-3;

async function slopes(engine: ReturnType<typeof trainerOf>, size: TrainingSize) {
  using program = await prepareTraining(engine, size, "f32");
  await engine.trainStep(program, NO_STEP);
  const gradients = await engine.readGradients(program);
  // Along the gradients, each of them weighted at random.
  const direction = new Map([...gradients].map(([name, values], seed) => {
    const weights = randomValues(values.length, 70 + seed);
    return [name, values.map((value, i) => value * (1 + weights[i]))];
  }));
  const sum = (of: (value: number, gradient: number) => number) => {
    let total = 0;
    for (const [name, values] of direction) {
      const gradient = gradients.get(name) ?? new Float32Array();
      values.forEach((value, i) => total += of(value, gradient[i]));
    }
    return total;
  };
  const length = Math.sqrt(sum((value) => value * value));
  const start = randomWeights();
  const lossAt = async (distance: number) => {
    const moved: WeightSource = {
      get: (name, shape) => {
        const along = direction.get(name);
        return start.get(name, shape).map((value, i) => value + (along?.[i] ?? 0) * distance / length);
      },
    };
    await engine.setParameters(program, moved);
    return (await engine.trainStep(program, NO_STEP)).loss;
  };
  const found = (await lossAt(DISTANCE) - await lossAt(-DISTANCE)) / (2 * DISTANCE);
  return { wanted: sum((value, gradient) => value * gradient) / length, found };
}
