/** The WebAssembly convolutions against torch's, stored by make_conv_golden.py. */
import type { Vec3 } from "../../../core/base/shape.ts";
import { planConv, planTransposedConv } from "../../../kernels/wasm/conv/plan_conv.ts";
import { planDirect } from "../../../kernels/wasm/conv/plan_direct.ts";
import { planWinograd, winogradChoices } from "../../../kernels/wasm/conv/plan_winograd.ts";
import { convOutputGrid } from "../../../kernels/operators/conv/problem.ts";
import type { ConvOperator, ConvProblem } from "../../../kernels/wasm/conv/problem.ts";
import { assertClose } from "../../assert.ts";
import { type ConvCase, makeData, problemOf, runConv } from "../../engine/conv_harness.ts";

interface GoldenCase {
  readonly name: string;
  readonly grid: Vec3;
  readonly parts: readonly number[];
  readonly outputs: number;
  readonly kernel: Vec3;
  readonly stride: Vec3;
  readonly transposed?: boolean;
  /** Base64 of f32: every `step`-th value of (channels, z, y, x). */
  readonly values: string;
}

/** The project's bound on a layer's error, as a share of the output's standard deviation. */
const BOUND = 1e-4;

const golden: { step: number; cases: GoldenCase[] } = JSON.parse(
  Deno.readTextFileSync(new URL("conv_golden.json", import.meta.url)),
);

function plansOf(c: ConvCase, transposed: boolean): [string, (problem: ConvProblem) => ConvOperator][] {
  if (transposed) return [["transposed", ({ kernel: _, ...problem }) => planTransposedConv(problem)]];
  const winograd = winogradChoices(problemOf(c)).map((choice): [string, (problem: ConvProblem) => ConvOperator] => [
    `winograd ${choice.schemes.map((s) => s.name).join("x")}, ${choice.split ? "three calls" : "one call"}`,
    (problem) => planWinograd(problem, choice),
  ]);
  return [["as planned", planConv], ["direct", (problem) => planDirect(problem)], ...winograd];
}

for (const { name, values, transposed, ...shape } of golden.cases) {
  Deno.test(`convolutions equal torch's by every algorithm: ${name}`, () => {
    const bytes = Uint8Array.from(atob(values), (c) => c.charCodeAt(0));
    const expected = new Float32Array(bytes.buffer);
    const c: ConvCase = { batch: 1, norm: true, ...shape };
    const data = makeData(c);
    const outputGrid: Vec3 = transposed
      ? [c.grid[0] * c.stride[0], c.grid[1] * c.stride[1], c.grid[2] * c.stride[2]]
      : convOutputGrid(c.grid, c.kernel, c.stride);
    for (const [algorithm, plan] of plansOf(c, transposed ?? false)) {
      const [output] = runConv(c, data, plan, outputGrid, 64).outputs;
      assertClose(output.filter((_, i) => i % golden.step === 0), expected, BOUND, algorithm);
    }
  });
}
