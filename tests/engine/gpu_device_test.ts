/** What goes wrong on a device, and how it is told; on whatever adapter there is. */
import { UserError } from "../../core/base/errors.ts";
import { createBuffers, layoutOf, type Segments } from "../../gpu/buffers.ts";
import { createCommands, SUBMISSION_SECONDS } from "../../gpu/commands.ts";
import { openDevice } from "../../gpu/device.ts";
import { createPipelines } from "../../gpu/pipelines.ts";
import { readBytes } from "../../gpu/readback.ts";
import { f32, threadKernel, threadMain } from "../../kernels/wgsl/emit/thread_kernel.ts";
import { wholeView } from "../../kernels/wgsl/emit/views.ts";
import type { WgslDispatch } from "../../kernels/wgsl/kernel.ts";
import { planClear } from "../../kernels/wgsl/volume/clear.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";
import { ignore } from "../without_gpu.ts";

async function open(memoryBytes = Infinity, clock?: () => number) {
  const gpu = await openDevice({ allowSoftware: true });
  const commands = createCommands(gpu, clock);
  const buffers = createBuffers(gpu, { bindingBytes: 2 ** 20, memoryBytes }, commands.forget);
  return { gpu, commands, buffers, pipelines: createPipelines(gpu), [Symbol.dispose]: () => gpu[Symbol.dispose]() };
}

/** A kernel that adds a number to every element; `line` goes into its text. */
function adding(value: number, line = ""): WgslDispatch {
  const text = `${threadMain("thread")}
  ${line}
  store_values(thread, load_values(thread) + p.value);
}
`;
  const views = [wholeView("values", "values", "f32", "read_write")];
  return threadKernel("adding", views, { start: 0, end: 8 }, text, { value: f32(value) });
}

const operatorOf = (dispatches: readonly WgslDispatch[], flops = 0) => ({
  algorithm: "adding",
  dispatches,
  temporaries: {},
  flops,
  bytes: 0,
});

Deno.test({ name: "a device that is lost fails every further call with the way to go on", ignore }, async () => {
  using tools = await open();
  const { gpu, buffers, commands } = tools;
  const array = buffers.takeArray(64, "array");
  gpu.device.destroy();
  await gpu.device.lost;
  await assertFails(() => gpu.check(), UserError, "the device was lost", "--continue_prediction");
  await assertFails(() => readBytes(gpu, commands, array, 0, 4), UserError, "the device was lost");
});

Deno.test({ name: "a kernel that does not compile is shown with its line and what is around it", ignore }, async () => {
  using tools = await open();
  const broken = adding(1, "let wrong: u32 = 1.5;");
  const line = broken.code.split("\n").findIndex((text) => text.includes("wrong")) + 1;
  const parts = [
    'kernel "adding"',
    `line ${line}`,
    `> ${String(line).padStart(4)} |   let wrong: u32 = 1.5;`,
    "store_values",
  ];
  await assertFails(() => tools.pipelines.compile(broken), Error, ...parts);
  assertEquals(tools.gpu.failure, undefined);
  // Compiled on the spot it fails what follows.
  tools.pipelines.ready(broken);
  await tools.gpu.device.queue.onSubmittedWorkDone();
  await new Promise((resolve) => setTimeout(resolve, 20));
  await assertFails(() => tools.gpu.check(), Error, ...parts);
});

Deno.test({ name: "no kernel is to blame for a device that was gone before it", ignore }, async () => {
  using tools = await open();
  tools.gpu.device.destroy();
  await assertFails(() => tools.pipelines.compile(adding(1)), UserError, "the device was lost");
  assertEquals(tools.pipelines.refused, undefined);
});

Deno.test({ name: "a kernel asked for twice at once is compiled once", ignore }, async () => {
  using tools = await open();
  const [a, b] = await Promise.all([1, 2].map((value) => tools.pipelines.compile(adding(value))));
  assert(a === b && tools.pipelines.ready(adding(3)) === a);
});

Deno.test({ name: "uniforms of many dispatches in one submission are kept apart", ignore }, async () => {
  using tools = await open();
  const { gpu, commands, buffers, pipelines } = tools;
  const array = buffers.takeArray(32, "array");
  const slots = (): Segments => array;
  commands.operator(planClear({ words: layoutOf("values", array, 4), offset: 0, bytes: 32 }), pipelines.ready, slots);
  // More than a submission can take with it.
  const values = Array.from({ length: 1500 }, (_, i) => i % 7);
  commands.operator(operatorOf(values.map((value) => adding(value))), pipelines.ready, slots);
  const sum = values.reduce((a, b) => a + b, 0);
  const bytes = await readBytes(gpu, commands, array, 0, 32);
  assertEquals([...new Float32Array(bytes.buffer)], new Array(8).fill(sum));
});

Deno.test({
  name:
    "work is waited for without the queue, as Deno ends if its device is lost meanwhile; then the failure is thrown",
  ignore,
}, async () => {
  const { onSubmittedWorkDone } = GPUQueue.prototype;
  GPUQueue.prototype.onSubmittedWorkDone = () => Promise.reject(new Error("the queue was waited for"));
  try {
    using tools = await open();
    const { gpu, commands, buffers, pipelines } = tools;
    const array = buffers.takeArray(32, "array");
    commands.operator(operatorOf([adding(1)]), pipelines.ready, () => array);
    await Promise.all([commands.wait(), commands.wait()]);
    await commands.wait();
    gpu.device.destroy();
    await assertFails(() => commands.wait(), UserError, "the device was lost");
  } finally {
    GPUQueue.prototype.onSubmittedWorkDone = onSubmittedWorkDone;
  }
});

Deno.test({ name: "long work is submitted in pieces, and short work together", ignore }, async () => {
  using tools = await open();
  const { commands, buffers, pipelines } = tools;
  const array = buffers.takeArray(32, "array");
  const dispatches = Array.from({ length: 10 }, () => adding(1));
  commands.operator(operatorOf(dispatches), pipelines.ready, () => array);
  await commands.wait();
  const short = commands.submissions;
  assertEquals(short, 1);
  // Each is said to take a little more than half of what a submission may.
  const flops = 10 * 0.6 * SUBMISSION_SECONDS / commands.slowness * 1e13;
  commands.operator(operatorOf(dispatches, flops), pipelines.ready, () => array);
  await commands.wait();
  assertEquals(commands.submissions - short, 10);
});

Deno.test(
  { name: "a GPU that was waited for long for something else is not taken for slow for good", ignore },
  async () => {
    let now = 0;
    using tools = await open(Infinity, () => now);
    const { gpu, commands, buffers, pipelines } = tools;
    const array = buffers.takeArray(32, "array");
    const usual = commands.slowness;
    commands.operator(operatorOf([adding(1)]), pipelines.ready, () => array);
    await commands.wait(async () => {
      await gpu.device.queue.onSubmittedWorkDone();
      now += 200;
    });
    assert(commands.slowness > 2 * usual, `${commands.slowness}`);
    // Said to take 20 ms of the nominal GPU.
    commands.operator(operatorOf([adding(1)], 2e11), pipelines.ready, () => array);
    await commands.wait();
    assertEquals(commands.slowness, usual);
  },
);

Deno.test({ name: "one buffer is never read and written in a dispatch", ignore }, async () => {
  using tools = await open();
  const { buffers, commands, pipelines } = tools;
  const array = buffers.takeArray(32, "array");
  const views = [wholeView("a", "a", "f32", "read"), wholeView("b", "b", "f32", "read_write")];
  const text = `@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u) { store_b(id.x % 8u, load_a(id.x % 8u)); }
`;
  const both = threadKernel("copying", views, { start: 0, end: 8 }, text);
  const enqueue = () => commands.operator(operatorOf([both]), pipelines.ready, () => array);
  await assertFails(enqueue, RangeError, "copying", "b is written in the buffer of a");
});

Deno.test({ name: "buffers that were given back are used again, and counted", ignore }, async () => {
  using tools = await open(10_000);
  const { buffers } = tools;
  const first = buffers.take(6000, "first");
  buffers.give(first);
  assertEquals(buffers.take(5900, "second"), first);
  assertEquals([buffers.used, buffers.held, buffers.highWater], [6000, 6000, 6000]);
  buffers.give(first);
  // Too large for what is kept: that goes, or the limit would be exceeded.
  buffers.take(9600, "third");
  assertEquals([buffers.used, buffers.held], [9600, 9600]);
  await assertFails(() => buffers.take(4000, "fourth"), UserError, "fourth");
  await tools.gpu.settleErrors();
});
