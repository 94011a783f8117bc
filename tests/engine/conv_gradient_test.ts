/** Every way to compute a convolution's gradients against the plain reference. */
import { createStream } from "../../cpu/stream.ts";
import { type Vec3, voxelCount } from "../../core/base/shape.ts";
import type {
  DataGradientProblem,
  GradientTarget,
  WeightGradientProblem,
} from "../../kernels/wasm/conv/gradient_problem.ts";
import { referenceGradients } from "../../kernels/wasm/conv/gradient_reference.ts";
import { CONV_KERNELS } from "../../kernels/wasm/conv/kernels.ts";
import { planWeightGradient, type WeightChoice, weightChoices } from "../../kernels/wasm/conv/plan_weight_gradient.ts";
import { dataGradientChoices, inputRanges, planDataGradient } from "../../kernels/wasm/conv/plan_data_gradient.ts";
import { convOutputGrid } from "../../kernels/wasm/conv/problem.ts";
import { type WeightPair, weightPairs } from "../../kernels/wasm/conv/weight_sides.ts";
import type { Operand, Operator } from "../../kernels/wasm/kernel.ts";
import { emitModule } from "../../kernels/wasm/module.ts";
import { assertClose, assertEquals } from "../assert.ts";
import { channelsLast } from "./gradient_harness.ts";
import { noise, operatorRunner } from "./run_operator.ts";

const run = operatorRunner(CONV_KERNELS, 1024);

interface Case {
  readonly grid: Vec3;
  readonly parts: readonly number[];
  readonly outputs: number;
  readonly kernel: Vec3;
  readonly stride: Vec3;
  readonly transposed?: boolean;
  readonly norm?: boolean;
}

const CUBE: Vec3 = [3, 3, 3];
const ONE: Vec3 = [1, 1, 1];
const CASES: Readonly<Record<string, Case>> = {
  "3x3x3": { grid: [5, 6, 7], parts: [3], outputs: 5, kernel: CUBE, stride: ONE },
  "3x3x3 of one channel": { grid: [5, 6, 9], parts: [1], outputs: 9, kernel: CUBE, stride: ONE, norm: true },
  "3x3x3 of two channels": { grid: [5, 6, 9], parts: [2], outputs: 4, kernel: CUBE, stride: ONE },
  "3x3x3 of a concat": { grid: [5, 6, 7], parts: [3, 6], outputs: 13, kernel: CUBE, stride: ONE, norm: true },
  "3x3x3 of many channels": { grid: [3, 5, 4], parts: [37], outputs: 45, kernel: CUBE, stride: ONE, norm: true },
  "3x3x3 of several blocks": { grid: [9, 17, 33], parts: [8], outputs: 8, kernel: CUBE, stride: ONE, norm: true },
  "3x3x3 on a single voxel": { grid: ONE, parts: [5], outputs: 3, kernel: CUBE, stride: ONE, norm: true },
  "3x3x3 stride 2": { grid: [5, 8, 7], parts: [4], outputs: 8, kernel: CUBE, stride: [2, 2, 2], norm: true },
  "3x3x3 stride 2, larger": { grid: [9, 8, 18], parts: [6], outputs: 20, kernel: CUBE, stride: [2, 2, 2], norm: true },
  "3x3x3 stride (1, 2, 2)": { grid: [3, 10, 7], parts: [8], outputs: 8, kernel: CUBE, stride: [1, 2, 2], norm: true },
  "1x3x3 stride (1, 2, 3)": {
    grid: [4, 6, 9],
    parts: [5],
    outputs: 3,
    kernel: [1, 3, 3],
    stride: [1, 2, 3],
    norm: true,
  },
  "1x3x3 of a plane": { grid: [1, 19, 18], parts: [2, 2], outputs: 6, kernel: [1, 3, 3], stride: ONE, norm: true },
  "1x3x3": { grid: [4, 7, 5], parts: [9], outputs: 6, kernel: [1, 3, 3], stride: ONE, norm: true },
  "5x3x1": { grid: [6, 5, 7], parts: [5], outputs: 7, kernel: [5, 3, 1], stride: ONE, norm: true },
  "1x5x7 stride (1, 2, 3)": {
    grid: [2, 9, 15],
    parts: [2],
    outputs: 7,
    kernel: [1, 5, 7],
    stride: [1, 2, 3],
    norm: true,
  },
  "1x1x1": { grid: [3, 4, 5], parts: [7], outputs: 2, kernel: ONE, stride: ONE, norm: true },
  "1x1x1 stride 2": { grid: [3, 4, 5], parts: [34], outputs: 21, kernel: ONE, stride: [2, 2, 2], norm: true },
  "transposed 2x2x2": {
    ...{ grid: [3, 4, 5], parts: [7], outputs: 6, kernel: [2, 2, 2], stride: [2, 2, 2], transposed: true, norm: true },
  },
  "transposed 2x2x2 to one channel": {
    ...{ grid: [3, 4, 5], parts: [9], outputs: 1, kernel: [2, 2, 2], stride: [2, 2, 2], transposed: true, norm: true },
  },
  "transposed 1x2x2 of a concat": {
    ...{ grid: [1, 4, 5], parts: [5, 20], outputs: 33, kernel: [1, 2, 2], stride: [1, 2, 2] },
    ...{ transposed: true, norm: true },
  },
  "transposed 1x3x4": {
    ...{ grid: [6, 4, 5], parts: [3], outputs: 3, kernel: [1, 3, 4], stride: [1, 3, 4], transposed: true },
  },
};

const BATCH = 2;
/** Largest error as a share of the standard deviation of all the values. */
const BOUND = 5e-5;

/** A case's tensors, its problem's common part and what the reference says. */
function prepare(c: Case) {
  const { grid, parts, outputs, kernel, stride, transposed = false } = c;
  const around = 4;
  const inputs = parts.reduce((a, b) => a + b);
  const outputGrid: Vec3 = transposed
    ? [grid[0] * stride[0], grid[1] * stride[1], grid[2] * stride[2]]
    : convOutputGrid(grid, kernel, stride);
  const voxels = voxelCount(grid);
  const samples = [0, 1].map((n) => noise(inputs * voxels, 10 + n));
  const gradients = [0, 1].map((n) => noise(outputs * voxelCount(outputGrid), 20 + n));
  const weight = noise(inputs * outputs * voxelCount(kernel), 3);
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
  const problem = {
    ...{ name: "test", batch: BATCH, inputGrid: grid, kernel, stride, transposed },
    outputGradient: { slot: "dy", channelStride: output.stride, channelOffset: around, parts: [outputs] },
  };
  const operand = { channelStride: input.stride, channelOffset: around, parts };
  return { samples, weight, input, output, norm, expected, problem, operand, voxels, around };
}

/** A choice with other groups and chunks: the same way, divided more finely. */
const divided = (c: WeightChoice): WeightChoice => ({
  ...c,
  ...{
    groupA: Math.min(c.groupA, 4),
    groupB: 8,
    chunks: 2,
    block: c.block.map((n) => Math.min(n, 2)) as unknown as Vec3,
  },
});

for (const [name, c] of Object.entries(CASES)) {
  Deno.test(`the weight gradient equals the reference by every algorithm: ${name}`, () => {
    const { weight, input, output, norm, expected, problem, operand } = prepare(c);
    const added = (key: "weight" | "bias") => expected[0][key].map((v, i) => v + expected[1][key][i]);
    const whole: WeightGradientProblem = {
      ...problem,
      input: { ...operand, slot: "x", ...(c.norm && { normSlot: "norm" }) },
      weightGradientSlot: "dw",
      biasGradientSlot: "db",
    };
    const compute = (choose: (pair: WeightPair) => WeightChoice, reversed = false) => {
      const dw = new Float32Array(weight.length).fill(NaN);
      const db = new Float32Array(c.outputs).fill(NaN);
      const operator = planWeightGradient(whole, (_, pair) => choose(pair));
      run(operator, { x: input.tensor, dy: output.tensor, norm, dw, db }, { reversed });
      return { dw, db };
    };
    const choices = weightPairs(whole).map((pair) => weightChoices(whole, pair));
    for (let way = 0; way < choices[0].length; way++) {
      const choose = (pair: WeightPair) => choices[(pair.a.first + pair.b.first) > 0 ? 1 : 0][way];
      const { kind, ...rest } = choices[0][way];
      const what = "schemes" in rest ? `${kind} ${rest.schemes.map((s) => s.name).join("x")}` : kind;
      const { dw, db } = compute(choose);
      assertClose(dw, added("weight"), BOUND, what);
      assertClose(db, added("bias"), BOUND, "bias");
      const finely = compute((pair) => divided(choose(pair)));
      assertClose(finely.dw, added("weight"), BOUND, `${what}, divided`);
      if (way > 1) continue;
      assertEquals(compute((pair) => divided(choose(pair)), true), finely, `${what}: items depend on their order`);
    }
  });
}

for (const [name, c] of Object.entries(CASES)) {
  Deno.test(`the data gradient equals the reference by every algorithm: ${name}`, () => {
    const { samples, weight, input, output, expected, problem, operand, voxels, around } = prepare(c);
    const isForeign = (_: number, i: number) => i % input.stride < around || i % input.stride >= around + input.padded;
    const own = (v: number, i: number) => (isForeign(v, i) ? 0 : v);
    for (const accumulate of [false, true]) {
      const before = channelsLast(samples, c.parts, voxels, around).tensor;
      if (!accumulate) before.forEach((v, i) => before[i] = isForeign(v, i) ? v : NaN);
      const sums = expected.map(({ input: d }, n) =>
        Float32Array.from(d, (v, i) => v + (accumulate ? samples[n][i] : 0))
      );
      const wanted = channelsLast(sums, c.parts, voxels, around).tensor;
      const whole: DataGradientProblem = {
        ...{ ...problem, weightSlot: "w", inputGradient: { ...operand, slot: "dv" }, accumulate },
      };
      const choices = inputRanges(whole).map((range) => dataGradientChoices(whole, range));
      // Every other way adds to what is there.
      for (let way = accumulate ? 1 : 0; way < Math.max(choices[0].length, 2); way += 2) {
        const dv = before.slice();
        const operator = planDataGradient(whole, (_, { first }) => choices[first > 0 ? 1 : 0][way % choices[0].length]);
        run(operator, { dy: output.tensor, w: weight, dv });
        assertEquals(dv.filter(isForeign), wanted.filter(isForeign));
        assertClose(dv.map(own), wanted.map(own), BOUND, `${operator.algorithm}, accumulate ${accumulate}`);
        if (way > 1) continue;
        const again = before.slice();
        run(operator, { dy: output.tensor, w: weight, dv: again }, { reversed: true });
        assertEquals(again, dv, `${operator.algorithm}: items depend on their order`);
      }
    }
  });
}

/** Runs an operator on an engine's workers; returns the slots' bytes afterwards. */
async function onThreads(threads: number, operator: Operator, slots: Record<string, Float32Array>) {
  await using stream = await createStream({ threads, module: emitModule(CONV_KERNELS) });
  const { memory } = stream;
  const sizes = Object.entries(slots).map(([slot, values]): [string, number] => [slot, values.byteLength]);
  const addresses = new Map(
    [...sizes, ...Object.entries(operator.temporaries)].map((
      [slot, bytes],
    ) => [slot, memory.allocate(bytes, slot).address]),
  );
  const addressOf = (slot: string) => addresses.get(slot) ?? NaN;
  const viewOf = (slot: string) => new Float32Array(memory.memory.buffer, addressOf(slot), slots[slot].length);
  for (const [slot, values] of Object.entries(slots)) viewOf(slot).set(values);
  stream.submit(stream.encode(operator.calls.map((call) => ({ call, addressOf }))), []);
  await stream.settled();
  return Object.keys(slots).map((slot) => viewOf(slot).slice());
}

for (const name of ["3x3x3 of several blocks", "3x3x3 stride 2, larger", "transposed 1x2x2 of a concat"]) {
  Deno.test(`gradients are the same bits with one thread and with three: ${name}`, async () => {
    const { weight, input, output, norm, problem, operand } = prepare(CASES[name]);
    const read = { x: input.tensor, dy: output.tensor, w: weight, norm };
    const weightGradient = planWeightGradient({
      ...{ ...problem, input: { ...operand, slot: "x", normSlot: "norm" } },
      ...{ weightGradientSlot: "dw", biasGradientSlot: "db" },
    });
    const dataGradient = planDataGradient({
      ...{ ...problem, weightSlot: "w", inputGradient: { ...operand, slot: "dv" }, accumulate: true },
    });
    const written = { dw: weight, db: new Float32Array(CASES[name].outputs), dv: input.tensor };
    for (const operator of [weightGradient, dataGradient]) {
      const [one, three] = [
        await onThreads(1, operator, { ...read, ...written }),
        await onThreads(3, operator, { ...read, ...written }),
      ];
      assertEquals(three, one, operator.algorithm);
    }
  });
}

for (const name of ["3x3x3 of a concat", "transposed 1x2x2 of a concat"]) {
  Deno.test(`gradients of an operand in two tensors are those of one: ${name}`, () => {
    const { samples, weight, input, output, norm, problem, operand, voxels } = prepare(CASES[name]);
    const { parts } = CASES[name];
    const split = (from: number, to: number) =>
      channelsLast(samples.map((s) => s.subarray(from * voxels, to * voxels)), [to - from], voxels, 0);
    const halves = [split(0, parts[0]), split(parts[0], parts[0] + parts[1])];
    const tensor = (k: number, slot: string) => ({ slot: slot + k, channelStride: halves[k].stride, channelOffset: 0 });
    const two = (slot: string) => ({ ...tensor(0, slot), parts, second: { ...tensor(1, slot), firstPart: 1 } });

    const weightGradient = (x: Operand, tensors: Record<string, Float32Array>) => {
      const dw = new Float32Array(weight.length);
      const operator = planWeightGradient({ ...problem, input: { ...x, normSlot: "norm" }, weightGradientSlot: "dw" });
      run(operator, { ...tensors, dy: output.tensor, norm, dw });
      return dw;
    };
    assertEquals(
      weightGradient(two("x"), { x0: halves[0].tensor, x1: halves[1].tensor }),
      weightGradient({ ...operand, slot: "x" }, { x: input.tensor }),
    );

    const dataGradient = (dv: GradientTarget, tensors: Record<string, Float32Array>) => {
      run(planDataGradient({ ...problem, weightSlot: "w", inputGradient: dv, accumulate: false }), {
        ...{ ...tensors, dy: output.tensor, w: weight },
      });
    };
    const whole = input.tensor.slice();
    const parted = halves.map((half) => half.tensor.slice());
    dataGradient({ ...operand, slot: "dv" }, { dv: whole });
    dataGradient(two("dv"), { dv0: parted[0], dv1: parted[1] });
    let first = operand.channelOffset;
    halves.forEach(({ stride }, k) => {
      const expected = whole.filter((_, i) => i % input.stride >= first && i % input.stride < first + stride);
      assertClose(parted[k], expected, 1e-6, `part ${k}`);
      first += stride;
    });
  });
}
