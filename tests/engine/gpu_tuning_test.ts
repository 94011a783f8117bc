/** Autotuning on whatever adapter there is: the ways of convolutions that were measured are taken, and compute the same. */
import { main } from "../../cli/main.ts";
import { UserError } from "../../core/base/errors.ts";
import type { Vec3 } from "../../core/base/shape.ts";
import type { Graph } from "../../core/graph/graph.ts";
import { createGpuEngine, type GpuEngine } from "../../gpu/engine.ts";
import { layoutOf } from "../../gpu/buffers.ts";
import { cacheChoices } from "../../gpu/measure_cache.ts";
import { planClear } from "../../kernels/wgsl/volume/clear.ts";
import { assert, assertClose, assertEquals, assertFails, TOLERANCE } from "../assert.ts";
import { captureOutput, miscompile, useGpuCache } from "./gpu_cache.ts";
import { loseDeviceBy } from "./lost_devices.ts";
import { randomValues, randomWeights } from "../../core/cases/random_data.ts";
import { ignore } from "../without_gpu.ts";

const MIB = 2 ** 20;
const PATCH: Vec3 = [8, 12, 12];
const conv = { kind: "conv", channels: 8, kernel: [3, 3, 3], stride: [1, 1, 1] } as const;
const GRAPH: Graph = {
  nodes: [
    { kind: "input", channels: 1 },
    { ...conv, input: 0, weight: "a.weight", bias: "a.bias" },
    { kind: "instanceNorm", input: 1, eps: 1e-5 },
    { kind: "leakyRelu", input: 2, negativeSlope: 0.01 },
    { ...conv, input: 3, weight: "b.weight", bias: "b.bias" },
  ],
  outputs: [4],
};

async function forward(engine: GpuEngine, batch: number) {
  using program = await engine.compile(GRAPH, { patch: PATCH, batch, precision: "f32" });
  using weights = await engine.loadWeights(program, randomWeights());
  using volume = engine.alloc("f32", 8 * 12 * 12, "volume");
  engine.upload(volume, randomValues(volume.length, 5));
  const patches = Array.from({ length: batch }, () => ({ origin: [0, 0, 0], mirror: [false, false, false] }) as const);
  engine.gatherPatches({ volume, channels: 1, grid: PATCH, patches, program });
  engine.run(program, weights);
  return { output: await engine.downloadOutput(program, batch - 1), steps: program.steps };
}

Deno.test(
  { name: "measured ways are taken, by other batches too, and compute what the usual ones do", ignore },
  async () => {
    await using usual = await createGpuEngine({ allowSoftware: true });
    const wanted = await forward(usual, 1);
    const before = usual.memoryUse().used;
    const measured = await usual.tune(GRAPH, { patch: PATCH, batch: 1, precision: "f32" });
    assertEquals(usual.memoryUse().used, before, "what was measured with is given back");
    assert(
      measured.length === 2 && measured.every(({ milliseconds, wrong }) => milliseconds > 0 && wrong.length === 0),
    );
    assert(measured.every(({ milliseconds, untunedMilliseconds }) => milliseconds <= untunedMilliseconds));
    // Whatever was the fastest here: a way that is not the forecast's shows that it is obeyed.
    const ways = new Map(measured.map(({ key, candidate }) => [key, candidate]));
    const first = measured.find(({ key }) =>
      key.startsWith("conv 3x3x3/1x1x1") && key.includes(" 8@0/8 f32 normed -> 8@")
    );
    assert(first !== undefined);
    ways.set(first.key, first.untuned.startsWith("direct") ? "winograd 2x2x2 8x32x16 by 64" : "direct 32x32x16");
    await using tuned = await createGpuEngine({ allowSoftware: true, tuning: ways });
    for (const batch of [1, 3]) {
      const { output, steps } = await forward(tuned, batch);
      assertClose(output, wanted.output, TOLERANCE.f32LongSum, `batch ${batch}`);
      const forms = steps.map(({ algorithm }) => algorithm.split(" ").slice(0, 2).join(" "));
      const usualForms = wanted.steps.map(({ algorithm }) => algorithm.split(" ").slice(0, 2).join(" "));
      assert(forms.join() !== usualForms.join(), `batch ${batch}: ${forms}`);
    }
  },
);

Deno.test({ name: "the shapes worth most are measured first, and no more than asked for", ignore }, async () => {
  await using engine = await createGpuEngine({ allowSoftware: true });
  const options = { patch: PATCH, batch: 1, precision: "f32" } as const;
  const asked: string[][] = [];
  const worth = (steps: readonly string[]) => {
    asked.push([...steps]);
    return steps.includes("conv b 8->8 8x12x12") ? 2 : 1;
  };
  const measured = await engine.tune(GRAPH, options, { worth, goesOn: (key) => key.includes("normed") });
  assertEquals(asked, [["conv a 1->8 8x12x12"], ["conv b 8->8 8x12x12"]]);
  assert(measured.length === 1, measured.map(({ key }) => key).join());
  assertEquals(await engine.tune(GRAPH, options, { worth: () => 0 }), []);
});

Deno.test(
  { name: "a way that computes something else than the others is found out and not taken", ignore },
  async () => {
    using _driver = miscompile((code, label) =>
      label === "direct convolution 3x3x3 32x32x16" ? code.replaceAll("let bias = ", "let bias = vec4f(0.5) + ") : code
    );
    await using engine = await createGpuEngine({ allowSoftware: true });
    const measured = await engine.tune(GRAPH, { patch: PATCH, batch: 1, precision: "f32" });
    const wrong = measured.filter(({ wrong }) => wrong.length > 0);
    assert(wrong.length > 0 && wrong.every(({ wrong }) => wrong.join() === "direct 32x32x16"), JSON.stringify(wrong));
    assert(measured.every(({ candidate }) => candidate !== "direct 32x32x16"));
  },
);

Deno.test({ name: "doctor --tune keeps what it measures", ignore }, async () => {
  await using cache = await useGpuCache();
  using output = captureOutput();
  assertEquals(await main(["doctor", "--tune", "--allow_software_gpu"]), 0, output.text);
  const { findings, ignored } = await cache.record();
  assertEquals(ignored, undefined);
  const shapes = Object.entries(findings.convolutions);
  assert(output.text.includes(`${shapes.length} shapes`) && !output.text.includes("not those of"), output.text);
  for (const kind of ["conv 3x3x3", "transposed 2x2x2", "weight gradient", "transposed weight gradient"]) {
    assert(shapes.some(([key]) => key.startsWith(kind) && key.includes("f16")), `${kind} was not measured`);
  }
});

Deno.test(
  { name: "how much of a convolution is done at a time is measured, and taken where memory allows", ignore },
  async () => {
    await using usual = await createGpuEngine({ allowSoftware: true });
    const measured = await usual.measureCache();
    assert(!measured || measured.milliseconds <= measured.usualMilliseconds);
    assert(!measured || cacheChoices().includes(measured.bytes));
    const tilesWith = async (cacheBytes: number, memoryLimitBytes?: number) => {
      await using engine = await createGpuEngine({ allowSoftware: true, cacheBytes, memoryLimitBytes });
      const graph: Graph = {
        nodes: [{ kind: "input", channels: 32 }, { ...conv, channels: 32, input: 0, weight: "a" }],
        outputs: [1],
      };
      const { steps } = engine.forecast(graph, { patch: [64, 64, 64], batch: 1, precision: "f32" });
      return Number(steps.find(({ algorithm }) => algorithm.startsWith("winograd"))?.algorithm.split(" by ")[1]);
    };
    const [small, large] = [await tilesWith(6 * MIB), await tilesWith(256 * MIB)];
    assert(small < await tilesWith(24 * MIB) && large > 8 * small, `${small} and ${large} tiles`);
    assertEquals(await tilesWith(256 * MIB, 1024 * MIB), await tilesWith(24 * MIB));
  },
);

Deno.test({ name: "a device that is lost while a kernel is measured is said to be lost", ignore }, async () => {
  using _lost = loseDeviceBy(() => true);
  await using engine = await createGpuEngine({ allowSoftware: true });
  const words = layoutOf("target", { ranges: [{}], segmentBytes: 64, bytes: 64 }, 4);
  const operator = planClear({ words, offset: 0, bytes: 64 });
  await assertFails(() => engine.timeOperator(operator, { target: 64 }), UserError, "the device was lost");
  assert(engine.lost);
});
