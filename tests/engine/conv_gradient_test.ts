/** Every way to compute a convolution's gradients against the plain reference. */
import { createStream } from "../../cpu/stream.ts";
import type { Vec3 } from "../../core/base/shape.ts";
import type { DataGradientProblem, GradientTarget, WeightGradientProblem } from "../../kernels/wasm/conv/problem.ts";
import { CONV_KERNELS } from "../../kernels/wasm/conv/kernels.ts";
import {
  planWeightGradient,
  type WeightGradientChoice,
  weightGradientChoices,
} from "../../kernels/wasm/conv/plan_weight_gradient.ts";
import { dataGradientChoices, inputRanges, planDataGradient } from "../../kernels/wasm/conv/plan_data_gradient.ts";
import { type WeightGradientPair, weightGradientPairs } from "../../kernels/wasm/conv/weight_gradient_sides.ts";
import type { Operand, Operator } from "../../kernels/wasm/kernel.ts";
import { emitModule } from "../../kernels/wasm/module.ts";
import { assertClose, assertEquals } from "../assert.ts";
import { channelsLast } from "./gradient_harness.ts";
import { BOUND, GRADIENT_CASES, prepareGradient } from "./conv_gradient_cases.ts";
import { operatorRunner } from "./run_operator.ts";

const run = operatorRunner(CONV_KERNELS, 1024);

/** A choice with other groups and chunks: the same way, divided more finely. */
const divided = (c: WeightGradientChoice): WeightGradientChoice => ({
  ...c,
  groupA: Math.min(c.groupA, 4),
  groupB: 8,
  chunks: 2,
  block: c.block.map((n) => Math.min(n, 2)) as unknown as Vec3,
});

for (const [name, c] of Object.entries(GRADIENT_CASES)) {
  Deno.test(`the weight gradient equals the reference by every algorithm: ${name}`, () => {
    const { weight, input, output, norm, expected, problem, operand } = prepareGradient(c);
    const added = (key: "weight" | "bias") => expected[0][key].map((v, i) => v + expected[1][key][i]);
    const whole: WeightGradientProblem = {
      ...problem,
      input: { ...operand, slot: "x", ...(c.norm && { normSlot: "norm" }) },
      weightGradientSlot: "dw",
      biasGradientSlot: "db",
    };
    const compute = (choose: (pair: WeightGradientPair) => WeightGradientChoice, reversed = false) => {
      const dw = new Float32Array(weight.length).fill(NaN);
      const db = new Float32Array(c.outputs).fill(NaN);
      const operator = planWeightGradient(whole, (_, pair) => choose(pair));
      run(operator, { x: input.tensor, dy: output.tensor, norm, dw, db }, { reversed });
      return { dw, db };
    };
    const choices = weightGradientPairs(whole).map((pair) => weightGradientChoices(whole, pair));
    for (let way = 0; way < choices[0].length; way++) {
      const choose = (pair: WeightGradientPair) => choices[(pair.a.first + pair.b.first) > 0 ? 1 : 0][way];
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

for (const [name, c] of Object.entries(GRADIENT_CASES)) {
  Deno.test(`the data gradient equals the reference by every algorithm: ${name}`, () => {
    const { samples, weight, input, output, expected, problem, operand, voxels, around } = prepareGradient(c);
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
        ...problem,
        weightSlot: "w",
        inputGradient: { ...operand, slot: "dv" },
        accumulate,
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
    const { weight, input, output, norm, problem, operand } = prepareGradient(GRADIENT_CASES[name]);
    const read = { x: input.tensor, dy: output.tensor, w: weight, norm };
    const weightGradient = planWeightGradient({
      ...problem,
      input: { ...operand, slot: "x", normSlot: "norm" },
      weightGradientSlot: "dw",
      biasGradientSlot: "db",
    });
    const dataGradient = planDataGradient({
      ...problem,
      weightSlot: "w",
      inputGradient: { ...operand, slot: "dv" },
      accumulate: true,
    });
    const written = { dw: weight, db: new Float32Array(GRADIENT_CASES[name].outputs), dv: input.tensor };
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
    const { samples, weight, input, output, norm, problem, operand, voxels } = prepareGradient(GRADIENT_CASES[name]);
    const { parts } = GRADIENT_CASES[name];
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
        ...tensors,
        dy: output.tensor,
        w: weight,
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
