import { assert, assertEquals, assertFails } from "../assert.ts";
import { padToFour, type Vec3 } from "../../core/base/shape.ts";
import {
  interpolateReference,
  labelReference,
  probabilitiesReference,
} from "../../kernels/operators/volume/reference.ts";
import type { RingGeometry } from "../../kernels/wgsl/volume/accumulate.ts";
import {
  packResampleTables,
  planResampleToLabels,
  planResampleToProbabilities,
} from "../../kernels/wgsl/volume/resample.ts";
import type { LabelChoice, MixTable } from "../../kernels/operators/volume/resample.ts";
import { paddedNoise } from "./run_operator.ts";
import { gpuPresent, runWgsl, segmented } from "./run_wgsl_operator.ts";

/** Largest difference of interpolated logits, which reach 3, between fused and rounded products. */
const ROUNDING = 2e-6;

function gpuTest(name: string, run: () => Promise<void>): void {
  Deno.test({ name, ignore: !gpuPresent, fn: run });
}

/** The table of skimage's order-1 resize: pixel centres, clamped at the ends. */
function linear(from: number, to: number): MixTable {
  const table = { first: new Int32Array(to), second: new Int32Array(to), fraction: new Float32Array(to) };
  for (let j = 0; j < to; j++) {
    const x = Math.min(from - 1, Math.max(0, (j + 0.5) * from / to - 0.5));
    table.first[j] = Math.floor(x);
    table.second[j] = Math.min(from - 1, Math.floor(x) + 1);
    table.fraction[j] = x - Math.floor(x);
  }
  return table;
}

function nearest(from: number, to: number): MixTable {
  const first = Int32Array.from({ length: to }, (_, j) => Math.floor((j + 0.5) * from / to));
  return { first, second: first, fraction: new Float32Array(to) };
}

interface Case {
  readonly name: string;
  readonly ring: RingGeometry;
  readonly tables: readonly [MixTable, MixTable, MixTable];
  readonly from: number;
  readonly to: number;
  /** Elements of a segment of the ring (of four channels) and of the target. */
  readonly segments?: readonly [ring: number, target: number];
}

function casesOf(channels: number): Case[] {
  const ring: RingGeometry = { channels, planes: 11, rows: 9, columns: 7, axes: [1, 0, 2], depth: 23 };
  const plane = 63 * padToFour(channels) / 4;
  return [
    { name: "equal grids", ring, tables: [linear(23, 23), linear(9, 9), linear(7, 7)], from: 15, to: 23 },
    // 31 planes of 23: output planes 20 to 28 read planes 14 to 21, across the end of a ring of 11.
    { name: "a finer grid", ring, tables: [linear(23, 31), linear(9, 20), linear(7, 13)], from: 20, to: 29 },
    {
      name: "a finer grid in segments",
      ring,
      from: 20,
      to: 29,
      tables: [linear(23, 31), linear(9, 20), linear(7, 13)],
      segments: [2 * plane + 5, 900],
    },
    { name: "a coarser grid", ring, tables: [linear(23, 10), linear(9, 4), linear(7, 3)], from: 6, to: 9 },
    { name: "nearest along planes", ring, tables: [nearest(23, 40), linear(9, 14), linear(7, 7)], from: 25, to: 38 },
  ];
}

/** Logits with ties between channels, and voxels whose real channels are all negative. */
function logitsOf(ring: RingGeometry): Float32Array {
  const voxels = ring.planes * ring.rows * ring.columns;
  const padded = padToFour(ring.channels);
  const values = paddedNoise(voxels, ring.channels, ring.channels);
  for (let voxel = 0; voxel < voxels; voxel++) {
    for (let c = 0; c < ring.channels; c++) {
      const at = voxel * padded + c;
      if (voxel % 3 === 0) values[at] = Math.round(values[at] * 2);
      if (voxel % 5 === 0) values[at] -= 3;
    }
  }
  return values;
}

function sizesOf(tables: Case["tables"]): Vec3 {
  return [tables[0].first.length, tables[1].first.length, tables[2].first.length];
}

function sourceOf({ ring, tables, segments, from, to }: Case, logits: Float32Array, values?: readonly number[]) {
  const { layout, data } = segmented("logits", logits, 16, segments?.[0]);
  const spec = { ring, logits: layout, tables, tablesSlot: "tables", from, to };
  return { spec, slots: { logits: data, tables: { array: packResampleTables(ring, tables, values) } } };
}

/** Labels that rounding may give: the reference's, and those of logits a little higher or lower. */
function possibleLabels(logits: Float32Array, rule: LabelChoice, rounding: number): number[] {
  const exact = labelReference(logits, rule);
  if (rounding === 0) return [exact];
  if (rule.kind === "regions") {
    return [exact, ...[rounding, -rounding].map((shift) => labelReference(logits.map((v) => v + shift), rule))];
  }
  const largest = Math.max(...logits);
  return rule.values.filter((_, c) => logits[c] >= largest - rounding);
}

async function checkLabels(test: Case, rule: LabelChoice, targetType: "u8" | "u16", strides: Vec3, offset: number) {
  const { ring, tables, from, to } = test;
  const [planes, rows, columns] = sizesOf(tables);
  const logits = logitsOf(ring);
  const values = interpolateReference({ ...ring, channelStride: padToFour(ring.channels) }, logits, tables, from, to);
  const size = offset + planes * rows * columns * 2;
  const words = size + (4 - size % 4);
  const array = targetType === "u8" ? new Uint8Array(words).fill(99) : new Uint16Array(words).fill(999);
  const { spec, slots } = sourceOf(test, logits, rule.values);
  const target = segmented("words", array, 4, test.segments?.[1]);
  const operator = planResampleToLabels({
    ...spec,
    rule,
    target: target.layout,
    targetType,
    view: { offset, strides },
  });
  assert(operator.dispatches.every(({ bindings }) => bindings.length <= 8));
  await runWgsl(operator, { ...slots, words: target.data });
  const rounding = tables.some(({ fraction }) => fraction.some((f) => f !== 0)) ? ROUNDING : 0;
  let [voxel, differing] = [0, 0];
  for (let j = from; j < to; j++) {
    for (let r = 0; r < rows; r++) {
      for (let x = 0; x < columns; x++, voxel++) {
        const at = offset + j * strides[0] + r * strides[1] + x * strides[2];
        const of = values.subarray(voxel * ring.channels, (voxel + 1) * ring.channels);
        const possible = possibleLabels(of, rule, rounding);
        assert(possible.includes(array[at]), `voxel ${[j, r, x]} is ${array[at]}, not ${possible}`);
        if (array[at] !== labelReference(of, rule)) differing++;
        // What is left must be as it was.
        array[at] = targetType === "u8" ? 99 : 999;
      }
    }
  }
  assert(differing <= voxel / 500, `${differing} of ${voxel} labels differ by rounding`);
  assertEquals(array.findIndex((v) => v !== (targetType === "u8" ? 99 : 999)), -1, "a label beside the range changed");
}

for (const channels of [1, 3, 5, 25]) {
  for (const test of casesOf(channels)) {
    const [planes, rows, columns] = sizesOf(test.tables);
    gpuTest(`WGSL: the largest of ${channels} logits is the same as one by one: ${test.name}`, async () => {
      const values = Array.from({ length: channels }, (_, i) => (i * 7) % 250);
      await checkLabels(test, { kind: "argmax", values }, "u8", [rows * columns, columns, 1], 0);
      // Rows along the slowest axis, every second element, values beyond a byte.
      const wide = values.map((v) => v * 200);
      await checkLabels(test, { kind: "argmax", values: wide }, "u16", [2 * columns, 2 * planes * columns, 2], 5);
    });
    gpuTest(`WGSL: regions of ${channels} logits override each other in order: ${test.name}`, async () => {
      const values = Array.from({ length: channels }, (_, i) => 1 + (i * 5) % 200);
      await checkLabels(test, { kind: "regions", values }, "u8", [1, planes, planes * rows], 3);
      // Backwards along columns.
      await checkLabels(test, { kind: "regions", values }, "u16", [rows * columns, columns, -1], columns);
    });
    gpuTest(`WGSL: softmax and sigmoid of ${channels} logits are those of f64: ${test.name}`, async () => {
      const { ring, tables, from, to } = test;
      const logits = logitsOf(ring).map((v) => v * 20);
      const values = interpolateReference(
        { ...ring, channelStride: padToFour(ring.channels) },
        logits,
        tables,
        from,
        to,
      );
      for (const nonlinearity of ["softmax", "sigmoid"] as const) {
        const { spec, slots } = sourceOf(test, logits);
        const array = new Float32Array((to - from) * channels * rows * columns);
        const target = segmented("target", array, 4, test.segments && Math.ceil(array.length / 3));
        const operator = planResampleToProbabilities({ ...spec, nonlinearity, target: target.layout });
        await runWgsl(operator, { ...slots, target: target.data });
        let worst = 0;
        for (let voxel = 0; voxel < (to - from) * rows * columns; voxel++) {
          const of = values.subarray(voxel * channels, (voxel + 1) * channels);
          const plane = Math.floor(voxel / (rows * columns));
          probabilitiesReference(of, nonlinearity).forEach((expected, c) => {
            const actual = array[(plane * channels + c) * rows * columns + voxel % (rows * columns)];
            worst = Math.max(worst, Number.isNaN(actual) ? Infinity : Math.abs(actual - expected));
          });
        }
        assert(worst < 2e-5, `${nonlinearity} differs by ${worst}`);
      }
    });
  }
}

gpuTest("WGSL: infinite logits are not mixed into voxels that do not read them", async () => {
  const ring: RingGeometry = { channels: 2, planes: 1, rows: 1, columns: 3, axes: [0, 1, 2], depth: 1 };
  const logits = Float32Array.of(1, 0, 0, 0, Infinity, 2, 0, 0, -1, 3, 0, 0);
  const columns = {
    first: Int32Array.of(0, 0, 2, 2),
    second: Int32Array.of(1, 1, 1, 1),
    fraction: Float32Array.of(0, 0.5, 0.5, 0),
  };
  const tables = [linear(1, 1), linear(1, 1), columns] as const;
  const test: Case = { name: "", ring, tables, from: 0, to: 1 };
  const { spec, slots } = sourceOf(test, logits, [10, 20]);
  const target = segmented("words", new Uint8Array(4), 4);
  const view = { offset: 0, strides: [4, 4, 1] as Vec3 };
  const rule: LabelChoice = { kind: "argmax", values: [10, 20] };
  await runWgsl(planResampleToLabels({ ...spec, rule, target: target.layout, targetType: "u8", view }), {
    ...slots,
    words: target.data,
  });
  assertEquals([...target.data.array], [10, 10, 10, 20]);
});

Deno.test("WGSL: a table that reads beyond the volume is refused", async () => {
  const ring: RingGeometry = { channels: 2, planes: 2, rows: 3, columns: 4, axes: [0, 1, 2], depth: 5 };
  await assertFails(
    () => packResampleTables(ring, [linear(5, 5), linear(4, 4), linear(4, 4)]),
    ...[RangeError, "axis 1", "3"] as const,
  );
});

Deno.test("WGSL: a resampling of a large volume is cut into dispatches that bind the segments they read", () => {
  // 25 classes of 130 planes of 512 x 512: 3.8 GB, bound by 2 GiB; planes 73 and 74 lie on both sides.
  const ring: RingGeometry = { channels: 25, planes: 130, rows: 512, columns: 512, axes: [0, 1, 2], depth: 400 };
  const elements = ring.planes * ring.rows * ring.columns * 7;
  const logits = { slot: "logits", length: elements, segments: 2, segmentLength: 2 ** 27 };
  const target = { slot: "words", length: 2 ** 27, segments: 1, segmentLength: 2 ** 27 };
  const tables = [linear(400, 500), linear(512, 512), linear(512, 512)] as const;
  const rule: LabelChoice = { kind: "argmax", values: Array.from({ length: 25 }, (_, i) => i) };
  const view = { offset: 0, strides: [512 * 512, 512, 1] as Vec3 };
  const spec = { ring, logits, tables, tablesSlot: "tables", rule, target, targetType: "u8", view } as const;
  const { dispatches } = planResampleToLabels({ ...spec, from: 40, to: 140 });
  let covered = 0;
  const bound = new Set<string>();
  for (const { uniforms = [], workgroups, bindings } of dispatches) {
    const [start, end] = uniforms.map(({ value }) => value);
    assertEquals(start, covered);
    assertEquals(workgroups, [Math.ceil((end - start) / 256), 1, 1]);
    assert(workgroups[0] <= 65535 && uniforms.every(({ value }) => value < 2 ** 32));
    bound.add(bindings.filter(({ slot }) => slot === "logits").map(({ segment }) => segment).join());
    covered = end;
  }
  assertEquals(covered, 100 * 512 * 512);
  assertEquals([...bound], ["0", "0,1", "1"]);
});
