/**
 * The training half of the port: one program holds a network's parameters, their momentum and everything a step needs.
 * cpu/ and gpu/ implement it; core/train only sees this file. Calls are enqueued in order, as in engine.ts: a step's promise settles
 * when its numbers are on the host, and the next batch may be set and the next step enqueued before that.
 * The same parameters, batches and options give the same bits, whatever the number of threads.
 */
import type { Vec3 } from "../base/shape.ts";
import type { BatchShare } from "../graph/batch_share.ts";
import type { Graph } from "../graph/graph.ts";
import type { LossTerms } from "../graph/loss.ts";
import type { KeptKind, OptimizerOptions } from "../graph/optimizer.ts";
import type { Precision, StepCost, WeightSource } from "./engine.ts";

/**
 * What the loss of an output means. Targets are label maps; a region target is derived from the label map by the table given here.
 * Source: nnunetv2 2.5.1, training/loss/{compound_losses,dice,robust_ce_loss}.py.
 */
export interface LossOptions extends LossTerms {
  /**
   * "labels": label value = output channel; softmax, Dice over channels 1.. and cross-entropy.
   * "regions": channel c is true where the label is one of `regions[c]`; sigmoid, Dice over all channels and binary cross-entropy.
   */
  readonly target: { readonly kind: "labels" } | {
    readonly kind: "regions";
    readonly regions: readonly (readonly number[])[];
  };
  /** Label value of voxels that count nowhere. */
  readonly ignoreLabel?: number;
  /** True: the Dice sums of a class run over the whole batch. */
  readonly batchDice: boolean;
}

export interface TrainingOptions {
  /** Grid of the network input. */
  readonly patch: Vec3;
  readonly batch: number;
  readonly precision: Precision;
  readonly loss: LossOptions;
  /**
   * Weight of the loss of each graph output, highest resolution first. An output of weight 0 is not computed; parameters that only
   * lead to such outputs get no gradient, no momentum and no weight decay: they keep their values.
   */
  readonly outputWeights: readonly number[];
  /** The optimizer; absent: SGD. */
  readonly optimizer?: OptimizerOptions;
  /**
   * The samples are a share of a batch that several engines compute together: losses, gradients and norms are those of the whole batch,
   * and steps are given a {@link ShareExchange}. Absent: they are the whole batch.
   */
  readonly share?: BatchShare;
}

/** What a share of a batch exchanges with the others in a step. */
export interface ShareNeeds {
  /** The most numbers of a sample that shares tell each other at once. */
  readonly rowFloats: number;
  /** Gradients, in the order in which they are done. */
  readonly bucketFloats: readonly number[];
}

export interface SummedGradients {
  /** In shared memory, as they are until the next {@link ShareExchange.gather}. */
  readonly values: Float32Array;
  /** The sum of their squares. */
  readonly squares: number;
}

/** How the engines of a batch's shares hear of each other; all of them call the same in the same order. */
export interface ShareExchange {
  /** [samples of the whole batch][floats], of which `own` are this share's, at most `rowFloats` each. @throws if another share has failed, as `sum` */
  gather(own: Float32Array): Promise<Float32Array<ArrayBuffer>>;
  /** Where this share's gradients of a bucket go, in shared memory. */
  place(bucket: number): Float32Array;
  /** Those of all shares, added up in a fixed order. */
  sum(bucket: number): Promise<SummedGradients>;
}

/** Bytes that training needs, known before anything is allocated. */
export interface TrainingMemory {
  /** Parameters, gradients and what the optimizer keeps. */
  readonly parameters: number;
  /** Tensors kept for the backward pass and gradients of tensors. */
  readonly activations: number;
  readonly scratch: number;
}

/** A parameter of the network: torch's name and shape (see core/graph/weight_shapes.ts). */
export interface TrainedParameter {
  readonly name: string;
  readonly shape: readonly number[];
  /** False: no output with a loss depends on it. */
  readonly hasGradient: boolean;
}

export interface TrainingProgram extends Disposable {
  readonly graph: Graph;
  readonly patch: Vec3;
  readonly batch: number;
  readonly memory: TrainingMemory;
  readonly steps: readonly StepCost[];
  /** In the order of the graph's nodes. */
  readonly parameters: readonly TrainedParameter[];
  /** Of a share of a batch. */
  readonly shared?: ShareNeeds;
}

/**
 * What a step is given; Adam takes neither momentum nor nesterov of it. SGD as torch's: g += weightDecay * p; v = g on a parameter's first
 * step, else momentum * v + g; p -= lr * (g + momentum * v) with Nesterov.
 */
export interface SgdOptions {
  readonly learningRate: number;
  readonly momentum: number;
  readonly weightDecay: number;
  readonly nesterov: boolean;
  /** Gradients are scaled by min(1, clipNorm / (norm + 1e-6)) first, norm being the L2 norm of all of them together. */
  readonly clipNorm: number;
  /** Factor on the loss before the backward pass, taken out of the gradients again before clipping: 1 in f32, GradScaler's scale in f16. */
  readonly lossScale: number;
  /**
   * True: the result may come with that of the next step that is not so, or a second later. Each result that is waited for holds up a GPU
   * for 10 ms; several that come together do so once.
   */
  readonly later?: boolean;
}

export interface TrainStepResult {
  /** Weighted sum over the outputs, without the loss scale. */
  readonly loss: number;
  /** L2 norm of all gradients before clipping, without the loss scale. */
  readonly gradientNorm: number;
  /** True where a gradient was not finite: parameters and momentum are as before the step. */
  readonly skipped: boolean;
}

export interface ValidationStepResult {
  readonly loss: number;
  /** Voxels by output channel at the highest resolution, over the batch, ignored voxels left out; argmax, or logit > 0 with regions. */
  readonly truePositives: Float64Array;
  readonly falsePositives: Float64Array;
  readonly falseNegatives: Float64Array;
}

/** Values by torch's name, in torch's layouts, f32. */
export type ParameterValues = ReadonlyMap<string, Float32Array>;

/** What an optimizer keeps of the parameters that have had a step; of the others there is nothing. */
export interface OptimizerState {
  readonly kept: Readonly<Partial<Record<KeptKind, ParameterValues>>>;
  /** Steps so far, which are those of all parameters that have had one; of an optimizer that counts them. */
  readonly steps?: number;
}

/** An engine that can train. */
export interface TrainingEngine {
  readonly kind: "cpu" | "gpu";
  /** One line for the user: "CPU, 2 threads, WebAssembly SIMD". */
  readonly description: string;
  /** Pure, allocates nothing. @throws UserError naming a node kind or option that cannot be trained. */
  forecastTraining(
    graph: Graph,
    options: TrainingOptions,
  ): { readonly memory: TrainingMemory; readonly steps: readonly StepCost[]; readonly shared?: ShareNeeds };
  /** @throws UserError if there is not enough memory. */
  compileTraining(graph: Graph, options: TrainingOptions): Promise<TrainingProgram>;
  /** Sets all parameters, and the optimizer's state of those that are in it; the next step of the others is their first. */
  setParameters(program: TrainingProgram, values: WeightSource, state?: OptimizerState): Promise<void>;
  /** All parameters, and the optimizer's state. */
  readParameters(program: TrainingProgram): Promise<{ readonly values: ParameterValues } & OptimizerState>;
  /** One sample of the next batch: image (channels, z, y, x) and full-resolution label map (z, y, x). Both may be reused at once. */
  setSample(program: TrainingProgram, sample: number, image: Float32Array, labels: Int16Array): void;
  /** Forward, loss, backward, clipping and the optimizer's step on the batch that was set. */
  trainStep(program: TrainingProgram, options: SgdOptions, exchange?: ShareExchange): Promise<TrainStepResult>;
  /** Forward and loss on the batch that was set, changing nothing. A share's counts are its own, its loss is the whole batch's. */
  validationStep(program: TrainingProgram, exchange?: ShareExchange): Promise<ValidationStepResult>;
  /** Gradients of the last step before clipping, without the loss scale; of parameters that have one. For tests and tools. */
  readGradients(program: TrainingProgram): Promise<Map<string, Float32Array>>;
  /** Logits of one output of one sample after the last step, (channels, z, y, x). For tests and tools. */
  readLogits(program: TrainingProgram, output: number, sample: number): Promise<Float32Array>;
}
