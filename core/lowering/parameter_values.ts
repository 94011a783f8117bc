/** What a training keeps of every parameter, and how values from outside get there. */
import type { WeightSource } from "../engine/engine.ts";
import type { AdamOptions, OptimizerState, TrainedParameter } from "../engine/training.ts";

/** What the optimizer keeps of every parameter with a gradient. */
export type KeptKind = "momentum" | "averages" | "largest";

/** Kinds of values; the last two with Adam alone, and the last of them with amsgrad. */
export type ValueKind = "parameters" | "gradients" | KeptKind;

/** What can be given from outside. */
export type GivenKind = "parameters" | KeptKind;

const NAMES = { momentum: "momentum", averages: "squares' average", largest: "largest average of squares" } as const;

/** What the optimizer keeps; without options that is SGD. */
export function keptKinds(adam: AdamOptions | undefined): readonly KeptKind[] {
  return adam ? ["momentum", "averages", ...(adam.amsgrad ? ["largest"] as const : [])] : ["momentum"];
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
  readonly adam?: AdamOptions;
  put(kind: GivenKind, parameter: P, values: Float32Array): void;
}

/**
 * Puts all parameters, and the optimizer's state of those that are in it, where they go.
 * @returns names of the parameters that have a state
 * @throws UserError if the source lacks a parameter; RangeError if a state has another size
 */
export function putParameters<P extends PlacedParameter>(
  { parameters, adam, put }: ParameterTarget<P>,
  source: WeightSource,
  state: OptimizerState | undefined,
): string[] {
  const kept = keptKinds(adam).map((kind) => ({
    kind,
    values: kind === "momentum" ? state?.momentum : state?.adam?.[kind],
  }));
  const moving: string[] = [];
  for (const parameter of parameters) {
    const { name, shape, length, hasGradient } = parameter;
    const value = source.get(name, shape);
    put("parameters", parameter, value);
    source.release?.(value);
    if (!hasGradient || !state?.momentum.has(name)) continue;
    for (const { kind, values } of kept) {
      const one = values?.get(name);
      if (one?.length !== length) {
        const size = `${one?.length} elements, not ${length}`;
        throw new RangeError(`Setting the parameters: the ${NAMES[kind]} of ${name} has ${size}`);
      }
      put(kind, parameter, one);
    }
    moving.push(name);
  }
  return moving;
}
