import { nearestDistances, within } from "../../core/evaluate/surface/nearest_point.ts";
import { describeValues } from "../../core/evaluate/statistics.ts";
import type { Vec3 } from "../../core/base/shape.ts";
import { assertEquals } from "../assert.ts";

/** Reproducible numbers below `below`. */
function drawer(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor(state / 2 ** 32 * below);
  };
}

function drawPoints(draw: (below: number) => number, voxels: number, count: number): Uint32Array {
  return Uint32Array.from(new Set(Array.from({ length: count }, () => draw(voxels)))).sort();
}

/** Each point with each. */
function bruteForce(points: Uint32Array, others: Uint32Array, [, height, width]: Vec3, [sz, sy, sx]: Vec3): number[] {
  const place = (index: number) => {
    const line = Math.floor(index / width);
    return [Math.floor(line / height), line % height, index % width];
  };
  return Array.from(points, (point) => {
    const [z, y, x] = place(point);
    return Math.sqrt(Math.min(...Array.from(others, (other) => {
      const [oz, oy, ox] = place(other);
      const [dz, dy, dx] = [(oz - z) * sz, (oy - y) * sy, (ox - x) * sx];
      return dz * dz + dy * dy + dx * dx;
    })));
  });
}

Deno.test("distances to the nearest point are those of trying each, to the last bit", () => {
  const draw = drawer(5);
  const grids: readonly Vec3[] = [[9, 11, 13], [1, 40, 30], [60, 2, 3], [1, 1, 50]];
  const spacings: readonly Vec3[] = [[1, 1, 1], [5, 0.7, 0.7], [0.3, 1.7, 2.9]];
  for (const grid of grids) {
    for (const spacing of spacings) {
      for (const count of [1, 5, 200]) {
        const voxels = grid[0] * grid[1] * grid[2];
        const indices = drawPoints(draw, voxels, count);
        const others = drawPoints(draw, voxels, draw(count) + 1);
        const expected = bruteForce(indices, others, grid, spacing);
        assertEquals([...nearestDistances({ indices, grid, spacing }, others)], expected);
        for (const tolerance of [0, 0.7, 1, 3]) {
          const near = expected.map((distance) => distance <= tolerance ? 1 : 0);
          assertEquals([...within({ indices, grid, spacing }, others, tolerance)], near);
        }
      }
    }
  }
});

Deno.test("where there is no other point, none is near and distances are infinite", () => {
  const points = { indices: Uint32Array.of(0, 7), grid: [2, 2, 2] as const, spacing: [1, 1, 1] as const };
  assertEquals([...nearestDistances(points, new Uint32Array(0))], [Infinity, Infinity]);
  assertEquals([...within(points, new Uint32Array(0), 1e6)], [0, 0]);
});

Deno.test("statistics over cases are numpy's; infinite values are the worst and in no mean", () => {
  const of = (...values: number[]) => values.map((value, i) => ({ caseId: `case ${i}`, value }));

  const { mean, std, median, quartiles, count, worst } = describeValues(of(2, NaN, 5, 1, 7), "small");
  assertEquals([mean, std, median, quartiles, count], [3.75, 2.384848003542364, 3.5, [1.75, 5.5], 4]);
  assertEquals(worst, { caseId: "case 3", value: 1 });
  const distances = describeValues(of(2, Infinity, 4), "large");
  assertEquals([distances.mean, distances.count, distances.infinite], [3, 3, 1]);
  assertEquals(distances.worst, { caseId: "case 1", value: Infinity });
  const none = describeValues(of(NaN), "large");
  assertEquals([none.count, none.mean, none.median, none.worst], [0, NaN, NaN, undefined]);
});
