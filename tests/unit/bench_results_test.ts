import { join } from "../../core/base/path.ts";
import { UserError } from "../../core/base/errors.ts";
import { receive } from "../bench/gpu/report.ts";
import {
  comparison,
  describeBeside,
  describeGoals,
  endPart,
  goalsOf,
  keepingReport,
  newPart,
  readResults,
  type Results,
  resultsWriter,
  writeResults,
} from "../bench/gpu/results.ts";
import { FULL, SMALL } from "../bench/gpu/sizes.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";

function made(adapter: string, measures: Readonly<Record<string, Readonly<Record<string, number>>>>): Results {
  const parts = Object.entries(measures).map(([name, values]) => {
    const part = newPart();
    const report = keepingReport(part, () => {});
    for (const [measure, value] of Object.entries(values)) report.measure(measure, value, "ms");
    endPart(part, { state: "done", seconds: 1 });
    return [name, part] as const;
  });
  return {
    format: "nnunet GPU bench 1",
    adapter,
    software: false,
    features: ["shader-f16"],
    limits: { maxBufferSize: 2 ** 31 },
    deno: "2.9.6",
    kernels: "abc",
    when: "2026-01-01T00:00:00.000Z",
    budget: 540,
    sizes: FULL,
    parts: Object.fromEntries(parts),
  };
}

Deno.test("ratios are taken of what was measured on the same card, and what was not measured has none", () => {
  const results = made("A", {
    torch: { "fp16, batch 1: latency": 20, "fp16: step": 100 },
    forward: { "f32, batch 1: latency, best": 12, "f16, batch 1: latency, best": 16 },
    training: { "f32: step, best": NaN },
    ct: { wall: 5 },
    upstream: { "wall, at least": 50 },
  });
  const goals = new Map(goalsOf(results).map(({ name, ratio }) => [name, ratio]));
  assertEquals(goals.get("forward pass in f32 of torch AMP's"), 0.6);
  assertEquals(goals.get("forward pass in f16 of torch AMP's"), 0.8);
  assertEquals(goals.get("training step in f32 of torch AMP's"), undefined);
  assertEquals(goals.get("whole CT of upstream's"), 0.1);
  const lines = describeGoals(goalsOf(results));
  assert(lines.includes("forward pass in f16 of torch AMP's: 0.800 (at most 0.7 is wanted, MISSED)"), lines.join("\n"));
  assert(lines.includes("forward pass in f32 of torch AMP's: 0.600 (at most 0.7 is wanted)"), lines.join("\n"));
});

Deno.test("what another WebGPU takes stands beside what Deno's does, where both were measured", () => {
  const lines = describeBeside(made("A", {
    forward: { "f32, batch 1: latency, best": 20, "f32, batch 1: host": 2, "f16, batch 1: latency, best": NaN },
    training: { "f32: step, best": 100, "f32: step, median": 110 },
    beside: {
      "self-test: worst": 1e-5,
      "forward: f32, batch 1: latency, best": 15,
      "forward: f32, batch 1: host": 3,
      "forward: f16, batch 1: latency, best": 9,
      "forward: f32, batch 4: latency, best": 60,
      "training: f32: step, best": 80,
      "training: f32: step, median": 90,
    },
  }));
  assertEquals(lines, [
    "forward: f32, batch 1: latency, best: 20 ms, by Dawn 15 (0.75 of it)",
    "forward: f32, batch 1: host: 2 ms, by Dawn 3 (1.5 of it)",
    "training: f32: step, best: 100 ms, by Dawn 80 (0.8 of it)",
  ]);
  assertEquals(describeBeside(made("A", { forward: { "f32, batch 1: host": 2 } })), []);
});

Deno.test("results come back from their file and stand beside others, a column each", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const path = join(folder, "a.json");
    const one = made("A", { forward: { latency: 12.3456 } });
    await writeResults(path, one);
    assertEquals(await readResults(path), one);
    const table = comparison([{ name: "a", results: one }, {
      name: "other",
      results: made("B", { forward: { latency: 1234.6 }, ct: { wall: NaN } }),
    }]);
    const cells = table.map((line) => line.trim().split(/ {2,}/));
    assertEquals(cells, [
      ["a", "other"],
      ["forward: state", "done", "done"],
      ["forward: latency [ms]", "12.35", "1235"],
      ["ct: state", "-", "done"],
      ["ct: wall [ms]", "-", "NaN"],
    ]);
    await Deno.writeTextFile(path, JSON.stringify({ ...one, sizes: { ...SMALL, edge: -1 } }));
    await assertFails(() => readResults(path), UserError, "it holds no results of this bench");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("results that change while they are written are written again", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const path = join(folder, "a.json");
    const results = made("A", { forward: {} });
    const write = resultsWriter(path, results);
    const report = keepingReport(results.parts.forward, () => {}, () => void write());
    report.measure("first", 1, "ms");
    report.measure("second", 2, "ms");
    report.measure("third", 3, "ms");
    await write();
    assertEquals((await readResults(path)).parts.forward, results.parts.forward);
    assertEquals([...Deno.readDirSync(folder)].map(({ name }) => name), ["a.json"]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("what a part sends line by line is kept, and a part with pieces cut is cut", () => {
  const part = newPart();
  const said: string[] = [];
  const report = keepingReport(part, (line) => said.push(line));
  receive('{"kind":"measure","name":"latency","value":null,"unit":"ms"}', report);
  receive('{"kind":"cut","piece":"steps"}', report);
  receive("MESA: a driver talks", report);
  receive('{"kind":"wrong","what":"f16"}', report);
  endPart(part, { state: "done", seconds: 2 });
  assertEquals(part, {
    state: "cut",
    seconds: 2,
    cut: ["steps"],
    wrong: ["f16"],
    measures: { latency: { value: null, unit: "ms" } },
    details: {},
  });
  assertEquals(said, ["MESA: a driver talks", "WRONG RESULTS: f16"]);
});
