/**
 * The backward pass of a fused network as steps over tensors, no engine involved. Every stored tensor has one gradient. It first is the
 * sum of what the tensor's readers contribute, with respect to the tensor as they see it (v = norm and slope applied); a "view" step then
 * turns it, in place, into the gradient of what is stored, from which the step that wrote the tensor goes on to its own inputs.
 */
import { UserError } from "../base/errors.ts";
import type { FusedNetwork, FusedStep, TensorId, View, ViewPart } from "./fuse.ts";

export type ConvStep = FusedStep & { readonly kind: "conv" | "transposedConv" };
export type AddStep = FusedStep & { readonly kind: "add" };
/** Steps of one input and without weights. */
export type UnaryStep = Exclude<FusedStep, ConvStep | AddStep>;

/** `accumulate`: added to the gradient that is there already; otherwise it is overwritten. */
export type BackwardStep =
  /** The gradient of `part.tensor`: from what readers see to what is stored, in place; and those of the norm's weight and bias. */
  | { readonly kind: "view"; readonly part: ViewPart }
  /** Gradients of weight and bias; without `bias` that of the bias is zero (a norm takes every constant out again). */
  | { readonly kind: "weight"; readonly conv: ConvStep; readonly bias: boolean }
  | { readonly kind: "data"; readonly conv: ConvStep; readonly accumulate: boolean }
  /** From a copy to its input, or from a sum to one of its inputs, through its slope. */
  | {
    readonly kind: "copy" | "add";
    readonly output: TensorId;
    readonly input: TensorId;
    readonly slope: number;
    readonly accumulate: boolean;
  }
  | { readonly kind: "unary"; readonly step: UnaryStep; readonly accumulate: boolean };

export interface BackwardPass {
  readonly steps: readonly BackwardStep[];
  /** Tensors whose gradient lies where another's does, which is not needed any more: that of a residual sum. */
  readonly sharedGradients: ReadonlyMap<TensorId, TensorId>;
}

/**
 * Plans the backward pass of a network whose outputs all have a loss, which has left their gradients.
 * @throws UserError naming what cannot be trained.
 */
export function planBackward(network: FusedNetwork): BackwardPass {
  const { tensors, groups } = network;
  const views = readersViews(network);
  const trained = dependsOnParameters(network);
  const written = new Set<TensorId>(network.outputs);
  const sharedGradients = new Map<TensorId, TensorId>();
  const steps: BackwardStep[] = [];

  /** Notes a contribution to a view's gradients: undefined where none is needed, else whether there were others before. */
  function contribute(view: View): { readonly accumulate: boolean } | undefined {
    if (!view.some(({ tensor }) => trained.has(tensor))) return undefined;
    const known = view.filter(({ tensor }) => written.has(tensor)).length;
    if (known !== 0 && known !== view.length) {
      throw untrainable("a concatenation of which only a part has other readers behind it");
    }
    for (const { tensor } of view) written.add(tensor);
    return { accumulate: known > 0 };
  }

  function backwardOfConv(conv: ConvStep, normed: boolean): void {
    if (conv.weight === undefined) {
      if (conv.input.length !== 1) throw untrainable("a copy of a concatenation");
      const contribution = contribute(conv.input);
      if (contribution) {
        steps.push({ kind: "copy", output: conv.output, input: conv.input[0].tensor, slope: 1, ...contribution });
      }
      return;
    }
    // The data gradient comes last: it may take the memory of what the weight gradient still reads.
    steps.push({ kind: "weight", conv, bias: conv.bias !== undefined && !normed });
    const contribution = contribute(conv.input);
    if (contribution) steps.push({ kind: "data", conv, ...contribution });
  }

  function backwardOfAdd(add: AddStep): void {
    const isFree = ([{ tensor }]: View) =>
      trained.has(tensor) && !written.has(tensor) && groups[tensors[tensor].group].members.length === 1;
    // The input that takes over the sum's gradient comes last: the other one still reads it.
    const last = isFree(add.inputs[0]) ? 0 : isFree(add.inputs[1]) ? 1 : undefined;
    const { output, slope } = add;
    for (const input of last === 0 ? [1, 0] as const : [0, 1] as const) {
      const [{ tensor }] = add.inputs[input];
      const contribution = contribute(add.inputs[input]);
      if (!contribution) continue;
      const shares = input === last && !contribution.accumulate;
      if (shares) sharedGradients.set(tensor, output);
      if (!shares || slope !== 1) steps.push({ kind: "add", output, input: tensor, slope, ...contribution });
    }
  }

  for (const step of network.steps.toReversed()) {
    if (!trained.has(step.output) || !written.has(step.output)) continue;
    const part = views.get(step.output);
    if (part && (part.norm || part.slope !== 1)) steps.push({ kind: "view", part });
    switch (step.kind) {
      case "conv":
      case "transposedConv":
        backwardOfConv(step, part?.norm !== undefined);
        break;
      case "add":
        backwardOfAdd(step);
        break;
      default: {
        const contribution = contribute(step.input);
        if (contribution) steps.push({ kind: "unary", step, ...contribution });
      }
    }
  }
  return { steps, sharedGradients };
}

/** How every tensor is seen by its readers, who must all see it alike. */
function readersViews({ steps }: FusedNetwork): Map<TensorId, ViewPart> {
  const views = new Map<TensorId, ViewPart>();
  for (const part of steps.flatMap((step): View => (step.kind === "add" ? step.inputs.flat() : step.input))) {
    const known = views.get(part.tensor);
    if (known && (known.norm !== part.norm || known.slope !== part.slope)) {
      throw untrainable("a value that is read both with and without its norm or activation");
    }
    views.set(part.tensor, part);
  }
  return views;
}

/** Tensors that parameters lead to, or that are read through a norm with parameters: only they need gradients. */
function dependsOnParameters({ steps }: FusedNetwork): Set<TensorId> {
  const trained = new Set<TensorId>();
  for (const step of steps) {
    const inputs: View = step.kind === "add" ? step.inputs.flat() : step.input;
    for (const { tensor, norm } of inputs) if (norm?.weight !== undefined) trained.add(tensor);
    const weighted = "weight" in step && step.weight !== undefined;
    if (weighted || inputs.some(({ tensor }) => trained.has(tensor))) trained.add(step.output);
  }
  return trained;
}

function untrainable(what: string): UserError {
  return new UserError({
    doing: "planning the training of the network",
    problem: `the network has ${what}, which cannot be trained`,
  });
}
