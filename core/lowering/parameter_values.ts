/** What a training keeps of every parameter, and how values from outside get there. */
import type { WeightSource } from "../engine/engine.ts";
import type { OptimizerState, TrainedParameter } from "../engine/training.ts";
import { describeOptimizer, type KeptKind, type OptimizerOptions } from "../graph/optimizer.ts";

/** Kinds of values, the optimizer's after the first two. */
export type ValueKind = "parameters" | "gradients" | KeptKind;

/** What can be given from outside. */
export type GivenKind = "parameters" | KeptKind;

/** The kinds of values of parameters with a gradient, in the order in which they lie. */
export function valueKinds(optimizer: OptimizerOptions | undefined): readonly ValueKind[] {
  return ["parameters", "gradients", ...describeOptimizer(optimizer).kept.map(({ kind }) => kind)];
}

/** A parameter that has its place in an engine's memory. */
export interface PlacedParameter extends TrainedParameter {
  /** First float, in its chunk where there are several. */
  readonly offset: number;
  readonly length: number;
}

/** Where parameters go, and what is kept of them. */
export interface ParameterTarget<P extends PlacedParameter> {
  readonly parameters: readonly P[];
  readonly optimizer?: OptimizerOptions;
  put(kind: GivenKind, parameter: P, values: Float32Array): void;
}

/**
 * Puts all parameters, and the optimizer's state of those that are in it, where they go.
 * @returns names of the parameters that have a state
 * @throws UserError if the source lacks a parameter; RangeError if a state has another size
 */
export function putParameters<P extends PlacedParameter>(
  { parameters, optimizer, put }: ParameterTarget<P>,
  source: WeightSource,
  state: OptimizerState | undefined,
): string[] {
  const { kept } = describeOptimizer(optimizer);
  const hasState = (name: string) => kept.some(({ kind }) => state?.kept[kind]?.has(name));
  const moving: string[] = [];
  for (const parameter of parameters) {
    const { name, shape, length, hasGradient } = parameter;
    const value = source.get(name, shape);
    put("parameters", parameter, value);
    source.release?.(value);
    if (!hasGradient || !hasState(name)) continue;
    for (const { kind, torchName } of kept) {
      const one = state?.kept[kind]?.get(name);
      if (one?.length !== length) {
        const size = `${one?.length} elements, not ${length}`;
        throw new RangeError(`Setting the parameters: the ${torchName} of ${name} has ${size}`);
      }
      put(kind, parameter, one);
    }
    moving.push(name);
  }
  return moving;
}
