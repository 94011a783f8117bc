import { createLimit, type Part, type PartReport, repeat, runParts } from "../bench/gpu/budget.ts";
import { assertEquals } from "../assert.ts";

/** A clock that stands still but where it is told to go on. */
function slowClock() {
  let now = 5000;
  return { clock: () => now, pass: (seconds: number) => void (now += 1000 * seconds) };
}

Deno.test("parts share what is left of the budget, and what one leaves goes to those that follow", async () => {
  const { clock, pass } = slowClock();
  const given: number[] = [];
  const part = (name: string, share: number, takes: number): Part => ({
    name,
    share,
    least: 0,
    run(limit) {
      given.push(limit / 1000);
      pass(takes);
      return Promise.resolve({ state: "done" });
    },
  });
  await runParts([part("a", 1, 10), part("b", 1, 45), part("c", 2, 1)], 100, clock, () => Promise.resolve());
  // A quarter of 100; a third of the 90 that are left; all of the last 45, though b took more than its 30.
  assertEquals(given, [25, 30, 45]);
});

Deno.test("a part for which no time is left is skipped by name, one that fails ends alone, and each is reported at its end", async () => {
  const { clock, pass } = slowClock();
  const reports: [string, PartReport][] = [];
  const parts: Part[] = [
    {
      name: "slow",
      share: 1,
      least: 1,
      run() {
        pass(58);
        return Promise.resolve({ state: "cut", why: "half of it" });
      },
    },
    { name: "broken", share: 1, least: 0, run: () => Promise.reject(new Error("the device is lost")) },
    { name: "long", share: 1, least: 5, run: () => Promise.resolve({ state: "done" }) },
  ];
  await runParts(parts, 60, clock, (name, end) => {
    reports.push([name, end]);
    return Promise.resolve();
  });
  assertEquals(reports, [
    ["slow", { state: "cut", why: "half of it", seconds: 58 }],
    ["broken", { state: "failed", why: "the device is lost", seconds: 0 }],
    ["long", { state: "skipped", why: "2.0 s are left for it, it takes 5", seconds: 0 }],
  ]);
});

Deno.test("runs are repeated while there is time for one more as long as the last, and what is cut is named", async () => {
  const { clock, pass } = slowClock();
  const cut: string[] = [];
  const limit = createLimit(clock, 10_000, (piece) => cut.push(piece));
  const once = (seconds: number) => () => Promise.resolve(pass(seconds));
  assertEquals(await repeat(clock, limit, { piece: "latency", runs: 5 }, once(2)), [2000, 2000]);
  assertEquals(limit.left(), 2000);
  assertEquals(await repeat(clock, limit, { piece: "throughput", runs: 5 }, once(1.5)), [1500]);
  pass(7);
  assertEquals(limit.left(), 0);
  assertEquals(await repeat(clock, limit, { piece: "training", runs: 5 }, once(1)), []);
  assertEquals(cut, ["latency after 4 of 7 runs", "throughput after 1 of 7 runs", "training"]);
});

Deno.test("with time enough all runs are done, and warm-ups do not count", async () => {
  const { clock, pass } = slowClock();
  let seconds = 9;
  const limit = createLimit(clock, 1e6, () => {});
  const once = () => {
    pass(seconds--);
    return Promise.resolve();
  };
  assertEquals(await repeat(clock, limit, { piece: "latency", runs: 3 }, once), [7000, 6000, 5000]);
});
