/** A model's first tile on a GPU against the CPU's: what is compared, and what follows where it is wrong. */
import type { Vec3 } from "../../core/base/shape.ts";
import { architecture } from "../../core/cases/networks.ts";
import { buildGraph } from "../../core/network/build_graph.ts";
import { differenceOf, middleOf, totalStrides } from "../../core/predict/model/model_check.ts";
import type { PreprocessedCase } from "../../core/preprocess/case.ts";
import { assert, assertEquals } from "../assert.ts";
import { miscompile, predictSlices, useGpuCache } from "./gpu_cache.ts";
import { ignore } from "../without_gpu.ts";

Deno.test("a network's strides are those of its coarsest grid", () => {
  const deep = architecture({ featuresPerStage: [2, 4, 6, 8], strides: [[1, 1, 1], [1, 2, 2], [2, 2, 2], [1, 2, 2]] });
  assertEquals(totalStrides(buildGraph(deep, 1, 2)), [2, 8, 8]);
  const residual = architecture({ family: "ResidualEncoderUNet", featuresPerStage: [4, 8, 8] });
  assertEquals(totalStrides(buildGraph(residual, 1, 2)), [4, 4, 4]);
});

/** Two channels whose voxels are numbered, and labels that are the number of the first. */
function numbered(grid: Vec3): PreprocessedCase {
  const voxels = grid[0] * grid[1] * grid[2];
  return {
    data: Float32Array.from({ length: 2 * voxels }, (_, i) => i),
    channels: 2,
    grid,
    previousStage: Int16Array.from({ length: voxels }, (_, i) => i),
  } as unknown as PreprocessedCase;
}

Deno.test("the middle of an image is cut out, or all of it where the patch is larger", () => {
  const { input, origin } = middleOf(numbered([4, 6, 5]), [2, 2, 8]);
  assertEquals([input.grid, origin], [[2, 2, 5], [0, 0, -2]]);
  const expected = [1, 2].flatMap((z) => [2, 3].flatMap((y) => [0, 1, 2, 3, 4].map((x) => (z * 6 + y) * 5 + x)));
  assertEquals([...input.previousStage ?? []], expected);
  assertEquals([...input.data], [...expected, ...expected.map((i) => i + 120)]);
});

Deno.test("a difference is a share of the spread, and none where a number is none", () => {
  const expected = Float32Array.of(-1, 1, -1, 1);
  assertEquals(differenceOf(expected, expected), { usual: 0, most: 0 });
  assertEquals(differenceOf(Float32Array.of(-1, 1, -1, 2), expected), { usual: 0.5, most: 1 });
  const { usual, most } = differenceOf(Float32Array.of(-1, NaN, -1, 1), expected);
  assert(!(usual <= 1) && !(most <= 1));
});

const wrongBias = (isWrong: (code: string) => boolean) =>
  miscompile((code) =>
    isWrong(code) ? code.replaceAll("let bias = load_weights(", "let bias = 1.5 * load_weights(") : code
  );

Deno.test({ name: "a model that the GPU computes wrong is not predicted there, now and later", ignore }, async (t) => {
  await using cache = await useGpuCache();
  await t.step("with -device auto the CPU goes on", async () => {
    using _driver = wrongBias(() => true);
    const { code, text, report } = await predictSlices("-device", "auto", "--precision", "f32");
    assertEquals([code, report.engine.kind, report.failed], [0, "cpu", []], text);
    const said = text.replaceAll(/\s+/g, " ");
    assert(
      /the CPU goes on: Comparing the model.*the GPU computes it wrong in f32 \(logits of a tile/.test(said),
      text,
    );
  });
  await t.step("asked for by name it is an error, from the record", async () => {
    const [[key, { passed }]] = Object.entries((await cache.record()).findings.models);
    assert(key.endsWith(" f32") && !passed);
    const { code, text } = await predictSlices("-device", "gpu", "--precision", "f32");
    assertEquals(code, 1, text);
    assert(text.replaceAll(/\s+/g, " ").includes("Compute with -device cpu"), text);
  });
});

Deno.test({ name: "16-bit floats that are wrong for a model alone are left for it", ignore }, async () => {
  await using cache = await useGpuCache();
  const first = await predictSlices("-device", "gpu", "--precision", "auto");
  assertEquals(first.report.engine.precision, "f16", first.text);
  const record = await cache.record();
  const [key] = Object.keys(record.findings.models);
  await record.add({ models: { [key]: { passed: false, why: "they are wrong" } } });
  const { code, text, report } = await predictSlices("-device", "gpu", "--precision", "auto");
  assertEquals([code, report.engine.kind, report.engine.precision, report.failed], [0, "gpu", "f32", []], text);
  assert(text.includes("the GPU computes this model wrong in f16 (they are wrong)"), text);
  assertEquals(Object.values((await cache.record()).findings.precision)[0].precision, "f32");
});
