import { assert, assertClose, assertEquals, assertFails } from "../assert.ts";
import { padToFour, type Vec3 } from "../../core/base/shape.ts";
import type { RingGeometry } from "../../kernels/operators/volume/accumulate.ts";
import {
  interpolateReference,
  labelReference,
  probabilitiesReference,
} from "../../kernels/operators/volume/reference.ts";
import {
  packResampleTables,
  planResampleToLabels,
  planResampleToProbabilities,
} from "../../kernels/wasm/volume/resample.ts";
import type { LabelChoice, MixTable } from "../../kernels/operators/volume/resample.ts";
import { LABEL_KERNELS } from "../../kernels/wasm/volume/label_kernel.ts";
import { PROBABILITY_KERNELS } from "../../kernels/wasm/volume/probability_kernel.ts";
import { noise, operatorRunner, paddedNoise } from "./run_operator.ts";

const run = operatorRunner([...LABEL_KERNELS, ...PROBABILITY_KERNELS]);
const CHANNELS = [1, 2, 3, 5, 25, 61];

/** The table of skimage's order-1 resize: pixel centres, clamped at the ends; every third entry of order 0. */
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
}

function cases(channels: number, channelStride: number): Case[] {
  const ring: RingGeometry = { channels, channelStride, planes: 11, rows: 9, columns: 7, axes: [1, 0, 2], depth: 23 };
  const of = (name: string, tables: readonly [MixTable, MixTable, MixTable], from: number, to: number) => ({
    name: `${name}, channel stride ${channelStride}`,
    ring,
    tables,
    from,
    to,
  });
  return [
    of("equal grids", [linear(23, 23), linear(9, 9), linear(7, 7)], 15, 23),
    // 31 planes of 23: output planes 20 to 28 read planes 14 to 21, across the end of a ring of 11.
    of("a finer grid", [linear(23, 31), linear(9, 20), linear(7, 13)], 20, 29),
    of("a coarser grid", [linear(23, 10), linear(9, 4), linear(7, 3)], 6, 9),
    of("nearest along planes", [nearest(23, 40), linear(9, 14), linear(7, 7)], 25, 38),
    of("rows alone", [linear(23, 23), linear(9, 25), linear(7, 7)], 10, 14),
    of("planes alone", [linear(23, 30), linear(9, 9), linear(7, 7)], 9, 12),
  ];
}

/** Logits with ties between channels, and voxels whose real channels are all negative. */
function logitsOf(ring: RingGeometry): Float32Array {
  const voxels = ring.planes * ring.rows * ring.columns;
  const values = paddedNoise(voxels, ring.channels, ring.channels, ring.channelStride);
  for (let voxel = 0; voxel < voxels; voxel++) {
    for (let c = 0; c < ring.channels; c++) {
      const at = voxel * ring.channelStride + c;
      if (voxel % 3 === 0) values[at] = Math.round(values[at] * 2);
      if (voxel % 5 === 0) values[at] -= 3;
    }
  }
  return values;
}

function outputsOf(tables: Case["tables"]): Vec3 {
  return [tables[0].first.length, tables[1].first.length, tables[2].first.length];
}

function checkLabels(test: Case, choice: LabelChoice, targetType: "u8" | "u16", strides: Vec3, offset: number): void {
  const { ring, tables, from, to } = test;
  const outputs = outputsOf(tables);
  const logits = logitsOf(ring);
  const values = interpolateReference(ring, logits, tables, from, to);
  const size = offset + outputs[0] * outputs[1] * outputs[2] * 2;
  const expected = targetType === "u8" ? new Uint8Array(size).fill(99) : new Uint16Array(size).fill(999);
  const target = expected.slice();
  let voxel = 0;
  for (let j = from; j < to; j++) {
    for (let r = 0; r < outputs[1]; r++) {
      for (let x = 0; x < outputs[2]; x++) {
        const at = offset + j * strides[0] + r * strides[1] + x * strides[2];
        expected[at] = labelReference(values.subarray(voxel * ring.channels, (voxel + 1) * ring.channels), choice);
        voxel++;
      }
    }
  }
  const operator = planResampleToLabels({
    ring,
    outputs,
    logitsSlot: "logits",
    tablesSlot: "tables",
    from,
    to,
    kind: choice.kind,
    targetSlot: "target",
    targetType,
    view: { offset, strides },
  });
  const packed = packResampleTables(ring, tables, choice.values);
  run(operator, { logits, tables: packed, target }, { reversed: targetType === "u16" });
  assertEquals(target, expected, `${test.name}, ${choice.kind}`);
}

for (const channels of CHANNELS) {
  // Voxels padded to blocks of four, and without padding.
  for (const test of [padToFour(channels), channels].flatMap((stride) => cases(channels, stride))) {
    const [planes, rows, columns] = outputsOf(test.tables);
    Deno.test(`The largest of ${channels} logits is the same as one by one: ${test.name}`, () => {
      const values = Array.from({ length: channels }, (_, i) => (i * 7) % 250);
      checkLabels(test, { kind: "argmax", values }, "u8", [rows * columns, columns, 1], 0);
      // Rows along the slowest axis, every second element, values beyond a byte.
      const wide = values.map((v) => v * 200);
      checkLabels(test, { kind: "argmax", values: wide }, "u16", [2 * columns, 2 * planes * columns, 2], 5);
    });
    Deno.test(`Regions of ${channels} logits override each other in order: ${test.name}`, () => {
      const values = Array.from({ length: channels }, (_, i) => 1 + (i * 5) % 200);
      checkLabels(test, { kind: "regions", values }, "u8", [1, planes, planes * rows], 3);
      checkLabels(test, { kind: "regions", values }, "u16", [rows * columns, columns, 1], 0);
    });
    for (const nonlinearity of ["softmax", "sigmoid"] as const) {
      Deno.test(`The ${nonlinearity} of ${channels} logits is that of f64: ${test.name}`, () => {
        const { ring, tables, from, to } = test;
        const outputs = outputsOf(tables);
        const logits = logitsOf(ring).map((v) => v * 20);
        const values = interpolateReference(ring, logits, tables, from, to);
        const target = new Float32Array((to - from) * channels * rows * columns);
        const operator = planResampleToProbabilities({
          ring,
          outputs,
          logitsSlot: "logits",
          tablesSlot: "tables",
          from,
          to,
          nonlinearity,
          targetSlot: "target",
        });
        run(operator, { logits, tables: packResampleTables(ring, tables), target }, { reversed: channels > 5 });
        let worst = 0;
        for (let voxel = 0; voxel < (to - from) * rows * columns; voxel++) {
          const expected = probabilitiesReference(
            values.subarray(voxel * channels, (voxel + 1) * channels),
            nonlinearity,
          );
          const plane = Math.floor(voxel / (rows * columns));
          expected.forEach((p, c) => {
            const actual = target[(plane * channels + c) * rows * columns + voxel % (rows * columns)];
            worst = Math.max(worst, Math.abs(actual - p) / (p + 1e-30));
          });
        }
        // The difference of two logits is rounded at up to 120: 8e-6 absolute, so in the exponential relative.
        assert(worst < 1.2e-5, `relative error ${worst}`);
      });
    }
  }
}

Deno.test("Channels that are all negative never lose to padding lanes", () => {
  const ring: RingGeometry = {
    channels: 5,
    channelStride: 8,
    planes: 1,
    rows: 1,
    columns: 2,
    axes: [0, 1, 2],
    depth: 1,
  };
  const logits = Float32Array.of(-9, -8, -7, -6, -5, 0, 0, 0, -5, -6, -7, -8, -9, 0, 0, 0);
  const tables = [linear(1, 1), linear(1, 1), linear(2, 2)] as const;
  const target = new Uint8Array(2);
  const operator = planResampleToLabels({
    ring,
    outputs: [1, 1, 2],
    logitsSlot: "l",
    tablesSlot: "t",
    from: 0,
    to: 1,
    kind: "argmax",
    targetSlot: "o",
    targetType: "u8",
    view: { offset: 0, strides: [2, 2, 1] },
  });
  run(operator, { l: logits, t: packResampleTables(ring, tables, [10, 11, 12, 13, 14]), o: target });
  assertEquals([...target], [14, 10]);
});

Deno.test("Whatever lies behind the last channel of the last voxel decides nothing", () => {
  const size = { planes: 2, rows: 1, columns: 2, depth: 2 };
  const ring: RingGeometry = { channels: 5, channelStride: 5, ...size, axes: [0, 1, 2] };
  const tables = [linear(2, 2), linear(1, 1), linear(2, 2)] as const;
  const range = { ring, outputs: [2, 1, 2] as Vec3, logitsSlot: "l", tablesSlot: "t", from: 0, to: 1 };
  const target = { targetSlot: "o", targetType: "u8", view: { offset: 0, strides: [2, 2, 1] } } as const;
  for (const behind of [NaN, Infinity, 7]) {
    // The second plane has not been opened.
    const logits = new Float32Array(20).fill(behind);
    logits.set([-9, -8, -7, -6, -5, -5, -6, -7, -8, -9]);
    const labels = (kind: LabelChoice["kind"]) => {
      const o = new Uint8Array(2);
      const t = packResampleTables(ring, tables, [10, 11, 12, 13, 14]);
      run(planResampleToLabels({ ...range, ...target, kind }), { l: logits, t, o });
      return [...o];
    };
    assertEquals([labels("argmax"), labels("regions")], [[14, 10], [0, 0]]);
    const o = new Float32Array(10);
    const operator = planResampleToProbabilities({ ...range, targetSlot: "o", nonlinearity: "softmax" });
    run(operator, { l: logits, t: packResampleTables(ring, tables), o });
    const expected = probabilitiesReference([-9, -8, -7, -6, -5], "softmax");
    assertClose(o, Float32Array.from(expected.flatMap((p, i) => [p, expected[4 - i]])), 1e-6);
  }
});

Deno.test("An axis with equal sources passes values on whatever its fractions are", () => {
  const ring: RingGeometry = {
    channels: 3,
    channelStride: 4,
    planes: 2,
    rows: 3,
    columns: 5,
    axes: [0, 1, 2],
    depth: 2,
  };
  const logits = paddedNoise(30, 3, 4).map((v) => v * 1e3);
  const odd = (length: number): MixTable => {
    const first = Int32Array.from({ length }, (_, i) => i);
    return { first, second: first, fraction: noise(length, 8).map(Math.abs) };
  };
  const target = new Float32Array(2 * 3 * 15);
  const operator = planResampleToProbabilities({
    ring,
    outputs: [2, 3, 5],
    logitsSlot: "l",
    tablesSlot: "t",
    from: 0,
    to: 2,
    nonlinearity: "sigmoid",
    targetSlot: "o",
  });
  run(operator, { l: logits, t: packResampleTables(ring, [odd(2), odd(3), odd(5)]), o: target });
  const expected = Float32Array.from({ length: 90 }, (_, i) => {
    const [plane, channel, voxel] = [Math.floor(i / 45), Math.floor(i / 15) % 3, i % 15];
    return probabilitiesReference([logits[(plane * 15 + voxel) * 4 + channel]], "sigmoid")[0];
  });
  assertClose(target, expected, 1e-6);
});

Deno.test("The exponential function has a relative error below 1e-6 from 0 to -80", () => {
  const columns = 4001;
  const ring: RingGeometry = { channels: 1, channelStride: 4, planes: 1, rows: 1, columns, axes: [0, 1, 2], depth: 1 };
  const logits = new Float32Array(columns * 4);
  for (let i = 0; i < columns; i++) logits[i * 4] = -i * 0.02;
  const tables = [linear(1, 1), linear(1, 1), linear(columns, columns)] as const;
  const target = new Float32Array(columns);
  const operator = planResampleToProbabilities({
    ring,
    outputs: [1, 1, columns],
    logitsSlot: "l",
    tablesSlot: "t",
    from: 0,
    to: 1,
    nonlinearity: "sigmoid",
    targetSlot: "o",
  });
  run(operator, { l: logits, t: packResampleTables(ring, tables), o: target });
  for (let i = 0; i < columns; i++) {
    const expected = Math.exp(logits[i * 4]) / (1 + Math.exp(logits[i * 4]));
    assert(Math.abs(target[i] / expected - 1) < 1e-6, `at ${logits[i * 4]}: ${target[i]}, expected ${expected}`);
  }
});

Deno.test("Many rows and planes in several items give the labels of one", () => {
  const ring: RingGeometry = {
    channels: 2,
    channelStride: 2,
    planes: 40,
    rows: 40,
    columns: 6,
    axes: [0, 1, 2],
    depth: 40,
  };
  const tables = [linear(40, 67), linear(40, 55), linear(6, 9)] as const;
  const test = { name: "many items", ring, tables, from: 3, to: 60 };
  checkLabels(test, { kind: "argmax", values: [0, 1] }, "u8", [55 * 9, 9, 1], 0);
});

Deno.test("Tables whose two sources share a place of the cache give the labels of one by one", () => {
  const ring: RingGeometry = {
    channels: 5,
    channelStride: 5,
    planes: 12,
    rows: 140,
    columns: 6,
    axes: [0, 1, 2],
    depth: 12,
  };
  // Rows 32 to 128 apart share a place for every size of the cache; planes two apart do.
  const apart = (length: number, distance: number, limit: number): MixTable => {
    const first = Int32Array.from({ length }, (_, i) => (i * 5) % (limit - distance));
    return { first, second: first.map((u) => u + distance), fraction: noise(length, 3).map(Math.abs) };
  };
  for (const distance of [32, 64, 128]) {
    for (const planes of [linear(12, 12), apart(9, 2, 12)]) {
      const tables = [planes, apart(40, distance, 140), linear(6, 9)] as const;
      const test = { name: `rows ${distance} apart`, ring, tables, from: 1, to: 9 };
      checkLabels(test, { kind: "argmax", values: [0, 1, 2, 3, 4] }, "u8", [360, 9, 1], 0);
      checkLabels(test, { kind: "regions", values: [1, 2, 3, 4, 5] }, "u16", [360, 9, 1], 0);
    }
  }
});

Deno.test("A table that reads outside the ring's volume is refused", async () => {
  const ring: RingGeometry = {
    channels: 2,
    channelStride: 2,
    planes: 4,
    rows: 4,
    columns: 4,
    axes: [0, 1, 2],
    depth: 4,
  };
  const wrong: MixTable = { ...linear(4, 4), second: Int32Array.of(1, 2, 3, 4) };
  await assertFails(() => packResampleTables(ring, [linear(4, 4), wrong, linear(4, 4)]), RangeError, "axis 1", "4");
});
