/** Garbage of the calling thread goes when it is asked to. */
import { collectGarbage } from "../../core/base/collect_garbage.ts";
import { assert } from "../assert.ts";

Deno.test("collecting garbage gives the heap back at once", () => {
  // Long-lived for a while, so that only a whole collection finds it.
  let kept: number[][] = [];
  for (let i = 0; i < 400_000; i++) kept.push([i, i, i, i, i, i, i, i]);
  const full = Deno.memoryUsage();
  kept = [];
  collectGarbage();
  const after = Deno.memoryUsage();
  assert(full.heapUsed - after.heapUsed > 20e6, `${full.heapUsed} bytes before, ${after.heapUsed} after`);
  assert(full.heapTotal - after.heapTotal > 20e6, `${full.heapTotal} bytes of heap before, ${after.heapTotal} after`);
});
