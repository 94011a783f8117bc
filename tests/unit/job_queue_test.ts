/** The queue and its folder: what was accepted is done once, in order, or listed with its reason, whatever ended the service. */
import { Interrupted, UserError } from "../../core/base/errors.ts";
import { join } from "../../core/base/path.ts";
import { JOB_OPTIONS, type JobRecord } from "../../cli/serve/job.ts";
import { type DoJob, type JobQueue, openJobQueue, type Outcome } from "../../cli/serve/job_queue.ts";
import { type JobStore, openJobStore } from "../../cli/serve/job_store.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";
import { inTempFolder, namesIn } from "../golden/cli/run_command.ts";

const DONE: Outcome = { state: "done", labels: [], seconds: {}, results: { segmentation: "a.nii.gz" } };

async function add(store: JobStore, name: string): Promise<string> {
  await using receiving = await store.receive();
  await Deno.writeTextFile(join(receiving.images, "a.nii.gz"), name);
  const { record } = await receiving.accept({
    model: "m",
    name,
    options: JOB_OPTIONS.parse({}),
    case: "a",
    files: ["a.nii.gz"],
    received: true,
  });
  return record.id;
}

interface Opened {
  readonly queue: JobQueue;
  readonly defects: unknown[];
  /** Names of the jobs in the order they were begun. */
  readonly begun: string[];
}

async function openQueue(
  store: JobStore,
  work: DoJob = () => Promise.resolve(DONE),
  keepMs = 1e6,
  places = 1,
): Promise<Opened> {
  const defects: unknown[] = [];
  const begun: string[] = [];
  const queue = await openJobQueue(store, (record, hooks) => {
    begun.push(record.name ?? "");
    return work(record, hooks);
  }, { limit: 3, places, keepMs, onEnd: () => {}, onDefect: (error) => void defects.push(error) });
  return { queue, defects, begun };
}

async function until(isSo: () => boolean): Promise<void> {
  for (let i = 0; i < 500 && !isSo(); i++) await new Promise((resolve) => setTimeout(resolve, 5));
  assert(isSo(), "it does not come");
}

const statesOf = (queue: JobQueue) => queue.list().map(({ name, state }) => `${name} ${state}`);

/** As a killed service leaves it: the job's record says that it was being done. */
async function setRecord(folder: string, id: string, fields: Partial<JobRecord>): Promise<void> {
  const file = join(folder, "jobs", id, "job.json");
  await Deno.writeTextFile(file, JSON.stringify({ ...JSON.parse(await Deno.readTextFile(file)), ...fields }));
}

Deno.test("jobs are done in the order they came, and those that a killed service left by the next one, once", async () => {
  await inTempFolder(async (folder) => {
    let ids: string[] = [];
    {
      using store = await openJobStore(folder, 1e9);
      ids = [await add(store, "first"), await add(store, "second"), await add(store, "third")];
      const { queue } = await openQueue(store);
      assertEquals(queue.list().map(({ position }) => position), [1, 2, 3]);
      assertEquals([queue.isFull, queue.place("0")], [true, undefined]);
      // Half of one is received when the service is killed.
      await store.receive();
    }
    await setRecord(folder, ids[0], { state: "running", attempts: 1 });
    await setRecord(folder, ids[1], { state: "running", attempts: 2 });
    using store = await openJobStore(folder, 1e9);
    assertEquals(await namesIn(join(folder, "jobs")), ids.toSorted());
    const { queue, begun } = await openQueue(store);
    assertEquals(statesOf(queue), ["first queued", "second failed", "third queued"]);
    assert(queue.list()[1].error?.message.includes("was ended 2 times"));
    const running = queue.run();
    await until(() => queue.waiting === 0 && queue.list().every(({ state }) => state !== "running"));
    queue.stop(1000);
    await running;
    assertEquals([begun, statesOf(queue)], [["first", "third"], ["first done", "second failed", "third done"]]);
    assertEquals(await namesIn(join(folder, "jobs", ids[0])), ["job.json"]);
  });
});

Deno.test("a place is kept for the job that it was taken for, and counts once when that waits", async () => {
  await inTempFolder(async (folder) => {
    using store = await openJobStore(folder, 1e9);
    const { queue } = await openQueue(store);
    const id = await add(store, "first");
    {
      using place = queue.place(id);
      assert(place);
      using _second = queue.place("second");
      assert(!queue.isFull);
      using _third = queue.place("third");
      assertEquals([queue.isFull, queue.place("fourth")], [true, undefined]);
    }
    assertEquals([queue.isFull, queue.waiting], [false, 1]);
  });
});

Deno.test("with places for two, two jobs are done at a time, each is cancelled alone, and both are handed back at the end", async () => {
  await inTempFolder(async (folder) => {
    using store = await openJobStore(folder, 1e9);
    const ids = [await add(store, "one"), await add(store, "two"), await add(store, "three")];
    const { queue } = await openQueue(
      store,
      (_, { signal }) =>
        new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Interrupted("stopped")))),
      1e6,
      2,
    );
    const running = queue.run();
    await until(() => queue.get(ids[1])?.state === "running");
    assertEquals(statesOf(queue), ["one running", "two running", "three queued"]);
    await queue.cancel(ids[0]);
    await until(() => queue.get(ids[2])?.state === "running");
    assertEquals(statesOf(queue), ["one cancelled", "two running", "three running"]);
    queue.stop(10);
    await running;
    assertEquals(statesOf(queue), ["one cancelled", "two queued", "three queued"]);
  });
});

Deno.test("a job that the service is stopped in is handed back as if it had not been begun", async () => {
  await inTempFolder(async (folder) => {
    using store = await openJobStore(folder, 1e9);
    const id = await add(store, "long");
    const { queue } = await openQueue(
      store,
      (_, { signal }) =>
        new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Interrupted("stopped")))),
    );
    const running = queue.run();
    await until(() => queue.get(id)?.state === "running");
    queue.stop(10);
    await running;
    const { state, attempts } = JSON.parse(await Deno.readTextFile(join(folder, "jobs", id, "job.json")));
    assertEquals([state, attempts], ["queued", 0]);
    assertEquals(await namesIn(join(folder, "jobs", id, "images")), ["a.nii.gz"]);
  });
});

Deno.test("a defect fails its own job, with a reason, and the next one is done", async () => {
  await inTempFolder(async (folder) => {
    using store = await openJobStore(folder, 1e9);
    await add(store, "bad");
    const good = await add(store, "good");
    const { queue, defects } = await openQueue(store, ({ name }) => {
      if (name === "bad") return Promise.reject(new RangeError("odd"));
      return Promise.resolve(DONE);
    });
    const running = queue.run();
    await until(() => queue.get(good)?.state === "done");
    queue.stop(10);
    await running;
    assertEquals([statesOf(queue), defects.length], [["bad failed", "good done"], 1]);
    assert(queue.list()[0].error?.message.includes("odd"));
  });
});

Deno.test("what has ended is kept for its time and no longer; a damaged record is a failed job", async () => {
  await inTempFolder(async (folder) => {
    let [old, damaged] = ["", ""];
    {
      using store = await openJobStore(folder, 1e9);
      [old, damaged] = [await add(store, "old"), await add(store, "damaged")];
    }
    await setRecord(folder, old, { state: "done", finished: new Date(Date.now() - 2000).toISOString() });
    await Deno.writeTextFile(join(folder, "jobs", damaged, "job.json"), '{"version":1,');
    using store = await openJobStore(folder, 1e9);
    const { queue } = await openQueue(store, undefined, 1000);
    assertEquals(queue.get(damaged)?.error?.problem, "it is damaged");
    const running = queue.run();
    await until(() => queue.get(old) === undefined);
    queue.stop(10);
    await running;
    assertEquals(await namesIn(join(folder, "jobs")), [damaged]);
  });
});

Deno.test("the state folder's limit counts what jobs have and what is being received, and one service at a time has the folder", async () => {
  await inTempFolder(async (folder) => {
    using store = await openJobStore(folder, 10_000);
    const before = store.room();
    await add(store, "x".repeat(100));
    assert(before === 10_000 && store.room() < 9900 && store.room() > 9000, String(store.room()));
    await assertFails(() => openJobStore(folder, 10_000), UserError, "another service has it");
    const left = store.room();
    {
      await using one = await store.receive();
      await using other = await store.receive();
      one.count(500);
      other.count(600);
      assertEquals(store.room(), left - 1100);
    }
    assertEquals(store.room(), left);
  });
});
