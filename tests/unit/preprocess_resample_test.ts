/** Resampling against a plain reference on grids large enough for the blocked passes; rules of the separate axis. */
import { UserError } from "../../core/base/errors.ts";
import { type Vec3, voxelCount } from "../../core/base/shape.ts";
import type { Resampling } from "../../core/plan/plans.ts";
import { probabilityTables } from "../../core/preprocess/axis_tables.ts";
import { resampleImage, resampleLabels } from "../../core/preprocess/resample.ts";
import type { ResamplePlan } from "../../core/preprocess/resample_plan.ts";
import { resampledShape, separateZAxis } from "../../core/preprocess/separate_z.ts";
import { roundHalfEven } from "../../core/base/numeric.ts";
import { assert, assertClose, assertEquals, assertFails } from "../assert.ts";

const ISOTROPIC = { currentSpacing: [1, 1, 1], newSpacing: [1, 1, 1] } as const;

function spline(order: number, rest: Partial<Extract<Resampling, { kind: "spline" }>> = {}): Resampling {
  return { kind: "spline", isSeg: false, order, orderZ: 0, forceSeparateZ: null, ...rest };
}

/** Numbers in [-1, 1) that look random and are the same each time. */
function noise(length: number): Float32Array {
  let state = 12345;
  return Float32Array.from({ length }, () => {
    state = (Math.imul(1664525, state) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
}

/** One line by the definition: 12 replicated samples at either end, the recursive filter with mirrored ends, four weights. */
function cubicLine(line: readonly number[], to: number): number[] {
  const pole = Math.sqrt(3) - 2;
  const pad = 12;
  const c = Array.from(
    { length: line.length + 2 * pad },
    (_, i) => 6 * line[Math.min(Math.max(i - pad, 0), line.length - 1)],
  );
  const samples = [...c];
  const mirrored = (k: number) => samples[k < samples.length ? k : 2 * samples.length - 1 - k];
  for (let k = 0; k < Math.min(40, 2 * samples.length - 1); k++) c[0] += pole ** (k + 1) * mirrored(k);
  for (let i = 1; i < c.length; i++) c[i] += pole * c[i - 1];
  c[c.length - 1] *= pole / (pole - 1);
  for (let i = c.length - 2; i >= 0; i--) c[i] = pole * (c[i + 1] - c[i]);
  return Array.from({ length: to }, (_, j) => {
    const x = (j + 0.5) * line.length / to - 0.5;
    const first = Math.floor(x);
    const t = x - first;
    const weights = [(1 - t) ** 3, 3 * t ** 3 - 6 * t ** 2 + 4, -3 * t ** 3 + 3 * t ** 2 + 3 * t + 1, t ** 3];
    return weights.reduce((sum, weight, k) => sum + weight / 6 * c[first - 1 + k + pad], 0);
  });
}

function referenceCubic(data: Float32Array, from: Vec3, to: Vec3): Float64Array {
  let shape = [...from];
  let values = Float64Array.from(data);
  for (let axis = 0; axis < 3; axis++) {
    if (from[axis] === to[axis]) continue;
    const grown = shape.with(axis, to[axis]);
    const next = new Float64Array(grown[0] * grown[1] * grown[2]);
    const [u, v] = [0, 1, 2].filter((other) => other !== axis);
    const index = (s: number[], i: number, a: number, b: number) => {
      const at = [0, 0, 0].with(axis, i).with(u, a).with(v, b);
      return (at[0] * s[1] + at[1]) * s[2] + at[2];
    };
    for (let a = 0; a < shape[u]; a++) {
      for (let b = 0; b < shape[v]; b++) {
        const line = Array.from({ length: shape[axis] }, (_, i) => values[index(shape, i, a, b)]);
        cubicLine(line, to[axis]).forEach((value, i) => next[index(grown, i, a, b)] = value);
      }
    }
    shape = grown;
    values = next;
  }
  const low = data.reduce((x, y) => Math.min(x, y));
  const high = data.reduce((x, y) => Math.max(x, y));
  return values.map((value) => Math.min(Math.max(value, low), high));
}

const GRIDS: readonly (readonly [string, Vec3, Vec3])[] = [
  ["all axes grow", [30, 41, 37], [47, 52, 53]],
  ["all axes shrink", [47, 52, 53], [30, 41, 37]],
  ["planes grow, fewer of them", [50, 33, 36], [31, 44, 41]],
  ["planes shrink, more of them", [31, 44, 41], [50, 33, 36]],
  ["only the first axis", [30, 47, 43], [44, 47, 43]],
  ["only the second axis", [25, 47, 43], [25, 31, 43]],
  ["only the last axis", [25, 47, 43], [25, 47, 61]],
  ["a line", [1, 1, 50], [1, 1, 77]],
];

for (const [name, from, to] of GRIDS) {
  Deno.test(`cubic resampling equals the plain definition: ${name}`, () => {
    const data = noise(voxelCount(from));
    const before = data.slice();
    const result = resampleImage(data, 1, from, to, { resampling: spline(3), ...ISOTROPIC });
    assertClose(result, referenceCubic(data, from, to), 1e-6, name);
    assertEquals(data, before, "the input is left as it was");
  });
}

Deno.test("channels are resampled independently of each other", () => {
  const from: Vec3 = [9, 8, 7];
  const to: Vec3 = [12, 6, 9];
  const plan: ResamplePlan = { resampling: spline(3), ...ISOTROPIC };
  const data = noise(2 * voxelCount(from));
  const both = resampleImage(data, 2, from, to, plan);
  const second = resampleImage(data.slice(voxelCount(from)), 1, from, to, plan);
  assertEquals(both.slice(voxelCount(to)), second);
});

Deno.test("equal grids give the input back, whatever the order", () => {
  const data = noise(60);
  const plan: ResamplePlan = { resampling: spline(3), ...ISOTROPIC };
  assert(resampleImage(data, 1, [3, 4, 5], [3, 4, 5], plan) === data);
});

Deno.test("a cubic result stays within the range of its input", () => {
  const data = Float32Array.from({ length: 1000 }, (_, i) => (i * 7919) % 13 < 6 ? 0 : 1);
  const result = resampleImage(data, 1, [10, 10, 10], [17, 16, 15], { resampling: spline(3), ...ISOTROPIC });
  assert(result.every((value) => value >= 0 && value <= 1));
});

Deno.test("an axis is resampled by itself if it alone is more than three times as coarse", () => {
  const rule = spline(3);
  assertEquals(separateZAxis(rule, [5, 1, 1], [1, 1, 1]), 0);
  assertEquals(separateZAxis(rule, [1, 1, 4], [1, 1, 1]), 2);
  assertEquals(separateZAxis(rule, [3, 1, 1], [1, 1, 1]), null, "three times is not more than three");
  assertEquals(separateZAxis(rule, [1, 1, 1], [1, 5, 1]), 1, "the new spacing counts where the current one is not");
  assertEquals(separateZAxis(rule, [0.24, 1.25, 1.25], [1, 1, 1]), null, "two coarse axes");
  assertEquals(separateZAxis(spline(3, { forceSeparateZ: true }), [1.1, 1, 1], [1, 9, 1]), 0);
  assertEquals(separateZAxis(spline(3, { forceSeparateZ: false }), [9, 1, 1], [9, 1, 1]), null);
  assertEquals(separateZAxis({ kind: "none" }, [9, 1, 1], [9, 1, 1]), null);
});

Deno.test("the resampled shape rounds halves to even, as Python does", () => {
  assertEquals([0.5, 1.5, 2.5, 2.4999, 2.5001].map(roundHalfEven), [0, 2, 2, 2, 3]);
  assertEquals(resampledShape([5, 7, 10], [1, 1, 1], [2, 2, 3]), [2, 4, 3]);
});

Deno.test("probabilities resampled with order 3 have no tables and say why", () => {
  const tables = probabilityTables(spline(3), [4, 4, 4], [5, 5, 5], [1, 1, 1], [1, 1, 1]);
  assert(tables.kind === "wholeVolume" && tables.reason.includes("order 3"));
});

Deno.test("no_resampling_hack keeps a grid and refuses to change one", async () => {
  const kept = probabilityTables({ kind: "none" }, [4, 5, 6], [4, 5, 6], [1, 1, 1], [2, 2, 2]);
  assert(kept.kind === "tables");
  assertEquals([...kept.tables[2].second], [0, 1, 2, 3, 4, 5]);
  const change = () => probabilityTables({ kind: "none" }, [4, 5, 6], [4, 5, 7], [1, 1, 1], [2, 2, 2]);
  await assertFails(change, UserError, "no_resampling_hack", "4 x 5 x 7");
});

Deno.test("equal grids have identity tables, whatever the order", () => {
  const result = probabilityTables(spline(3), [4, 5, 6], [4, 5, 6], [1, 1, 1], [1, 1, 1]);
  assert(result.kind === "tables");
  assertEquals([...result.tables[1].first], [0, 1, 2, 3, 4]);
  assertEquals([...result.tables[1].fraction], [0, 0, 0, 0, 0]);
});

Deno.test("tables stay inside the grid they read", () => {
  for (const kind of ["spline", "torch"] as const) {
    const resampling: Resampling = kind === "spline"
      ? spline(1)
      : { kind, isSeg: false, forceSeparateZ: null, memoryEfficientSeg: false, separateZThreshold: 3 };
    for (const [from, to] of [[1, 7], [7, 1], [13, 301], [301, 13], [256, 255]]) {
      const result = probabilityTables(resampling, [from, from, from], [to, to, to], [1, 1, 9], [1, 1, 9]);
      assert(result.kind === "tables");
      for (const table of result.tables) {
        for (let j = 0; j < to; j++) {
          assert(table.first[j] >= 0 && table.second[j] < from && table.first[j] <= table.second[j]);
          assert(table.fraction[j] >= 0 && table.fraction[j] < 1);
        }
      }
    }
  }
});

Deno.test("segmentations resampled with order 3 are refused by the name of the setting", async () => {
  const plan: ResamplePlan = { resampling: spline(3, { isSeg: true }), ...ISOTROPIC };
  await assertFails(
    () => resampleLabels(new Int16Array(8), [2, 2, 2], [3, 3, 3], plan),
    UserError,
    '"order": 3',
    "seg",
  );
  const across: ResamplePlan = {
    resampling: spline(1, { isSeg: true, orderZ: 3 }),
    currentSpacing: [5, 1, 1],
    newSpacing: [1, 1, 1],
  };
  await assertFails(() => resampleLabels(new Int16Array(8), [2, 2, 2], [3, 3, 3], across), UserError, '"order_z": 3');
});
