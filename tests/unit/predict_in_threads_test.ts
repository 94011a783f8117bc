/** Who gets which case, of threads that share a run; the threads here only say how a case ended. */
import { UserError } from "../../core/base/errors.ts";
import type { Precision } from "../../core/engine/engine.ts";
import { openModel } from "../../core/predict/model/model_folder.ts";
import { type CaseThread, runInThreads, type ThreadEnd } from "../../core/predict/run/predict_in_threads.ts";
import type { CaseRecord, CaseToPredict } from "../../core/predict/run/request.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";

const LOST = new UserError({ doing: "computing", problem: "the device was lost" });

interface Behaviour {
  readonly precision?: Precision | "auto";
  /** How the thread ends at a case, where it does. */
  readonly fails?: (id: string) => boolean;
  readonly isGone?: boolean;
  readonly delay?: number;
}

/** @param log Gets "name case precision" of each case that is begun */
function thread(
  name: string,
  log: string[],
  { precision = "f32", fails, isGone = true, delay = 1 }: Behaviour = {},
): CaseThread {
  return {
    name,
    precision,
    heldBytes: () => 0,
    async predict(_model, run, first, take, { onEvent, signal }): Promise<ThreadEnd> {
      let decided = run.precision;
      for (let one: CaseToPredict | undefined = first; one && !signal?.aborted;) {
        log.push(`${name} ${one.id} ${decided}`);
        await new Promise((resolve) => setTimeout(resolve, delay));
        if (fails?.(one.id)) return { steps: [], failed: { error: LOST, isGone } };
        if (decided === "auto") onEvent?.({ kind: "precision", precision: decided = "f16", why: "" });
        const following: CaseToPredict | undefined = await take();
        onEvent?.({ kind: "done", record: { id: one.id } as CaseRecord });
        one = following;
      }
      return { steps: [] };
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

async function run(
  threads: readonly CaseThread[],
  count: number,
  options: {
    readonly precision?: "auto" | Precision;
    readonly lastResort?: () => Promise<CaseThread>;
    readonly signal?: AbortSignal;
  } = {},
) {
  const folder = await Deno.makeTempDir();
  const failures: string[] = [];
  try {
    using model = await openModel("cli/demo/model", {
      folds: ["all"],
      checkpointName: "checkpoint_final.pth",
      assumePlansNetwork: false,
    });
    const { precision = "f32", lastResort, signal } = options;
    await using runs = runInThreads(threads, {
      precision,
      onFailure: ({ name }, _failed, cases) => failures.push(`${name}: ${cases.join(" ")}`),
      ...(lastResort && { lastResort }),
    });
    const cases = Array.from(
      { length: count },
      (_, i) => ({ id: `c${i}`, files: [], output: `${folder}/c${i}.nii.gz` }),
    );
    const { done, failed } = await runs.predict(model, { cases, options: {} }, { signal });
    return {
      done: done.map(({ id, gpu }) => `${id} ${gpu}`),
      failed: failed.map(({ id, message }) => `${id}: ${message}`),
      failures,
    };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("each case goes to one thread, and the last ones wait for whoever is free and not behind a long one", async () => {
  const log: string[] = [];
  const { done } = await run([thread("slow", log, { delay: 60 }), thread("fast", log)], 4);
  assertEquals(done, ["c0 slow", "c1 fast", "c2 fast", "c3 fast"]);
});

Deno.test("with --precision auto the first case decides for all threads, or f32 if one of them can't do otherwise", async () => {
  const log: string[] = [];
  await run([thread("a", log, { precision: "auto" }), thread("b", log, { precision: "auto" })], 4, {
    precision: "auto",
  });
  assertEquals(log.filter((line) => line.endsWith("auto")).length, 1);
  assertEquals(log.filter((line) => line.endsWith("f16")).length, 3);
  const mixed: string[] = [];
  await run([thread("a", mixed, { precision: "auto" }), thread("b", mixed)], 4, { precision: "auto" });
  assert(mixed.every((line) => line.endsWith("f32")), mixed.join("; "));
});

Deno.test("a case whose engine has failed goes to another thread, and is given up if that fails at it as well", async () => {
  const log: string[] = [];
  const bad = (id: string) => id === "c1";
  const { done, failed, failures } = await run([
    thread("a", log, { fails: bad, isGone: false }),
    thread("b", log, { fails: bad, isGone: false }),
  ], 5);
  assertEquals(done.map((one) => one.slice(0, 2)), ["c0", "c2", "c3", "c4"]);
  assertEquals(failed, ["c1: Computing (case c1): the device was lost."]);
  assertEquals(failures.length, 2);
  assertEquals(log.filter((line) => line.includes("c1")).length, 2);
});

Deno.test("what is left when no engine is left fails, or is done by the last resort", async () => {
  const always = { fails: () => true } as const;
  const { done, failed } = await run([thread("a", [], always), thread("b", [], always)], 4);
  assertEquals(done, []);
  assertEquals(failed.map((line) => line.slice(0, 2)), ["c0", "c1", "c2", "c3"]);
  const log: string[] = [];
  const saved = await run([thread("a", log, always), thread("b", log, always)], 4, {
    lastResort: () => Promise.resolve(thread("cpu", log)),
  });
  assertEquals(saved.failed, []);
  assertEquals(saved.done, ["c0 cpu", "c1 cpu", "c2 cpu", "c3 cpu"]);
});

Deno.test("a run that is stopped ends with its threads", async () => {
  const controller = new AbortController();
  setTimeout(() => controller.abort(), 30);
  const threads = [thread("a", [], { delay: 20 }), thread("b", [], { delay: 20 })];
  await assertFails(() => run(threads, 100, { signal: controller.signal }), Error, "stopped");
});
