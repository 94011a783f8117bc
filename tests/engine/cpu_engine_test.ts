/** The engine suite on the CPU engine, with one thread and with two, against the reference engine. */
import { createCpuEngine } from "../../cpu/engine.ts";
import { assertEquals } from "../assert.ts";
import { assertResults, ENGINE_CASES } from "./engine_suite.ts";
import { createReferenceEngine } from "./reference_engine.ts";

Deno.test("The CPU engine computes what the reference computes, bit for bit the same with one thread and with two", async (t) => {
  await using reference = await createReferenceEngine();
  await using one = await createCpuEngine({ threads: 1 });
  await using two = await createCpuEngine({ threads: 2 });
  await using slabs = await createCpuEngine({ threads: 2, slabItems: 1 });
  for (const { name, run } of ENGINE_CASES) {
    await t.step(name, async () => {
      const expected = await run(reference);
      const actual = await run(one);
      assertResults(actual, expected);
      assertEquals(await run(two), actual, "two threads give other bits than one");
      assertEquals(await run(slabs), actual, "small slabs give other bits than large ones");
      assertEquals(await run(one), actual, "a second run gives other bits");
    });
  }
});
