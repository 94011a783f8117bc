/**
 * The optimizer's part of checkpoints, as torch's SGD, Adam and AdamW have it (state_dict of torch/optim/optimizer.py): what they keep of
 * each parameter, counted in the order of network.parameters(), and one group with all parameters.
 */
import type { AdamOptions, OptimizerState } from "../engine/training.ts";
import type { CheckpointFile, StoredTensor } from "../formats/torch/torch_checkpoint.ts";
import { dict, float, int, type PickleValue, tuple } from "../formats/torch/pickle_writer.ts";
import { SGD, type TrainingRecipe } from "../trainers/training_recipe.ts";

/** torch's names of the tensors, and where they are here. */
function tensorsOf<T>(
  { momentum, averages, largest }: { readonly momentum: T; readonly averages: T; readonly largest: T },
  adam: AdamOptions | undefined,
): readonly (readonly [kind: string, values: T])[] {
  if (!adam) return [["momentum_buffer", momentum]];
  return [
    ["exp_avg", momentum],
    ["exp_avg_sq", averages],
    ...(adam.amsgrad ? [["max_exp_avg_sq", largest] as const] : []),
  ];
}

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
  const { momentum, adam } = state;
  const kept = tensorsOf({ momentum, averages: adam?.averages, largest: adam?.largest }, recipe.adam);
  const stateOf = (name: string) =>
    dict({
      ...(recipe.adam && { step: scalar(adam?.steps ?? 0, `steps of ${name}`) }),
      ...Object.fromEntries(
        kept.map(([kind, values]) => [kind, tensor(name, values?.get(name), `${kind} of ${name}`)]),
      ),
    });
  const states = order.flatMap((name, index): [PickleValue, PickleValue][] => {
    return momentum.has(name) ? [[int(index), stateOf(name)]] : [];
  });
  return dict({ state: new Map(states), param_groups: [parameterGroup(recipe, learningRate, order.length)] });
}

function parameterGroup({ adam, ...recipe }: TrainingRecipe, learningRate: number, count: number): PickleValue {
  const common = { maximize: false, foreach: null };
  const last = {
    initial_lr: float(recipe.learningRate),
    params: Array.from({ length: count }, (_, index) => int(index)),
  };
  const lr = float(learningRate);
  const decay = float(SGD.weightDecay);
  if (!adam) {
    const { momentum, nesterov } = SGD;
    return dict({
      lr,
      momentum: float(momentum),
      dampening: int(0),
      weight_decay: decay,
      nesterov,
      ...common,
      differentiable: false,
      fused: null,
      ...last,
    });
  }
  return dict({
    lr,
    betas: tuple(adam.betas.map(float)),
    eps: float(adam.eps),
    weight_decay: decay,
    amsgrad: adam.amsgrad,
    ...common,
    capturable: false,
    differentiable: false,
    fused: null,
    decoupled_weight_decay: adam.decoupled,
    ...last,
  });
}

/**
 * @param sizes Elements of every parameter
 * @throws What `damaged` makes of the problem, if it is the state of another optimizer or network
 */
export function readOptimizerState(
  checkpoint: CheckpointFile,
  adam: AdamOptions | undefined,
  order: readonly string[],
  sizes: ReadonlyMap<string, number>,
  damaged: (problem: string) => Error,
): OptimizerState {
  const optimizer = checkpoint.members.get("optimizer_state");
  const states = optimizer instanceof Map ? optimizer.get("state") : undefined;
  if (!(states instanceof Map)) throw damaged("optimizer_state is missing: it cannot be continued");
  const [momentum, averages, largest] = [0, 1, 2].map(() => new Map<string, Float32Array>());
  const kept = tensorsOf({ momentum, averages, largest }, adam);
  const steps = new Set<number>();
  for (const [index, state] of states) {
    const name = typeof index === "number" ? order[index] : undefined;
    const other = () => {
      const wanted = !adam ? "SGD with momentum" : adam.amsgrad ? "Adam with amsgrad" : "Adam without amsgrad";
      return damaged(`its optimizer is not ${wanted}, or of another network`);
    };
    if (name === undefined || !(state instanceof Map)) throw other();
    if (!adam && state.get("momentum_buffer") === null) continue; // torch's before the first step
    const names = [...kept.map(([kind]) => kind), ...(adam ? ["step"] : [])];
    if (state.size !== names.length || names.some((one) => !state.has(one))) throw other();
    for (const [kind, values] of kept) {
      const stored = checkpoint.tensor(state.get(kind), `${kind} of ${name}`);
      if (!stored || elementsOf(stored) !== sizes.get(name)) {
        throw damaged(`the ${kind} of ${name} has another size than it`);
      }
      values.set(name, stored.read());
    }
    if (!adam) continue;
    const step = checkpoint.tensor(state.get("step"), `steps of ${name}`);
    steps.add(step && elementsOf(step) === 1 ? step.read()[0] : NaN);
  }
  if (!adam) return { momentum };
  const [count = 0] = steps;
  if (steps.size > 1 || !Number.isSafeInteger(count)) {
    throw damaged("its parameters have had different numbers of steps, or it does not say how many");
  }
  return { momentum, adam: { steps: count, averages, ...(adam.amsgrad && { largest }) } };
}

function elementsOf({ shape }: StoredTensor): number {
  return shape.reduce((product, n) => product * n, 1);
}
