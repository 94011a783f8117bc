/** `--precision auto`: f16 where the first tile's labels are f32's, f32 where they are not or something overflows; kept for later runs. */
import { main } from "../../cli/main.ts";
import { fromFileUrl, join } from "../../core/base/path.ts";
import type { Graph } from "../../core/graph/graph.ts";
import { readLabels } from "../../core/formats/image/read_image.ts";
import type { Model } from "../../core/predict/model/model_folder.ts";
import { openSession } from "../../core/predict/model/session.ts";
import { choosePrecision, modelKey, type PrecisionChoice } from "../../core/predict/model/precision.ts";
import { createGpuEngine } from "../../gpu/engine.ts";
import { assert, assertEquals } from "../assert.ts";
import { makeCase, makeModel, randomNumbers } from "../unit/predict_fixture.ts";
import { captureOutput, useGpuCache } from "./gpu_cache.ts";
import { ignore } from "../without_gpu.ts";

const ROOT = fromFileUrl(new URL("../golden/models", import.meta.url));

/** Two convolutions of one voxel each; what lies between them is stored as the precision says. */
const GRAPH: Graph = {
  nodes: [
    { kind: "input", channels: 1 },
    { kind: "conv", input: 0, channels: 4, kernel: [1, 1, 1], stride: [1, 1, 1], weight: "a.weight", bias: "a.bias" },
    { kind: "conv", input: 1, channels: 3, kernel: [1, 1, 1], stride: [1, 1, 1], weight: "b.weight", bias: "b.bias" },
  ],
  outputs: [2],
};

/**
 * A model whose values between the convolutions are about `offset` +- `scale`; the offset is taken out again behind them.
 * @param onRead told of every weight that is read
 */
function modelWith(scale: number, offset: number, onRead = (_name: string) => {}): Model {
  const made = makeModel({ patch: [8, 8, 8] });
  const values: [string, readonly number[], Float32Array<ArrayBuffer>][] = [
    ["a.weight", [4, 1, 1, 1, 1], randomNumbers(4, 1).map((v) => v * scale)],
    ["a.bias", [4], new Float32Array(4).fill(offset)],
    // Each row's sum is 0: equal offsets cancel.
    ["b.weight", [3, 4, 1, 1, 1], Float32Array.from([1, -1, 0, 0, 0, 1, -1, 0, -1, 0, 0, 1], (v) => v / scale)],
    ["b.bias", [3], new Float32Array([0.01, 0, -0.01])],
  ];
  const weights = new Map(
    values.map(([name, shape, data]) => {
      const read = () => {
        onRead(name);
        return data.slice();
      };
      return [name, { shape, dtype: "float32", read }];
    }),
  );
  const [fold] = made.folds;
  const checkpoint = { ...fold.checkpoint, weights } as Model["folds"][number]["checkpoint"];
  return { ...made, graph: GRAPH, folds: [{ ...fold, checkpoint }] } as Model;
}

Deno.test(
  { name: "f16 is taken where it changes no label, f32 where it changes some or overflows", ignore },
  async (t) => {
    await using engine = await createGpuEngine({ allowSoftware: true });
    if (!engine.supports("f16")) return;
    const trial = async (scale: number, offset: number) => {
      const model = modelWith(scale, offset);
      return await choosePrecision(engine, model, makeCase(model, { grid: [12, 10, 9] }));
    };
    await t.step("values of moderate size", async () => {
      const { precision, why } = await trial(1, 0);
      assertEquals(precision, "f16");
      assert(/^f16 gives (99\.9\d|100\.00) % of the first tile's labels/.test(why), why);
    });
    await t.step("small differences of large values", async () => {
      const { precision, why } = await trial(0.1, 2000);
      assertEquals(precision, "f32");
      assert(why.endsWith("99.95 % are asked for"), why);
    });
    await t.step("values beyond 65504", async () => {
      const { precision, why } = await trial(1e6, 0);
      assertEquals([precision, why], ["f32", "in f16 the first tile's logits are not all finite"]);
    });
  },
);

Deno.test({ name: "a choice is kept for the model it was made for, and not tried again", ignore }, async () => {
  await using engine = await createGpuEngine({ allowSoftware: true });
  if (!engine.supports("f16")) return;
  const kept = new Map<string, PrecisionChoice>();
  const cache = {
    get: (key: string) => kept.get(key),
    set: (key: string, choice: PrecisionChoice) => Promise.resolve(void kept.set(key, choice)),
  };
  const [one, other] = [modelWith(1, 0), modelWith(1, 1)];
  assert(modelKey(one) !== modelKey(other) && modelKey(one) === modelKey(modelWith(1, 0)));
  const first = await choosePrecision(engine, one, makeCase(one, { grid: [8, 8, 8] }), cache);
  assertEquals([...kept], [[modelKey(one), first]]);
  kept.set(modelKey(one), { precision: "f32", why: "kept" });
  const { submissions } = engine;
  assertEquals((await choosePrecision(engine, one, makeCase(one, { grid: [8, 8, 8] }), cache)).why, "kept");
  assertEquals(engine.submissions, submissions, "the GPU was asked again");
});

Deno.test({ name: "a fold's weights go to the GPU once for the trial and the prediction", ignore }, async () => {
  await using engine = await createGpuEngine({ allowSoftware: true });
  if (!engine.supports("f16")) return;
  let reads = 0;
  const model = modelWith(1, 0, (name) => reads += Number(name === "a.weight"));
  await using session = openSession({ engine, model, options: { precision: "auto" } });
  const network = await session.network(makeCase(model, { grid: [8, 8, 8] }));
  using program = await network.program(1);
  engine.run(program, await network.weights(0, false));
  await engine.flush();
  assertEquals(reads, 1);
});

Deno.test(
  { name: "what the first case needs is compiled before it is there, and takes no memory", ignore },
  async () => {
    await using engine = await createGpuEngine({ allowSoftware: true });
    const model = modelWith(1, 0);
    await using session = openSession({ engine, model, options: { precision: "f32" } });
    const { used } = engine.memoryUse();
    await session.warmUp(1);
    const { kernels } = engine.compiled;
    assert(kernels > 0);
    assertEquals(engine.memoryUse().used, used);
    const network = await session.network(makeCase(model, { grid: [8, 8, 8] }));
    using program = await network.program(2);
    engine.run(program, await network.weights(0, false));
    await engine.flush();
    assertEquals(engine.compiled.kernels, kernels, "something was compiled later");
  },
);

Deno.test({ name: "predict tries both precisions once for a model and says what it takes", ignore }, async () => {
  await using cache = await useGpuCache();
  const folder = await Deno.makeTempDir();
  const predict = async (name: string, ...flags: string[]) => {
    const report = join(folder, `${name}.json`);
    using output = captureOutput();
    const code = await main([
      ...["predict_from_modelfolder", "-i", join(ROOT, "images", "slices_2d"), "-m", join(ROOT, "models", "slices_2d")],
      ...["-o", join(folder, name), "-f", "0", "--disable_tta", "-device", "gpu", "--allow_software_gpu"],
      ...["--report", report, ...flags],
    ]);
    assertEquals(code, 0, output.text);
    return { text: output.text, ...JSON.parse(await Deno.readTextFile(report)) };
  };
  try {
    const first = await predict("first");
    const { precision, precisionReason } = first.engine;
    assert(first.text.includes(`precision: ${precision} (${precisionReason})`), first.text);
    const kept = Object.values((await cache.record()).findings.precision);
    assertEquals(kept, [{ precision, why: precisionReason }]);
    const again = await predict("again");
    assertEquals(again.engine, first.engine);
    const exact = await predict("exact", "--deterministic");
    assertEquals([exact.engine.precision, exact.engine.precisionReason], ["f32", undefined]);
    for (const { output } of exact.cases) {
      const wanted = (await readLabels("SimpleITKIO", output)).labels.data;
      const { data } = (await readLabels("SimpleITKIO", output.replace(`${folder}/exact`, `${folder}/first`))).labels;
      let different = 0;
      wanted.forEach((label: number, i: number) => different += Number(label !== data[i]));
      assert(different <= wanted.length * 0.001, `${different} of ${wanted.length} labels differ`);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
