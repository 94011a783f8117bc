/**
 * Canonical renderings of the GPU's convolutions: small shapes and register tiles, one file a kernel, so that a review sees what becomes
 * of a change. Written anew by `deno run --allow-read --allow-write tests/golden/wgsl_conv/make_wgsl_conv.ts`.
 */
import { padToFour, type Vec3, voxelCount } from "../../../core/base/shape.ts";
import { planDirect, planTransposed } from "../../../kernels/wgsl/conv/direct.ts";
import type { GemmTile } from "../../../kernels/wgsl/conv/gemm.ts";
import { gemmPeakKernel } from "../../../kernels/wgsl/conv/peak.ts";
import { BASE_LIMITS, type WgslConvProblem } from "../../../kernels/wgsl/conv/problem.ts";
import { channelLayout } from "../../../kernels/operators/tensor.ts";
import { weightGradientCandidates } from "../../../kernels/wgsl/conv/weight_gradient.ts";
import { BLOCKS, type TileStorage, WHOLE } from "../../../kernels/wgsl/conv/tile_storage.ts";
import {
  planWinograd,
  schemeName,
  winogradChoices,
  withStorages,
  withTile,
} from "../../../kernels/wgsl/conv/winograd.ts";

const TILE: GemmTile = { nx: 4, ny: 16, tm: 2, tn: 1, depth: 2 };

interface Canonical {
  readonly grid: Vec3;
  readonly output: Vec3;
  readonly kernel: Vec3;
  readonly stride: Vec3;
  readonly parts: readonly number[];
  readonly outputs: number;
  readonly norm: boolean;
  readonly statistics: boolean;
  readonly type: "f32" | "f16";
  readonly segments?: number;
}

function problem(c: Canonical): WgslConvProblem {
  const tensor = (slot: string, channels: number, grid: Vec3) => {
    const length = 2 * voxelCount(grid) * channels / 4;
    const segmentLength = Math.ceil(length / (c.segments ?? 1));
    return {
      layout: { slot, length, type: c.type, segments: c.segments ?? 1, segmentLength },
      channelStride: channels,
      channelOffset: 0,
    };
  };
  return {
    name: "canonical",
    batch: 2,
    inputGrid: c.grid,
    kernel: c.kernel,
    stride: c.stride,
    outputChannels: c.outputs,
    input: {
      ...tensor("input", channelLayout(c.parts).padded, c.grid),
      parts: c.parts,
      ...(c.norm ? { normSlot: "norm" } : {}),
    },
    output: {
      ...tensor("output", padToFour(c.outputs), c.output),
      channels: c.outputs,
      ...(c.statistics ? { statisticsSlot: "statistics" } : {}),
    },
    weightSlot: "weights",
    statistics: c.statistics,
    limits: BASE_LIMITS,
  };
}

function winograd(c: Canonical, scheme: string, storage: TileStorage = WHOLE) {
  const of = problem(c);
  const best = winogradChoices(of).find(({ shape }) => schemeName(shape.schemes) === scheme);
  const choice = best && [best, ...withStorages(of, best)].find((one) => one.storage === storage);
  if (!choice) throw new RangeError(`No scheme ${scheme}`);
  return planWinograd(of, withTile(of, choice, TILE));
}

/** The weight gradient of the same convolution, by the candidate of this name. */
function weightGradient(c: Canonical, name: string) {
  const { input, output, outputChannels, ...rest } = problem(c);
  const { layout, channelStride, channelOffset } = output;
  const candidate = weightGradientCandidates({
    ...rest,
    transposed: false,
    input,
    outputGradient: { layout: { ...layout, slot: "gradient" }, channelStride, channelOffset, channels: outputChannels },
    weightGradientSlot: "weight gradient",
  }).find((one) => one.name.startsWith(`weight gradient ${name}`));
  if (!candidate) throw new RangeError(`No candidate ${name}`);
  return candidate.operator;
}

/** File name -> text of the kernel. */
export function renderings(): Record<string, string> {
  const plain: Canonical = {
    grid: [8, 8, 8],
    output: [8, 8, 8],
    kernel: [3, 3, 3],
    stride: [1, 1, 1],
    parts: [16],
    outputs: 16,
    norm: true,
    statistics: true,
    type: "f32",
  };
  const text = (operator: { readonly dispatches: readonly { readonly code: string }[] }, dispatch = 0) =>
    operator.dispatches[dispatch].code;
  const cube = winograd(plain, "4x4x4");
  const blocks = winograd({ ...plain, type: "f16" }, "4x4x4", BLOCKS);
  const [direct, weights] = ["direct", "winograd 4x4x4"].map((name) =>
    weightGradient({ ...plain, parts: [8, 8] }, name)
  );
  const transposed: Canonical = {
    ...plain,
    kernel: [1, 2, 2],
    stride: [1, 2, 2],
    output: [8, 16, 16],
    norm: true,
    statistics: false,
  };
  return {
    "direct_3x3x3.wgsl": text(planDirect(problem(plain), TILE)),
    "direct_3x3x3_image.wgsl": text(planDirect(problem({ ...plain, parts: [1] }), TILE)),
    "direct_1x1x1_head_f16.wgsl": text(
      planDirect(problem({ ...plain, kernel: [1, 1, 1], outputs: 3, statistics: false, type: "f16" }), TILE),
    ),
    "transposed_1x2x2_two_segments.wgsl": text(planTransposed(problem({ ...transposed, segments: 2 }), TILE)),
    "winograd_4x4x4_input.wgsl": text(cube),
    "winograd_4x4x4_product.wgsl": text(cube, 1),
    "winograd_4x4x4_output.wgsl": text(cube, 2),
    "winograd_4x4x4_16_bits_input.wgsl": text(blocks),
    "winograd_4x4x4_16_bits_product.wgsl": text(blocks, 1),
    "winograd_4x4x4_16_bits_output.wgsl": text(blocks, 2),
    "winograd_stride2_input.wgsl": text(
      winograd({ ...plain, stride: [2, 2, 2], output: [4, 4, 4] }, "2/2x2/2x2/2"),
    ),
    "winograd_stride2_product.wgsl": text(
      winograd({ ...plain, stride: [2, 2, 2], output: [4, 4, 4] }, "2/2x2/2x2/2"),
      1,
    ),
    "weight_gradient_direct_3x3x3.wgsl": text(direct),
    "weight_gradient_direct_3x3x3_chunks.wgsl": text(direct, 1),
    // The first, of what the convolution read, is the forward pass' own.
    "weight_gradient_winograd_4x4x4_output.wgsl": text(weights, 1),
    "weight_gradient_winograd_4x4x4_product.wgsl": text(weights, 2),
    "weight_gradient_winograd_4x4x4_16_bits_product.wgsl": text(
      weightGradient({ ...plain, parts: [8, 8], type: "f16" }, "winograd 4x4x4"),
      2,
    ),
    "weight_gradient_winograd_4x4x4_taps.wgsl": text(weights, weights.dispatches.length - 1),
    "peak.wgsl": text(gemmPeakKernel(64, TILE)),
  };
}

if (import.meta.main) {
  for (const [file, text] of Object.entries(renderings())) {
    Deno.writeTextFileSync(new URL(file, import.meta.url), text);
  }
}
