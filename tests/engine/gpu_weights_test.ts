/** Weights that the device packs against those of the host, block by block. */
import type { Vec3 } from "../../core/base/shape.ts";
import { architecture, type Stages } from "../../core/cases/networks.ts";
import { randomWeights } from "../../core/cases/random_data.ts";
import { buildGraph } from "../../core/network/build_graph.ts";
import { createBuffers } from "../../gpu/buffers.ts";
import { createCommands } from "../../gpu/commands.ts";
import { openDevice } from "../../gpu/device.ts";
import { convLimits } from "../../gpu/limits.ts";
import { loadWeights } from "../../gpu/load_weights.ts";
import { createPipelines } from "../../gpu/pipelines.ts";
import { planProgram } from "../../gpu/program_plan.ts";
import { readBytes } from "../../gpu/readback.ts";
import { packBlock } from "../../gpu/weight_layout.ts";
import { assert, assertClose, assertEquals, TOLERANCE } from "../assert.ts";
import { ignore } from "../without_gpu.ts";

const NETWORKS: readonly { readonly stages: Stages; readonly patch: Vec3 }[] = [
  { stages: { featuresPerStage: [6, 12, 20], convsPerStageDecoder: [1, 1] }, patch: [16, 16, 16] },
  { stages: { featuresPerStage: [5, 8], family: "ResidualEncoderUNet", convBias: false }, patch: [8, 16, 16] },
  { stages: { dimensions: 2, featuresPerStage: [8, 16] }, patch: [1, 32, 32] },
];

/** @returns how many blocks the device has packed, by their algorithm */
async function compare(stages: Stages, patch: Vec3, limit?: number): Promise<Set<string>> {
  using gpu = await openDevice({ allowSoftware: true });
  const limits = await convLimits(gpu, limit);
  const commands = createCommands(gpu);
  const buffers = createBuffers(
    gpu,
    { bindingBytes: limits.maxBindingBytes, memoryBytes: Infinity },
    commands.forget,
  );
  const graph = buildGraph(architecture(stages), 2, 3);
  const { weights: layout } = planProgram(graph, { patch, batch: 1, precision: "f32" }, limits);
  const source = randomWeights();
  const tools = { gpu, commands, buffers, pipelines: createPipelines(gpu) };
  using loaded = await loadWeights(tools, layout, source);
  const onDevice = new Set<string>();
  for (const block of layout.blocks) {
    const segments = loaded.slot(block.slot);
    assert(segments, block.slot);
    const actual = new Float32Array((await readBytes(gpu, commands, segments, 0, block.bytes)).buffer);
    const expected = packBlock(block, source);
    const [algorithm] = block.kind === "packed" ? block.operator.algorithm.split(" ") : [block.kind];
    // Transforms are computed in f32 there and in f64 here.
    if (algorithm === "winograd") assertClose(actual, expected, TOLERANCE.f32, block.slot);
    else assertEquals(actual, expected, `${block.slot}, ${algorithm}`);
    if (block.kind === "packed" && block.kernels()) onDevice.add(algorithm);
  }
  return onDevice;
}

Deno.test({ name: "weights that the device packs are those of the host, in every form there is", ignore }, async () => {
  const forms = new Set<string>();
  for (const { stages, patch } of NETWORKS) {
    for (const form of await compare(stages, patch)) forms.add(form);
  }
  assertEquals([...forms].sort(), ["direct", "transposed", "winograd"]);
});

Deno.test({ name: "what a device does not bind as a whole is packed by the host", ignore }, async () => {
  const [{ stages, patch }] = NETWORKS;
  const forms = await compare(stages, patch, 2 ** 12);
  assert(!forms.has("winograd"), [...forms].join(", "));
});
