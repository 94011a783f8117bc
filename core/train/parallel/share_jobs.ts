/** What the thread of a share is asked for, and how it does it: the calls of the training port, on an engine of its own. */
import type { RunJob } from "../../base/worker_thread.ts";
import type { WeightSource } from "../../engine/engine.ts";
import type {
  OptimizerState,
  ParameterValues,
  SgdOptions,
  ShareExchange,
  TrainingEngine,
  TrainingOptions,
  TrainingProgram,
  TrainStepResult,
  ValidationStepResult,
} from "../../engine/training.ts";
import type { Graph } from "../../graph/graph.ts";
import { failShares, joinShares, type ShareMemory } from "./share_exchange.ts";

/** The calls to a share, of one program at a time, in the order in which they come; what each takes. */
interface ShareCalls {
  readonly open: unknown;
  readonly compile: { readonly graph: Graph; readonly options: TrainingOptions };
  readonly join: { readonly memory: ShareMemory; readonly number: number };
  readonly setParameters: { readonly values: ParameterValues; readonly state?: OptimizerState };
  readonly setSample: { readonly sample: number; readonly image: Float32Array; readonly labels: Int16Array };
  readonly trainStep: { readonly options: SgdOptions };
  readonly validationStep: unknown;
  readonly readParameters: unknown;
  readonly readGradients: unknown;
  readonly readLogits: { readonly output: number; readonly sample: number };
  readonly close: unknown;
}

/** What comes back of each. */
export interface ShareResults {
  /** The engine in a line. */
  readonly open: string;
  readonly compile: Pick<TrainingProgram, "memory" | "steps" | "parameters" | "shared">;
  readonly join: undefined;
  readonly setParameters: undefined;
  readonly setSample: undefined;
  readonly trainStep: TrainStepResult;
  readonly validationStep: ValidationStepResult;
  readonly readParameters: { readonly values: ParameterValues } & OptimizerState;
  readonly readGradients: ParameterValues;
  readonly readLogits: Float32Array;
  readonly close: ShareEnd;
}

/** How a share ended. */
export interface ShareEnd {
  /** Its device is gone; opened again it may do. */
  readonly isLost: boolean;
}

export type ShareCall = keyof ShareCalls;
/** A call as it crosses. */
export type ShareJobOf<Call extends ShareCall> = { readonly kind: Call } & ShareCalls[Call];
export type ShareJob = { readonly [Call in ShareCall]: ShareJobOf<Call> }[ShareCall];
export type ShareResult = ShareResults[ShareCall];

/** Buffers of a result that need not be copied: nothing of the share's looks at them any more. */
export function buffersOf(result: ShareResult): ArrayBuffer[] {
  if (typeof result !== "object") return [];
  const own = (array: Float32Array) => array.buffer instanceof ArrayBuffer ? [array.buffer] : [];
  if (result instanceof Float32Array) return own(result);
  const buffersIn = (values: ParameterValues) => [...values.values()].flatMap(own);
  if (result instanceof Map) return buffersIn(result);
  return "kept" in result ? [result.values, ...Object.values(result.kept)].flatMap(buffersIn) : [];
}

type Opened = TrainingEngine & AsyncDisposable;

/** Where a share has its engine from. */
export interface ShareEngines {
  open(): Promise<Opened>;
  /**
   * Keeps what the failure of the engine opened last tells.
   * @param attempts How often the training could not be compiled, this time included
   * @returns true if the next engine need not fail like it
   */
  recover?(error: unknown, attempts: number): Promise<boolean>;
  /** The device of the one opened last is gone. */
  isLost?(): boolean;
}

/** Does the jobs of a share, on an engine of `engines`. */
export function serveShare(engines: ShareEngines): RunJob<ShareJob, ShareResult> {
  let engine: Opened | undefined;
  let program: TrainingProgram | undefined;
  let memory: ShareMemory | undefined;
  let exchange: ShareExchange | undefined;

  const opened = () => engine ?? missing("engine");
  const compiled = () => program ?? missing("program");

  async function close(): Promise<ShareEnd> {
    const isLost = engines.isLost?.() ?? false;
    program?.[Symbol.dispose]();
    program = undefined;
    await engine?.[Symbol.asyncDispose]();
    engine = undefined;
    return { isLost };
  }

  /** On another engine where one would not do this training, and another may. */
  async function compile({ graph, options }: ShareJobOf<"compile">): Promise<TrainingProgram> {
    program?.[Symbol.dispose]();
    program = undefined;
    for (let attempts = 1;; attempts++) {
      try {
        return (program = await opened().compileTraining(graph, options));
      } catch (error) {
        if (!await engines.recover?.(error, attempts)) throw error;
        await close();
        engine = await engines.open();
      }
    }
  }

  async function answer(job: ShareJob): Promise<ShareResult> {
    switch (job.kind) {
      case "open":
        return (engine = await engines.open()).description;
      case "compile": {
        const { memory, steps, parameters, shared } = await compile(job);
        return { memory, steps, parameters, ...(shared && { shared }) };
      }
      case "join":
        memory = job.memory;
        return void (exchange = joinShares(memory, job.number));
      case "setParameters":
        return void await opened().setParameters(compiled(), sourceOf(job.values), job.state);
      case "setSample":
        return void opened().setSample(compiled(), job.sample, job.image, job.labels);
      case "trainStep":
        return await opened().trainStep(compiled(), job.options, exchange);
      case "validationStep":
        return await opened().validationStep(compiled(), exchange);
      case "readParameters":
        return await opened().readParameters(compiled());
      case "readGradients":
        return await opened().readGradients(compiled());
      case "readLogits":
        return await opened().readLogits(compiled(), job.output, job.sample);
      case "close":
        return await close();
    }
  }

  return async (job) => {
    try {
      return await answer(job);
    } catch (error) {
      if (memory) failShares(memory);
      // What it tells is of use for the next training, too.
      if (job.kind !== "compile" && job.kind !== "open") await engines.recover?.(error, 1);
      throw error;
    }
  };
}

function missing(what: string): never {
  throw new Error(`Training on several GPUs: a share has no ${what} yet`);
}

function sourceOf(values: ParameterValues): WeightSource {
  return {
    get(name) {
      const value = values.get(name);
      if (!value) throw new Error(`Training on several GPUs: there is no value for ${name}`);
      return value;
    },
  };
}
