/** The gradients of convolutions against torch's, stored by make_gradient_golden.py. */
import { padToFour, type Vec3, voxelCount } from "../../../core/base/shape.ts";
import type { DataGradientProblem, WeightGradientProblem } from "../../../kernels/wasm/conv/problem.ts";
import { CONV_KERNELS } from "../../../kernels/wasm/conv/kernels.ts";
import { dataGradientChoices, inputRanges, planDataGradient } from "../../../kernels/wasm/conv/plan_data_gradient.ts";
import { planWeightGradient, weightGradientChoices } from "../../../kernels/wasm/conv/plan_weight_gradient.ts";
import type { AxisScheme } from "../../../kernels/operators/conv/scheme.ts";
import { weightGradientPairs } from "../../../kernels/wasm/conv/weight_gradient_sides.ts";
import { gradientOutputGrid } from "../../../kernels/operators/conv/gradient_problem.ts";
import { assert } from "../../assert.ts";
import { makeData, noise } from "../../engine/conv_harness.ts";
import { channelsLast } from "../../engine/gradient_harness.ts";
import { operatorRunner } from "../../engine/run_operator.ts";

interface Stored {
  readonly step: number;
  /** Largest magnitude of the whole gradient. */
  readonly largest: number;
  /** Base64 of f32: every `step`-th value. */
  readonly values: string;
}

interface GoldenCase {
  readonly name: string;
  readonly grid: Vec3;
  readonly parts: readonly number[];
  readonly outputs: number;
  readonly kernel: Vec3;
  readonly stride: Vec3;
  readonly transposed?: boolean;
  readonly weight: Stored;
  readonly data: Stored;
  readonly bias: Stored;
}

/** The project's bound on a gradient's error, as a share of its largest value. */
const BOUND = 1e-4;

const golden: { cases: GoldenCase[] } = JSON.parse(
  Deno.readTextFileSync(new URL("gradient_golden.json", import.meta.url)),
);
const run = operatorRunner(CONV_KERNELS, 1600);

/** Of ways sorted by their cost: the planned one, the direct one, and that of the largest tiles, which is the least precise. */
function someOf(ways: readonly { readonly schemes?: readonly AxisScheme[] }[]): number[] {
  const points = ways.map(({ schemes = [] }) => schemes.reduce((product, s) => product * s.points, 1));
  return [...new Set([0, points.indexOf(1), points.indexOf(Math.max(...points))])];
}

function check(actual: Float32Array, stored: Stored, what: string): void {
  const expected = new Float32Array(Uint8Array.from(atob(stored.values), (c) => c.charCodeAt(0)).buffer);
  const errors = expected.map((v, i) => Math.abs(actual[i * stored.step] - v) / stored.largest);
  const worst = errors.reduce((a, b) => (b <= a ? a : b), 0);
  assert(worst <= BOUND, `${what}: the worst error is ${worst} of the largest value`);
}

for (const { name, grid, parts, outputs, kernel, stride, transposed = false, ...stored } of golden.cases) {
  Deno.test(`gradients of convolutions equal torch's: ${name}`, () => {
    const common = { name, batch: 1, inputGrid: grid, kernel, stride, transposed };
    const outputGrid = gradientOutputGrid(common);
    const data = makeData({ batch: 1, norm: true, grid, parts, outputs, kernel, stride });
    const x = channelsLast(data.inputs, parts, voxelCount(grid), 0);
    const gradient = noise(outputs * voxelCount(outputGrid), 7);
    const dy = channelsLast([gradient], [outputs], voxelCount(outputGrid), 0);
    const norm = new Float32Array(3 * x.padded);
    data.norms[0].forEach((values, k) => x.positions.forEach((p, c) => norm[k * x.padded + p] = values[c]));
    const outputGradient = { slot: "dy", channelStride: padToFour(outputs), channelOffset: 0, parts: [outputs] };
    const operand = { channelStride: x.padded, channelOffset: 0, parts };

    const weightProblem: WeightGradientProblem = {
      ...common,
      outputGradient,
      input: { slot: "x", ...operand, normSlot: "norm" },
      weightGradientSlot: "dw",
      biasGradientSlot: "db",
    };
    const pairs = weightGradientPairs(weightProblem);
    const ways = pairs.map((pair) => weightGradientChoices(weightProblem, pair));
    for (const i of someOf(ways[0].map((way) => (way.kind === "direct" ? {} : way)))) {
      const [dw, db] = [new Float32Array(data.weight.length), new Float32Array(outputs)];
      const operator = planWeightGradient(weightProblem, (_, { a, b }) => ways[a.first + b.first > 0 ? 1 : 0][i]);
      run(operator, { x: x.tensor, dy: dy.tensor, norm, dw, db });
      check(dw, stored.weight, operator.algorithm);
      check(db, stored.bias, "bias gradient");
    }

    const dataProblem: DataGradientProblem = {
      ...common,
      outputGradient,
      weightSlot: "w",
      inputGradient: { slot: "dv", ...operand },
      accumulate: false,
    };
    const choices = inputRanges(dataProblem).map((range) => dataGradientChoices(dataProblem, range));
    for (const i of someOf(choices[0].map((way) => (way.kind === "direct" ? {} : way.choice)))) {
      const dv = new Float32Array(x.tensor.length);
      const operator = planDataGradient(dataProblem, (_, { first }) => choices[first > 0 ? 1 : 0][i]);
      run(operator, { dy: dy.tensor, w: data.weight, dv });
      const planar = x.positions.map((p) => dv.filter((_, k) => k % x.padded === p));
      check(Float32Array.from(planar.flatMap((values) => [...values])), stored.data, operator.algorithm);
    }
  });
}
