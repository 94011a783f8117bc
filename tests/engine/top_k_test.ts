/** The largest values and their shares, on both engines, against sorting. */
import { topKReference } from "../../kernels/operators/training/reference.ts";
import { planTopK } from "../../kernels/wasm/training/top_k.ts";
import { topCount } from "../../kernels/operators/training/top_k.ts";
import { TRAINING_WASM } from "../../cpu/kernel_set.ts";
import { OPTION_FLOATS } from "../../kernels/wgsl/training/optimizer.ts";
import { planTopK as planWgslTopK } from "../../kernels/wgsl/training/top_k.ts";
import { assertClose, assertEquals } from "../assert.ts";
import { noise, operatorRunner } from "./run_operator.ts";
import { gpuPresent, runWgsl } from "./run_wgsl_operator.ts";

const COUNT = 70_000;
const random = noise(COUNT, 1).map(Math.abs);

interface Case {
  readonly name: string;
  readonly values: Float32Array;
  readonly k: number;
}

const CASES: readonly Case[] = [
  { name: "a tenth of random values", values: random, k: COUNT / 10 },
  { name: "many that are the same", values: random.map((value) => Math.floor(value * 8) / 8), k: 12_345 },
  { name: "more than are not zero", values: random.map((value, i) => (i % 20 === 0 ? value : 0)), k: COUNT / 10 },
  { name: "only the largest, tiny", values: random.map((value) => value * 1e-30), k: 1 },
  { name: "all", values: random.slice(0, 30), k: 30 },
];

for (const one of CASES) {
  const { name, k } = one;
  const { shares, mean } = topKReference(one.values, k, 0.75);
  const spec = { valuesSlot: "values", count: one.values.length, k, weight: 0.75, resultSlot: "result" };

  Deno.test(`The mean of the largest values is added and their shares are left: ${name}`, () => {
    const [values, result] = [one.values.slice(), Float64Array.of(3, -0.5)];
    operatorRunner(TRAINING_WASM)(planTopK({ ...spec, resultOffset: 8 }), { values, result });
    assertClose(result, [3, mean - 0.5], 1e-6 * mean + 1e-7);
    assertClose(values, shares, 1e-6 / k);
  });

  Deno.test({
    name: `WGSL: the mean of the largest values is added and their shares are left: ${name}`,
    ignore: !gpuPresent,
    fn: async () => {
      const [values, result] = [one.values.slice(), Float32Array.of(3, -0.5)];
      const options = new Float32Array(OPTION_FLOATS).fill(64); // the loss scale, which shares have and the loss has not
      const operator = planWgslTopK({ ...spec, resultIndex: 1, optionsSlot: "options" });
      await runWgsl(operator, { values: { array: values }, result: { array: result }, options: { array: options } });
      assertClose(result, [3, mean - 0.5], 1e-6 * mean + 1e-7);
      assertClose(values.map((value) => value / 64), shares, 1e-6 / k);
    },
  });
}

Deno.test("A percentage of voxels is rounded down, but is one at least", () => {
  assertEquals([topCount(1152, 10), topCount(2304, 10), topCount(19, 10), topCount(5, 10)], [115, 230, 1, 1]);
});
