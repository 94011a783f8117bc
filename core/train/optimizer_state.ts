/**
 * The optimizer's part of checkpoints, as torch's optimizers have it (state_dict of torch/optim/optimizer.py): what they keep of
 * each parameter, counted in the order of network.parameters(), and one group with all parameters.
 */
import type { OptimizerState, ParameterValues } from "../engine/training.ts";
import { describeOptimizer, type GroupValue, type KeptKind, type OptimizerOptions } from "../graph/optimizer.ts";
import type { CheckpointFile, StoredTensor } from "../formats/torch/torch_checkpoint.ts";
import { dict, float, int, type PickleValue, tuple } from "../formats/torch/pickle_writer.ts";
import { SGD, type TrainingRecipe } from "../trainers/training_recipe.ts";

/**
 * @param order Names of all parameters
 * @param tensor Stores a parameter's tensor under a key of its own
 * @param scalar Stores a tensor of one number
 */
export function writeOptimizerState(
  state: OptimizerState,
  recipe: TrainingRecipe,
  learningRate: number,
  order: readonly string[],
  tensor: (name: string, data: Float32Array | undefined, key: string) => PickleValue,
  scalar: (value: number, key: string) => PickleValue,
): PickleValue {
  const { kept, countsSteps, group } = describeOptimizer(recipe.optimizer);
  const stateOf = (name: string) =>
    dict({
      ...(countsSteps && { step: scalar(state.steps ?? 0, `steps of ${name}`) }),
      ...Object.fromEntries(kept.map(({ kind, torchName }) => {
        return [torchName, tensor(name, state.kept[kind]?.get(name), `${torchName} of ${name}`)];
      })),
    });
  const hasState = (name: string) => kept.some(({ kind }) => state.kept[kind]?.has(name));
  const states = order.flatMap((name, index): [PickleValue, PickleValue][] => {
    return hasState(name) ? [[int(index), stateOf(name)]] : [];
  });
  const parameters = dict({
    lr: float(learningRate),
    ...Object.fromEntries(Object.entries(group(SGD)).map(([key, value]) => [key, groupValue(value)])),
    initial_lr: float(recipe.learningRate),
    params: order.map((_, index) => int(index)),
  });
  return dict({ state: new Map(states), param_groups: [parameters] });
}

function groupValue(value: GroupValue): PickleValue {
  if (typeof value === "number") return float(value);
  if (typeof value === "bigint") return int(Number(value));
  return value === null || typeof value === "boolean" ? value : tuple(value.map(float));
}

/**
 * @param sizes Elements of every parameter
 * @throws What `damaged` makes of the problem, if it is the state of another optimizer or network
 */
export function readOptimizerState(
  checkpoint: CheckpointFile,
  options: OptimizerOptions | undefined,
  order: readonly string[],
  sizes: ReadonlyMap<string, number>,
  damaged: (problem: string) => Error,
): OptimizerState {
  const optimizer = checkpoint.members.get("optimizer_state");
  const states = optimizer instanceof Map ? optimizer.get("state") : undefined;
  if (!(states instanceof Map)) throw damaged("optimizer_state is missing: it cannot be continued");
  const { name: wanted, kept, countsSteps } = describeOptimizer(options);
  const values = kept.map(({ kind, torchName }) => ({ kind, torchName, of: new Map<string, Float32Array>() }));
  const steps = new Set<number>();
  for (const [index, state] of states) {
    const name = typeof index === "number" ? order[index] : undefined;
    const other = () => damaged(`its optimizer is not ${wanted}, or of another network`);
    if (name === undefined || !(state instanceof Map)) throw other();
    if (!countsSteps && kept.every(({ torchName }) => state.get(torchName) === null)) continue; // torch's before the first step
    const names = [...kept.map(({ torchName }) => torchName), ...(countsSteps ? ["step"] : [])];
    if (state.size !== names.length || names.some((one) => !state.has(one))) throw other();
    for (const { torchName, of } of values) {
      const stored = checkpoint.tensor(state.get(torchName), `${torchName} of ${name}`);
      if (!stored || elementsOf(stored) !== sizes.get(name)) {
        throw damaged(`the ${torchName} of ${name} has another size than it`);
      }
      of.set(name, stored.read());
    }
    if (!countsSteps) continue;
    const step = checkpoint.tensor(state.get("step"), `steps of ${name}`);
    steps.add(step && elementsOf(step) === 1 ? step.read()[0] : NaN);
  }
  const all: Partial<Record<KeptKind, ParameterValues>> = {};
  for (const { kind, of } of values) all[kind] = of;
  if (!countsSteps) return { kept: all };
  const [count = 0] = steps;
  if (steps.size > 1 || !Number.isSafeInteger(count)) {
    throw damaged("its parameters have had different numbers of steps, or it does not say how many");
  }
  return { kept: all, steps: count };
}

function elementsOf({ shape }: StoredTensor): number {
  return shape.reduce((product, n) => product * n, 1);
}
