import { assert, assertClose, assertEquals, assertFails } from "../assert.ts";
import { padToFour, type Vec3, voxelCount } from "../../core/base/shape.ts";
import {
  averagePoolReference,
  normFinalizeReference,
  type OperandData,
  residualAddReference,
} from "../../kernels/operators/elementwise/reference.ts";
import { planNormConstant, planNormFinalize } from "../../kernels/wgsl/elementwise/norm.ts";
import { planAveragePool } from "../../kernels/wgsl/elementwise/pool.ts";
import { planResidualAdd } from "../../kernels/wgsl/elementwise/residual.ts";
import { cutRanges, halveUntil } from "../../kernels/wgsl/emit/ranges.ts";
import { touchedSegments } from "../../kernels/wgsl/emit/views.ts";
import type { WgslOperand, WgslTarget } from "../../kernels/wgsl/kernel.ts";
import { noise } from "./run_operator.ts";
import { activations, gpuPresent, halfPresent, runWgsl, type SlotData } from "./run_wgsl_operator.ts";

const CHANNELS = [1, 3, 5, 25];
/** Largest error as a share of the standard deviation. */
const TOLERANCE = { f32: 1e-6, f16: 4e-3 };

function gpuTest(name: string, run: () => Promise<void>, needsHalf = false): void {
  Deno.test({ name, ignore: !gpuPresent || (needsHalf && !halfPresent), fn: run });
}

/** Statistics as an epilogue would leave them: parts of some voxels, one of one voxel, one of none whose means are garbage. */
function statistics(batch: number, parts: number, channels: number, offset: number): Float32Array {
  const padded = padToFour(channels);
  const stride = 1 + 2 * padded;
  const values = new Float32Array(batch * parts * stride);
  for (let part = 0; part < batch * parts; part++) {
    const at = part * stride;
    const count = part % parts === 3 ? 0 : 1 + (part * 7) % 65;
    values[at] = count;
    if (count === 0) values.fill(NaN, at + 1, at + stride);
    for (let c = 0; c < channels && count > 0; c++) {
      const [mean, spread] = noise(2, part * 100 + c);
      values[at + 1 + c] = mean * (1 + c) + offset;
      values[at + 1 + padded + c] = Math.abs(spread) * (count - 1);
    }
  }
  return values;
}

for (const [channels, parts, offset] of [[1, 7, 0], [3, 1, 20], [5, 1025, 20], [25, 3001, 1000]]) {
  gpuTest(
    `WGSL: ${parts} parts of ${channels} channels become the norm table of a range, around a mean of ${offset}`,
    async () => {
      const [batch, eps, slope] = [2, 1e-5, 0.01];
      const padded = padToFour(channels);
      const [channelOffset, totalChannels] = [8, padded + 12];
      const stats = statistics(batch, parts, channels, offset);
      const [weight, bias] = [noise(channels, 1), noise(channels, 2)];
      for (const affine of [true, false]) {
        const table = noise(batch * 3 * totalChannels, 3);
        const expected = table.slice();
        normFinalizeReference({
          batch,
          channels,
          parts,
          statistics: stats,
          table: expected,
          channelOffset,
          totalChannels,
          eps,
          slope,
          ...(affine ? { weight, bias } : {}),
        });
        const spec = {
          batch,
          channels,
          parts,
          statisticsSlot: "statistics",
          normSlot: "norm",
          channelOffset,
          totalChannels,
          eps,
          slope,
        };
        const withVectors = { ...spec, ...(affine ? { weightSlot: "weight", biasSlot: "bias" } : {}) };
        const operator = planNormFinalize(withVectors);
        assertEquals(operator.dispatches.length, parts > 1024 ? 2 : 1);
        const slots = { statistics: { array: stats }, norm: { array: table } };
        const vectors: Record<string, SlotData> = affine ? { weight: { array: weight }, bias: { array: bias } } : {};
        await runWgsl(operator, { ...slots, ...vectors });
        for (let sample = 0; sample < batch; sample++) {
          for (let row = 0; row < 3; row++) {
            const from = (sample * 3 + row) * totalChannels;
            const range = [from, from + totalChannels] as const;
            assertClose(table.subarray(...range), expected.subarray(...range), 2e-6, `row ${row} of sample ${sample}`);
          }
        }
        for (let lane = channels; lane < padded; lane++) {
          const at = channelOffset + lane;
          assertEquals([table[at], table[at + totalChannels], table[at + 2 * totalChannels]], [0, 0, 1]);
        }
        // A training's has the norm without weight and bias beside it, as if it were made alone.
        const [again, unit, alone] = [
          new Float32Array(table),
          noise(batch * 3 * padded, 4),
          noise(batch * 3 * padded, 5),
        ];
        const trained = planNormFinalize({ ...withVectors, unitNormSlot: "unit" });
        assertEquals(trained.dispatches.length, operator.dispatches.length);
        await runWgsl(trained, { ...slots, ...vectors, norm: { array: again }, unit: { array: unit } });
        const plain = planNormFinalize({ ...spec, channelOffset: 0, totalChannels: padded, slope: 1 });
        await runWgsl(plain, { ...slots, norm: { array: alone } });
        assertEquals([again, unit], [table, alone]);
      }
    },
  );
}

gpuTest("WGSL: a small spread far from zero keeps its variance", async () => {
  // Two parts of 1000 voxels around 4096 - 1/8 and 4096 + 1/8, M2 1 each: variance 1/64 + 1/1000. Sums of squares would lose it in f32.
  const stats = Float32Array.of(1000, 4095.875, 0, 0, 0, 1, 0, 0, 0, 1000, 4096.125, 0, 0, 0, 1, 0, 0, 0);
  const norm = new Float32Array(12);
  const operator = planNormFinalize({
    batch: 1,
    channels: 1,
    parts: 2,
    statisticsSlot: "s",
    normSlot: "n",
    channelOffset: 0,
    totalChannels: 4,
    eps: 0,
    slope: 1,
  });
  await runWgsl(operator, { s: { array: stats }, n: { array: norm } });
  const scale = 1 / Math.sqrt(1 / 64 + 1 / 1000);
  assertClose([norm[0]], [scale], 1e-6 * scale);
  assertClose([norm[4]], [-4096 * scale], 1e-6 * 4096 * scale);
});

gpuTest("WGSL: a constant norm is written for every sample, with padding lanes that keep zeros", async () => {
  const norm = noise(2 * 3 * 12, 9);
  const before = norm.slice();
  const range = { batch: 2, channels: 3, normSlot: "n", channelOffset: 4, totalChannels: 12, slope: 0.25 };
  await runWgsl(planNormConstant(range), { n: { array: norm } });
  for (let sample = 0; sample < 2; sample++) {
    const rows = [0, 1, 2].map((row) => [...norm.subarray((sample * 3 + row) * 12 + 4, (sample * 3 + row) * 12 + 8)]);
    assertEquals(rows, [[1, 1, 1, 0], [0, 0, 0, 0], [0.25, 0.25, 0.25, 1]]);
    assertEquals(norm[sample * 36 + 3], before[sample * 36 + 3]);
    assertEquals(norm[sample * 36 + 8], before[sample * 36 + 8]);
  }
  const [scale, shift] = [Float32Array.of(2, 3, 4), Float32Array.of(-1, -2, -3)];
  const operator = planNormConstant({ ...range, scaleSlot: "a", shiftSlot: "b" });
  await runWgsl(operator, { n: { array: norm }, a: { array: scale }, b: { array: shift } });
  assertEquals([...norm.subarray(4, 8)], [2, 3, 4, 0]);
  assertEquals([...norm.subarray(16, 20)], [-1, -2, -3, 0]);
});

interface Stored {
  readonly type: "f32" | "f16";
  readonly segmentLength?: number;
}

/** An operand of noise in a wider tensor, its padding lanes zero; the reference gets the stored values and the range's own table. */
function operandOf(
  slot: string,
  parts: number[],
  voxels: number,
  batch: number,
  withNorm: boolean,
  seed: number,
  stored: Stored,
) {
  const padded = parts.reduce((sum, part) => sum + padToFour(part), 0);
  const [channelStride, channelOffset] = [padded + 8, 4];
  const real = parts.flatMap((part) => Array.from({ length: padToFour(part) }, (_, i) => i < part));
  const values = noise(batch * voxels * channelStride, seed);
  for (let i = 0; i < values.length; i++) {
    if (real[i % channelStride - channelOffset] === false) values[i] = 0;
  }
  const norm = new Float32Array(batch * 3 * padded);
  const wide = new Float32Array(batch * 3 * channelStride).fill(NaN);
  for (let row = 0; row < batch * 3; row++) {
    const slopes = row % 3 === 2;
    const values = noise(padded, seed + row + 1);
    for (let c = 0; c < padded; c++) {
      norm[row * padded + c] = real[c] ? (slopes ? Math.abs(values[c]) : values[c]) : (slopes ? 1 : 0);
    }
    wide.set(norm.subarray(row * padded, (row + 1) * padded), row * channelStride + channelOffset);
  }
  const { layout, data } = activations(slot, values, stored.type, stored.segmentLength);
  const operand: WgslOperand = {
    layout,
    channelStride,
    channelOffset,
    parts,
    ...(withNorm && { normSlot: `${slot} norm` }),
  };
  const reference: OperandData = {
    operand: { channelStride, channelOffset, parts },
    values: Float32Array.from(data.array),
    ...(withNorm && { norm }),
  };
  const slots: Record<string, SlotData> = { [slot]: data, ...(withNorm && { [`${slot} norm`]: { array: wide } }) };
  return { operand, reference, slots };
}

function targetOf(channels: number, voxels: number, stored: Stored) {
  const channelStride = padToFour(channels) + 8;
  const { layout, data } = activations("out", noise(voxels * channelStride, 7), stored.type, stored.segmentLength);
  const target: WgslTarget = { layout, channelStride, channelOffset: 4, channels };
  const before = Float32Array.from(data.array);
  /** The target's channels; fails where anything beside them changed. */
  const written = () => {
    const padded = padToFour(channels);
    const out: number[] = [];
    data.array.forEach((value, i) => {
      const channel = i % channelStride - 4;
      if (channel >= 0 && channel < padded) out.push(Number(value));
      else assert(value === before[i], `element ${i} beside the target changed`);
    });
    assert(out.every((v, i) => i % padded < channels || v === 0), "padding lanes are zero");
    return out;
  };
  return { target, slots: { out: data }, written };
}

const STORED: Stored[] = [{ type: "f32" }, { type: "f32", segmentLength: 401 }, { type: "f16", segmentLength: 611 }];

for (const channels of CHANNELS) {
  for (const stored of STORED) {
    const segments = stored.segmentLength ? "several segments" : "one segment";
    gpuTest(
      `WGSL: a residual sum of ${channels} channels in ${stored.type}, ${segments}, equals the reference`,
      async () => {
        const [batch, grid] = [2, [3, 5, 7] as Vec3];
        const voxels = voxelCount(grid);
        for (const [normA, normB] of [[true, false], [false, true]]) {
          const a = operandOf("a", [channels], voxels, batch, normA, 1, stored);
          const b = operandOf("b", [channels], voxels, batch, normB, 50, stored);
          const out = targetOf(channels, batch * voxels, stored);
          const operator = planResidualAdd({
            batch,
            grid,
            a: a.operand,
            b: b.operand,
            target: out.target,
            slope: 0.01,
          });
          assertEquals(operator.dispatches.length > 1, stored.segmentLength !== undefined);
          await runWgsl(operator, { ...a.slots, ...b.slots, ...out.slots });
          const expected = residualAddReference(a.reference, b.reference, batch, voxels, 0.01);
          assertClose(out.written(), expected, TOLERANCE[stored.type]);
        }
      },
      stored.type === "f16",
    );
    gpuTest(
      `WGSL: average pooling of ${channels} channels in ${stored.type}, ${segments}, drops the rests`,
      async () => {
        const [batch, grid] = [2, [5, 7, 9] as Vec3];
        // A workgroup's windows are a large part of so small a tensor.
        const wider = stored.segmentLength ? { ...stored, segmentLength: stored.segmentLength * 4 } : stored;
        for (const [stride, withNorm] of [[[2, 2, 2], true], [[1, 2, 3], false]] as const) {
          const input = operandOf("in", [channels, 2], voxelCount(grid), batch, withNorm, 3, wider);
          const outVoxels = grid.reduce((product, n, i) => product * Math.floor(n / stride[i]), batch);
          const both = padToFour(channels) + 2;
          const out = targetOf(both, outVoxels, wider);
          const operator = planAveragePool({ batch, grid, stride, input: input.operand, target: out.target });
          assert(operator.dispatches.every((dispatch) => dispatch.bindings.length <= 8));
          await runWgsl(operator, { ...input.slots, ...out.slots });
          assertClose(
            out.written(),
            averagePoolReference(input.reference, batch, grid, stride),
            TOLERANCE[stored.type],
          );
        }
      },
      stored.type === "f16",
    );
  }
}

Deno.test("Threads are cut where a dispatch is full and where an array goes on in the next segment", () => {
  assertEquals(cutRanges(65535 * 256 + 5, []), [{ start: 0, end: 65535 * 256 }, {
    start: 65535 * 256,
    end: 65535 * 256 + 5,
  }]);
  const parts = cutRanges(1000, [{
    layout: { slot: "a", length: 1000, segments: 3, segmentLength: 400 },
    elementOf: (i) => i,
  }]);
  assertEquals(parts, [{ start: 0, end: 400 }, { start: 400, end: 800 }, { start: 800, end: 1000 }]);
  const halves = halveUntil({ start: 0, end: 1000 }, [300, 7], ({ start, end }) => end - start <= 300);
  assertEquals(halves.map(({ start }) => start), [0, 300, 600, 900]);
});

Deno.test("The segments an array is bound by are those its ranges touch", () => {
  const layout = { slot: "a", length: 95, segments: 10, segmentLength: 10 };
  assertEquals(touchedSegments(layout, [[85, 94], [9, 10]]).map(({ segment }) => segment), [0, 1, 8, 9]);
  assertEquals(touchedSegments(layout, []), [{ segment: 0, first: 0 }]);
});

Deno.test("WGSL passes refuse operands whose channels do not match", async () => {
  const layout = { slot: "a", length: 2, type: "f32", segments: 1, segmentLength: 2 } as const;
  const a = { layout, channelStride: 8, channelOffset: 0, parts: [5] };
  const target = { layout: { ...layout, slot: "out" }, channelStride: 4, channelOffset: 0, channels: 4 };
  const grid: Vec3 = [1, 1, 1];
  await assertFails(() => planResidualAdd({ batch: 1, grid, a, b: a, target, slope: 1 }), RangeError, "5", "4");
  await assertFails(() => planAveragePool({ batch: 1, grid, stride: [1, 1, 1], input: a, target }), RangeError, "5");
  const range = { batch: 1, channels: 5, normSlot: "n", channelOffset: 4, totalChannels: 8, slope: 1 };
  await assertFails(() => planNormConstant(range), RangeError, "5 channels", "8");
});
