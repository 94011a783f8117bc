/** What was measured about convolutions and their gradients on a device, as data: which way is the fastest for a shape. */
import type { MeasuredProblem, WantedCandidate } from "../kernels/wgsl/conv/plan_conv.ts";
import type { SlotLayout, WgslTarget } from "../kernels/wgsl/kernel.ts";

/** Names of the fastest candidates by {@link problemKey}. */
export type Tuning = ReadonlyMap<string, string>;

/**
 * All that decides how fast a convolution's candidates are, as text: grids, channels, how tensors are stored and cut. Equal for layers of
 * equal shape: "conv 3x3x3/2x2x2 batch 1 of 64x64x64 32@0/64 f32 normed -> 64@0/64 f32 statistics". A data gradient that is a convolution
 * like any other has the key of one; "data gradient 3x3x3/2x2x2 batch 2 of 32x32x32 64@0/64 f32 -> 32@0/64 f32 of 64x64x64" is none.
 * "weight gradient 3x3x3/1x1x1 batch 2 of 64x64x64 32@0/64 f32 normed with 64@0/64 f32".
 */
export function problemKey(problem: MeasuredProblem): string {
  const { batch, inputGrid, stride, input, limits } = problem;
  const tensor = (channels: string, { layout, channelOffset, channelStride }: Omit<WgslTarget, "channels">) => {
    const { type, segments }: SlotLayout = layout;
    const cut = segments > 1 ? ` in ${segments}, ${limits.maxBindingBytes} each` : "";
    return `${channels}@${channelOffset}/${channelStride} ${type}${cut}`;
  };
  const from = `batch ${batch} of ${inputGrid.join("x")} ${tensor(input.parts.join("+"), input)}` +
    (input.normSlot === undefined ? "" : " normed");
  if ("weightGradientSlot" in problem) {
    const { kernel, transposed, outputGradient } = problem;
    return `${transposed ? "transposed " : ""}weight gradient ${kernel.join("x")}/${stride.join("x")} ${from} with ` +
      tensor(String(outputGradient.channels), outputGradient);
  }
  const { output, outputChannels, statistics } = problem;
  const to = `${tensor(String(outputChannels), output)}${statistics ? " statistics" : ""}`;
  if (!("kernel" in problem)) return `transposed ${stride.join("x")} ${from} -> ${to}`;
  const { kernel, gradientGrid } = problem;
  const shape = `${kernel.join("x")}/${stride.join("x")}`;
  return gradientGrid
    ? `data gradient ${shape} ${from} -> ${to} of ${gradientGrid.join("x")}`
    : `conv ${shape} ${from} -> ${to}`;
}

/** How planners ask a tuning. */
export function wantedOf(tuning: Tuning): WantedCandidate {
  return (problem) => tuning.get(problemKey(problem));
}
