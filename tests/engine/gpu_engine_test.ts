/**
 * The cases of core/cases on the GPU engine, against the reference engine. It takes whatever adapter there is, a software one (lavapipe in CI)
 * too. Without an adapter it is skipped, unless NNUNET_TEST_GPU=required.
 */
import { createGpuEngine, type GpuEngine } from "../../gpu/engine.ts";
import { UserError } from "../../core/base/errors.ts";
import type { Vec3 } from "../../core/base/shape.ts";
import { buildGraph } from "../../core/network/build_graph.ts";
import { assert, assertClose, assertEquals, assertFails, TOLERANCE } from "../assert.ts";
import { checkGradients, runSuite } from "./engine_suite.ts";
import { ENGINE_CASES } from "../../core/cases/cases.ts";
import { architecture, type NetworkSize, prepareNetwork } from "../../core/cases/networks.ts";
import { randomWeights } from "../../core/cases/random_data.ts";
import { ignore } from "../without_gpu.ts";

const open = (options = {}) => createGpuEngine({ allowSoftware: true, ...options });

const runTwice = (t: Deno.TestContext, engine: GpuEngine, cases = ENGINE_CASES) =>
  runSuite(t, engine, async ({ run }, precision, actual) => {
    assertEquals(await run(engine, precision), actual, "a second run gives other bits");
  }, cases);

Deno.test({ name: "The GPU engine computes what the reference computes", ignore }, async (t) => {
  await using engine = await open();
  await runTwice(t, engine);
  await checkGradients(t, engine);
});

Deno.test({ name: "A device that binds 16 KiB at a time computes the same", ignore }, async (t) => {
  await using engine = await open({ forceBindingLimit: 2 ** 14 });
  // Trainings take minutes in pieces so small on a software adapter.
  const refusals = await runTwice(t, engine, ENGINE_CASES.filter(({ family }) => family !== "training"));
  assert(refusals <= 1, `${refusals} cases were not run`);
});

/** A network whose tensors exceed 1 MiB. */
const LARGE: NetworkSize = {
  graph: buildGraph(architecture({ featuresPerStage: [8, 12] }), 1, 3),
  patch: [24, 44, 40],
  batch: 1,
};

async function forward(engine: GpuEngine, precision: "f32" | "f16" = "f32"): Promise<Float32Array> {
  using prepared = await prepareNetwork(engine, LARGE, precision);
  prepared.run();
  return await engine.downloadOutput(prepared.program, 0);
}

Deno.test({ name: "Tensors that span bindings of 1 MiB hold the same values as whole ones", ignore }, async () => {
  await using whole = await open();
  await using cut = await open({ forceBindingLimit: 2 ** 20 });
  assertClose(await forward(cut), await forward(whole), TOLERANCE.f32LongSum);
});

Deno.test({ name: "A device without 16-bit floats says so", ignore }, async () => {
  await using engine = await open();
  if (engine.supports("f16")) return;
  await assertFails(() => forward(engine, "f16"), UserError, "16-bit floats", "--precision f32");
});

Deno.test({ name: "What a program will take on the device is known beforehand", ignore }, async () => {
  await using engine = await open();
  const { graph } = LARGE;
  const options = { patch: LARGE.patch, batch: 2, precision: "f32" } as const;
  const { memory } = engine.forecast(graph, options);
  const before = engine.memoryUse().used;
  using program = await engine.compile(graph, options);
  using _weights = await engine.loadWeights(program, randomWeights());
  const taken = engine.memoryUse().used - before;
  const wanted = memory.activations + memory.weights + memory.scratch;
  assert(Math.abs(taken - wanted) <= 0.1 * wanted, `${taken} bytes were taken, ${wanted} forecast`);
});

Deno.test({ name: "Beyond the memory limit a tensor is refused, and smaller ones are not", ignore }, async () => {
  await using engine = await open({ memoryLimitBytes: 2 ** 20 });
  assertEquals(engine.ownMemory, { free: 2 ** 20, comfortable: 2 ** 18 });
  await assertFails(() => engine.alloc("f32", 2 ** 20, "logit ring"), UserError, "logit ring", "4 MiB", "1 MiB");
  {
    using _first = engine.alloc("f32", 100_000, "first");
    await assertFails(() => engine.alloc("f32", 200_000, "second"), UserError, "second");
  }
  // What was given back makes room for others.
  using second = engine.alloc("f32", 200_000, "second");
  engine.upload(second, new Float32Array([1, 2, 3]), 50_000);
  assertEquals([...await engine.download(second, 50_000, 3)], [1, 2, 3]);
});

Deno.test({ name: "Bytes are written where they belong, within words and across segments", ignore }, async () => {
  await using engine = await open({ forceBindingLimit: 256 });
  for (const type of ["u8", "u16", "i16"] as const) {
    using tensor = engine.alloc(type, 601, type);
    const wanted = Array.from({ length: 601 }, (_, i) => i % 251);
    engine.upload(tensor, arrayOf(type, wanted));
    for (const [offset, length] of [[1, 1], [3, 2], [5, 300], [253, 6], [598, 3], [600, 1], [40, 0]]) {
      const values = Array.from({ length }, (_, i) => (i * 7 + offset) % 250);
      engine.upload(tensor, arrayOf(type, values), offset);
      wanted.splice(offset, length, ...values);
      assertEquals([...await engine.download(tensor)], wanted, `${type}: ${length} from ${offset} on`);
      assertEquals([...await engine.download(tensor, offset, length)], values);
    }
    engine.clear(tensor, 7, 255);
    wanted.fill(0, 7, 262);
    assertEquals([...await engine.download(tensor)], wanted);
  }
});

function arrayOf(type: "u8" | "u16" | "i16", values: readonly number[]) {
  if (type === "u8") return Uint8Array.from(values);
  return type === "u16" ? Uint16Array.from(values) : Int16Array.from(values);
}

Deno.test({ name: "After the engine is disposed every call says so", ignore }, async () => {
  const engine = await open();
  const tensor = engine.alloc("f32", 10, "tensor");
  const reading = engine.download(tensor);
  reading.catch(() => {});
  await engine[Symbol.asyncDispose]();
  await assertFails(() => engine.alloc("f32", 10, "tensor"), Error, "disposed");
  await assertFails(() => engine.download(tensor), Error, "disposed");
  await assertFails(() => engine.flush(), Error, "disposed");
  tensor[Symbol.dispose]();
  await Promise.allSettled([reading]);
});

Deno.test({ name: "A ring whose voxels are not whole blocks of four channels is refused", ignore }, async () => {
  await using engine = await open();
  const [channels, voxels] = [5, 8];
  using logits = engine.alloc("f32", voxels * channels, "logit ring");
  using weightSums = engine.alloc("f32", voxels, "weight sums");
  const size = { planes: 2, rows: 2, columns: 2, depth: 2, axes: [0, 1, 2] as Vec3 };
  const ring = { logits, weightSums, channels, channelStride: channels, ...size };
  assertEquals(engine.ringStride(channels), 8);
  await assertFails(() => engine.finishPlanes(ring, 0, 2, 1), RangeError, "channel stride of 5");
});
