/**
 * Optimizers as torch's. The gradients' L2 norm is taken first; where it is not finite nothing changes, the number of steps neither.
 * - SGD: g *= min(1, clip / (norm + 1e-6)); g += decay * p; v = momentum * v + g; p -= rate * (g + momentum * v), or rate * v without
 *   Nesterov.
 * - Adam (Kingma and Ba 2015), AdamW (Loshchilov and Hutter 2019) and AMSGrad (Reddi et al. 2018).
 */
import type { AdamOptions } from "../../../core/graph/optimizer.ts";
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

/** Of `floats` parameters: the sum of their gradients' squares, and the updates. */
export const gradientNormCost = (floats: number): Cost => ({ flops: floats * 2, bytes: floats * 4 });
export const sgdCost = (floats: number): Cost => ({ flops: floats * 8, bytes: floats * 20 });
export const adamCost = (floats: number): Cost => ({ flops: floats * 14, bytes: floats * 36 });

/** What every optimizer is told. */
export interface StepOptions {
  readonly learningRate: number;
  readonly weightDecay: number;
  readonly clipNorm: number;
  /** The sum of all gradients' squares. */
  readonly squares: number;
}

const clipOf = ({ clipNorm, squares }: StepOptions) => Math.min(1, clipNorm / (Math.sqrt(squares) + 1e-6));

/** A parameter and its momentum after SGD's step (torch/optim/sgd.py). */
export function sgdReference(
  [parameter, gradient, momentum]: readonly [number, number, number],
  options: StepOptions & { readonly momentum: number; readonly nesterov: boolean },
) {
  const step = gradient * clipOf(options) + options.weightDecay * parameter;
  const velocity = options.momentum * momentum + step;
  const taken = options.nesterov ? step + options.momentum * velocity : velocity;
  return { parameter: parameter - options.learningRate * taken, momentum: velocity };
}

/** What Adam keeps of a parameter. */
export interface AdamKept {
  readonly parameter: number;
  readonly momentum: number;
  readonly average: number;
  readonly largest: number;
}

/** The same after the step that follows `steps` others (torch/optim/adam.py, _single_tensor_adam). */
export function adamReference(
  { parameter, momentum, average, largest }: AdamKept,
  gradient: number,
  options: StepOptions & Omit<AdamOptions, "kind"> & { readonly steps: number },
): AdamKept {
  const { learningRate, weightDecay, betas: [beta1, beta2], decoupled, amsgrad, eps } = options;
  const g = gradient * clipOf(options) + (decoupled ? 0 : weightDecay * parameter);
  const [m, v] = [momentum + (g - momentum) * (1 - beta1), average * beta2 + (1 - beta2) * g ** 2];
  const most = amsgrad ? Math.max(largest, v) : v;
  const count = options.steps + 1;
  const denominator = Math.sqrt(most) / Math.sqrt(1 - beta2 ** count) + eps;
  const decayed = decoupled ? parameter * (1 - learningRate * weightDecay) : parameter;
  const moved = decayed - learningRate / (1 - beta1 ** count) * m / denominator;
  return { parameter: moved, momentum: m, average: v, largest: amsgrad ? most : largest };
}
