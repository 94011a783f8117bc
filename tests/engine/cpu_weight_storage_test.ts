import { createCpuEngine } from "../../cpu/engine.ts";
import type { Vec3 } from "../../core/base/shape.ts";
import { voxelCount } from "../../core/base/shape.ts";
import { buildGraph } from "../../core/network/build_graph.ts";
import { assert, assertEquals } from "../assert.ts";
import { architecture } from "../../core/cases/networks.ts";
import { randomValues, randomWeights } from "../../core/cases/random_data.ts";

Deno.test("Weights packed in every run take less memory and give the same bits as weights that stay packed", async () => {
  await using engine = await createCpuEngine({ threads: 2 });
  const graph = buildGraph(architecture({ dimensions: 3, featuresPerStage: [32, 64, 96] }), 1, 3);
  const patch: Vec3 = [16, 24, 16];
  const outputs: Float32Array[] = [];
  const bytes: number[] = [];
  for (const weightStorage of ["packed", "packedPerRun"] as const) {
    const options = { patch, batch: 1, precision: "f32", weightStorage } as const;
    using program = await engine.compile(graph, options);
    using weights = await engine.loadWeights(program, randomWeights());
    using volume = engine.alloc("f32", voxelCount(patch), "volume");
    engine.upload(volume, randomValues(voxelCount(patch), 1));
    const patches = [{ origin: [0, 0, 0], mirror: [false, false, false] }] as const;
    engine.gatherPatches({ volume, channels: 1, grid: patch, patches, program });
    engine.run(program, weights);
    engine.run(program, weights);
    outputs.push(await engine.downloadOutput(program, 0));
    bytes.push(weights.bytes);
    assertEquals(engine.forecast(graph, options).memory, program.memory);
    assertEquals(weights.bytes, program.memory.weights);
  }
  assert(bytes[1] < bytes[0] / 3, `${bytes[1]} bytes instead of ${bytes[0]}`);
  assertEquals(outputs[1], outputs[0]);
});

Deno.test("Inputs that are used once leave their memory to the run and change no bit", async () => {
  await using engine = await createCpuEngine({ threads: 2 });
  const graph = buildGraph(architecture({ dimensions: 3, featuresPerStage: [8, 16] }), 3, 2);
  const patch: Vec3 = [16, 24, 16];
  const results = await Promise.all([false, true].map(async (inputOnce) => {
    using program = await engine.compile(graph, { patch, batch: 2, precision: "f32", inputOnce });
    using weights = await engine.loadWeights(program, randomWeights());
    using volume = engine.alloc("f32", 3 * voxelCount(patch), "volume");
    engine.upload(volume, randomValues(3 * voxelCount(patch), 1));
    const outputs: Float32Array[] = [];
    for (const shift of [0, 3, 0]) {
      const patches = [0, 1].map((i) => ({ origin: [shift, i, 0], mirror: [false, i === 1, false] } as const));
      engine.gatherPatches({ volume, channels: 3, grid: patch, patches, program });
      engine.run(program, weights);
      outputs.push(await engine.downloadOutput(program, 0), await engine.downloadOutput(program, 1));
    }
    return { outputs, bytes: program.memory.activations };
  }));
  assert(results[1].bytes < results[0].bytes, `${results[1].bytes} bytes, ${results[0].bytes} for inputs that stay`);
  assertEquals(results[1].outputs, results[0].outputs);
});
