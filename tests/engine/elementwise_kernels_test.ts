import { assert, assertClose, assertEquals, assertFails, TOLERANCE } from "../assert.ts";
import { padToFour, type Vec3, voxelCount } from "../../core/base/shape.ts";
import {
  averagePoolReference,
  normFinalizeReference,
  type OperandData,
  residualAddReference,
} from "../../kernels/operators/elementwise/reference.ts";
import { NORM_KERNELS, planNormConstant, planNormFinalize } from "../../kernels/wasm/elementwise/norm.ts";
import { planAveragePool, planResidualAdd, RESIDUAL_KERNELS } from "../../kernels/wasm/elementwise/residual.ts";
import type { Operand, Target } from "../../kernels/wasm/kernel.ts";
import { noise, operatorRunner, paddedNoise } from "./run_operator.ts";

const run = operatorRunner([...NORM_KERNELS, ...RESIDUAL_KERNELS]);
const CHANNELS = [1, 2, 3, 5, 25, 61];

/** Statistics as an epilogue would leave them: parts of random voxels, some of one voxel, one of none. */
function statistics(batch: number, parts: number, channels: number, offset: number) {
  const padded = padToFour(channels);
  const values = new Float32Array(batch * parts * (1 + 2 * padded));
  for (let part = 0; part < batch * parts; part++) {
    const at = part * (1 + 2 * padded);
    const count = part % parts === 3 ? 0 : 1 + (part * 7) % 65;
    values[at] = count;
    for (let c = 0; c < channels && count > 0; c++) {
      const data = noise(count, part * 100 + c).map((v) => v * (1 + c) + offset);
      const mean = data.reduce((a, b) => a + b, 0) / count;
      values[at + 1 + c] = mean;
      values[at + 1 + padded + c] = data.reduce((a, b) => a + (b - mean) ** 2, 0);
    }
  }
  return values;
}

for (const channels of CHANNELS) {
  Deno.test(`Statistics of ${channels} channels become the norm table of a range, and nothing else of the table changes`, () => {
    const [batch, parts, eps, slope] = [2, 7, 1e-5, 0.01];
    const padded = padToFour(channels);
    const [channelOffset, totalChannels] = [8, padded + 12];
    const stats = statistics(batch, parts, channels, 20);
    const weight = noise(channels, 1);
    const bias = noise(channels, 2);
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
      weight,
      bias,
      eps,
      slope,
    });
    const operator = planNormFinalize({
      batch,
      channels,
      parts,
      statisticsSlot: "statistics",
      normSlot: "norm",
      channelOffset,
      totalChannels,
      weightSlot: "weight",
      biasSlot: "bias",
      eps,
      slope,
    });
    const reversed = table.slice();
    run(operator, { statistics: stats, norm: table, weight, bias });
    for (let row = 0; row < batch * 3; row++) {
      const [from, to] = [row * totalChannels, (row + 1) * totalChannels];
      assertClose(table.subarray(from, to), expected.subarray(from, to), 1e-6, `row ${row} of the table`);
    }
    run(operator, { statistics: stats, norm: reversed, weight, bias }, { reversed: true });
    assertEquals(reversed, table);
    for (let lane = channels; lane < padded; lane++) {
      const at = channelOffset + lane;
      assertEquals([table[at], table[at + totalChannels], table[at + 2 * totalChannels]], [0, 0, 1]);
    }
  });
}

Deno.test("A norm without weight and bias has scale 1 / standard deviation", () => {
  // Two parts: 0, 2 and 4 (mean 2, M2 8), and 10 (mean 10, M2 0): mean 4, variance 14.
  const stats = Float32Array.of(3, 2, 0, 0, 0, 8, 0, 0, 0, 1, 10, 0, 0, 0, 0, 0, 0, 0);
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
    slope: 0.5,
  });
  run(operator, { s: stats, n: norm });
  const scale = Math.fround(1 / Math.sqrt(14));
  assertClose(norm, [scale, 0, 0, 0, -4 * scale, 0, 0, 0, 0.5, 1, 1, 1], 1e-7);
});

Deno.test("A constant norm is written for every sample, with padding lanes that keep zeros", () => {
  const norm = noise(2 * 3 * 12, 9);
  const before = norm.slice();
  const range = { batch: 2, channels: 3, normSlot: "n", channelOffset: 4, totalChannels: 12, slope: 0.25 };
  run(planNormConstant(range), { n: norm });
  for (let sample = 0; sample < 2; sample++) {
    const rows = [0, 1, 2].map((row) => [...norm.subarray((sample * 3 + row) * 12 + 4, (sample * 3 + row) * 12 + 8)]);
    assertEquals(rows, [[1, 1, 1, 0], [0, 0, 0, 0], [0.25, 0.25, 0.25, 1]]);
    assertEquals(norm[sample * 36 + 3], before[sample * 36 + 3]);
    assertEquals(norm[sample * 36 + 8], before[sample * 36 + 8]);
  }
  const [scale, shift] = [Float32Array.of(2, 3, 4), Float32Array.of(-1, -2, -3)];
  run(planNormConstant({ ...range, scaleSlot: "a", shiftSlot: "b" }), { n: norm, a: scale, b: shift });
  assertEquals([...norm.subarray(4, 8)], [2, 3, 4, 0]);
  assertEquals([...norm.subarray(16, 20)], [-1, -2, -3, 0]);
});

Deno.test("A channel range that does not fit its table is refused", async () => {
  const range = { batch: 1, channels: 5, normSlot: "n", channelOffset: 4, totalChannels: 8, slope: 1 };
  await assertFails(() => planNormConstant(range), RangeError, "5 channels", "8");
});

/** An operand of noise in a wider tensor, its padding lanes zero as the contract says, with or without a norm table. */
function operandData(slot: string, parts: number[], batch: number, voxels: number, withNorm: boolean, seed: number) {
  const padded = parts.reduce((sum, part) => sum + padToFour(part), 0);
  const [channelStride, channelOffset] = [padded + 8, 4];
  const real = parts.flatMap((part) => Array.from({ length: padToFour(part) }, (_, i) => i < part));
  const values = noise(batch * voxels * channelStride, seed);
  for (let i = 0; i < values.length; i++) {
    if (real[i % channelStride - channelOffset] === false) values[i] = 0;
  }
  const norm = withNorm ? new Float32Array(batch * 3 * padded) : undefined;
  norm?.set(
    noise(norm.length, seed + 1).map((v, i) => {
      const row = Math.floor(i / padded) % 3;
      if (!real[i % padded]) return row === 2 ? 1 : 0;
      return row === 2 ? Math.abs(v) : v;
    }),
  );
  const operand = { slot, channelStride, channelOffset, parts, normSlot: withNorm ? `${slot} norm` : undefined };
  return { operand, values, norm } satisfies OperandData<Operand>;
}

function slotsOf(data: OperandData<Operand>): Record<string, Float32Array> {
  const { slot, normSlot } = data.operand;
  return data.norm && normSlot ? { [slot]: data.values, [normSlot]: data.norm } : { [slot]: data.values };
}

/** The target's channels out of a wider tensor, and that everything beside them is as before. */
function unpackTarget(values: Float32Array, before: Float32Array, target: Target): Float32Array {
  const padded = padToFour(target.channels);
  const out: number[] = [];
  values.forEach((value, i) => {
    const channel = i % target.channelStride - target.channelOffset;
    if (channel >= 0 && channel < padded) out.push(value);
    else assert(value === before[i], `element ${i} beside the target changed`);
  });
  return Float32Array.from(out);
}

for (const channels of CHANNELS) {
  for (const [normA, normB] of [[true, true], [true, false], [false, true], [false, false]]) {
    Deno.test(`A residual sum of ${channels} channels, norms ${normA} and ${normB}, equals the reference`, () => {
      const batch = 2;
      const grid: Vec3 = channels === 1 ? [9, 11, 13] : [3, 5, 7];
      const voxels = voxelCount(grid);
      const a = operandData("a", [channels], batch, voxels, normA, 1);
      const b = operandData("b", [channels], batch, voxels, normB, 5);
      const target = { slot: "out", channelStride: padToFour(channels) + 4, channelOffset: 4, channels };
      const out = noise(batch * voxels * target.channelStride, 7);
      const before = out.slice();
      const operator = planResidualAdd({ batch, grid, a: a.operand, b: b.operand, target, slope: 0.01 });
      run(operator, { ...slotsOf(a), ...slotsOf(b), out });
      const sums = unpackTarget(out, before, target);
      assertClose(sums, residualAddReference(a, b, batch, voxels, 0.01), TOLERANCE.f32);
      assert(sums.every((v, i) => i % padToFour(channels) < channels || v === 0), "padding lanes are zero");
      const again = before.slice();
      run(operator, { ...slotsOf(a), ...slotsOf(b), out: again }, { reversed: true });
      assertEquals(again, out);
    });
  }
}

for (
  const [channels, stride] of [[1, [2, 2, 2]], [3, [1, 2, 2]], [5, [2, 1, 3]], [25, [1, 2, 2]], [61, [
    2,
    2,
    2,
  ]]] as const
) {
  for (const withNorm of [true, false]) {
    Deno.test(`Average pooling of ${channels} channels by ${stride.join("x")}, norm ${withNorm}, drops the rests`, () => {
      const batch = 2;
      const grid: Vec3 = [5, 7, 9];
      const input = operandData("in", [channels], batch, voxelCount(grid), withNorm, 3);
      const outGrid = grid.map((n, i) => Math.floor(n / stride[i]));
      const target = { slot: "out", channelStride: padToFour(channels) + 4, channelOffset: 0, channels };
      const out = noise(batch * outGrid[0] * outGrid[1] * outGrid[2] * target.channelStride, 7);
      const before = out.slice();
      const operator = planAveragePool({ batch, grid, stride, input: input.operand, target });
      run(operator, { ...slotsOf(input), out }, { reversed: true });
      assertClose(
        unpackTarget(out, before, target),
        averagePoolReference(input, batch, grid, stride),
        TOLERANCE.f32,
      );
    });
  }
}

Deno.test("Pooling and adding refuse operands whose channels do not match", async () => {
  const a = { slot: "a", channelStride: 8, channelOffset: 0, parts: [5] };
  const target = { slot: "out", channelStride: 4, channelOffset: 0, channels: 4 };
  const grid: Vec3 = [1, 1, 1];
  await assertFails(() => planResidualAdd({ batch: 1, grid, a, b: a, target, slope: 1 }), RangeError, "5", "4");
  await assertFails(() => planAveragePool({ batch: 1, grid, stride: [1, 1, 1], input: a, target }), RangeError, "5");
});

Deno.test("The noise of tests keeps padding lanes at zero", () => {
  assertEquals([...paddedNoise(2, 3, 1)].map((v) => v === 0), [false, false, false, true, false, false, false, true]);
});
