/** A training being lowered: what all its parts are made from, and the names of what they share. */
import type { TrainingOptions } from "../engine/training.ts";
import type { BackwardPass } from "../graph/backward.ts";
import type { TensorId } from "../graph/fuse.ts";
import type { Graph } from "../graph/graph.ts";
import type { EngineTypes, TensorRange, TrainingKernels } from "./kernels.ts";
import { type Lowering, type LoweringStart, rangeOf } from "./lowering.ts";
import type { Meeting } from "./meetings.ts";

/** What never changes. */
export type Constant = Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>;

/** What belongs to a training besides the forward pass. */
interface TrainingParts {
  readonly graph: Graph;
  readonly options: TrainingOptions;
  readonly pass: BackwardPass;
  /** Names of the parameters that get a gradient. */
  readonly trained: ReadonlySet<string>;
  /** Steps of the forward pass that only one of both runs: batch norm is another thing to each. */
  readonly only: Map<number, "training" | "validation">;
  readonly constants: Map<string, Constant>;
  /** Of a share of a batch, in the order of their steps. */
  readonly meetings: Meeting[];
}

/** A training being lowered. */
export interface Training<E extends EngineTypes> extends Lowering<E>, TrainingParts {
  readonly kernels: TrainingKernels<E>;
}

/** What an engine starts from: see {@link startTraining}. */
export type TrainingStart<E extends EngineTypes> = LoweringStart<E> & TrainingParts;

/** i16 (batch, z, y, x). */
export const LABELS = "labels";
/** The weighted loss of every computed output, then the sum of the gradients' squares. */
export const RESULTS = "results";
export const COUNTS = "counts";
/** Slots of a parameter and of its gradient. */
export const parameterSlot = (name: string): string => `parameter:${name}`;
export const gradientSlot = (name: string): string => `gradient:${name}`;

/** A tensor's gradient, used by the next step; where two tensors share one, it lies where the other's does. */
export function gradientRange<E extends EngineTypes>(training: Training<E>, tensor: TensorId): TensorRange<E> {
  const shared = training.pass.sharedGradients.get(tensor);
  return shared === undefined ? rangeOf(training, tensor, "tensorGradient") : gradientRange(training, shared);
}
