/** The stream plan: what it promises about planes, and how it chooses under limits. */
import { UserError } from "../../core/base/errors.ts";
import type { Vec3 } from "../../core/base/shape.ts";
import { planStream } from "../../core/predict/stream/plan_stream.ts";
import type { StreamInputs } from "../../core/predict/stream/stream.ts";
import { tileGrid } from "../../core/predict/stream/tiles.ts";
import { linearTable } from "../../core/preprocess/axis_tables.ts";
import { CPU_COSTS } from "../../cpu/costs.ts";
import { gpuCosts } from "../../gpu/costs.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";

const MIB = 2 ** 20;

interface Wanted extends Partial<StreamInputs> {
  readonly grid: Vec3;
  readonly patch: Vec3;
  readonly output?: Vec3;
  readonly stepSize?: number;
}

function inputsOf({ output, stepSize = 0.5, ...given }: Wanted): StreamInputs {
  const { grid, patch } = given;
  const to = output ?? grid;
  return {
    caseId: "made",
    tiles: tileGrid(grid, patch, stepSize, patch[0] === 1 ? 2 : 3),
    inputChannels: 1,
    outputChannels: 60,
    ringStride: 60,
    costs: CPU_COSTS,
    outputVoxels: to[0] * to[1] * to[2],
    mirrorings: 1,
    folds: 1,
    tables: [linearTable(grid[0], to[0]), linearTable(grid[1], to[1]), linearTable(grid[2], to[2])],
    forecast: (batch) => ({
      memory: { weights: 100 * MIB, activations: batch * 50 * MIB, scratch: MIB },
      steps: [{ name: "net", algorithm: "direct", flops: 1, seconds: batch }],
    }),
    fixed: { runtime: 100 * MIB, image: 10 * MIB, labels: 5 * MIB },
    ...given,
  };
}

const SHAPES: readonly Wanted[] = [
  { grid: [300, 280, 260], patch: [96, 96, 96] },
  { grid: [300, 280, 260], patch: [96, 96, 96], output: [150, 300, 300] },
  { grid: [50, 280, 260], patch: [64, 96, 96], output: [77, 300, 300] },
  { grid: [100, 40, 60], patch: [1, 32, 32], output: [100, 80, 70] },
  { grid: [7, 7, 7], patch: [16, 16, 16] },
  { grid: [1, 500, 300], patch: [1, 64, 64] },
  { grid: [128, 64, 64], patch: [32, 32, 32], output: [40, 64, 64], stepSize: 0.9 },
];

for (const wanted of SHAPES) {
  const name = `grid ${wanted.grid.join("x")}, patch ${wanted.patch.join("x")}, output ${wanted.output ?? "the same"}`;
  Deno.test(`planes are opened, closed and emitted once, in order, and the ring holds them: ${name}`, () => {
    const inputs = inputsOf(wanted);
    const { rows, planes, axes, size } = planStream(inputs);
    const table = inputs.tables?.[axes[0]];
    assert(table !== undefined);
    let [opened, closed, emitted] = [0, 0, 0];
    for (const { positions, opens, closes, emits } of rows) {
      assertEquals([opens[0], closes[0], emits[0]], [opened, closed, emitted]);
      [opened, closed, emitted] = [opens[1], closes[1], emits[1]];
      assert(closed <= opened, "no plane is closed before it is open");
      for (let j = emits[0]; j < emits[1]; j++) {
        assert(Math.max(table.first[j], table.second[j]) < closed, "sources are final");
        assert(Math.min(table.first[j], table.second[j]) >= opened - planes, "sources are still in the ring");
      }
      for (const position of positions) {
        const last = Math.min(size[0], position + inputs.patch[axes[0]]);
        assert(last <= opened && Math.max(0, position) >= opened - planes, "the row's planes are in the ring");
      }
    }
    assertEquals([opened, closed, emitted], [size[0], size[0], table.first.length]);
    assert(planes <= size[0]);
  });
}

Deno.test("the stream axis is the one with the most patches", () => {
  assertEquals(planStream(inputsOf({ grid: [100, 300, 100], patch: [50, 50, 50] })).axes, [1, 0, 2]);
  assertEquals(planStream(inputsOf({ grid: [40, 300, 300], patch: [1, 100, 100] })).axes, [0, 1, 2]);
  assertEquals(planStream(inputsOf({ grid: [100, 100, 300], patch: [50, 50, 50], avoidAxis: 2 })).axes, [0, 1, 2]);
});

Deno.test("slices of 2-D networks are grouped until a run's batch is filled", () => {
  const plan = planStream(inputsOf({ grid: [100, 64, 64], patch: [1, 64, 64], outputChannels: 2 }));
  assertEquals(plan.batch, 2, "the largest whose activations are small");
  assert(plan.rows.every(({ positions }) => positions.length <= 16));
  assertEquals(plan.runs, 50);
});

Deno.test("an engine with memory of its own takes the batch that it has memory for", () => {
  const wanted: Wanted = { grid: [300, 280, 260], patch: [96, 96, 96], mirrorings: 8 };
  const batchWith = (comfortable: number) => planStream(inputsOf({ ...wanted, ownMemory: { comfortable } })).batch;
  assertEquals(planStream(inputsOf(wanted)).batch, 2);
  assertEquals([32, 128, 256, 2048].map((mebibytes) => batchWith(mebibytes * MIB)), [1, 2, 4, 8]);
  const aimed = planStream(inputsOf({ ...wanted, ownMemory: { comfortable: 2048 * MIB }, aim: 1200 * MIB }));
  assert(aimed.memory.total <= 1200 * MIB && aimed.batch < 8, `batch ${aimed.batch}, ${aimed.memory.total} bytes`);
});

Deno.test("no batch is taken that the samples do not fill", () => {
  const small = (batch: number) => ({
    memory: { weights: 0, activations: batch, scratch: 0 },
    steps: [{ name: "net", algorithm: "direct", flops: 1, seconds: batch }],
  });
  // 9 tiles in one row: batches of 4, 8 would compute samples that nobody asked for.
  const plan = planStream(inputsOf({ grid: [8, 16, 16], patch: [8, 8, 8], forecast: small }));
  assertEquals([plan.tiles, plan.batch, plan.runs], [9, 3, 3]);
});

Deno.test("under a limit the batch shrinks first, then the ring goes to disk, then folds are loaded again", () => {
  const wanted: Wanted = { grid: [300, 300, 300], patch: [96, 96, 96], folds: 3, mirrorings: 8 };
  const free = planStream(inputsOf(wanted));
  assertEquals([free.placement, free.foldsResident], ["memory", true]);
  const placements = new Set<string>();
  for (let limit = free.memory.total;; limit -= 50 * MIB) {
    let plan;
    try {
      plan = planStream(inputsOf({ ...wanted, limit }));
    } catch (error) {
      assert(error instanceof UserError);
      break;
    }
    assert(plan.memory.total <= limit);
    const { total, ...parts } = plan.memory;
    assertEquals(total, Object.values(parts).reduce((sum, bytes) => sum + bytes, 0));
    assert(plan.seconds >= free.seconds);
    placements.add(`${plan.placement} ${plan.foldsResident}`);
  }
  assert(placements.has("memory true") && placements.has("memory false"), [...placements].join(", "));
  assert(placements.has("patches false"), [...placements].join(", "));
});

Deno.test("what does not fit is refused with every part and the limit that would do", async () => {
  const wanted: Wanted = { grid: [300, 300, 300], patch: [96, 96, 96], limit: 200 * MIB };
  await assertFails(
    () => planStream(inputsOf(wanted)),
    UserError,
    "case made",
    "weights 100 MiB",
    "200 MiB may be used",
  );
  const whole = { ...wanted, tables: undefined, limit: 2 ** 30 };
  await assertFails(() => planStream(inputsOf(whole)), UserError, "needs all logits at once", "--max-memory");
});

Deno.test("no batch is forecast beyond the first whose activations are uncomfortably large", () => {
  const asked = new Set<number>();
  const wanted = inputsOf({ grid: [300, 280, 260], patch: [96, 96, 96] });
  const forecast = (batch: number) => {
    asked.add(batch);
    return wanted.forecast(batch);
  };
  planStream({ ...wanted, forecast });
  // 50 MiB a sample: two are comfortable, three are not.
  assertEquals([...asked].sort(), [1, 2, 3]);
});

Deno.test("plans are weighed by the costs of the engine that runs them, a CPU's to the bit as they were measured", () => {
  const cases: readonly (readonly [Wanted, seconds: number])[] = [
    [{ grid: [300, 280, 260], patch: [96, 96, 96], output: [150, 300, 300] }, 152.51294677333334],
    [{ grid: [100, 40, 60], patch: [1, 32, 32], output: [100, 80, 70], folds: 3, mirrorings: 4 }, 7201.15772608],
    [{
      grid: [300, 280, 260],
      patch: [96, 96, 96],
      inputChannels: 3,
      outputChannels: 61,
      folds: 2,
      limit: 1e12,
      only: { placement: "strips", batch: 1, foldsResident: false },
    }, 410.57025433599995],
  ];
  for (const [wanted, seconds] of cases) {
    assertEquals(planStream(inputsOf(wanted)).seconds, seconds);
    // The same network steps; what is around them is the GPU's.
    const onGpu = planStream(inputsOf({ ...wanted, costs: gpuCosts(1) })).seconds;
    assert(onGpu < seconds && onGpu > planStream(inputsOf(wanted)).runs, `${onGpu}`);
  }
});
