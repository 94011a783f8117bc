/** Choosing among WGSL convolutions, their text, and the product that measures a device's peak. */
import {
  convCandidates,
  planConv,
  planTransposedConv,
  transposedConvCandidates,
} from "../../kernels/wgsl/conv/plan_conv.ts";
import { gemmPeakKernel, peakTiles } from "../../kernels/wgsl/conv/peak.ts";
import { BASE_LIMITS, type WgslConvOperator, type WgslConvProblem } from "../../kernels/wgsl/conv/problem.ts";
import { wgsl } from "../../kernels/wgsl/emit/template.ts";
import type { Vec3 } from "../../core/base/shape.ts";
import { padToFour, voxelCount } from "../../core/base/shape.ts";
import { assert, assertClose, assertEquals, assertFails } from "../assert.ts";
import { makeData, noise } from "./conv_harness.ts";
import { gpuPresent, runWgsl } from "./run_wgsl_operator.ts";
import { checkWgslConv, type WgslConvCase, wgslProblem } from "./wgsl_conv_harness.ts";

/** A layer of the plain net at 128^3. */
function layer(edge: number, inputs: number, outputs: number, more: Partial<WgslConvProblem> = {}): WgslConvProblem {
  const grid: Vec3 = [edge, edge, edge];
  const of = (slot: string, channels: number) => {
    const length = voxelCount(grid) * padToFour(channels) / 4;
    return {
      layout: { slot, length, type: "f32", segments: 1, segmentLength: length },
      channelStride: padToFour(channels),
      channelOffset: 0,
    } as const;
  };
  return {
    name: `${inputs} to ${outputs} on ${edge}`,
    batch: 1,
    inputGrid: grid,
    kernel: [3, 3, 3],
    stride: [1, 1, 1],
    input: { ...of("input", inputs), parts: [inputs], normSlot: "norm" },
    output: { ...of("output", outputs), channels: outputs, statisticsSlot: "statistics" },
    outputChannels: outputs,
    weightSlot: "weights",
    statistics: true,
    limits: BASE_LIMITS,
    ...more,
  };
}

Deno.test("WGSL convolutions: wide 3x3x3 layers are Winograd's, images and heads direct", () => {
  assert(planConv(layer(128, 32, 32)).algorithm.startsWith("winograd 4x4x4"));
  assert(planConv(layer(16, 256, 256)).algorithm.startsWith("winograd"));
  assert(planConv(layer(128, 1, 32)).algorithm.startsWith("direct"));
  assert(planConv(layer(64, 32, 5, { kernel: [1, 1, 1] })).algorithm.startsWith("direct"));
});

/** vec4 sums of a thread of the products. */
const sumsOf = ({ dispatches }: WgslConvOperator) =>
  Math.max(...dispatches.map(({ code }) => code.match(/var c_\d+_\d+ =/g)?.length ?? 0));

Deno.test("WGSL convolutions: of each form a tile is measured whose sums fit small register files", () => {
  const form = ({ name }: { readonly name: string }) => name.split(" ")[0];
  for (const problem of [layer(64, 64, 64), layer(128, 32, 32), layer(8, 320, 320)]) {
    const transposed = { ...problem, stride: [2, 2, 2] as const, statistics: false };
    const target = layer(2 * problem.inputGrid[0], 4, problem.outputChannels).output;
    const all = [...convCandidates(problem), ...transposedConvCandidates({ ...transposed, output: target })];
    for (const wanted of ["direct", "winograd", "transposed"]) {
      const sums = all.filter((one) => form(one) === wanted).map(({ operator }) => sumsOf(operator));
      assert(Math.min(...sums) <= 8, `${wanted} ${problem.name}: ${sums}`);
    }
    // Ways for many registers are not displaced.
    if (problem.inputGrid[0] > 8) assert(Math.max(...all.map(({ operator }) => sumsOf(operator))) >= 16);
  }
});

Deno.test("WGSL convolutions: candidates have names of their own, keep to the limits and are ranked by their forecast", () => {
  for (const problem of [layer(32, 128, 128), layer(8, 320, 320), layer(32, 64, 64, { kernel: [5, 3, 1] })]) {
    const candidates = convCandidates(problem);
    assert(candidates.length >= 4);
    assertEquals(new Set(candidates.map(({ name }) => name)).size, candidates.length);
    assertEquals(
      candidates.map(({ operator }) => operator.seconds),
      candidates.map(({ operator }) => operator.seconds).sort((a, b) => a - b),
    );
    assertEquals(candidates[0].operator.algorithm, planConv(problem).algorithm);
    for (const { operator } of candidates) {
      for (const bytes of Object.values(operator.temporaries)) assert(bytes <= BASE_LIMITS.maxBindingBytes);
      for (const { workgroups, bindings, uniforms } of operator.dispatches) {
        assert(workgroups.every((n) => n >= 1 && n <= 65535));
        assert(bindings.length <= BASE_LIMITS.maxBindings);
        assertEquals((uniforms?.length ?? 0) % 4, 0);
      }
      // Pipelines are few: chunks differ in uniforms only.
      assert(new Set(operator.dispatches.map(({ code }) => code)).size <= 3);
    }
  }
});

Deno.test("WGSL convolutions: weights packed for one batch serve every batch", () => {
  for (const [edge, channels] of [[4, 320], [8, 320], [8, 64], [16, 48], [32, 32]]) {
    const packings = [1, 2, 5, 8].map((batch) => {
      const { output, input, ...rest } = layer(edge, channels, channels);
      const more = { ...rest, batch };
      const wide = <T extends typeof input | typeof output>(tensor: T): T => {
        const length = tensor.layout.length * batch;
        return { ...tensor, layout: { ...tensor.layout, length, segmentLength: length } };
      };
      const { algorithm, weightBytes, weightSegmentBytes } = planConv({
        ...more,
        input: wide(input),
        output: wide(output),
      });
      return [
        algorithm.split(" ").slice(0, algorithm.startsWith("direct") ? 1 : 2).join(" "),
        weightBytes,
        weightSegmentBytes,
      ];
    });
    for (const packing of packings) assertEquals(packing, packings[0]);
  }
});

Deno.test("WGSL convolutions: a device that binds 1 MiB and eight buffers gets every layer of a net", () => {
  const MIB = 1 << 20;
  const cut = <T extends WgslConvProblem["input"] | WgslConvProblem["output"]>(tensor: T): T => {
    const segmentLength = MIB / 16;
    const segments = Math.ceil(tensor.layout.length / segmentLength);
    return { ...tensor, layout: { ...tensor.layout, segmentLength, segments } };
  };
  const limits = { ...BASE_LIMITS, maxBindingBytes: MIB };
  for (const [edge, inputs, outputs] of [[64, 1, 32], [64, 64, 32], [32, 128, 64], [16, 256, 128], [8, 320, 256]]) {
    for (const stride of [[1, 1, 1], [2, 2, 2], [1, 2, 2]] as const) {
      const whole = layer(edge, inputs, outputs, { stride, limits });
      const problem = { ...whole, input: cut(whole.input), output: cut(whole.output) };
      for (const { operator } of convCandidates(problem)) {
        for (const bytes of Object.values(operator.temporaries)) assert(bytes <= MIB);
        assert(operator.weightSegmentBytes <= MIB);
        for (const { bindings } of operator.dispatches) assert(bindings.length <= 8);
      }
    }
    const { kernel: _, ...deeper } = layer(edge / 2, inputs, outputs, { statistics: false, stride: [2, 2, 2], limits });
    const output = cut(layer(edge, inputs, outputs).output);
    assert(planTransposedConv({ ...deeper, input: cut(deeper.input), output }).dispatches.length > 0);
  }
});

Deno.test({
  name: "WGSL convolutions: every candidate of a small layer computes the same",
  ignore: !gpuPresent,
  fn: async () => {
    const c: WgslConvCase = {
      batch: 1,
      grid: [4, 5, 6],
      parts: [6],
      outputs: 7,
      kernel: [3, 3, 3],
      stride: [1, 1, 1],
      norm: true,
      statistics: true,
    };
    const { problem } = wgslProblem(c, makeData(c));
    for (const { name } of convCandidates(problem)) {
      const operator = await checkWgslConv(c, (problem) => {
        const found = convCandidates(problem).find((candidate) => candidate.name === name);
        if (!found) throw new RangeError(name);
        return found.operator;
      });
      assertEquals(operator.algorithm, name);
    }
    const { kernel: _, ...transposed } = { ...problem, statistics: false, stride: [1, 1, 1] as const };
    assert(transposedConvCandidates(transposed).length > 1);
  },
});

Deno.test({
  name: "WGSL: the peak kernel multiplies matrices",
  ignore: !gpuPresent,
  fn: async () => {
    const size = 68;
    const [a, b] = [noise(size * size, 1), noise(size * size, 2)];
    const expected = new Float32Array(size * size);
    for (let i = 0; i < size; i++) {
      for (let j = 0; j < size; j++) {
        let sum = 0;
        for (let k = 0; k < size; k++) sum += a[i * size + k] * b[k * size + j];
        expected[i * size + j] = sum;
      }
    }
    const c = new Float32Array(size * size);
    await runWgsl(gemmPeakKernel(size, peakTiles()[1]), { a: { array: a }, b: { array: b }, c: { array: c } });
    assertClose(c, expected, 1e-5);
  },
});

Deno.test("the wgsl tag takes text, lines and integers, and indents them", () => {
  const lines = ["let b = 1u;", "let c = 2u;"];
  assertEquals(
    wgsl`fn f() {\n  ${lines}\n  ${""}\n  return ${3}u;\n}`,
    "fn f() {\n  let b = 1u;\n  let c = 2u;\n  return 3u;\n}",
  );
});

Deno.test("the wgsl tag refuses what would be wrong WGSL or an untyped float", async () => {
  await assertFails(() => wgsl`let a = ${0.5};`, TypeError, "0.5", "f32Literal", "let a = ");
  await assertFails(() => wgsl`let a = ${NaN};`, TypeError, "NaN");
  await assertFails(() => wgsl`let a = ${`f32(${NaN})`};`, TypeError, "NaN");
  await assertFails(() => wgsl`let a = ${`b[${undefined}]`};`, TypeError, "undefined");
  const missing: Record<string, string> = {};
  await assertFails(() => wgsl`let a = ${missing.b};`, TypeError, "undefined");
});
