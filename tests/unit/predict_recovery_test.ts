/** An engine that fails half-way: the case goes on with another one, in smaller pieces; without another one it fails as it did. */
import { UserError } from "../../core/base/errors.ts";
import { join } from "../../core/base/path.ts";
import type { Engine } from "../../core/engine/engine.ts";
import { writeLabels } from "../../core/formats/image/write_image.ts";
import type { Model } from "../../core/predict/model/model_folder.ts";
import { predictCases } from "../../core/predict/run/predict_cases.ts";
import type { PredictionEvent, PredictionRequest } from "../../core/predict/run/request.ts";
import { assert, assertEquals } from "../assert.ts";
import { createReferenceEngine } from "../engine/reference_engine.ts";
import { makeModel, randomNumbers } from "./predict_fixture.ts";

const SHAPE = [9, 10, 11] as const;

/** A stand-in for a GPU that fails in its `failAt`th run. */
async function failingGpu(failAt: number): Promise<Engine> {
  const engine = await createReferenceEngine();
  let runs = 0;
  return {
    ...engine,
    kind: "gpu",
    run(program, weights) {
      if (++runs === failAt) throw new UserError({ doing: "computing", problem: "the device was lost" });
      engine.run(program, weights);
    },
  };
}

async function predict(engine: Engine, recover: PredictionRequest["recover"]) {
  const folder = await Deno.makeTempDir();
  try {
    const cases = [0, 1].map((i) => {
      const id = `case_${i}`;
      return { id, files: [join(folder, `${id}_0000.nii.gz`)], output: join(folder, `${id}.nii.gz`) };
    });
    for (const [i, { files: [file] }] of cases.entries()) {
      const data = Uint8Array.from(randomNumbers(990, i + 3), (v) => 100 + 90 * v);
      const sitk = { spacing: [1, 1, 1], origin: [0, 0, 0], direction: [1, 0, 0, 0, 1, 0, 0, 0, 1] };
      await writeLabels("SimpleITKIO", file, { data, shape: SHAPE }, {
        reader: "SimpleITKIO",
        spacing: [1, 1, 1],
        shape: SHAPE,
        sitk,
      });
    }
    const model: Model = { ...makeModel({ patch: [4, 4, 4], mirrorAxes: [0, 1] }), folder };
    const events: PredictionEvent[] = [];
    const summary = await predictCases({ engine, model, cases, recover }, { onEvent: (event) => events.push(event) });
    const labels = await Promise.all(
      summary.done.map(({ output }) => Deno.readFile(output)),
    );
    const planned = events.flatMap((event) => event.kind === "case" ? [[event.id, event.memory.total] as const] : []);
    return { summary, labels, planned };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("a case whose GPU fails is done by the next one, planned for less memory, with the same labels", async () => {
  const wanted = await predict(await failingGpu(Infinity), undefined);
  const attempts: number[] = [];
  const next = [await failingGpu(1), await failingGpu(Infinity)];
  const actual = await predict(await failingGpu(2), (error, attempt) => {
    assert(error instanceof UserError && error.message.includes("the device was lost"));
    attempts.push(attempt);
    return () => Promise.resolve(next[attempt - 1]);
  });
  assertEquals([attempts, actual.summary.failed], [[1, 2], []]);
  assertEquals(actual.labels, wanted.labels);
  assertEquals(actual.planned.map(([id]) => id), ["case_0", "case_0", "case_0", "case_1"]);
  const [first, second, third, later] = actual.planned.map(([, bytes]) => bytes);
  assert(second < first && third <= second && later <= second, `${[first, second, third, later]}`);
  assert(actual.summary.done[0].batch < wanted.summary.done[0].batch);
});

Deno.test("on a CPU that takes over nothing is made smaller", async () => {
  const wanted = await predict(await createReferenceEngine(), undefined);
  const cpu = await createReferenceEngine();
  const actual = await predict(await failingGpu(2), () => () => Promise.resolve(cpu));
  assertEquals(actual.summary.done.map(({ batch }) => batch), wanted.summary.done.map(({ batch }) => batch));
  assertEquals(actual.labels, wanted.labels);
});

Deno.test("without another engine the case fails, and the others are done", async () => {
  const { summary } = await predict(await failingGpu(1), () => undefined);
  assertEquals(summary.failed.map(({ id }) => id), ["case_0"]);
  assertEquals(summary.done.map(({ id }) => id), ["case_1"]);
  const second = await predict(await failingGpu(1), () => () => {
    throw new UserError({ doing: "starting the GPU engine", problem: "there is none left" });
  });
  assert(second.summary.failed[0].message.includes("there is none left"));
});
