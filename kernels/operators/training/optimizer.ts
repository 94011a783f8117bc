/**
 * Optimizers as torch's. The gradients' L2 norm is taken first; where it is not finite nothing changes, the number of steps neither.
 * - SGD: g *= min(1, clip / (norm + 1e-6)); g += decay * p; v = momentum * v + g; p -= rate * (g + momentum * v), or rate * v without
 *   Nesterov.
 * - Adam (Kingma and Ba 2015), AdamW (Loshchilov and Hutter 2019) and AMSGrad (Reddi et al. 2018).
 */
import type { Cost } from "../operator.ts";

/** Parameters, their gradients and momentum, laid out alike. */
export interface ParameterSlots {
  readonly parameterSlot: string;
  readonly gradientSlot: string;
  readonly momentumSlot: string;
}

/** The same of Adam: f32 each, averages of the squared gradients, and the largest of them so far (AMSGrad; else absent). */
export interface AdamSlots extends ParameterSlots {
  readonly averagesSlot: string;
  readonly largestSlot?: string;
}

export interface AdamOptions {
  readonly betas: readonly [number, number];
  readonly eps: number;
  /** The weights decay by themselves (AdamW), not by their gradients. */
  readonly decoupled: boolean;
}

/** Of `floats` parameters: the sum of their gradients' squares, and the updates. */
export const gradientNormCost = (floats: number): Cost => ({ flops: floats * 2, bytes: floats * 4 });
export const sgdCost = (floats: number): Cost => ({ flops: floats * 8, bytes: floats * 20 });
export const adamCost = (floats: number): Cost => ({ flops: floats * 14, bytes: floats * 36 });
