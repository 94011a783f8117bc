import { Interrupted } from "../../core/base/errors.ts";
import { shareNextStages } from "../../core/train/next_stage_threads.ts";
import { assertEquals, assertFails } from "../assert.ts";

const CASES = ["a", "b", "c", "d"].map((id) => ({ configuration: "second", id }));

const start = (name: string, fails: boolean) => ({
  name,
  does: "fails",
  startWorker: () => new Worker(new URL("./failing_stage_worker.ts", import.meta.url), { type: "module" }),
  setting: { fails },
});

Deno.test("an engine that fails at a next stage's case takes no more of them, and what it had is given back", async () => {
  const warnings: string[] = [];
  const warn = (line: string) => void warnings.push(line);
  const left = await shareNextStages([start("GPU 0", true), start("GPU 1", false)], CASES, warn);
  assertEquals(left.length, 1);
  assertEquals(warnings, [`GPU 0 failed at case ${left[0].id} of second, and is left out: the device is lost`]);
  assertEquals(await shareNextStages([start("GPU 0", true)], CASES, warn), CASES);
});

Deno.test("a validation that is stopped leaves its next stages", async () => {
  const stop = AbortSignal.abort();
  const stopped = () => shareNextStages([start("GPU 0", false)], CASES, () => {}, stop);
  await assertFails(stopped, Interrupted, "stopped");
});
