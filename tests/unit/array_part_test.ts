/** Parts of the work by a scheduler's variables, as SLURM sets them for the arrays named. */
import { type ArrayPlace, choosePart, readArrayPlace, requireArrayPlace } from "../../cli/array_part.ts";
import { UsageError, UserError } from "../../core/base/errors.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";

function placeOf(variables: Readonly<Record<string, string>>): ArrayPlace {
  const place = readArrayPlace((name) => variables[name]);
  assert(place);
  return place;
}

function slurm(index: number, count: number, min: number, max: number, step = 1): ArrayPlace {
  const numbers = { ID: index, COUNT: count, MIN: min, MAX: max, STEP: step };
  return placeOf(
    Object.fromEntries(Object.entries(numbers).map(([name, value]) => [`SLURM_ARRAY_TASK_${name}`, `${value}`])),
  );
}

function partOf(place: ArrayPlace, flags: { parts?: number; part?: number } = {}): string {
  const { parts, part } = choosePart(flags, place);
  return `${part}/${parts}`;
}

Deno.test("the part is the rank of a SLURM array's index among its indices", () => {
  assertEquals([0, 1, 2, 3].map((i) => partOf(slurm(i, 4, 0, 3))), ["0/4", "1/4", "2/4", "3/4"]); // --array=0-3
  assertEquals([5, 6, 7].map((i) => partOf(slurm(i, 3, 5, 7))), ["0/3", "1/3", "2/3"]); // --array=5-7
  assertEquals([1, 4, 7, 10].map((i) => partOf(slurm(i, 4, 1, 10, 3))), ["0/4", "1/4", "2/4", "3/4"]); // --array=1-10:3
  assertEquals([2, 3, 9].map((i) => partOf(slurm(i, 3, 2, 9))), ["0/3", "1/3", "2/3"]); // --array=2,3,9
  assertEquals([4, 90].map((i) => partOf(slurm(i, 2, 4, 90))), ["0/2", "1/2"]); // --array=4,90
  assertEquals(partOf(slurm(7, 1, 7, 7)), "0/1");
});

Deno.test("every process of an array whose indices SLURM does not tell is refused, with the way out", async () => {
  for (const index of [0, 3, 4, 9]) { // --array=0,3,4,9
    await assertFails(() => partOf(slurm(index, 4, 0, 9)), UserError, "not evenly spaced", "-num_parts N -part_id K");
    assertEquals(partOf(slurm(index, 4, 0, 9), { parts: 4, part: 2 }), "2/4");
  }
});

Deno.test("with -num_parts the index is the part, and an array that goes beyond is refused by every process", async () => {
  assertEquals(partOf(slurm(3, 1, 3, 3), { parts: 4 }), "3/4"); // one element that is run again
  assertEquals(partOf(slurm(9, 4, 0, 9), { parts: 10 }), "9/10");
  for (const index of [1, 4]) { // --array=1-4
    await assertFails(() => partOf(slurm(index, 4, 1, 4), { parts: 4 }), UsageError, "goes to 4", "0 to 3");
  }
});

Deno.test("a Kubernetes index needs its count, by a variable or a flag", async () => {
  const pod = placeOf({ JOB_COMPLETION_INDEX: "2" });
  await assertFails(() => partOf(pod), UserError, "how many there are is not said", "JOB_COMPLETIONS");
  assertEquals(partOf(pod, { parts: 4 }), "2/4");
  assertEquals(partOf(placeOf({ JOB_COMPLETION_INDEX: "2", JOB_COMPLETIONS: "4" })), "2/4");
  await assertFails(
    () => partOf(placeOf({ JOB_COMPLETION_INDEX: "4", JOB_COMPLETIONS: "4" })),
    UserError,
    "the 4 indices are 0 to 3",
  );
});

Deno.test("flags win over the scheduler, and variables that cannot be are refused", async () => {
  assertEquals(partOf(slurm(2, 4, 0, 3), { parts: 1 }), "0/1");
  assertEquals(partOf(slurm(2, 4, 0, 3), { parts: 7, part: 5 }), "5/7");
  assertEquals(choosePart({ parts: 3 }, undefined), { parts: 3, part: 0 });
  await assertFails(() => choosePart({ part: 1 }, undefined), UsageError, "0 is the only part");
  await assertFails(() => placeOf({ SLURM_ARRAY_TASK_ID: "two" }), UserError, "SLURM_ARRAY_TASK_ID is 'two'");
  await assertFails(() => partOf(placeOf({ SLURM_ARRAY_TASK_ID: "2" })), UserError, "SLURM_ARRAY_TASK_COUNT");
  await assertFails(() => partOf(slurm(9, 4, 0, 3)), UserError, "the 4 indices are 0 to 3");
  await assertFails(() => partOf(slurm(0, 9, 0, 3)), UserError, "no 9 indices go from 0 to 3");
  assertEquals(readArrayPlace(() => undefined), undefined);
});

Deno.test("a training's fold `array` needs an array", async () => {
  assertEquals(requireArrayPlace((name) => (name === "JOB_COMPLETION_INDEX" ? "3" : undefined)).index, 3);
  await assertFails(() => requireArrayPlace(() => undefined), UserError, "SLURM_ARRAY_TASK_ID", "name the fold");
});
