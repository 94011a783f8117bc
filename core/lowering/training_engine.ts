/** The training half of an engine as the port has it: programs, plans that are kept, checks. What is done is the engine's own. */
import { rememberLast } from "../base/remember_last.ts";
import { checkAlive } from "../engine/checks.ts";
import type { StepCost } from "../engine/engine.ts";
import type {
  ShareNeeds,
  TrainingEngine,
  TrainingMemory,
  TrainingOptions,
  TrainingProgram,
} from "../engine/training.ts";
import { checkSample } from "../engine/training_checks.ts";
import type { Graph } from "../graph/graph.ts";
import type { LoweredOperator } from "./kernels.ts";
import type { PlacedParameter } from "./parameter_values.ts";
import type { LoweredTraining, PlannedOutput } from "./training.ts";

/** A plan as far as it is asked here. */
interface TrainingPlanned extends Pick<LoweredTraining<LoweredOperator>, "inputChannels" | "outputs"> {
  readonly layout: { readonly parameters: readonly PlacedParameter[] };
}

/** A compiled training. */
export interface CompiledTraining<P extends TrainingPlanned> extends Disposable {
  readonly plan: P;
  readonly options: TrainingOptions;
  readonly alive: boolean;
}

/** What forecasts say of a plan. */
export interface TrainingCosts {
  readonly memory: TrainingMemory;
  readonly steps: readonly StepCost[];
}

/** The calls of the port, and the timing of a step: milliseconds of its parts. @throws RangeError if a program is not alive */
export interface TrainingCalls extends Omit<TrainingEngine, "kind" | "description"> {
  timeTraining(program: TrainingProgram): Promise<number[]>;
}

/** A call with the engine's own state in the place of the program. */
type OfState<S, Call> = Call extends (program: TrainingProgram, ...rest: infer Rest) => infer Result
  ? (state: S, ...rest: Rest) => Result
  : never;
type OwnCalls = "setParameters" | "readParameters" | "setSample" | "trainStep" | "validationStep" | "readGradients";

/** What an engine does, with arguments that have been checked and states that are alive. */
export interface TrainingMachine<P extends TrainingPlanned, S extends CompiledTraining<P>>
  extends Readonly<{ [Name in OwnCalls | "timeTraining"]: OfState<S, TrainingCalls[Name]> }> {
  /** @throws if the engine has failed */
  check?(): void;
  plan(graph: Graph, options: TrainingOptions): P;
  costsOf(plan: P): TrainingCosts;
  /** Of a share of a batch; absent: the engine computes none. */
  needsOf?(plan: P): ShareNeeds | undefined;
  compile(plan: P, options: TrainingOptions): S | Promise<S>;
  readLogits(state: S, output: PlannedOutput, sample: number): Promise<Float32Array>;
}

/** The training half of an engine. */
export function createTrainingCalls<P extends TrainingPlanned, S extends CompiledTraining<P>>(
  machine: TrainingMachine<P, S>,
): TrainingCalls {
  const programs = new WeakMap<TrainingProgram, S>();
  // A forecast comes before its compilation, and planning a large network takes a second or more.
  const planOf = rememberLast((graph: Graph, options: TrainingOptions) => machine.plan(graph, options));

  function stateOf(program: TrainingProgram, doing: string, sample = 0): S {
    const state = programs.get(program);
    checkAlive(state?.alive === true, "the training program", doing);
    machine.check?.();
    const { batch } = program;
    checkAlive(sample >= 0 && sample < batch, `sample ${sample} of ${batch}`, doing);
    return state as S;
  }

  function on<Rest extends unknown[], Result>(doing: string, call: (state: S, ...rest: Rest) => Promise<Result>) {
    return async (program: TrainingProgram, ...rest: Rest) => await call(stateOf(program, doing), ...rest);
  }

  function forecast(plan: P) {
    const shared = machine.needsOf?.(plan);
    return { ...machine.costsOf(plan), ...(shared && { shared }) };
  }

  async function compileTraining(graph: Graph, options: TrainingOptions): Promise<TrainingProgram> {
    machine.check?.();
    const plan = planOf(graph, options);
    const state = await machine.compile(plan, options);
    const program: TrainingProgram = {
      graph,
      patch: options.patch,
      batch: options.batch,
      ...forecast(plan),
      parameters: plan.layout.parameters.map(({ name, shape, hasGradient }) => ({ name, shape, hasGradient })),
      [Symbol.dispose]: () => state[Symbol.dispose](),
    };
    programs.set(program, state);
    return program;
  }

  return {
    compileTraining,
    forecastTraining: (graph, options) => forecast(planOf(graph, options)),
    setParameters: on("Setting the parameters", machine.setParameters),
    readParameters: on("Reading the parameters", machine.readParameters),
    trainStep: on("Training the network", machine.trainStep),
    validationStep: on("Validating the network", machine.validationStep),
    timeTraining: on("Timing a training step", machine.timeTraining),
    readGradients: on("Reading the gradients", machine.readGradients),
    setSample(program, sample, image, labels) {
      const state = stateOf(program, "Setting a sample", sample);
      const { plan: { inputChannels, outputs }, options: { patch, loss } } = state;
      checkSample(image, labels, { patch, inputChannels, classes: outputs[0]?.channels ?? 0, loss });
      machine.setSample(state, sample, image, labels);
    },
    async readLogits(program, output, sample) {
      const state = stateOf(program, "Reading logits", sample);
      const planned = state.plan.outputs[output];
      if (!planned) throw new RangeError(`Reading logits: output ${output} is not computed`);
      return await machine.readLogits(state, planned, sample);
    },
  };
}
