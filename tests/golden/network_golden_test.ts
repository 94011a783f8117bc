/**
 * Whole small networks against torch: the U-Nets of dynamic_network_architectures with the same weights and inputs, stored by
 * network/make_network_golden.py. The bound is the project's: 1e-4 of the output's standard deviation.
 */
import type { Engine } from "../../core/engine/engine.ts";
import type { PatchPlacement } from "../../core/engine/volume.ts";
import { type Vec3, voxelCount } from "../../core/base/shape.ts";
import { buildGraph } from "../../core/network/build_graph.ts";
import type { NetworkArchitecture } from "../../core/network/architecture.ts";
import { createCpuEngine } from "../../cpu/engine.ts";
import { assertClose, TOLERANCE } from "../assert.ts";
import { architecture } from "../../core/cases/networks.ts";
import { randomValues, randomWeights } from "../../core/cases/random_data.ts";
import { createReferenceEngine } from "../engine/reference_engine.ts";
import golden from "./network/network_golden.json" with { type: "json" };

type GoldenCase = (typeof golden.cases)[number];

function vec3(values: readonly number[]): Vec3 {
  return [values[0], values[1], values[2]];
}

function architectureOf(one: GoldenCase): NetworkArchitecture {
  return architecture({
    family: one.family as NetworkArchitecture["family"],
    dimensions: one.dimensions === 2 ? 2 : 3,
    featuresPerStage: one.features,
    kernelSizes: one.kernels.map(vec3),
    strides: one.strides.map(vec3),
    blocksPerStage: one.blocks,
    convsPerStageDecoder: one.decoder,
    norm: { kind: "norm" in one && one.norm === "batch" ? "batch" : "instance", eps: 1e-5, affine: true },
  });
}

/** The logits of the last sample of a batch of two. */
async function predict(engine: Engine, one: GoldenCase): Promise<Float32Array> {
  const patch = vec3(one.patch);
  const graph = buildGraph(architectureOf(one), one.inputs, one.classes);
  using program = await engine.compile(graph, { patch, batch: 2, precision: "f32" });
  using weights = await engine.loadWeights(program, randomWeights(golden.weightSeed));
  using volume = engine.alloc("f32", one.inputs * voxelCount(patch), "volume");
  engine.upload(volume, randomValues(volume.length, golden.inputSeed));
  const placed: PatchPlacement = { origin: [0, 0, 0], mirror: [false, false, false] };
  const mirrored: PatchPlacement = { origin: [0, 0, 0], mirror: [false, true, true] };
  engine.gatherPatches({ volume, channels: one.inputs, grid: patch, patches: [mirrored, placed], program });
  engine.run(program, weights);
  return await engine.downloadOutput(program, 1);
}

const engines = { "CPU": () => createCpuEngine({ threads: 2 }), "reference": () => createReferenceEngine() };

for (const [name, create] of Object.entries(engines)) {
  Deno.test(`Networks on the ${name} engine give torch's logits`, async (t) => {
    await using engine = await create();
    for (const one of golden.cases) {
      await t.step(one.name, async () => {
        const bytes = Uint8Array.from(atob(one.output), (char) => char.charCodeAt(0));
        assertClose(await predict(engine, one), new Float32Array(bytes.buffer), TOLERANCE.f32LongSum, one.name);
      });
    }
  });
}
