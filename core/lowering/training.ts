/**
 * From a graph and its loss to the steps of a training: forward pass, losses, the counts of a validation, backward pass, optimizer.
 * Engines supply kernels, where tensors lie and what they do about weights and the optimizer; see {cpu,gpu}/training/plan.ts.
 */
import type { Vec3 } from "../base/shape.ts";
import type { TrainingOptions } from "../engine/training.ts";
import { checkTrainingOptions, membersOf } from "../engine/training_checks.ts";
import { planBackward } from "../graph/backward.ts";
import { fuseGraph, parametersRead } from "../graph/fuse.ts";
import type { Graph } from "../graph/graph.ts";
import type { OptimizerOptions } from "../graph/optimizer.ts";
import { lowerBackward } from "./backward.ts";
import { type ForwardRules, lowerForward } from "./forward.ts";
import type { EngineTypes, LoweredOperator } from "./kernels.ts";
import { lossCounts, lossGradient, type LossOutput, lossSums, lossTotals, MEMBERSHIP, sharesAlone } from "./losses.ts";
import { createLowering, touchTensor } from "./lowering.ts";
import type { Meeting } from "./meetings.ts";
import type { Step } from "./schedule.ts";
import { type Constant, COUNTS, LABELS, RESULTS, type Training, type TrainingStart } from "./training_context.ts";
import { trainedNorms } from "./training_norms.ts";

/** What engines do each in its own way; see {@link ForwardRules}. */
export interface TrainingRules<E extends EngineTypes> extends Pick<ForwardRules<E>, "weightSlot" | "placeWeights"> {
  readonly labelBytes: number;
  /** Bytes of a number of the results. */
  readonly resultBytes: number;
  /** Adds the last steps: the gradients' norm, result number `outputs` of the network, and what the optimizer does in them. */
  addOptimizer(): void;
}

/** Logits of an output with a loss, f32. */
export interface PlannedOutput {
  readonly slot: string;
  readonly channels: number;
  readonly grid: Vec3;
}

/** Its steps are those of the forward pass and the losses, the counts of a validation, the backward pass and the optimizer. */
export interface LoweredTraining<O extends LoweredOperator> {
  readonly steps: readonly Step<O>[];
  readonly forwardSteps: number;
  readonly only: ReadonlyMap<number, "training" | "validation">;
  readonly optimizer?: OptimizerOptions;
  readonly constants: ReadonlyMap<string, Constant>;
  readonly inputChannels: number;
  /** How many numbers the results are. */
  readonly resultCount: number;
  /** f32 parts [...][3][padded channels]: true positives, false positives, false negatives. */
  readonly countBytes: number;
  /** By graph output; undefined where the loss has weight 0. */
  readonly outputs: readonly (PlannedOutput | undefined)[];
  /** Of a share of a batch. */
  readonly shared?: SharedSteps;
}

/** Where the steps of a share of a batch wait for the others. */
export interface SharedSteps {
  readonly meetings: readonly Meeting[];
  /** True: a share's losses are those of its samples alone; their sum is the batch's. */
  readonly ownLosses: boolean;
  /** The first step of the optimizer, before which the gradients of all shares are added up. */
  readonly updateAt: number;
}

/**
 * An empty list of steps for a training. @param tables what an engine's norm tables cover
 * @throws RangeError if options do not fit; UserError naming a node kind or option that cannot be trained
 */
export function startTraining<E extends EngineTypes>(
  graph: Graph,
  options: TrainingOptions,
  tables: "view" | "group",
): TrainingStart<E> {
  checkTrainingOptions(graph, options);
  const network = fuseGraph(graph, options.patch, computedOutputs(graph, options), true);
  return {
    ...createLowering<E>(network, options.batch, tables),
    graph,
    options,
    pass: planBackward(network),
    trained: parametersRead(network.steps),
    only: new Map(),
    constants: new Map(),
    meetings: [],
  };
}

const computedOutputs = ({ outputs }: Graph, { outputWeights }: TrainingOptions) =>
  outputs.filter((_, i) => outputWeights[i] !== 0);

/** Adds all steps of a training. @throws RangeError where an operator cannot be made */
export function lowerTraining<E extends EngineTypes>(
  training: Training<E>,
  rules: TrainingRules<E>,
): LoweredTraining<E["operator"]> {
  const { network, schedule: { touch, steps }, constants, options } = training;
  touch(LABELS, rules.labelBytes);
  const resultCount = network.outputs.length + 1;
  touch(RESULTS, resultCount * rules.resultBytes);
  const { weightSlot, placeWeights } = rules;
  lowerForward(training, { weightSlot, placeWeights, ...trainedNorms(training) });
  const { channels } = network.tensors[network.output];
  constants.set(MEMBERSHIP, training.kernels.membershipTable(membersOf(options.loss, channels), channels));
  const weights = options.outputWeights.filter((weight) => weight !== 0);
  const losses = network.outputs.map((tensor, index): LossOutput => ({ tensor, index, weight: weights[index] }));
  for (const output of losses) lossSums(training, output);
  lossTotals(training, losses);
  const forwardSteps = steps.length;
  // The counts of a validation follow the forward pass; a training step leaves them out.
  const countBytes = lossCounts(training, losses[0]);
  for (const output of losses) lossGradient(training, output);
  for (const step of training.pass.steps) lowerBackward(training, step);
  const updateAt = steps.length;
  rules.addOptimizer();
  // A batch can be used again, and what a step gives is read after it.
  for (const tensor of [0, ...network.outputs]) touchTensor(training, tensor);
  for (const slot of [LABELS, RESULTS, COUNTS]) touch(slot);
  return {
    steps,
    forwardSteps,
    only: training.only,
    ...(options.optimizer && { optimizer: options.optimizer }),
    constants,
    inputChannels: network.tensors[0].channels,
    resultCount,
    countBytes,
    outputs: plannedOutputs(training),
    ...(options.share && {
      shared: { meetings: training.meetings, ownLosses: sharesAlone(options.loss), updateAt },
    }),
  };
}

function plannedOutputs<E extends EngineTypes>(
  { graph, options, network, storage }: Training<E>,
): (PlannedOutput | undefined)[] {
  const computed = computedOutputs(graph, options);
  return graph.outputs.map((value) => {
    const tensor = network.outputs[computed.indexOf(value)];
    if (tensor === undefined) return undefined;
    const { channels, grid } = network.tensors[tensor];
    return { slot: storage.at(tensor, "tensor").slot, channels, grid };
  });
}

/** What a training step or a validation runs of `items`, one for each of all steps. */
export function itemsOf<T>(
  { forwardSteps, only }: Pick<LoweredTraining<LoweredOperator>, "forwardSteps" | "only">,
  items: readonly T[],
  runs: "training" | "validation",
): T[] {
  return items.filter((_, i) => {
    if (i < forwardSteps) return (only.get(i) ?? runs) === runs;
    return runs === "training" ? i > forwardSteps : i === forwardSteps;
  });
}
