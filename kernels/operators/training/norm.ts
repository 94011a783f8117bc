/**
 * Backward of instance norm and leaky ReLU. Readers saw v = max(y, y * slope), y = x * scale + shift, of the stored x; given dL/dv, this
 * leaves dL/dx in its place. With d = dL/dy, n = (x - mean) / deviation and means over the voxels of a sample and channel:
 * dL/dx = scale * (d - mean(d) - n * mean(d * n)); the norm's weight gets the sum of d * n, its bias that of d.
 */
import { padToFour } from "../../../core/base/shape.ts";
import type { Cost } from "../operator.ts";
import type { TensorRange } from "../tensor.ts";

export interface NormBackwardOf<Tensor> {
  readonly batch: number;
  readonly voxels: number;
  /** The raw tensor that was normalised. */
  readonly stored: Tensor;
  /** dL/dv, which becomes dL/dx. */
  readonly gradient: Tensor;
  /** Scales, shifts, slopes as the readers had them: f32 [batch][3][totalChannels], this tensor's from `channelOffset` on. */
  readonly normSlot: string;
  readonly channelOffset: number;
  readonly totalChannels: number;
  /** The same kind of table, [batch][3][padded channels], without weight and bias: n = x * scale + shift. */
  readonly unitNormSlot: string;
  /** f32 [padded channels] each, overwritten. */
  readonly weightGradientSlot?: string;
  readonly biasGradientSlot?: string;
}

/** `bytes`: of a number of the tensor and of the gradient. */
export function normBackwardCost(
  { batch, voxels, gradient }: NormBackwardOf<TensorRange>,
  bytes: { readonly stored: number; readonly gradient: number },
): Cost {
  const elements = batch * voxels * padToFour(gradient.channels);
  return { flops: elements * 12, bytes: elements * (2 * bytes.stored + 3 * bytes.gradient) };
}
