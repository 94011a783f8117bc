/** Training steps whose results may come later: several are waited for at once, and what is computed is the same. */
import { prepareTraining, TIMED_SGD, timedTraining } from "../../core/cases/training.ts";
import { bytesOnTheWay, stepsAhead } from "../../core/train/steps_ahead.ts";
import { createGpuEngine, type GpuEngine } from "../../gpu/engine.ts";
import { assert, assertEquals } from "../assert.ts";
import { ignore } from "../without_gpu.ts";

const NET = timedTraining([8, 8, 8], 1, [4, 8]);

async function losses(engine: GpuEngine, later: readonly boolean[]): Promise<number[]> {
  using program = await prepareTraining(engine, NET, "f32");
  const steps = later.map((later) => engine.trainStep(program, { ...TIMED_SGD, later }));
  return (await Promise.all(steps)).map(({ loss }) => loss);
}

Deno.test({ name: "results that may come later come with the next, and are the same to the bit", ignore }, async () => {
  await using engine = await createGpuEngine({ allowSoftware: true });
  const prompt = await losses(engine, [false, false, false, false]);
  assertEquals(new Set(prompt).size, 4);
  assertEquals(await losses(engine, [true, true, true, false]), prompt);
  // The last ones come by themselves.
  assertEquals(await losses(engine, [true, false, true, true]), prompt);
});

Deno.test({ name: "a result that may come later is not waited for before", ignore }, async () => {
  await using engine = await createGpuEngine({ allowSoftware: true });
  using program = await prepareTraining(engine, NET, "f32");
  await engine.flush();
  let settled = 0;
  const first = engine.trainStep(program, { ...TIMED_SGD, later: true }).then(() => settled++);
  await new Promise((resolve) => setTimeout(resolve, 50));
  assertEquals(settled, 0);
  await engine.trainStep(program, TIMED_SGD);
  await first;
  assertEquals(settled, 1);
});

Deno.test("a CPU's steps, and those whose results decide the loss scale, are waited for one by one", () => {
  for (const ahead of [stepsAhead("cpu", 1, false), stepsAhead("gpu", 1, true)]) {
    const steps = Array.from({ length: 4 }, () => ahead.next());
    assertEquals(steps.map(({ unsettled }) => unsettled), [0, 1, 1, 1]);
    assert(steps.every(({ later }) => !later));
  }
});

Deno.test("a GPU's results come together, and while they come the next steps are enqueued", () => {
  const ahead = stepsAhead("gpu", 16 * 2 ** 20, false);
  const steps = Array.from({ length: 30 }, () => ahead.next());
  // Groups of 2, 4, 8, 8 and 8: each is waited for when the second one after it begins.
  const unsettled = [[0, 1], [2, 3, 4, 5], [4, 5, 6, 7, 8, 9, 10, 11], [8, 9, 10, 11, 12, 13, 14, 15]];
  assertEquals(steps.map(({ unsettled }) => unsettled), [...unsettled, unsettled[3]].flat());
  assertEquals(steps.flatMap(({ later }, i) => later ? [] : [i]), [1, 5, 13, 21, 29]);
});

Deno.test("of large batches fewer are on their way to a GPU, and the forecast counts them", () => {
  const large = 32 * 2 ** 20;
  const ahead = stepsAhead("gpu", large, false);
  const steps = Array.from({ length: 30 }, () => ahead.next());
  const most = Math.max(...steps.map(({ unsettled }) => unsettled + 1));
  assertEquals(most, 8);
  assertEquals(bytesOnTheWay("gpu", large, false), most * large);
  assertEquals(bytesOnTheWay("gpu", 2 ** 30, false), 4 * 2 ** 30);
  assertEquals(bytesOnTheWay("gpu", large, true), 2 * large);
});
