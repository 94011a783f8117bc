/** Whole runs over small made-up images: what is written, what is reported, and that no case disturbs another. */
import { Interrupted, UserError } from "../../core/base/errors.ts";
import { basename, join } from "../../core/base/path.ts";
import type { Vec3 } from "../../core/base/shape.ts";
import { voxelCount } from "../../core/base/shape.ts";
import type { ImageGeometry } from "../../core/formats/image/image.ts";
import { readNpz } from "../../core/formats/archive/npz.ts";
import { writeLabels } from "../../core/formats/image/write_image.ts";
import type { Model } from "../../core/predict/model/model_folder.ts";
import { predictCases } from "../../core/predict/run/predict_cases.ts";
import type { CaseToPredict, PredictionEvent, PredictionOptions } from "../../core/predict/run/request.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";
import { createReferenceEngine } from "../engine/reference_engine.ts";
import { makeModel, randomNumbers } from "./predict_fixture.ts";

interface Setup extends AsyncDisposable {
  readonly model: Model;
  readonly folder: string;
  readonly output: string;
  readonly cases: readonly CaseToPredict[];
}

const SHAPES: readonly Vec3[] = [[6, 7, 8], [9, 5, 6], [4, 10, 5]];

/** A model folder with its JSON files and three images. */
async function setUp(): Promise<Setup> {
  const folder = await Deno.makeTempDir();
  const output = join(folder, "out");
  await Deno.mkdir(join(folder, "model"));
  await Deno.writeTextFile(join(folder, "model", "plans.json"), '{"plans_name": "nnUNetPlans", "spacing": [1.0, 2]}');
  await Deno.writeTextFile(
    join(folder, "model", "dataset.json"),
    '{"labels": {"background": 0}, "file_ending": ".nii.gz"}',
  );
  const model: Model = { ...makeModel({ patch: [4, 4, 4], mirrorAxes: [0] }), folder: join(folder, "model") };
  const cases: CaseToPredict[] = [];
  for (const [index, shape] of SHAPES.entries()) {
    const id = `case_${index}`;
    const file = join(folder, `${id}_0000.nii.gz`);
    const geometry: ImageGeometry = {
      reader: "SimpleITKIO",
      spacing: [1, 1, 1],
      shape,
      sitk: { spacing: [1, 1, 1], origin: [index, 0, 0], direction: [1, 0, 0, 0, 1, 0, 0, 0, 1] },
    };
    const data = Uint8Array.from(randomNumbers(voxelCount(shape), index + 3), (v) => 100 + 90 * v);
    await writeLabels("SimpleITKIO", file, { data, shape }, geometry);
    cases.push({ id, files: [file], output: join(output, `${id}.nii.gz`) });
  }
  return {
    model,
    folder,
    output,
    cases,
    [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }),
  };
}

async function run(
  setup: Setup,
  cases: readonly CaseToPredict[],
  options: PredictionOptions = {},
  signal?: AbortSignal,
) {
  await using engine = await createReferenceEngine();
  const events: PredictionEvent[] = [];
  const summary = await predictCases(
    { engine, model: setup.model, cases, outputFolder: setup.output, options },
    { onEvent: (event) => events.push(event), signal },
  );
  return { summary, events };
}

/** What each file holds; of an .npz the array, as the compressor's bytes may differ from run to run. */
async function contents(setup: Setup): Promise<Map<string, ArrayLike<unknown>>> {
  const files = new Map<string, ArrayLike<unknown>>();
  for (const { name } of [...Deno.readDirSync(setup.output)].sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = join(setup.output, name);
    const array = name.endsWith(".npz") ? (await readNpz(path)).get("probabilities")?.data : undefined;
    files.set(name, array ?? await Deno.readFile(path));
  }
  return files;
}

/** What all cases give under some options. */
async function outputsOf(setup: Setup, options: PredictionOptions): Promise<Map<string, ArrayLike<unknown>>> {
  const { summary } = await run(setup, setup.cases, options);
  assertEquals(summary.failed, []);
  return await contents(setup);
}

Deno.test("a run writes every case and the model's JSON files, and reports what it did", async () => {
  await using setup = await setUp();
  const { summary, events } = await run(setup, setup.cases, { checksums: true });
  assertEquals([...(await contents(setup)).keys()], [
    "case_0.nii.gz",
    "case_1.nii.gz",
    "case_2.nii.gz",
    "dataset.json",
    "plans.json",
  ]);
  assertEquals(
    await Deno.readTextFile(join(setup.output, "plans.json")),
    '{\n    "plans_name": "nnUNetPlans",\n    "spacing": [\n        1.0,\n        2\n    ]\n}',
  );
  assertEquals(summary.done.map(({ id }) => id), ["case_0", "case_1", "case_2"]);
  assertEquals([summary.failed, summary.skipped], [[], []]);
  for (const [index, record] of summary.done.entries()) {
    assertEquals(record.shape, SHAPES[index]);
    const labelled = record.labels.reduce((sum, { voxels }) => sum + voxels, 0);
    assert(labelled > 0 && labelled < voxelCount(SHAPES[index]), "some voxels have a label");
    for (const { voxels, ml } of record.labels) assert(ml !== undefined && Math.abs(ml - voxels / 1000) < 1e-9);
    const [input] = record.files;
    const sum = new Uint8Array(await crypto.subtle.digest("SHA-256", await Deno.readFile(input))).toHex();
    assertEquals(record.checksums?.[input], sum);
    assert(record.output in (record.checksums ?? {}));
  }
  assertEquals(events[0], { kind: "start", cases: 3, skipped: 0 });
  assertEquals(events.filter(({ kind }) => kind === "done").length, 3);
  for (const record of summary.done) {
    const last = events.findLast((event) => event.kind === "progress" && event.id === record.id);
    assert(last?.kind === "progress" && last.done === last.of && last.of === 2 * record.tiles);
  }
});

Deno.test("files are byte-equal in this thread or beside it, and for a case alone or among others", async () => {
  await using setup = await setUp();
  await run(setup, setup.cases, { saveProbabilities: true });
  const beside = await contents(setup);
  assertEquals(beside.size, 11);
  await Deno.remove(setup.output, { recursive: true });
  await run(setup, setup.cases, { saveProbabilities: true, overlap: false });
  assertEquals(await contents(setup), beside);
  await Deno.remove(setup.output, { recursive: true });
  await run(setup, [setup.cases[1]], { saveProbabilities: true });
  for (const [name, bytes] of await contents(setup)) assertEquals(bytes, beside.get(name), name);
});

Deno.test("probabilities are those of every voxel, in the file's axis order", async () => {
  await using setup = await setUp();
  await run(setup, [setup.cases[0]], { saveProbabilities: true });
  const array = (await readNpz(join(setup.output, "case_0.npz"))).get("probabilities");
  assertEquals([array?.dtype, array?.shape], ["<f4", [3, ...SHAPES[0]]]);
  const voxels = voxelCount(SHAPES[0]);
  for (let i = 0; i < voxels; i++) {
    const sum = [0, 1, 2].reduce((total, c) => total + Number(array?.data[c * voxels + i]), 0);
    assert(Math.abs(sum - 1) < 1e-5, `voxel ${i} sums to ${sum}`);
  }
  assert((await Deno.stat(join(setup.output, "case_0.pkl"))).size > 0);
});

for (const overlap of [true, false]) {
  Deno.test(`a damaged image fails alone, named, and the others are done (overlap ${overlap})`, async () => {
    await using setup = await setUp();
    const [file] = setup.cases[1].files;
    await Deno.truncate(file, 60);
    const { summary, events } = await run(setup, setup.cases, { overlap });
    assertEquals(summary.done.map(({ id }) => id), ["case_0", "case_2"]);
    assertEquals(summary.failed.map(({ id }) => id), ["case_1"]);
    assertEquals(summary.failed[0].error.caseId, "case_1");
    assert(summary.failed[0].message.includes(basename(file)), summary.failed[0].message);
    assert(events.some((event) => event.kind === "failed" && event.id === "case_1"));
    assert(!(await contents(setup)).has("case_1.nii.gz"));
  });
}

Deno.test("every case may fail, the first and the last too", async () => {
  await using setup = await setUp();
  const { summary } = await run(setup, setup.cases.map((one) => ({ ...one, files: ["nowhere_0000.nii.gz"] })));
  assertEquals(summary.failed.map(({ id }) => id), ["case_0", "case_1", "case_2"]);
  assertEquals(summary.done, []);
});

Deno.test("a limit that nothing fits into fails with what reading takes, what the program has, and a limit that would do", async () => {
  await using setup = await setUp();
  const { summary } = await run(setup, setup.cases, { maxMemory: 1 << 20 });
  assertEquals(summary.failed.map(({ id }) => id), ["case_0", "case_1", "case_2"]);
  const [{ message }] = summary.failed;
  for (const part of ["case_0", "6 x 7 x 8 voxels", "1 MiB may be used", "the program has", "--max-memory"]) {
    assert(message.includes(part), `${part} in: ${message}`);
  }
});

Deno.test("a limit that is wide enough changes no output", async () => {
  await using setup = await setUp();
  const free = await outputsOf(setup, {});
  const limited = await outputsOf(setup, { maxMemory: Deno.memoryUsage().rss + 2 ** 30 });
  assertEquals(limited, free);
});

Deno.test("continuing leaves out what is there, and asks for .npz and .pkl where probabilities are saved", async () => {
  await using setup = await setUp();
  await run(setup, setup.cases.slice(0, 2), { saveProbabilities: true });
  await Deno.remove(join(setup.output, "case_1.pkl"));
  const labelsOnly = await run(setup, setup.cases, { continuePrediction: true });
  assertEquals(labelsOnly.summary.skipped, ["case_0", "case_1"]);
  assertEquals(labelsOnly.summary.done.map(({ id }) => id), ["case_2"]);
  const all = await run(setup, setup.cases, { continuePrediction: true, saveProbabilities: true });
  assertEquals(all.summary.skipped, ["case_0"]);
  assertEquals(all.summary.done.map(({ id }) => id), ["case_1", "case_2"]);
});

Deno.test("continuing predicts again what is an empty file", async () => {
  await using setup = await setUp();
  await run(setup, setup.cases.slice(0, 2), { saveProbabilities: true });
  const [empty] = setup.cases;
  const whole = await Deno.readFile(empty.output);
  await Deno.truncate(empty.output);
  const labels = await run(setup, setup.cases.slice(0, 2), { continuePrediction: true });
  assertEquals(labels.summary.done.map(({ id }) => id), ["case_0"]);
  assertEquals(await Deno.readFile(empty.output), whole);
  await Deno.truncate(join(setup.output, "case_1.npz"));
  const all = await run(setup, setup.cases.slice(0, 2), { continuePrediction: true, saveProbabilities: true });
  assertEquals(all.summary.done.map(({ id }) => id), ["case_1"]);
});

Deno.test("nothing to do is no error", async () => {
  await using setup = await setUp();
  const { summary } = await run(setup, []);
  assertEquals([summary.done, summary.failed, summary.skipped], [[], [], []]);
});

Deno.test("stopping leaves whole files only", async () => {
  await using setup = await setUp();
  await using engine = await createReferenceEngine();
  const stop = new AbortController();
  await assertFails(
    () =>
      predictCases(
        {
          engine,
          model: setup.model,
          cases: setup.cases,
          outputFolder: setup.output,
          options: { saveProbabilities: true },
        },
        {
          signal: stop.signal,
          onEvent: (event) => {
            if (event.kind === "progress" && event.id === "case_1") stop.abort();
          },
        },
      ),
    Interrupted,
    "stopped",
  );
  const left = [...(await contents(setup)).keys()].filter((name) => !name.endsWith(".json"));
  assert(left.every((name) => name.startsWith("case_0.")), `left: ${left.join(", ")}`);
});

Deno.test("an output folder that is a file is refused before anything is read", async () => {
  await using setup = await setUp();
  await Deno.writeTextFile(setup.output, "");
  await assertFails(() => run(setup, setup.cases), UserError, basename(setup.output));
});
