/** Adam's step on both engines against torch's formula in float64 (torch/optim/adam.py, _single_tensor_adam). */
import { adamReference } from "../../kernels/operators/training/optimizer.ts";
import { planAdamUpdate } from "../../kernels/wasm/training/adam.ts";
import { OPTIMIZER_WASM } from "../../cpu/training/optimizers.ts";
import { planAdamUpdate as planWgslUpdate } from "../../kernels/wgsl/training/adam.ts";
import { OPTION, OPTION_FLOATS } from "../../kernels/wgsl/training/optimizer.ts";
import { assertClose, assertEquals } from "../assert.ts";
import { noise, operatorRunner } from "./run_operator.ts";
import { gpuPresent, runWgsl } from "./run_wgsl_operator.ts";

const FLOATS = 40_000;
const OPTIONS = { learningRate: 0.01, weightDecay: 0.05, clipNorm: 2 };
const ADAM = { betas: [0.9, 0.999], eps: 1e-8 } as const;

interface Case {
  readonly decoupled: boolean;
  readonly amsgrad: boolean;
  /** Steps before this one. */
  readonly steps: number;
}

const CASES: readonly Case[] = [
  { decoupled: true, amsgrad: true, steps: 0 },
  { decoupled: true, amsgrad: true, steps: 41 },
  { decoupled: false, amsgrad: false, steps: 1 },
  { decoupled: false, amsgrad: false, steps: 250_000 },
];

function inputs({ steps }: Case) {
  const isFirst = steps === 0;
  const kept = (seed: number) => noise(FLOATS, seed).map((value) => (isFirst ? 0 : 0.01 * value));
  // Not too close to zero, where rounding would count more.
  const least = isFirst ? 0 : 1e-6;
  const [averages, largest] = [kept(4), kept(5)].map((values) => values.map((value) => value * value + least));
  return { p: noise(FLOATS, 1), g: noise(FLOATS, 2), m: kept(3), averages, largest };
}

type Values = ReturnType<typeof inputs>;

/** The same after a step. */
function reference(
  { p, g, m, averages, largest }: Values,
  { decoupled, amsgrad, steps }: Case,
  squares: number,
): Values {
  const options = { ...OPTIONS, ...ADAM, decoupled, amsgrad, steps, squares };
  const after: Values = { p: p.slice(), g, m: m.slice(), averages: averages.slice(), largest: largest.slice() };
  for (let i = 0; i < FLOATS; i++) {
    const kept = { parameter: p[i], momentum: m[i], average: averages[i], largest: largest[i] };
    const next = adamReference(kept, g[i], options);
    [after.p[i], after.m[i]] = [next.parameter, next.momentum];
    [after.averages[i], after.largest[i]] = [next.average, next.largest];
  }
  return after;
}

function assertStepped(actual: Values, expected: Values): void {
  for (const name of ["p", "m", "averages", "largest"] as const) assertClose(actual[name], expected[name], 2e-6, name);
}

for (const one of CASES) {
  const { decoupled, amsgrad, steps } = one;
  const name = `${decoupled ? "AdamW" : "Adam"}'s step ${steps + 1}${amsgrad ? " with amsgrad" : ""} is torch's`;
  const slots = { parameterSlot: "p", gradientSlot: "g", momentumSlot: "m", averagesSlot: "averages" };
  const range = { ...slots, ...(amsgrad && { largestSlot: "largest" }), floats: FLOATS };
  const squares = 9;

  Deno.test(`${name}, and not taken where the gradients are not finite`, () => {
    const spec = {
      ...range,
      ...OPTIONS,
      ...ADAM,
      decoupled,
      squaresSlot: "results",
      squaresOffset: 8,
      stateSlot: "state",
    };
    const run = operatorRunner(OPTIMIZER_WASM);
    const [values, state] = [inputs(one), new Float64Array(4)];
    state[0] = steps;
    run(planAdamUpdate(spec), { ...values, state, results: Float64Array.of(0, NaN) });
    assertEquals([values, state[0]], [inputs(one), steps]);
    run(planAdamUpdate(spec), { ...values, state, results: Float64Array.of(0, squares) });
    assertStepped(values, reference(inputs(one), one, squares));
    assertEquals(state[0], steps + 1);
  });

  Deno.test({
    name: `WGSL: ${name}, and not taken where the gradients are not finite`,
    ignore: !gpuPresent,
    fn: async () => {
      const lossScale = 128;
      const options = new Float32Array(OPTION_FLOATS);
      for (const [option, value] of Object.entries({ ...OPTIONS, lossScale })) {
        options[OPTION[option as keyof typeof OPTION]] = value;
      }
      const operator = planWgslUpdate({
        ranges: [range],
        ...ADAM,
        decoupled,
        optionsSlot: "options",
        stateSlot: "state",
        resultSlot: "results",
        resultIndex: 1,
      });
      const values = { ...inputs(one), g: inputs(one).g.map((g) => g * lossScale) };
      const state = new Float32Array(8);
      state[0] = steps;
      const runWith = (result: number) => {
        const arrays = { ...values, state, options, results: Float32Array.of(0, result) };
        return runWgsl(
          operator,
          Object.fromEntries(Object.entries(arrays).map(([slot, array]) => [slot, { array }])),
        );
      };
      await runWith(Infinity);
      assertEquals([values.p, values.m, state[0]], [inputs(one).p, inputs(one).m, steps]);
      await runWith(squares);
      assertStepped(values, reference(inputs(one), one, squares));
      assertEquals(state[0], steps + 1);
    },
  });
}
