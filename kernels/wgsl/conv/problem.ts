/** What a convolution on a GPU is to its planner: shapes, slots and the device's limits, nothing about how it is computed. */
import { padToFour, type Vec3, voxelCount } from "../../../core/base/shape.ts";
import type { GradientProblem } from "../../operators/conv/gradient_problem.ts";
import { convOutputGrid } from "../../operators/conv/problem.ts";
import type { AxisScheme } from "../../operators/conv/scheme.ts";
import type { WeightedWgslOperator, WgslOperand, WgslTarget } from "../kernel.ts";

export type { GradientProblem };
export { convOutputGrid } from "../../operators/conv/problem.ts";

/** What a device allows, as far as it decides how a convolution is computed. */
export interface ConvLimits {
  /** maxComputeWorkgroupStorageSize; 16384 everywhere. */
  readonly workgroupMemoryBytes: number;
  /** maxComputeInvocationsPerWorkgroup; 256 everywhere. */
  readonly workgroupThreads: number;
  /** maxStorageBuffersPerShaderStage; 8 everywhere. */
  readonly maxBindings: number;
  /** maxStorageBufferBindingSize. Weights and temporaries keep to it too. */
  readonly maxBindingBytes: number;
  /** Bytes that transformed tiles may take, so that they stay in the device's L2; 24 MiB unless given. */
  readonly cacheBytes?: number;
}

/** The least that WebGPU promises. */
export const BASE_LIMITS: ConvLimits = {
  workgroupMemoryBytes: 16384,
  workgroupThreads: 256,
  maxBindings: 8,
  maxBindingBytes: 128 << 20,
};

/** Cross-correlation with zero padding (kernel-1)/2 per axis. Weight (out, in, kz, ky, kx), bias (out). */
export interface WgslConvProblem {
  /** For reports: "encoder.stages.0.0.convs.0.conv". */
  readonly name: string;
  readonly batch: number;
  readonly inputGrid: Vec3;
  readonly kernel: Vec3;
  readonly stride: Vec3;
  /** Stored as its layout says, f32 or f16; arithmetic is f32. */
  readonly input: WgslOperand;
  readonly output: WgslTarget;
  readonly outputChannels: number;
  /** Slot of the packed weights and the bias, f32. */
  readonly weightSlot: string;
  /** True if the output's statistics go to `output.statisticsSlot`. */
  readonly statistics: boolean;
  /** True: added to what the output holds; absent: it is overwritten. */
  readonly accumulate?: boolean;
  /**
   * Present: the data gradient of a convolution of this kernel and stride, whose input had this grid. `input` is dL/dy, `output` dL/dv; the
   * weights' taps are flipped already.
   */
  readonly gradientGrid?: Vec3;
  readonly limits: ConvLimits;
}

/** Transposed convolution with kernel = stride and no padding. Weight (in, out, sz, sy, sx), bias (out). */
export type WgslTransposedConvProblem = Omit<WgslConvProblem, "kernel">;

/** How an operator wants its weights, rows of output channels padded to four, the bias as the last row; see pack.ts. */
export type WeightPacking =
  /** [tap][channel in memory]: `perTap` channels a tap, rows of zeros up to `rows`. */
  | { readonly kind: "direct"; readonly perTap: number; readonly rows: number }
  /** [channel in memory][tap]. */
  | { readonly kind: "transposed" }
  /** [transformed weight][channel in memory]. */
  | { readonly kind: "winograd"; readonly schemes: readonly [AxisScheme, AxisScheme, AxisScheme] };

/** A convolution as dispatches. */
export interface WgslConvOperator extends WeightedWgslOperator {
  readonly packing: WeightPacking;
  /** Size of the statistics slot, if the problem asked for statistics: f32 [batch][parts][1 + 2 * padded channels]. */
  readonly statistics?: { readonly parts: number; readonly bytes: number };
  /** The weight slot is bound in segments of so many bytes, the last one shorter; a multiple of 16. All of it where it fits a binding. */
  readonly weightSegmentBytes: number;
  /** Forecast for a nominal large GPU: right in its order, for choosing and for cutting submissions. */
  readonly seconds: number;
}

/** One way to compute a convolution; an autotuner measures several. Names are unique within a problem and stable. */
export interface ConvCandidate {
  readonly name: string;
  /** Candidates of one packing read the same packed weights; so do those of other batches. */
  readonly packing: string;
  readonly operator: WgslConvOperator;
}

/** An operand's channels in memory: every concatenated part padded to four on its own. */
export interface ChannelLayout {
  readonly padded: number;
  /** Where in memory each real channel is. */
  readonly positions: readonly number[];
}

export function channelLayout(parts: readonly number[]): ChannelLayout {
  let padded = 0;
  const positions = parts.flatMap((channels) => {
    const start = padded;
    padded += padToFour(channels);
    return Array.from({ length: channels }, (_, c) => start + c);
  });
  return { padded, positions };
}

export const productOf = (values: readonly number[]) => values.reduce((a, b) => a * b, 1);
export const ceilDiv = (a: number, b: number) => Math.ceil(a / b);

/** The grid that a convolution writes. */
export function writtenGrid({ inputGrid, kernel, stride, gradientGrid }: WgslConvProblem): Vec3 {
  return gradientGrid ?? convOutputGrid(inputGrid, kernel, stride);
}

/** Grid of what the convolution of a gradient wrote. */
export function gradientOutputGrid({ inputGrid, kernel, stride, transposed }: GradientProblem): Vec3 {
  return transposed
    ? [inputGrid[0] * stride[0], inputGrid[1] * stride[1], inputGrid[2] * stride[2]]
    : convOutputGrid(inputGrid, kernel, stride);
}

/** A statement that writes a vec4 of the output, or adds to it. */
export const storeOutput = ({ accumulate }: WgslConvProblem, at: string, value: string) =>
  `store_output(${at}, ${accumulate ? `load_output(${at}) + ${value}` : value});`;

/** Multiplications and additions of the direct form. */
export function convFlops(problem: WgslConvProblem): number {
  // A data gradient has those of its convolution, which wrote what this reads.
  const out = voxelCount(problem.gradientGrid ? problem.inputGrid : writtenGrid(problem));
  const inputs = problem.input.parts.reduce((a, b) => a + b, 0);
  return 2 * problem.batch * out * productOf(problem.kernel) * inputs * problem.outputChannels;
}

/** Bytes of input, output and weights: what a convolution must at least move. */
export function convBytes(problem: WgslConvProblem, outputGrid: Vec3, weightBytes: number): number {
  const size = { f32: 4, f16: 2 } as const;
  const { padded } = channelLayout(problem.input.parts);
  const read = problem.batch * voxelCount(problem.inputGrid) * padded * size[problem.input.layout.type];
  const written = problem.batch * voxelCount(outputGrid) * padToFour(problem.outputChannels) *
    size[problem.output.layout.type];
  return read + (problem.accumulate ? 2 : 1) * written + weightBytes;
}

/** @throws RangeError if shapes do not go together, naming the problem. */
export function checkProblem(problem: WgslConvProblem, outputGrid: Vec3): void {
  const fail = (what: string) => new RangeError(`Describing the convolution ${problem.name}: ${what}`);
  if (outputGrid.some((n) => n < 1)) {
    throw fail(`its output of ${problem.inputGrid.join(" x ")} voxels would be ${outputGrid.join(" x ")}`);
  }
  if (problem.outputChannels !== problem.output.channels) {
    throw fail(`${problem.outputChannels} channels into a target of ${problem.output.channels}`);
  }
  if (problem.statistics && problem.output.statisticsSlot === undefined) throw fail("statistics need a slot");
  if (problem.statistics && problem.accumulate) throw fail("no statistics of what is added to");
  const { padded } = channelLayout(problem.input.parts);
  const ranges = [
    ["input", problem.input, padded, problem.inputGrid],
    ["output", problem.output, padToFour(problem.outputChannels), outputGrid],
  ] as const;
  for (const [what, tensor, channels, grid] of ranges) {
    const { channelOffset: offset, channelStride: stride, layout } = tensor;
    if (offset % 4 !== 0 || stride % 4 !== 0 || offset + channels > stride) {
      throw fail(`${channels} ${what} channels from ${offset} on do not fit ${stride}`);
    }
    const length = problem.batch * voxelCount(grid) * stride / 4;
    if (layout.length < length) throw fail(`its ${what} has ${layout.length} elements of four, not ${length}`);
  }
}
