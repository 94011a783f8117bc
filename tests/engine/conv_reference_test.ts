/** Every algorithm of the WebAssembly convolutions against the plain reference. */
import { padToFour, type Vec3, voxelCount } from "../../core/base/shape.ts";
import { planDirect, planTransposed } from "../../kernels/wasm/conv/plan_direct.ts";
import { planConv } from "../../kernels/wasm/conv/plan_conv.ts";
import { planWinograd, type WinogradChoice, winogradChoices } from "../../kernels/wasm/conv/plan_winograd.ts";
import { convOutputGrid } from "../../kernels/operators/conv/problem.ts";
import type { ConvOperator, ConvProblem } from "../../kernels/wasm/conv/problem.ts";
import { referenceConv, referenceTransposedConv } from "../../kernels/operators/conv/reference.ts";
import { assert, assertClose, assertEquals } from "../assert.ts";
import { CONV_CASES } from "./conv_cases.ts";
import {
  type ConvCase,
  type ConvResult,
  createMachine,
  makeData,
  normalised,
  prepare,
  problemOf,
  runConv,
} from "./conv_harness.ts";

/** Largest error as a share of the output's standard deviation. */
const TOLERANCE = 5e-5;
/** Weights transformed in f32 by the kernels, in f64 by the plain form. */
const TOLERANCE_F32_WEIGHTS = 5e-6;

/** The reference's results of a case, sample by sample. */
function expectedOf(c: ConvCase): Float32Array[] {
  const data = makeData(c);
  const channels: [number, number] = [c.parts.reduce((a, b) => a + b, 0), c.outputs];
  return data.inputs.map((_, n) =>
    referenceConv(normalised(c, data, n), c.grid, data.weight, data.bias, channels, c.kernel, c.stride)
  );
}

function checkAgainstReference(
  c: ConvCase,
  expected: readonly Float32Array[],
  plan: (problem: ConvProblem) => ConvOperator,
  what: string,
): ConvResult {
  const result = runConv(c, makeData(c), plan, undefined, 48);
  expected.forEach((sample, n) => assertClose(result.outputs[n], sample, TOLERANCE, `${what}, sample ${n}`));
  checkSurroundings(c, result, voxelCount(convOutputGrid(c.grid, c.kernel, c.stride)));
  return result;
}

/** Padding lanes are zeros; channels outside the output's range are untouched. */
function checkSurroundings(c: ConvCase, result: ConvResult, voxels: number): void {
  const around = c.around ?? 0;
  const padded = padToFour(c.outputs);
  for (let v = 0; v < c.batch * voxels; v++) {
    const voxel = result.memory.subarray(v * (padded + 2 * around), (v + 1) * (padded + 2 * around));
    assert(voxel.subarray(around + c.outputs, around + padded).every((x) => x === 0), "padding lanes are not zeros");
    const outside = [...voxel.subarray(0, around), ...voxel.subarray(around + padded)];
    assert(outside.every((x) => x === -777), "channels outside the range were written");
  }
}

for (const [name, c] of Object.entries(CONV_CASES)) {
  Deno.test(`direct convolution equals the reference: ${name}`, () => {
    checkAgainstReference(c, expectedOf(c), (problem) => planDirect(problem), "direct");
  });
  Deno.test(`every Winograd scheme equals the reference: ${name}`, () => {
    const choices: WinogradChoice[] = [];
    runConv(c, makeData(c), (problem) => {
      choices.push(...winogradChoices(problem));
      return planConv(problem);
    });
    const expected = expectedOf(c);
    for (const choice of choices) {
      const what = `${choice.schemes.map((s) => s.name)} split ${choice.split} blocks ${choice.block}`;
      checkAgainstReference(c, expected, (problem) => planWinograd(problem, choice), what);
    }
  });
}

const TRANSPOSED: readonly { stride: Vec3; parts: readonly number[]; outputs: number; around?: number }[] = [
  { stride: [2, 2, 2], parts: [10], outputs: 7 },
  { stride: [1, 2, 2], parts: [8], outputs: 12, around: 4 },
  { stride: [1, 1, 1], parts: [5], outputs: 6 },
  { stride: [1, 3, 4], parts: [36], outputs: 3 },
];
for (const { stride, parts, outputs, around } of TRANSPOSED) {
  Deno.test(`transposed convolution equals the reference: stride ${stride}, ${parts} to ${outputs} channels`, () => {
    const c: ConvCase = { batch: 2, grid: [3, 4, 5], parts, outputs, kernel: stride, stride, norm: true, around };
    const data = makeData(c);
    const grid: Vec3 = [c.grid[0] * stride[0], c.grid[1] * stride[1], c.grid[2] * stride[2]];
    const result = runConv(c, data, ({ kernel: _, ...problem }) => planTransposed(problem), grid);
    for (let n = 0; n < c.batch; n++) {
      const input = normalised(c, data, n);
      const expected = referenceTransposedConv(input, c.grid, data.weight, data.bias, [parts[0], outputs], stride);
      assertClose(result.outputs[n], expected, TOLERANCE, `sample ${n}`);
    }
    checkSurroundings(c, result, voxelCount(grid));
  });
}

/** Merges parts as the engine would, in float64. */
function mergeStatistics(statistics: Float32Array, parts: number, padded: number, sample: number, channel: number) {
  const size = 1 + 2 * padded;
  const read = Array.from({ length: parts }, (_, p) => statistics.subarray((sample * parts + p) * size));
  const count = read.reduce((sum, part) => sum + part[0], 0);
  const mean = read.reduce((sum, part) => sum + part[0] * part[1 + channel], 0) / count;
  const squares = read.reduce(
    (sum, part) => sum + part[1 + padded + channel] + part[0] * (part[1 + channel] - mean) ** 2,
    0,
  );
  return { count, mean, variance: squares / count };
}

function checkStatistics(c: ConvCase, plan: (problem: ConvProblem) => ConvOperator, what: string): void {
  const data = makeData(c);
  data.bias.forEach((b, i) => data.bias[i] = b + (i % 3 === 0 ? 1000 : 0)); // a mean far larger than the spread
  let parts = 0;
  const result = runConv({ ...c, statistics: true }, data, (problem) => {
    const operator = plan(problem);
    parts = operator.statistics?.parts ?? 0;
    return operator;
  });
  const voxels = voxelCount(convOutputGrid(c.grid, c.kernel, c.stride));
  for (let n = 0; n < c.batch; n++) {
    for (let o = 0; o < c.outputs; o++) {
      const values = result.outputs[n].subarray(o * voxels, (o + 1) * voxels);
      const mean = values.reduce((sum, v) => sum + v, 0) / voxels;
      const variance = values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / voxels;
      const merged = mergeStatistics(result.statistics, parts, padToFour(c.outputs), n, o);
      assertEquals(merged.count, voxels, `${what}: voxels of sample ${n}`);
      const scale = Math.sqrt(variance) || 1;
      assert(Math.abs(merged.mean - mean) < 1e-4 * scale + 1e-7 * Math.abs(mean), `${what}: mean of channel ${o}`);
      assert(Math.abs(merged.variance - variance) <= 1e-4 * variance, `${what}: variance of channel ${o}`);
    }
  }
}

for (const name of ["3x3x3 on odd sizes", "3x3x3 stride 2", "3x3x3 on a single voxel", "3x3x3 of many channels"]) {
  Deno.test(`the epilogue's statistics equal those of what was written: ${name}`, () => {
    const c = CONV_CASES[name];
    checkStatistics(c, (problem) => planDirect(problem), "direct");
    for (const split of [false, true]) {
      const find = (problem: ConvProblem) => {
        const choice = winogradChoices(problem).find((candidate) => candidate.split === split);
        if (!choice) throw new Error("no such choice");
        return planWinograd(problem, choice);
      };
      checkStatistics(c, find, `split ${split}`);
    }
  });
}

Deno.test("a sample's result is the same bit for bit at any batch position", () => {
  const c: ConvCase = { ...CONV_CASES["3x3x3 on odd sizes"], batch: 3, statistics: true };
  const data = makeData(c);
  const reversed = { ...data, inputs: data.inputs.toReversed(), norms: data.norms.toReversed() };
  const alone = { ...data, inputs: [data.inputs[2]], norms: [data.norms[2]] };
  const plans: ((problem: ConvProblem) => ConvOperator)[] = [planDirect, planConv];
  for (const split of [false, true]) {
    plans.push((problem) => {
      const choice = winogradChoices(problem).find((candidate) => candidate.split === split);
      return choice ? planWinograd(problem, choice) : planConv(problem);
    });
  }
  for (const plan of plans) {
    const [forth, back] = [data, reversed].map((d) => runConv(c, d, plan));
    const single = runConv({ ...c, batch: 1 }, alone, plan);
    for (let n = 0; n < 3; n++) assertEquals(forth.outputs[n], back.outputs[2 - n]);
    assertEquals(single.outputs[0], forth.outputs[2]);
    assertEquals(single.statistics, forth.statistics.slice(-single.statistics.length));
  }
});

Deno.test("the choice of algorithm does not depend on the batch", () => {
  for (const c of Object.values(CONV_CASES)) {
    const names: string[] = [];
    for (const batch of [1, 2, 8]) {
      runConv({ ...c, batch: 1 }, makeData({ ...c, batch: 1 }), (problem) => {
        const operator = planConv({ ...problem, batch });
        names.push(`${operator.algorithm} ${operator.statistics?.parts}`);
        return planConv(problem);
      });
    }
    assertEquals(new Set(names).size, 1, names.join());
  }
});

for (const name of ["3x3x3 of a concat within wider tensors", "3x3x3 stride (1, 2, 2)", "3x3x3 of many channels"]) {
  Deno.test(`weights packed by kernels equal those packed plainly: ${name}`, () => {
    const c = CONV_CASES[name];
    const data = makeData(c);
    const problem = problemOf(c);
    for (const choice of winogradChoices(problem)) {
      const operator = planWinograd(problem, choice);
      const machine = createMachine(64);
      prepare(machine, c, data, problem, operator, convOutputGrid(c.grid, c.kernel, c.stride));
      machine.checkGuards();
      const plain = new Float32Array(operator.weightBytes / 4);
      operator.pack(data.weight, data.bias, plain);
      assertClose(
        machine.floats(machine.addressOf("weights"), plain.length),
        plain,
        TOLERANCE_F32_WEIGHTS,
        operator.algorithm,
      );
    }
  });
}

for (const name of ["3x3x3 of a concat within wider tensors", "5x3x1 of a concat", "3x3x3 stride 2 of a concat"]) {
  Deno.test(`an operand in two tensors gives the same bits as in one: ${name}`, () => {
    const c: ConvCase = { ...CONV_CASES[name], statistics: true };
    const data = makeData(c);
    const choices = winogradChoices(problemOf(c));
    const plans: ((problem: ConvProblem) => ConvOperator)[] = [
      (problem) => planDirect(problem),
      ...choices.map((choice) => (problem: ConvProblem) => planWinograd(problem, choice)),
    ];
    for (const plan of plans) {
      const together = runConv(c, data, plan);
      for (let secondPart = 1; secondPart < c.parts.length; secondPart++) {
        const apart = runConv({ ...c, secondPart }, data, plan);
        assertEquals(apart.memory, together.memory);
        assertEquals(apart.statistics, together.statistics);
      }
    }
  });
}

Deno.test("weights packed in groups of output channels in every run give the same bits as all at once", () => {
  // Wide enough that all channels at once would take more than a group may.
  for (const [outputs, parts] of [[236, [24, 40]], [300, [64]]] as const) {
    const c: ConvCase = {
      batch: 2,
      grid: [5, 6, 7],
      parts: [...parts],
      outputs,
      kernel: [3, 3, 3],
      stride: [1, 1, 1],
      norm: true,
      statistics: true,
      around: 4,
    };
    const data = makeData(c);
    const problem = problemOf(c);
    const choice = winogradChoices(problem).filter(({ split }) => split)
      .sort((a, b) => productOfPoints(b) - productOfPoints(a))[0];
    const whole = runConv(c, data, (problem) => planWinograd(problem, choice));
    const grouped = runConv(c, data, (problem) => {
      const operator = planWinograd(problem, choice);
      assert(operator.inGroups !== undefined, "there are no groups");
      const outputCalls = operator.inGroups.calls.filter(({ kernel }) => kernel === "conv_winograd_output");
      assert(outputCalls.length > 1);
      const { [problem.weightSlot]: weightBytes, ...temporaries } = operator.inGroups.temporaries;
      assert(weightBytes < operator.weightBytes);
      return { ...operator, calls: operator.inGroups.calls, temporaries };
    });
    assertEquals(grouped.memory, whole.memory);
    assertEquals(grouped.statistics, whole.statistics);
  }
});

function productOfPoints({ schemes }: WinogradChoice): number {
  return schemes.reduce((product, { points }) => product * points, 1);
}
