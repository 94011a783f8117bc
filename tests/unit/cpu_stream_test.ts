import { UserError } from "../../core/base/errors.ts";
import { createStream, type Stream } from "../../cpu/stream.ts";
import { createCpuEngine } from "../../cpu/engine.ts";
import { emitModule } from "../../kernels/wasm/module.ts";
import { WASM_KERNELS } from "../../cpu/wasm_kernels.ts";
import { planClear } from "../../kernels/wasm/volume/clear.ts";
import { buildGraph } from "../../core/network/build_graph.ts";
import type { Vec3 } from "../../core/base/shape.ts";
import { architecture } from "../../core/cases/networks.ts";
import { randomWeights } from "../../core/cases/random_data.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";

/** Enqueues setting memory to zero at an address that may not exist. */
function submitClear(stream: Stream, address: number, bytes: number): void {
  const { calls } = planClear({ slot: "target", offset: 0, bytes });
  stream.submit(stream.encode(calls.map((call) => ({ call, addressOf: () => address }))), []);
}

for (const threads of [1, 2, 3]) {
  Deno.test(`A trap in a worker is what waiting for the work says, with ${threads} threads`, async () => {
    await using stream = await createStream({ threads, module: emitModule(WASM_KERNELS) });
    const address = stream.memory.allocate(1 << 20, "a test").address;
    submitClear(stream, address, 1 << 20);
    await stream.settled();
    for (const target of [2 ** 33, address]) submitClear(stream, target, 1 << 23);
    await assertFails(() => stream.settled(), Error, "kernel clear_bytes", "out of bounds");
    const resource = { lastUse: stream.issued, openReads: new Set<object>() };
    await assertFails(() => stream.read(resource, () => 0), Error, "out of bounds");
  });
}

Deno.test("Workers that cannot start are an error, not a wait without end", async () => {
  // Imports a function env.f that nobody provides.
  const module = Uint8Array.from([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 4, 1, 0x60, 0, 0],
    ...[2, 9, 1, 3, 0x65, 0x6e, 0x76, 1, 0x66, 0, 0],
  ]);
  await assertFails(() => createStream({ threads: 2, module }), Error, "Worker", "of the CPU engine", "env");
});

Deno.test("A call may begin at any of its items", async () => {
  await using stream = await createStream({ threads: 2, module: emitModule(WASM_KERNELS) });
  const bytes = 1 << 23;
  const address = stream.memory.allocateIdle(bytes, "a test");
  stream.memory.bytes(address, bytes).fill(1);
  const { calls: [call] } = planClear({ slot: "target", offset: 0, bytes });
  assert(call.items > 4);
  const part = { ...call, firstItem: 2, items: 2 };
  stream.submit(stream.encode([{ call: part, addressOf: () => address }]), []);
  await stream.settled();
  const itemBytes = bytes / call.items;
  const sums = Array.from({ length: call.items }, (_, item) => {
    return stream.memory.bytes(address + item * itemBytes, itemBytes).reduce((sum, b) => sum + b, 0);
  });
  assertEquals(sums, sums.map((_, item) => (item === 2 || item === 3 ? 0 : itemBytes)));
});

Deno.test("An unknown kernel is refused before anything runs", async () => {
  await using stream = await createStream({ threads: 1, module: emitModule(WASM_KERNELS) });
  const call = { kernel: "no_such_kernel", params: [], items: 1, scratchBytes: 0 };
  await assertFails(() => stream.encode([{ call, addressOf: () => 0 }]), RangeError, "no kernel no_such_kernel");
});

Deno.test("An engine disposed in the middle of its work ends, and those who wait are told", async () => {
  const engine = await createCpuEngine({ threads: 2 });
  const tensor = engine.alloc("f32", 1 << 22, "tensor");
  for (let i = 0; i < 500; i++) engine.clear(tensor);
  const waiting = [engine.flush(), engine.download(tensor)].map((promise) =>
    promise.then(() => "done", (error: Error) => error.message)
  );
  await engine[Symbol.asyncDispose]();
  for (const message of await Promise.all(waiting)) assert(message === "done" || message.includes("disposed"));
  await assertFails(() => engine.clear(tensor), Error, "disposed");
  await assertFails(() => engine.flush(), Error, "disposed");
  await engine[Symbol.asyncDispose]();
});

Deno.test("Memory beyond the limit is refused with what is needed and what there is", async () => {
  await using engine = await createCpuEngine({ threads: 1, memoryLimitBytes: 64 * 2 ** 20 });
  using first = engine.alloc("u8", 40 * 2 ** 20, "first volume");
  assertEquals(first.length, 40 * 2 ** 20);
  await assertFails(
    () => engine.alloc("f32", 8 * 2 ** 20, "logit ring"),
    UserError,
    "logit ring",
    "32 MiB are needed",
    "of at most 64 MiB",
    "--max-memory",
  );
  engine.clear(first);
  assertEquals((await engine.download(first, 5, 3)).join(), "0,0,0");
});

Deno.test("A disposed tensor is refused, and disposing twice is allowed", async () => {
  await using engine = await createCpuEngine({ threads: 1 });
  const tensor = engine.alloc("i32", 8, "tensor");
  tensor[Symbol.dispose]();
  tensor[Symbol.dispose]();
  await assertFails(() => engine.clear(tensor), RangeError, "tensor is disposed");
});

Deno.test("The forecast is what a program takes, and everything is given back", async () => {
  await using engine = await createCpuEngine({ threads: 2 });
  const graph = buildGraph(architecture({ featuresPerStage: [8, 16, 24] }), 1, 3);
  const options = { patch: [32, 32, 32] as Vec3, batch: 2, precision: "f32" as const };
  const forecast = engine.forecast(graph, options);
  const before = engine.memoryUse().used;
  {
    using program = await engine.compile(graph, options);
    using weights = await engine.loadWeights(program, randomWeights());
    assertEquals(program.memory, forecast.memory);
    assertEquals(weights.bytes, forecast.memory.weights);
    const { weights: w, activations, scratch } = forecast.memory;
    const taken = engine.memoryUse().highWater - before;
    assert(Math.abs(taken - (w + activations + scratch)) <= 1024, `${taken} taken of ${w + activations + scratch}`);
    engine.run(program, weights);
  }
  await engine.flush();
  assert(engine.memoryUse().used - before <= forecast.memory.scratch, "only the threads' private memory stays");
});

Deno.test("A run says which weights do not fit", async () => {
  await using engine = await createCpuEngine({ threads: 1 });
  const [small, large] = [4, 8].map((features) => buildGraph(architecture({ featuresPerStage: [features, 8] }), 1, 2));
  const options = { patch: [8, 8, 8] as Vec3, batch: 1, precision: "f32" as const };
  using one = await engine.compile(small, options);
  using two = await engine.compile(large, options);
  using weights = await engine.loadWeights(one, randomWeights());
  await assertFails(() => engine.run(two, weights), RangeError, "packed for another graph or patch");
  await assertFails(() => engine.compile(small, { ...options, precision: "f16" }), UserError, "f32, not f16");
});

Deno.test("Signals reach the main thread while the engine computes, and the process ends by itself", async () => {
  const script = new URL("./cpu_interrupted_engine.ts", import.meta.url);
  const child = new Deno.Command("deno", {
    args: ["run", "--no-check", "--allow-read", "--allow-sys", script.pathname],
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const reader = child.stdout.getReader();
  const decoder = new TextDecoder();
  let said = "";
  while (!said.includes("computing")) {
    const { value, done } = await reader.read();
    if (done) break;
    said += decoder.decode(value);
  }
  const start = performance.now();
  child.kill("SIGINT");
  for (let part = await reader.read(); !part.done; part = await reader.read()) said += decoder.decode(part.value);
  const { code } = await child.status;
  await child.stderr.cancel();
  assertEquals(said, "computing\ninterrupted\n");
  assertEquals(code, 0);
  assert(performance.now() - start < 10_000);
});
