/** Work for a GPU whose pace is not known is cut into small pieces, until it is. */
import { createBuffers, oneSegment } from "../../gpu/buffers.ts";
import { createCommands } from "../../gpu/commands.ts";
import { type GpuDevice, openDevice } from "../../gpu/device.ts";
import { createPipelines } from "../../gpu/pipelines.ts";
import type { WgslDispatch } from "../../kernels/wgsl/kernel.ts";
import { assert, assertEquals } from "../assert.ts";
import { ignore } from "../without_gpu.ts";

const KERNEL: WgslDispatch = {
  name: "nothing much",
  code: `@group(0) @binding(0) var<storage, read_write> out_0: array<f32>;
@compute @workgroup_size(1)
fn main() { out_0[0] = 1.0; }`,
  bindings: [{ slot: "out", access: "read_write", segment: 0 }],
  workgroups: [1, 1, 1],
};

/** Commands for what is taken for a real GPU, by a clock that stands still but where it is told to go on; and work of a millisecond. */
async function prepare() {
  const opened = await openDevice({ allowSoftware: true });
  const gpu: GpuDevice = Object.create(opened, { facts: { value: { ...opened.facts, software: false } } });
  let now = 0;
  const commands = createCommands(gpu, () => now);
  const buffers = createBuffers(gpu, { bindingBytes: 256, memoryBytes: Infinity }, commands.forget);
  const pipeline = await createPipelines(gpu).compile(KERNEL);
  const buffer = buffers.take(256, "a test");
  const target = gpu.device.createBuffer({ size: 256, usage: GPUBufferUsage.COPY_DST });
  const work = commands.prepare(KERNEL, pipeline, () => oneSegment(buffer), undefined, 1e-3);
  return {
    commands,
    /** Submissions that dispatches make. */
    dispatch(count: number): number {
      const before = commands.submissions;
      for (let i = 0; i < count; i++) commands.dispatch(work);
      return commands.submissions - before;
    },
    /** Enqueues a copy, and nothing else. */
    copy: () => commands.copy({ buffer, offset: 0, bytes: 256 }, target, 0),
    pass: (milliseconds: number) => void (now += milliseconds),
    done: () => gpu.device.queue.onSubmittedWorkDone(),
    check: opened.check,
    [Symbol.dispose]: () => opened[Symbol.dispose](),
  };
}

/** How many submissions twenty dispatches of 1 ms make that the GPU takes so long for, and twenty more after it was waited for. */
async function submissionsOf(milliseconds: number): Promise<readonly [first: number, later: number, slowness: number]> {
  using gpu = await prepare();
  const { commands } = gpu;
  const counts: number[] = [];
  for (let round = 0; round < 2; round++) {
    const before = commands.submissions;
    gpu.dispatch(20);
    await commands.wait(async () => {
      await gpu.done();
      gpu.pass(20 * milliseconds);
    });
    counts.push(commands.submissions - before);
  }
  gpu.check();
  return [counts[0], counts[1], commands.slowness];
}

Deno.test({ name: "a GPU gets little at a time until its pace is known", ignore }, async (t) => {
  await t.step("one as fast as a large GPU gets all at once then", async () => {
    const [first, later, slowness] = await submissionsOf(1);
    assert(first >= 5, `${first} submissions`);
    assertEquals(later, 1);
    assert(slowness <= 5);
  });
  await t.step("one a hundred times slower still gets little", async () => {
    const [first, later, slowness] = await submissionsOf(100);
    assert(first >= 5 && later >= first && slowness > 90, `${first} submissions, then ${later}, slowness ${slowness}`);
  });
});

Deno.test(
  { name: "a GPU that was idle gets its first work at once, also while an answer of it is on its way", ignore },
  async () => {
    using gpu = await prepare();
    const { commands } = gpu;
    const answer = Promise.withResolvers<void>();
    // The pace is known from here on.
    gpu.dispatch(20);
    await commands.wait(async () => {
      await gpu.done();
      gpu.pass(20);
    });
    assertEquals(gpu.dispatch(60), 1);
    // The call is held until the GPU has done it all; its answer comes later, when there is work again.
    const waited = commands.wait(() => {
      gpu.pass(150);
      return answer.promise;
    });
    assert(commands.slowness > 3 && commands.slowness < 4, `between the guess, 5, and 2.5: ${commands.slowness}`);
    assertEquals([gpu.dispatch(49), gpu.dispatch(1)], [0, 1]);
    answer.resolve();
    await waited;
    gpu.check();
  },
);

Deno.test({ name: "copies alone, however long they take, say nothing of a GPU's pace", ignore }, async () => {
  using gpu = await prepare();
  const { commands } = gpu;
  const waitFor = (milliseconds: number) =>
    commands.wait(async () => {
      await gpu.done();
      gpu.pass(milliseconds);
    });
  gpu.dispatch(20);
  await waitFor(100);
  const { slowness } = commands;
  gpu.copy();
  await waitFor(100);
  assertEquals(commands.slowness, slowness);
  assertEquals(gpu.dispatch(20), 0);
  gpu.check();
});
