/** Runs WGSL convolutions on cases in torch's layouts and checks what they wrote: values, statistics, padding lanes, what lies beside. */
import { padToFour, type Vec3, voxelCount } from "../../core/base/shape.ts";
import { referenceConv, referenceTransposedConv } from "../../kernels/operators/conv/reference.ts";
import {
  BASE_LIMITS,
  type ConvLimits,
  type WgslConvOperator,
  type WgslConvProblem,
} from "../../kernels/wgsl/conv/problem.ts";
import { channelLayout } from "../../kernels/operators/tensor.ts";
import { convOutputGrid } from "../../kernels/operators/conv/problem.ts";
import { assert, assertClose, assertEquals } from "../assert.ts";
import { type ConvCase, type ConvData, makeData, normalised } from "./conv_harness.ts";
import { activations, runWgsl } from "./run_wgsl_operator.ts";

/** Largest error as a share of the output's standard deviation. */
export const CONV_TOLERANCE = { f32: 1e-4, f16: 1e-2 } as const;

export interface WgslConvCase extends ConvCase {
  readonly type?: "f32" | "f16";
  /** kernel = stride, transposed. */
  readonly transposed?: boolean;
  /** vec4 of each segment of input and output. */
  readonly segmentLength?: number;
  readonly limits?: Partial<ConvLimits>;
}

const UNTOUCHED = -777;

function outputGridOf(c: WgslConvCase): Vec3 {
  if (!c.transposed) return convOutputGrid(c.grid, c.kernel, c.stride);
  return [c.grid[0] * c.stride[0], c.grid[1] * c.stride[1], c.grid[2] * c.stride[2]];
}

/** The problem of a case, with the arrays its tensors lie in. */
export function wgslProblem(c: WgslConvCase, data: ConvData) {
  const { around = 0, type = "f32", segmentLength } = c;
  const { padded, positions } = channelLayout(c.parts);
  const voxels = voxelCount(c.grid);
  const channelStride = padded + 2 * around;
  const values = new Float32Array(c.batch * voxels * channelStride);
  const norm = new Float32Array(c.batch * 3 * channelStride).fill(7);
  data.inputs.forEach((sample, n) => {
    for (let v = 0; v < voxels; v++) {
      const at = (n * voxels + v) * channelStride;
      // Neighbours in a wider tensor must not be read, so they are large.
      for (let i = 0; i < channelStride; i++) if (i < around || i >= around + padded) values[at + i] = 6e4;
      positions.forEach((p, i) => values[at + around + p] = sample[i * voxels + v]);
    }
  });
  data.norms.forEach((kinds, n) =>
    kinds.forEach((kind, k) => positions.forEach((p, i) => norm[(n * 3 + k) * channelStride + around + p] = kind[i]))
  );
  const outputStride = padToFour(c.outputs) + 2 * around;
  const outputs = new Float32Array(c.batch * voxelCount(outputGridOf(c)) * outputStride).fill(UNTOUCHED);
  const input = activations("input", values, type, segmentLength);
  const output = activations("output", outputs, type, segmentLength);
  const problem: WgslConvProblem = {
    name: "test",
    batch: c.batch,
    inputGrid: c.grid,
    kernel: c.kernel,
    stride: c.stride,
    input: {
      layout: input.layout,
      channelStride,
      channelOffset: around,
      parts: c.parts,
      ...(c.norm ? { normSlot: "norm" } : {}),
    },
    output: {
      layout: output.layout,
      channelStride: outputStride,
      channelOffset: around,
      channels: c.outputs,
      ...(c.statistics ? { statisticsSlot: "statistics" } : {}),
    },
    outputChannels: c.outputs,
    weightSlot: "weights",
    statistics: c.statistics ?? false,
    limits: { ...BASE_LIMITS, ...c.limits },
  };
  const slots = { input: input.data, output: output.data, ...(c.norm ? { norm: { array: norm } } : {}) };
  return { problem, slots };
}

/** Runs what `plan` makes of the case and checks it against the plain reference. */
export async function checkWgslConv(
  c: WgslConvCase,
  plan: (problem: WgslConvProblem) => WgslConvOperator,
  tolerance: number = CONV_TOLERANCE[c.type ?? "f32"],
): Promise<WgslConvOperator> {
  const made = makeData(c);
  // What is stored as f16 is what the reference takes.
  const data = c.type === "f16" ? { ...made, inputs: made.inputs.map((v) => v.map((x) => Math.f16round(x))) } : made;
  const { problem, slots } = wgslProblem(c, data);
  const operator = plan(problem);
  const { maxBindings, maxBindingBytes } = problem.limits;
  for (const { name, bindings } of operator.dispatches) {
    assert(bindings.length <= maxBindings, `${name} binds ${bindings.length}`);
  }
  for (const [name, bytes] of Object.entries(operator.temporaries)) assert(bytes <= maxBindingBytes, name);
  const weights = new Float32Array(operator.weightBytes / 4).fill(NaN);
  operator.pack(data.weight, data.bias, weights);
  const parts = operator.statistics?.parts ?? 0;
  const statistics = new Float32Array((operator.statistics?.bytes ?? 0) / 4).fill(NaN);
  assertEquals(operator.statistics !== undefined, c.statistics ?? false);
  await runWgsl(operator, {
    ...slots,
    weights: { array: weights, segmentBytes: operator.weightSegmentBytes },
    ...(c.statistics ? { statistics: { array: statistics } } : {}),
  });
  const grid = outputGridOf(c);
  const voxels = voxelCount(grid);
  const padded = padToFour(c.outputs);
  const { channelStride, channelOffset } = problem.output;
  const channels = c.parts.reduce((a, b) => a + b, 0);
  const memory = slots.output.array;
  for (let n = 0; n < c.batch; n++) {
    const input = normalised(c, data, n);
    const pair = [channels, c.outputs] as const;
    const expected = c.transposed
      ? referenceTransposedConv(input, c.grid, data.weight, data.bias, pair, c.stride)
      : referenceConv(input, c.grid, data.weight, data.bias, pair, c.kernel, c.stride);
    const actual = new Float32Array(expected.length);
    for (let v = 0; v < voxels; v++) {
      const at = (n * voxels + v) * channelStride;
      for (let o = 0; o < c.outputs; o++) actual[o * voxels + v] = memory[at + channelOffset + o];
      for (let i = 0; i < channelStride; i++) {
        const lane = i - channelOffset;
        if (lane < 0 || lane >= padded) assertEquals(memory[at + i], UNTOUCHED, `beside the output, voxel ${v}`);
        else if (lane >= c.outputs) assertEquals(memory[at + i], 0, `padding lane of voxel ${v}`);
      }
    }
    assertClose(actual, expected, tolerance, `${operator.algorithm}, sample ${n}`);
    if (c.statistics) checkStatistics(statistics, n, parts, c.outputs, expected, voxels, tolerance);
  }
  return operator;
}

/** Merged parts must be the moments of the reference's output. */
function checkStatistics(
  statistics: Float32Array,
  sample: number,
  parts: number,
  channels: number,
  expected: Float32Array,
  voxels: number,
  tolerance: number,
): void {
  const padded = padToFour(channels);
  const length = 1 + 2 * padded;
  const at = (part: number) => (sample * parts + part) * length;
  const all = Array.from({ length: parts }, (_, part) => part);
  assertEquals(all.reduce((sum, part) => sum + statistics[at(part)], 0), voxels, "voxels counted");
  const found = Array.from({ length: channels }, (_, c) => {
    const mean = all.reduce((sum, p) => sum + statistics[at(p)] * (statistics[at(p)] && statistics[at(p) + 1 + c]), 0) /
      voxels;
    const m2 = all.filter((p) => statistics[at(p)] > 0).reduce((sum, p) => {
      const [count, partMean, partM2] = [
        statistics[at(p)],
        statistics[at(p) + 1 + c],
        statistics[at(p) + 1 + padded + c],
      ];
      return sum + partM2 + count * (partMean - mean) ** 2;
    }, 0);
    return [mean, Math.sqrt(m2 / voxels)];
  });
  const wanted = Array.from({ length: channels }, (_, c) => {
    const values = expected.subarray(c * voxels, (c + 1) * voxels);
    const mean = values.reduce((a, b) => a + b, 0) / voxels;
    return [mean, Math.sqrt(values.reduce((a, b) => a + (b - mean) ** 2, 0) / voxels)];
  });
  const names = ["means", "deviations"] as const;
  names.forEach((name, i) => {
    const [a, b] = [found.map((f) => f[i]), wanted.map((w) => w[i])];
    const worst = Math.max(...a.map((value, c) => Math.abs(value - b[c])));
    assert(worst <= tolerance, `${name} of sample ${sample} are off by ${worst}`);
  });
}
