/** What a convolution on a GPU is to its planner: shapes, slots and the device's limits, nothing about how it is computed. */
import { padToFour, type Vec3, voxelCount } from "../../../core/base/shape.ts";
import { convOutputGrid, type ConvProblemOf } from "../../operators/conv/problem.ts";
import { channelLayout, type OutputStatistics } from "../../operators/tensor.ts";
import type { SchemeTriple } from "../../operators/conv/scheme.ts";
import {
  SCALAR_BYTES,
  type WeightedWgslOperator,
  type WgslDispatch,
  type WgslOperand,
  type WgslTarget,
} from "../kernel.ts";

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
  /** True for a kernel that the device's driver would not compile: it is computed another way. */
  readonly refuses?: (kernel: WgslDispatch) => boolean;
  /** True for a way, an operator's algorithm, that the device computes wrong by. */
  readonly avoids?: (algorithm: string) => boolean;
}

/** The least that WebGPU promises. */
export const BASE_LIMITS: ConvLimits = {
  workgroupMemoryBytes: 16384,
  workgroupThreads: 256,
  maxBindings: 8,
  maxBindingBytes: 128 << 20,
};

/** Tensors are stored as their layouts say, f32 or f16; arithmetic is f32. */
export interface WgslConvProblem extends ConvProblemOf<WgslOperand, WgslTarget> {
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
  | { readonly kind: "winograd"; readonly schemes: SchemeTriple };

/** A convolution as dispatches. */
export interface WgslConvOperator extends WeightedWgslOperator {
  readonly packing: WeightPacking;
  /** Size of the statistics slot, if the problem asked for statistics: f32 [batch][parts][1 + 2 * padded channels]. */
  readonly statistics?: OutputStatistics;
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

/** The grid that a convolution writes. */
export function writtenGrid({ inputGrid, kernel, stride, gradientGrid }: WgslConvProblem): Vec3 {
  return gradientGrid ?? convOutputGrid(inputGrid, kernel, stride);
}

/** A statement that writes a vec4 of the output, or adds to it. */
export const storeOutput = ({ accumulate }: WgslConvProblem, at: string, value: string) =>
  `store_output(${at}, ${accumulate ? `load_output(${at}) + ${value}` : value});`;

/** Bytes of input, output and weights: what a convolution must at least move. */
export function convBytes(problem: WgslConvProblem, outputGrid: Vec3, weightBytes: number): number {
  const { padded } = channelLayout(problem.input.parts);
  const read = problem.batch * voxelCount(problem.inputGrid) * padded * SCALAR_BYTES[problem.input.layout.type];
  const written = problem.batch * voxelCount(outputGrid) * padToFour(problem.outputChannels) *
    SCALAR_BYTES[problem.output.layout.type];
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
