/** What was measured about convolutions on a device, as data: which way is the fastest for a shape. */
import type { WantedCandidate, WgslConvProblem, WgslTransposedConvProblem } from "../kernels/wgsl/conv/plan_conv.ts";
import type { SlotLayout } from "../kernels/wgsl/kernel.ts";

/** Names of the fastest candidates by {@link problemKey}. */
export type Tuning = ReadonlyMap<string, string>;

/**
 * All that decides how fast a convolution's candidates are, as text: grids, channels, how tensors are stored and cut. Equal for layers of
 * equal shape: "conv 3x3x3/2x2x2 batch 1 of 64x64x64 32@0/64 f32 normed -> 64@0/64 f32 statistics".
 */
export function problemKey(problem: WgslConvProblem | WgslTransposedConvProblem): string {
  const { batch, inputGrid, stride, input, output, outputChannels, statistics, limits } = problem;
  const kind = "kernel" in problem ? `conv ${problem.kernel.join("x")}/` : "transposed ";
  const tensor = (channels: string, offset: number, width: number, { type, segments }: SlotLayout) =>
    `${channels}@${offset}/${width} ${type}${segments > 1 ? ` in ${segments}, ${limits.maxBindingBytes} each` : ""}`;
  const from = tensor(input.parts.join("+"), input.channelOffset, input.channelStride, input.layout);
  const to = tensor(String(outputChannels), output.channelOffset, output.channelStride, output.layout);
  return `${kind}${stride.join("x")} batch ${batch} of ${inputGrid.join("x")} ${from}` +
    `${input.normSlot === undefined ? "" : " normed"} -> ${to}${statistics ? " statistics" : ""}`;
}

/** How planners ask a tuning. */
export function wantedOf(tuning: Tuning): WantedCandidate {
  return (problem) => tuning.get(problemKey(problem));
}
