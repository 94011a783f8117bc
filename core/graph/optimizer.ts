/**
 * Optimizers as data: what each is told, what it keeps of every parameter, and how torch's checkpoints have that. A new one is a kind of
 * {@link OptimizerOptions} with its description; how it steps is in kernels/operators/training/optimizer.ts.
 */

/** Adam and AdamW as torch's. */
export interface AdamOptions {
  readonly kind: "adam";
  /** Shares of the old in the averages of gradients and squared gradients. */
  readonly betas: readonly [number, number];
  readonly eps: number;
  /** AdamW: the weights decay by themselves, p -= lr * weightDecay * p, and not by their gradients. */
  readonly decoupled: boolean;
  /** Divides by the root of the largest average of squares so far. */
  readonly amsgrad: boolean;
}

/** Where there are none the optimizer is SGD, whose numbers come with each step. */
export type OptimizerOptions = AdamOptions;

/** What optimizers keep: SGD's momentum or the average of gradients, averages of their squares, the largest of those. */
export type KeptKind = "momentum" | "averages" | "largest";

/** Something that is kept of every parameter with a gradient, as large as it; zero before the first step. */
export interface KeptTensor {
  readonly kind: KeptKind;
  /** In a state_dict of torch. */
  readonly torchName: string;
}

/** As Python has it: a number is a float, a bigint an int, a list a tuple of floats. */
export type GroupValue = number | bigint | boolean | null | readonly number[];

export interface OptimizerDescription {
  /** "Adam with amsgrad". */
  readonly name: string;
  readonly kept: readonly KeptTensor[];
  /** True: the steps so far matter to the next one. */
  readonly countsSteps: boolean;
  /** What torch's param_groups say between `lr` and `initial_lr`. */
  group(sgd: { readonly momentum: number; readonly weightDecay: number; readonly nesterov: boolean }): Readonly<
    Record<string, GroupValue>
  >;
}

const MOMENTUM_BUFFER: KeptTensor = { kind: "momentum", torchName: "momentum_buffer" };

/** torch/optim/{sgd,adam,adamw}.py. */
export function describeOptimizer(options: OptimizerOptions | undefined): OptimizerDescription {
  switch (options?.kind) {
    case undefined:
      return {
        name: "SGD with momentum",
        kept: [MOMENTUM_BUFFER],
        countsSteps: false,
        group: ({ momentum, weightDecay, nesterov }) => ({
          momentum,
          dampening: 0n,
          weight_decay: weightDecay,
          nesterov,
          maximize: false,
          foreach: null,
          differentiable: false,
          fused: null,
        }),
      };
    case "adam":
      return {
        name: `Adam ${options.amsgrad ? "with" : "without"} amsgrad`,
        kept: [
          { kind: "momentum", torchName: "exp_avg" },
          { kind: "averages", torchName: "exp_avg_sq" },
          ...(options.amsgrad ? [{ kind: "largest", torchName: "max_exp_avg_sq" } as const] : []),
        ],
        countsSteps: true,
        group: ({ weightDecay }) => ({
          betas: options.betas,
          eps: options.eps,
          weight_decay: weightDecay,
          amsgrad: options.amsgrad,
          maximize: false,
          foreach: null,
          capturable: false,
          differentiable: false,
          fused: null,
          decoupled_weight_decay: options.decoupled,
        }),
      };
  }
}
