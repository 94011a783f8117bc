/** Jobs on threads: order, memory, errors, and what a thread that ends leaves behind. */
import { Interrupted, UserError } from "../../core/base/errors.ts";
import { type JobKind, runJobs } from "../../core/base/job_threads.ts";
import { startJobThread, ThreadEnded } from "../../core/base/worker_thread.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";

export interface TestJob {
  readonly name: string;
  readonly does?: "answer" | "fail" | "defect" | "end" | "wait" | "tell";
  readonly milliseconds?: number;
  readonly bytes?: number;
}

const KIND: JobKind<string, TestJob, string> = {
  does: "tests threads",
  interrupted: "stopped while testing",
  startWorker: () => new Worker(new URL("./job_threads_worker.ts", import.meta.url), { type: "module" }),
  setting: "setting",
  runHere: ({ name }) => Promise.resolve(`here ${name}`),
  bytesOf: ({ bytes = 0 }) => bytes,
};
const TWO = { threads: 2, memory: 100 };
const named = (count: number, more: Partial<TestJob> = {}): TestJob[] =>
  Array.from({ length: count }, (_, i) => ({ name: String(i), ...more }));

/** Runs jobs, and says what came and went. */
async function results(jobs: readonly TestJob[], kind: Partial<typeof KIND> = {}, options = {}): Promise<string[]> {
  const came: string[] = [];
  await runJobs({ ...KIND, ...kind }, jobs, { ...TWO, ...options }, (result) => void came.push(result));
  return came;
}

Deno.test("threads are given their setting once and answer every job; one thread is the caller's", async () => {
  assertEquals((await results(named(7))).sort(), named(7).map(({ name }) => `setting ${name} 1`));
  assertEquals(await results(named(3), {}, { threads: 1 }), ["here 0", "here 1", "here 2"]);
  assertEquals(await results([]), []);
});

Deno.test("results are told one at a time, as they are done", async () => {
  const told: string[] = [];
  let telling = 0;
  const jobs: TestJob[] = [{ name: "slow", milliseconds: 300 }, { name: "fast" }, { name: "next" }];
  await runJobs(KIND, jobs, TWO, async (_, { name }) => {
    assertEquals(++telling, 1);
    await new Promise((resolve) => setTimeout(resolve, 5));
    told.push(name);
    telling--;
  });
  assertEquals(told, ["fast", "next", "slow"]);
});

Deno.test("jobs run beside each other as memory allows; one that is larger than all of it runs alone", async () => {
  const order: string[] = [];
  const jobs: TestJob[] = [
    { name: "a", bytes: 60, milliseconds: 100 },
    { name: "b", bytes: 60 },
    { name: "c", bytes: 500, milliseconds: 50 },
    { name: "d", bytes: 1 },
  ];
  await runJobs(KIND, jobs, TWO, (_, { name }) => void order.push(name));
  assertEquals(order, ["a", "b", "c", "d"]);
});

Deno.test("a job's error is the caller's, of the same class, and ends the others", async () => {
  const failing = [...named(1, { does: "fail" }), ...named(5, { does: "wait" })];
  await assertFails(() => results(failing), UserError, "it was to fail", "0");
  await assertFails(() => results(named(1, { does: "defect" }).concat(named(1))), Error, "a defect");
  const unreadable = () => Promise.reject(new UserError({ doing: "sizing", problem: "it has no size" }));
  await assertFails(() => results(named(4), { bytesOf: unreadable }), UserError, "no size");
  const refusing = runJobs(KIND, named(4), TWO, () => Promise.reject(new UserError({ doing: "a", problem: "full" })));
  await assertFails(() => refusing, UserError, "full");
});

Deno.test("jobs that write are let finish when another one fails, and told", async () => {
  const jobs: TestJob[] = [{ name: "bad", does: "fail" }, { name: "writes", milliseconds: 200 }, { name: "later" }];
  const told: string[] = [];
  const run = () => runJobs({ ...KIND, finishesRunning: true }, jobs, TWO, (_, { name }) => void told.push(name));
  await assertFails(run, UserError, "it was to fail");
  assertEquals(told, ["writes"]);
});

Deno.test("a thread that ends takes its job with it; the next one gets a new thread where that is wanted", async () => {
  const jobs: TestJob[] = [{ name: "bad", does: "end" }, ...named(6)];
  await assertFails(() => results(jobs), ThreadEnded, "A thread that tests threads ended", "was to end");
  const came = await results(jobs, { threadEnded: ({ name }, detail) => `${name}: ${detail}` });
  assertEquals(came.length, 7);
  assert(came.some((text) => text.startsWith("bad: ") && text.includes("was to end")), came.join("\n"));
});

Deno.test("an aborted signal ends all jobs, running ones too", async () => {
  const controller = new AbortController();
  const options = { signal: controller.signal };
  setTimeout(() => controller.abort(), 200);
  await assertFails(() => results(named(4, { does: "wait" }), {}, options), Interrupted, "stopped while testing");
  await assertFails(() => results(named(4), {}, options), Interrupted, "stopped while testing");
});

Deno.test("one thread does its jobs in order, tells them to end, and refuses more once it has ended", async () => {
  using thread = startJobThread<string, TestJob, string>(KIND);
  const order: string[] = [];
  const jobs = [{ name: "a", milliseconds: 50 }, { name: "b" }].map(async (job) => {
    order.push((await thread.run(job)).split(" ")[1]);
  });
  assertEquals(thread.waiting(), 2);
  await Promise.all(jobs);
  assertEquals([order, thread.waiting()], [["a", "b"], 0]);
  const waiting = thread.run({ name: "c", does: "wait" });
  thread.abort();
  await thread.settled();
  assertEquals(await waiting, "setting c 1");
  await assertFails(() => thread.run({ name: "d", does: "end" }), ThreadEnded, "was to end");
  await assertFails(() => thread.run({ name: "e" }), ThreadEnded);
});

Deno.test("what a job tells on its way comes before its answer, to who asked for it", async () => {
  using thread = startJobThread<string, TestJob, string, string>(KIND);
  const ask = async (name: string, does: TestJob["does"]) => {
    const news: string[] = [];
    news.push(await thread.run({ name, does, milliseconds: 5 }, [], (one) => news.push(one)));
    return news;
  };
  assertEquals(await Promise.all([ask("a", "tell"), ask("b", "answer"), ask("c", "tell")]), [
    ["a begins", "a ends", "setting a 1"],
    ["setting b 1"],
    ["c begins", "c ends", "setting c 1"],
  ]);
  assertEquals(await thread.run({ name: "d", does: "tell" }), "setting d 1");
});

Deno.test("small jobs are done in the calling thread if they are few and fast; large and slow ones go to threads", async () => {
  const kind: Partial<typeof KIND> = {
    beginsHere: true,
    runHere: async ({ name, milliseconds = 0 }) => {
      await new Promise((resolve) => setTimeout(resolve, milliseconds));
      return `here ${name}`;
    },
  };
  assertEquals(await results(named(3), kind), ["here 0", "here 1", "here 2"]);
  const options = { memory: 2 ** 40 };
  const mixed = await results([...named(2), ...named(2, { bytes: 2 ** 30 })], kind, options);
  assertEquals([...mixed.slice(0, 2), ...mixed.slice(2).sort()], ["here 0", "here 1", "setting 0 1", "setting 1 1"]);
  const slow = await results(named(40, { milliseconds: 100 }), kind);
  assertEquals(slow.length, 40);
  assert(slow[0] === "here 0" && slow.slice(-2).every((text) => text.startsWith("setting ")), slow.join());
  assertEquals(await results(named(1), kind, { beside: true }), ["setting 0 1"]);
  await assertFails(
    () => results(named(2), { ...kind, runHere: () => Promise.reject(new TypeError("a defect")) }),
    TypeError,
  );
});
