/** The machine's speed against the cost model's. */
import { measurePace } from "../../core/predict/run/pace.ts";
import { createCpuEngine } from "../../cpu/engine.ts";
import { assert, assertEquals } from "../assert.ts";

Deno.test("the machine's pace is a factor, and measuring it leaves only the workers' scratch in the engine's memory", async () => {
  await using engine = await createCpuEngine({ threads: 1 });
  const left: number[] = [];
  for (let i = 0; i < 2; i++) {
    const pace = await measurePace(engine);
    assert(pace > 0.02 && pace < 100, `the pace is ${pace}`);
    await engine.flush();
    left.push(engine.memoryUse().used);
  }
  assertEquals(left[1], left[0]);
  assert(left[0] < 8 * 2 ** 20, `${left[0]} bytes`);
});
