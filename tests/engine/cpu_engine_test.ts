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
