/** The streaming predictor against the definition, and against itself under every memory limit. */
import type { Engine } from "../../core/engine/engine.ts";
import type { LabelVolume } from "../../core/formats/image/image.ts";
import { type CasePlan, planCase, uploadCase } from "../../core/predict/stream/case_plan.ts";
import type { Model } from "../../core/predict/model/model_folder.ts";
import { loadNetwork } from "../../core/predict/model/network.ts";
import { predictCase } from "../../core/predict/stream/predict_case.ts";
import { createProbabilityFile } from "../../core/predict/stream/probability_file.ts";
import type { RingPlacement, StreamChoice } from "../../core/predict/stream/stream.ts";
import type { PreprocessedCase } from "../../core/preprocess/case.ts";
import { Interrupted, UserError } from "../../core/base/errors.ts";
import { createCpuEngine } from "../../cpu/engine.ts";
import { assert, assertClose, assertEquals, assertFails, TOLERANCE } from "../assert.ts";
import { createReferenceEngine } from "../engine/reference_engine.ts";
import { inTempFolder } from "../golden/cli/run_command.ts";
import { type CaseOptions, makeCase, makeModel, type ModelOptions, PLAN_OPTIONS } from "./predict_fixture.ts";
import { predictByDefinition } from "./predict_oracle.ts";

/** Where logits of two classes are closer than this, f32 sums may decide otherwise than f64 sums. */
const MARGIN = 1e-4;

interface Setting {
  readonly name: string;
  readonly model: ModelOptions;
  readonly case: CaseOptions;
  readonly stepSize?: number;
}

const SETTINGS: readonly Setting[] = [
  {
    name: "3-D, mirrored, two folds",
    model: { patch: [4, 6, 4], folds: 2, mirrorAxes: [0, 2] },
    case: { grid: [8, 9, 5] },
  },
  {
    name: "3-D, resampled, cropped and transposed",
    model: { patch: [4, 4, 6], transposeForward: [2, 0, 1], outputs: 5 },
    case: { grid: [7, 10, 9], cropped: [10, 8, 13], margins: [[1, 2], [0, 3], [2, 0]] },
  },
  {
    name: "an image smaller than the patch along two axes",
    model: { patch: [8, 5, 6], inputs: 2 },
    case: { grid: [3, 12, 5], cropped: [4, 9, 5] },
  },
  {
    name: "2-D over slices, mirrored",
    model: { patch: [1, 6, 8], dimensions: 2, mirrorAxes: [0, 1] },
    case: { grid: [5, 11, 10], cropped: [5, 8, 13] },
  },
  {
    name: "2-D, one slice",
    model: { patch: [1, 6, 8], dimensions: 2, inputs: 3, outputs: 2 },
    case: { grid: [1, 20, 13] },
  },
  {
    name: "regions",
    model: { patch: [4, 4, 4], regionsClassOrder: [3, 1, 2], transposeForward: [1, 0, 2] },
    case: { grid: [6, 9, 5], cropped: [9, 9, 6], margins: [[0, 0], [1, 1], [0, 0]] },
  },
  {
    name: "a cascade's second stage",
    model: { patch: [4, 4, 4], cascade: true, mirrorAxes: [0] },
    case: { grid: [6, 8, 5], previousStage: true },
  },
  {
    name: "a step of the whole patch",
    model: { patch: [4, 4, 4] },
    case: { grid: [9, 10, 8] },
    stepSize: 1,
  },
];

interface Limits {
  readonly maxMemory?: number;
  readonly saveProbabilities?: boolean;
  readonly only?: StreamChoice;
}

async function predict(engine: Engine, model: Model, input: PreprocessedCase, setting: Setting, limits: Limits = {}) {
  await using network = loadNetwork(engine, model, false);
  const plan = planCase(model, network, input, {
    ...PLAN_OPTIONS,
    stepSize: setting.stepSize ?? 0.5,
    saveProbabilities: limits.saveProbabilities ?? false,
    maxMemory: limits.maxMemory,
    only: limits.only,
  });
  return { plan, ...await predictWith(engine, model, input, plan, limits.saveProbabilities ?? false) };
}

async function predictWith(
  engine: Engine,
  model: Model,
  input: PreprocessedCase,
  plan: CasePlan,
  saveProbabilities = false,
): Promise<{ readonly labels: LabelVolume; readonly probabilities?: Float32Array; readonly progress: number[] }> {
  await using network = loadNetwork(engine, model, false);
  using uploaded = uploadCase(engine, input);
  const folder = await Deno.makeTempDir();
  try {
    using file = saveProbabilities
      ? createProbabilityFile({
        caseId: input.id,
        folder,
        channels: model.outputChannels,
        geometry: plan.geometry,
        transposeBackward: model.plans.transposeBackward,
        grid: plan.outputGrid,
        nonlinearity: plan.nonlinearity,
      })
      : undefined;
    const progress: number[] = [];
    const labels = await predictCase({
      engine,
      model,
      network,
      input: uploaded,
      plan,
      probabilities: file,
      scratchFolder: folder,
      onProgress: (done) => progress.push(done),
    });
    file?.finish();
    const probabilities = file && new Float32Array((await Deno.readFile(file.path)).buffer);
    const left = [...Deno.readDirSync(folder)].map(({ name }) => name).filter((name) => !file?.path.endsWith(name));
    assertEquals(left, [], "files left in the scratch folder");
    return { labels, probabilities, progress };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

for (const setting of SETTINGS) {
  Deno.test(`labels and probabilities follow the definition: ${setting.name}`, async () => {
    await using engine = await createReferenceEngine();
    const model = makeModel(setting.model);
    const input = makeCase(model, setting.case);
    const expected = predictByDefinition(model, input, setting.stepSize ?? 0.5, true);
    for (const saveProbabilities of [false, true]) {
      const { labels, probabilities, plan, progress } = await predict(engine, model, input, setting, {
        saveProbabilities,
      });
      assertEquals(labels.shape, input.properties.geometry.shape);
      assertEquals(labels.data.length, expected.labels.length);
      let decided = 0;
      for (let i = 0; i < expected.labels.length; i++) {
        if (expected.margins[i] < MARGIN) continue;
        decided++;
        assertEquals(labels.data[i], expected.labels[i], `voxel ${i}`);
      }
      assert(decided > 0.99 * expected.labels.length, "nearly all voxels are compared");
      assert(new Set(expected.labels).size > 1, "more than one label is there");
      assertEquals(progress.at(-1), plan.stream.samples);
      if (probabilities) assertClose(probabilities, expected.probabilities, TOLERANCE.f32, "probabilities");
    }
  });

  Deno.test(`labels are byte-equal for every placement, batch and residency of folds: ${setting.name}`, async () => {
    await using engine = await createReferenceEngine();
    const model = makeModel(setting.model);
    const input = makeCase(model, setting.case);
    const { plan, labels } = await predict(engine, model, input, setting);
    const seen = new Set<RingPlacement>();
    const { total } = plan.stream.memory;
    const beyondRuntime = total - plan.stream.memory.runtime;
    const limits = [total, total - 1, total - Math.floor(beyondRuntime / 3)];
    for (const maxMemory of limits) {
      let other;
      try {
        other = await predict(engine, model, input, setting, { maxMemory });
      } catch (error) {
        assert(error instanceof Error && error.message.includes("--max-memory"), String(error));
        continue;
      }
      seen.add(other.plan.stream.placement);
      assert(other.plan.stream.memory.total <= maxMemory);
      assertEquals(other.labels.data, labels.data, `limit ${maxMemory}, ${other.plan.stream.placement}`);
    }
    assert(seen.has("memory"));
    // Whatever the limits above led to: each placement and an odd batch, with folds loaded again for each row.
    for (const [placement, batch] of [["memory", 3], ["strips", 1], ["strips", 3], ["patches", 1]] as const) {
      const only = { placement, batch, foldsResident: false };
      const other = await predict(engine, model, input, setting, { only });
      assertEquals(other.plan.stream.placement, placement);
      assertEquals(other.labels.data, labels.data, `${placement}, batch ${batch}`);
      seen.add(placement);
    }
    assert(seen.has("strips") && seen.has("patches"), `placements tried: ${[...seen].join(", ")}`);
  });
}

Deno.test("a case that its memory does not suffice for is refused with every part named and the limit that would do", async () => {
  await using engine = await createReferenceEngine();
  const model = makeModel({ patch: [4, 4, 4] });
  const input = makeCase(model, { grid: [12, 8, 8] });
  await using network = loadNetwork(engine, model, true);
  const plan = (maxMemory: number) => planCase(model, network, input, { ...PLAN_OPTIONS, maxMemory });
  const parts = ["runtime 150 MiB", "image", "labels", "ring", "activations", "weights", "1 MiB", "--max-memory"];
  await assertFails(() => plan(1 << 20), UserError, input.id, ...parts);
  let message = "";
  try {
    plan(1 << 20);
  } catch (error) {
    message = String(error);
  }
  const named = Number(/--max-memory (\d+)M/.exec(message)?.[1]) * 2 ** 20;
  assert(plan(named).stream.memory.total <= named);
});

Deno.test("an aborted prediction throws Interrupted and leaves the engine usable", async () => {
  await using engine = await createReferenceEngine();
  const model = makeModel({ patch: [4, 4, 4] });
  const input = makeCase(model, { grid: [12, 8, 8] });
  await using network = loadNetwork(engine, model, false);
  const plan = planCase(model, network, input, PLAN_OPTIONS);
  const stop = new AbortController();
  {
    using uploaded = uploadCase(engine, input);
    const call = { engine, model, network, input: uploaded, plan, scratchFolder: "." };
    await assertFails(
      () => predictCase({ ...call, signal: stop.signal, onProgress: () => stop.abort() }),
      Interrupted,
      "stopped",
    );
    const labels = await predictCase(call);
    assertEquals(labels.shape, [12, 8, 8]);
  }
});

for (const makeEngine of [createReferenceEngine, () => createCpuEngine({ threads: 2 })]) {
  Deno.test(`logits that are not finite end in an error that names case and checkpoint: ${makeEngine.name || "CPU"}`, () =>
    inTempFolder(async (scratchFolder) => {
      await using engine = await makeEngine();
      for (const [value, order] of [[NaN, 1], [3e38, 1], [NaN, 3]]) {
        const model = makeModel({ patch: [4, 4, 4], resampling: { order } });
        const input = makeCase(model, { grid: [9, 6, 5], cropped: [9, 6, 10], seed: 4 });
        await using network = loadNetwork(engine, model, false);
        for (const placement of order === 1 ? ["memory", "strips", "patches"] as const : ["memory"] as const) {
          const options = { ...PLAN_OPTIONS, only: { placement } };
          const run = async (data: PreprocessedCase["data"]) => {
            const plan = planCase(model, network, input, options);
            using uploaded = uploadCase(engine, { ...input, data });
            return await predictCase({
              engine,
              model,
              network,
              input: uploaded,
              plan,
              scratchFolder,
            });
          };
          assertEquals((await run(input.data)).shape, [9, 6, 10]);
          const spoilt = input.data.slice();
          spoilt[spoilt.length - 1] = value;
          await assertFails(() => run(spoilt), UserError, "case made_4", "fold_0", "NaN or infinite", "diverged");
        }
      }
    }));
}

Deno.test("a resampling of order 3 takes the whole volume, class by class, and labels and probabilities agree", async () => {
  await using engine = await createReferenceEngine();
  const setting: Setting = {
    name: "order 3, identity along all axes but one",
    model: { patch: [4, 6, 4], resampling: { order: 3 } },
    case: { grid: [8, 9, 7], cropped: [8, 9, 14], margins: [[1, 0], [0, 0], [0, 1]] },
  };
  const model = makeModel(setting.model);
  const input = makeCase(model, setting.case);
  const { plan, labels, probabilities } = await predict(engine, model, input, setting, { saveProbabilities: true });
  assertEquals(plan.tables, undefined);
  assertEquals(plan.stream.planes, plan.stream.size[0]);
  assert(probabilities !== undefined);
  // Splines are checked against upstream elsewhere; here: labels are the argmax of the probabilities, which sum to 1, and lie in
  // the bounding box.
  const voxels = labels.data.length;
  const [, height, width] = labels.shape;
  for (let i = 0; i < voxels; i++) {
    const values = [0, 1, 2].map((c) => probabilities[c * voxels + i]);
    assertEquals(labels.data[i], values.indexOf(Math.max(...values)), `voxel ${i}`);
    assert(Math.abs(values[0] + values[1] + values[2] - 1) < 1e-5);
    const [z, x] = [Math.floor(i / (height * width)), i % width];
    if (z === 0 || x === width - 1) assertEquals(values, [1, 0, 0]);
  }
  assert(new Set(labels.data).size === 3);
});
