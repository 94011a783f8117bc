import { assertClose, assertEquals, TOLERANCE } from "../assert.ts";
import { padToFour, type Vec3, voxelCount } from "../../core/base/shape.ts";
import { planDirectDataGradient, planDirectWeightGradient } from "../../kernels/wasm/conv/gradient_direct.ts";
import { GRADIENT_DIRECT_KERNELS } from "../../kernels/wasm/conv/gradient_direct_kernels.ts";
import { referenceGradients } from "../../kernels/wasm/conv/gradient_reference.ts";
import { convOutputGrid } from "../../kernels/wasm/conv/problem.ts";
import { noise, operatorRunner } from "./run_operator.ts";

const run = operatorRunner(GRADIENT_DIRECT_KERNELS);

interface Case {
  readonly grid: Vec3;
  readonly parts: readonly number[];
  readonly outputs: number;
  readonly kernel: Vec3;
  readonly stride: Vec3;
  readonly transposed?: boolean;
  readonly norm?: boolean;
}

const CASES: readonly Case[] = [
  { grid: [5, 6, 7], parts: [3], outputs: 5, kernel: [3, 3, 3], stride: [1, 1, 1] },
  { grid: [5, 6, 7], parts: [3, 6], outputs: 5, kernel: [3, 3, 3], stride: [1, 1, 1], norm: true },
  { grid: [5, 8, 7], parts: [4], outputs: 8, kernel: [3, 3, 3], stride: [2, 2, 2], norm: true },
  { grid: [4, 6, 9], parts: [5], outputs: 3, kernel: [1, 3, 3], stride: [1, 2, 3], norm: true },
  { grid: [1, 9, 8], parts: [2, 2], outputs: 6, kernel: [1, 3, 3], stride: [1, 1, 1], norm: true },
  { grid: [3, 4, 5], parts: [7], outputs: 2, kernel: [1, 1, 1], stride: [1, 1, 1], norm: true },
  { grid: [3, 4, 5], parts: [7], outputs: 6, kernel: [2, 2, 2], stride: [2, 2, 2], transposed: true, norm: true },
  { grid: [1, 4, 5], parts: [5], outputs: 3, kernel: [1, 2, 2], stride: [1, 2, 2], transposed: true, norm: true },
  { grid: [6, 4, 5], parts: [3], outputs: 3, kernel: [1, 3, 1], stride: [1, 3, 1], transposed: true },
];

const BATCH = 2;

/** The planar samples as a channels-last tensor with `around` foreign channels on either side of the parts. */
function channelsLast(samples: readonly Float32Array[], parts: readonly number[], voxels: number, around: number) {
  const positions = parts.flatMap((n, k) =>
    Array.from({ length: n }, (_, c) => c + parts.slice(0, k).reduce((a, m) => a + padToFour(m), 0))
  );
  const padded = parts.reduce((a, n) => a + padToFour(n), 0);
  const stride = padded + 2 * around;
  const tensor = new Float32Array(samples.length * voxels * stride);
  samples.forEach((sample, n) => {
    for (let v = 0; v < voxels; v++) {
      const at = (n * voxels + v) * stride;
      tensor.fill(9e9, at, at + around).fill(9e9, at + around + padded, at + stride);
      positions.forEach((p, c) => tensor[at + around + p] = sample[c * voxels + v]);
    }
  });
  return { tensor, stride, padded, positions };
}

for (const c of CASES) {
  const kind = c.transposed ? "transposed" : "plain";
  Deno.test(`Direct gradients of a ${kind} convolution, ${JSON.stringify(c)}, equal the definition's`, () => {
    const { grid, parts, outputs, kernel, stride, transposed = false } = c;
    const around = 4;
    const inputs = parts.reduce((a, b) => a + b);
    const outputGrid: Vec3 = transposed
      ? [grid[0] * stride[0], grid[1] * stride[1], grid[2] * stride[2]]
      : convOutputGrid(grid, kernel, stride);
    const voxels = voxelCount(grid);
    const taps = voxelCount(kernel);
    const samples = [0, 1].map((n) => noise(inputs * voxels, 10 + n));
    const gradients = [0, 1].map((n) => noise(outputs * voxelCount(outputGrid), 20 + n));
    const weight = noise(inputs * outputs * taps, 3);
    const input = channelsLast(samples, parts, voxels, around);
    const output = channelsLast(gradients, [outputs], voxelCount(outputGrid), around);
    const norm = noise(BATCH * 3 * input.padded, 4);
    const read = samples.map((sample, n) =>
      sample.map((value, i) => {
        if (!c.norm) return value;
        const at = (k: number) => norm[(n * 3 + k) * input.padded + input.positions[Math.floor(i / voxels)]];
        const y = value * at(0) + at(1);
        return Math.max(y, y * at(2));
      })
    );
    const expected = read.map((sample, n) =>
      referenceGradients(sample, grid, gradients[n], outputGrid, weight, [inputs, outputs], kernel, stride, transposed)
    );
    const added = (key: "weight" | "bias") => expected[0][key].map((v, i) => v + expected[1][key][i]);

    const problem = { name: "test", batch: BATCH, inputGrid: grid, kernel, stride, transposed };
    const outputGradient = {
      ...{ slot: "dy", channelStride: output.stride, channelOffset: around, parts: [outputs] },
    };
    const inputOperand = { channelStride: input.stride, channelOffset: around, parts };
    const dw = new Float32Array(weight.length).fill(NaN);
    const db = new Float32Array(outputs).fill(NaN);
    run(
      planDirectWeightGradient({
        ...problem,
        input: { ...inputOperand, slot: "x", ...(c.norm && { normSlot: "norm" }) },
        outputGradient,
        weightGradientSlot: "dw",
        biasGradientSlot: "db",
      }),
      { x: input.tensor, dy: output.tensor, norm, dw, db },
    );
    assertClose(dw, added("weight"), TOLERANCE.f32, "weight gradient");
    assertClose(db, added("bias"), TOLERANCE.f32, "bias gradient");

    for (const accumulate of [false, true]) {
      const before = channelsLast(samples, parts, voxels, around).tensor;
      if (!accumulate) {
        before.forEach((v, i) => before[i] = v === Math.fround(9e9) ? v : NaN);
      }
      const dv = before.slice();
      const sums = expected.map(({ input: d }, n) =>
        Float32Array.from(d, (v, i) => v + (accumulate ? samples[n][i] : 0))
      );
      run(
        planDirectDataGradient({
          ...problem,
          outputGradient,
          weightSlot: "w",
          inputGradient: { ...inputOperand, slot: "dv" },
          accumulate,
        }),
        { dy: output.tensor, w: weight, dv },
      );
      const wanted = channelsLast(sums, parts, voxels, around).tensor;
      const isForeign = (_: number, i: number) =>
        i % input.stride < around || i % input.stride >= around + input.padded;
      assertEquals(dv.filter(isForeign), wanted.filter(isForeign));
      const own = (v: number, i: number) => (isForeign(v, i) ? 0 : v);
      assertClose(dv.map(own), wanted.map(own), TOLERANCE.f32, `data gradient, accumulate ${accumulate}`);
    }
  });
}
