/** Gradients of convolutions on the GPU against the plain reference: in whole arrays, and in arrays that span bindings. */
import { dataGradientConv, planDataGradient } from "../../kernels/wgsl/conv/data_gradient.ts";
import { trainedConvCandidates } from "../../kernels/wgsl/conv/plan_conv.ts";
import { BASE_LIMITS, type ConvLimits } from "../../kernels/wgsl/conv/problem.ts";
import { convOutputGrid } from "../../kernels/operators/conv/problem.ts";
import { planWeightGradient, weightGradientCandidates } from "../../kernels/wgsl/conv/weight_gradient.ts";
import { BLOCKS } from "../../kernels/wgsl/conv/tile_storage.ts";
import {
  planWeightGradientWinograd,
  weightGradientWinogradChoices,
} from "../../kernels/wgsl/conv/weight_gradient_winograd.ts";
import type { WgslOperator } from "../../kernels/wgsl/kernel.ts";
import { assert, assertClose, assertEquals } from "../assert.ts";
import { BATCH, BOUND, GRADIENT_CASES, type GradientCase, prepareGradient } from "./conv_gradient_cases.ts";
import { channelsLast } from "./gradient_harness.ts";
import { activations, gpuPresent, runWgsl, type SlotData } from "./run_wgsl_operator.ts";

const ignore = !gpuPresent && Deno.env.get("NNUNET_TEST_GPU") !== "required";

/** Those of the cases that differ on a GPU: a software adapter compiles for seconds. */
const NAMES = [
  "3x3x3 of one channel",
  "3x3x3 of a concat",
  "3x3x3 of many channels",
  "3x3x3 of several tiles of channels",
  "3x3x3 of several blocks",
  "3x3x3 stride 2",
  "3x3x3 stride (1, 2, 2)",
  "1x3x3 of a plane",
  "1x3x3 stride (1, 2, 3)",
  "1x5x7 stride (1, 2, 3)",
  "1x1x1",
  "transposed 1x2x2 of a concat",
  "transposed 1x3x4",
];
/** Cut between planes in arrays of their own. */
const CUT = ["3x3x3 of a concat", "3x3x3 stride 2"];
/** On a device whose cache holds little, so that transformed tiles come in many chunks. */
const CHUNKED = ["3x3x3 of several blocks"];
const VARIANTS = [
  ...NAMES.map((name) => ({ name, cut: false, limits: BASE_LIMITS })),
  ...CUT.map((name) => ({ name, cut: true, limits: BASE_LIMITS })),
  ...CHUNKED.map((name) => ({ name, cut: false, limits: { ...BASE_LIMITS, cacheBytes: 1 } })),
];

/** A case's arrays and problem. */
function gpuCase(c: GradientCase, { cut, limits }: { readonly cut: boolean; readonly limits: ConvLimits }) {
  const prepared = prepareGradient(c);
  const { input, output, norm, problem, operand, around, voxels } = prepared;
  const { grid, kernel, stride, transposed, outputs, parts } = c;
  const outputGrid = transposed
    ? [grid[0] * stride[0], grid[1] * stride[1], grid[2] * stride[2]]
    : convOutputGrid(grid, kernel, stride);
  const segment = (plane: readonly number[], channels: number) =>
    cut ? plane[1] * plane[2] * channels / 4 * 2 : undefined;
  // The table covers the wider tensor.
  const table = new Float32Array(BATCH * 3 * input.stride).fill(7);
  for (let row = 0; row < BATCH * 3; row++) {
    table.set(norm.subarray(row * input.padded, (row + 1) * input.padded), row * input.stride + around);
  }
  const x = activations("x", input.tensor, "f32", segment(grid, input.stride));
  const dy = activations("dy", output.tensor, "f32", segment(outputGrid, output.stride));
  const common = {
    name: "test",
    batch: BATCH,
    inputGrid: grid,
    kernel,
    stride,
    transposed: problem.transposed,
    outputGradient: { layout: dy.layout, channelStride: output.stride, channelOffset: around, channels: outputs },
    limits,
  };
  const placed = { channelStride: operand.channelStride, channelOffset: around };
  return { ...prepared, x, dy, table, common, placed, parts, voxels, segment };
}

/** Of the names of candidates the first of each form: "direct", "winograd 4x4x4", whatever the tile. */
function formsOf(names: readonly string[]): string[] {
  const formOf = (name: string) => /direct|winograd \S+/.exec(name)?.[0];
  return names.filter((name, i) => names.findIndex((other) => formOf(other) === formOf(name)) === i);
}

/** Runs it twice: the same bits. */
async function run(operator: WgslOperator, slots: Readonly<Record<string, SlotData>>, written: readonly string[]) {
  const copies = Object.fromEntries(
    Object.entries(slots).map(([name, data]) => [name, { ...data, array: data.array.slice() }]),
  );
  await runWgsl(operator, slots);
  await runWgsl(operator, copies);
  for (const name of written) assertEquals(copies[name].array, slots[name].array, `a second run gives other ${name}`);
}

Deno.test({
  name: "the weight gradient on a GPU equals the reference where transformed tiles are stored in 16 bits",
  ignore,
  fn: async () => {
    for (const name of ["3x3x3 of a concat", "3x3x3 stride 2"]) {
      const c = GRADIENT_CASES[name];
      // Chunks of few tiles: the last one is not full.
      const limits = { ...BASE_LIMITS, cacheBytes: 1 };
      const { x, dy, table, common, placed, parts, weight, expected } = gpuCase(c, { cut: false, limits });
      const input = { layout: x.layout, ...placed, parts, ...(c.norm && { normSlot: "norm" }) };
      const gradient = { ...common, input, weightGradientSlot: "dw" };
      const [choice] = weightGradientWinogradChoices(gradient);
      const operator = planWeightGradientWinograd(gradient, { ...choice, storage: BLOCKS });
      assert(operator.algorithm.includes(" in 16 bits by "), operator.algorithm);
      const dw = new Float32Array(weight.length).fill(NaN);
      await run(operator, { x: x.data, dy: dy.data, norm: { array: table }, dw: { array: dw } }, ["dw"]);
      assertClose(dw, expected[0].weight.map((v, i) => v + expected[1].weight[i]), 5e-3, operator.algorithm);
    }
  },
});

for (const variant of VARIANTS) {
  const c = GRADIENT_CASES[variant.name];
  const chunked = variant.limits === BASE_LIMITS ? "" : ", in many chunks";
  const title = `${variant.name}${variant.cut ? ", in several bindings" : ""}${chunked}`;

  Deno.test({ name: `the weight gradient on a GPU equals the reference: ${title}`, ignore }, async () => {
    const { x, dy, table, common, placed, parts, weight, expected } = gpuCase(c, variant);
    const added = (key: "weight" | "bias") => expected[0][key].map((v, i) => v + expected[1][key][i]);
    const gradient = {
      ...common,
      input: { layout: x.layout, ...placed, parts, ...(c.norm && { normSlot: "norm" }) },
      weightGradientSlot: "dw",
      biasGradientSlot: "db",
    };
    const forms = formsOf(weightGradientCandidates(gradient).map(({ name }) => name));
    for (const way of [undefined, ...forms]) {
      const dw = new Float32Array(weight.length).fill(NaN);
      const db = new Float32Array(c.outputs).fill(NaN);
      const operator = planWeightGradient(gradient, () => way);
      if (way !== undefined) assertEquals(operator.algorithm, way);
      const slots = { x: x.data, dy: dy.data, norm: { array: table }, dw: { array: dw }, db: { array: db } };
      await run(operator, slots, ["dw", "db"]);
      assertClose(dw, added("weight"), BOUND, operator.algorithm);
      assertClose(db, added("bias"), BOUND, "bias");
    }
  });

  Deno.test({ name: `the data gradient on a GPU equals the reference: ${title}`, ignore }, async () => {
    const { x, dy, common, placed, parts, weight, expected, input, samples, voxels, around, segment } = gpuCase(
      c,
      variant,
    );
    const isForeign = (_: number, i: number) => i % input.stride < around || i % input.stride >= around + input.padded;
    const own = (v: number, i: number) => (isForeign(v, i) ? 0 : v);
    // Forecasts choose for a large GPU; here the ways that differ are asked for by name, each other one adding to what is there.
    const conv = dataGradientConv({
      ...common,
      inputGradient: { layout: x.layout, ...placed },
      inputParts: parts,
      accumulate: false,
      weightSlot: "w",
      packedSlot: "packed",
    });
    const forms = conv ? formsOf(trainedConvCandidates(conv).map(({ name }) => name)) : [];
    for (const [i, way] of [undefined, ...forms, undefined].entries()) {
      const accumulate = i % 2 === 1;
      const before = channelsLast(samples, parts, voxels, around).tensor;
      if (!accumulate) before.forEach((v, i) => before[i] = isForeign(v, i) ? v : NaN);
      const sums = expected.map(({ input: d }, n) =>
        Float32Array.from(d, (v, i) => v + (accumulate ? samples[n][i] : 0))
      );
      const wanted = channelsLast(sums, parts, voxels, around).tensor;
      const dv = activations("dv", before, "f32", segment(c.grid, input.stride));
      const operator = planDataGradient({
        ...common,
        inputGradient: { layout: dv.layout, ...placed },
        inputParts: parts,
        weightSlot: "w",
        packedSlot: "packed",
        accumulate,
      }, () => way);
      if (way !== undefined) assertEquals(operator.algorithm, way);
      const packed = new Float32Array(operator.packed.bytes / 4).fill(NaN);
      const slots = {
        dy: dy.data,
        w: { array: weight },
        dv: dv.data,
        packed: { array: packed, segmentBytes: operator.packed.segmentBytes },
      };
      // What is added to twice is no second run.
      if (accumulate) await runWgsl(operator, slots);
      else await run(operator, slots, ["dv"]);
      const values = Float32Array.from(dv.data.array);
      assertEquals(values.filter(isForeign), wanted.filter(isForeign));
      assertClose(values.map(own), wanted.map(own), BOUND, `${operator.algorithm}, accumulate ${accumulate}`);
    }
  });
}
