/** The cases of core/cases on the CPU engine, with one thread and with two, against the reference engine. */
import { createCpuEngine } from "../../cpu/engine.ts";
import { assertEquals } from "../assert.ts";
import { checkGradients, runSuite } from "./engine_suite.ts";

Deno.test("The CPU engine computes what the reference computes, bit for bit the same with one thread and with two", async (t) => {
  await using one = await createCpuEngine({ threads: 1 });
  await using two = await createCpuEngine({ threads: 2 });
  await using slabs = await createCpuEngine({ threads: 2, slabItems: 1 });
  await runSuite(t, one, async ({ run }, precision, actual) => {
    assertEquals(await run(two, precision), actual, "two threads give other bits than one");
    assertEquals(await run(slabs, precision), actual, "small slabs give other bits than large ones");
    assertEquals(await run(one, precision), actual, "a second run gives other bits");
  });
  await checkGradients(t, two);
});

Deno.test("a download has what was there, though the tensor is given back and written over before it is heard that it is done", async () => {
  await using engine = await createCpuEngine({ threads: 1 });
  const length = 2 ** 20;
  const first = engine.alloc("f32", length, "first");
  for (let i = 0; i < 20; i++) engine.clear(first);
  const download = engine.download(first);
  // The thread gets done while this one hears nothing of it.
  for (const until = performance.now() + 500; performance.now() < until;);
  first[Symbol.dispose]();
  using second = engine.alloc("f32", length, "second");
  engine.upload(second, new Float32Array(length).fill(7));
  assertEquals((await download).findIndex((value) => value !== 0), -1);
  assertEquals((await engine.download(second)).findIndex((value) => value !== 7), -1);
});
