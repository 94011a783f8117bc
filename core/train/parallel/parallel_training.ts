/**
 * A training on several engines, each in a thread of its own and with a share of every batch: to the trainer one engine that computes the
 * whole batch. What a share cannot know of its own samples crosses between the threads (share_exchange.ts); weights, their gradients and
 * what the optimizer keeps are the same in all of them, so they are read from the first.
 * Source: what DistributedDataParallel is to nnunetv2/training/nnUNetTrainer/nnUNetTrainer.py (2.5.1).
 */
import { UserError } from "../../base/errors.ts";
import type { Vec3 } from "../../base/shape.ts";
import type { WeightSource } from "../../engine/engine.ts";
import type {
  OptimizerState,
  ParameterValues,
  ShareNeeds,
  TrainingEngine,
  TrainingOptions,
  TrainingProgram,
  ValidationStepResult,
} from "../../engine/training.ts";
import { checkSample } from "../../engine/training_checks.ts";
import { splitBatch } from "../../graph/batch_share.ts";
import { type Graph, inferShapes } from "../../graph/graph.ts";
import type { Planner } from "../training_memory.ts";
import { createShareMemory, failShares, shareBytes, type ShareMemory } from "./share_exchange.ts";
import type { ShareJobOf } from "./share_jobs.ts";
import {
  ask,
  end,
  everyone,
  firstCause,
  type ParallelOptions,
  type ShareStart,
  type ShareThread,
  startThread,
  type WatchedThreads,
  watchThreads,
} from "./share_threads.ts";

export interface ParallelTraining extends TrainingEngine, AsyncDisposable {
  /** Once it is disposed of: the device of one of the engines is gone, which opened again may do. */
  readonly wasLost: boolean;
}

/** What an engine is to compute of a whole batch. @throws RangeError if there are more shares than samples */
export function shareOptions(options: TrainingOptions, shares: number): TrainingOptions[] {
  if (shares === 1) return [options];
  return splitBatch(options.batch, shares).map(({ batch, ...share }) => ({ ...options, batch, share }));
}

/** What several engines plan together: each the largest share of a batch, and what they exchange. */
export function shareForecasts(
  planner: Planner,
  count: number,
): Planner {
  return {
    kind: planner.kind,
    forecastTraining(graph, options) {
      const shares = Math.min(count, options.batch);
      const { memory, steps, shared } = planner.forecastTraining(graph, shareOptions(options, shares)[0]);
      // Gradients are copied to the host before they are where all shares see them.
      const exchanged = shared ? 2 * shareBytes(shared, { shares, of: options.batch }) : 0;
      return {
        memory: {
          parameters: shares * memory.parameters,
          activations: shares * memory.activations,
          scratch: shares * memory.scratch + exchanged,
        },
        steps,
      };
    },
  };
}

/**
 * Starts the engines of all shares.
 * @param planner An engine like theirs, for forecasts
 * @param starts One a share
 * @throws UserError if an engine cannot be opened
 */
export async function startParallelTraining<Setting>(
  planner: Planner,
  starts: readonly ShareStart<Setting>[],
  options: ParallelOptions = {},
): Promise<ParallelTraining> {
  const threads = starts.map(startThread);
  const watched = watchThreads(threads, options);
  try {
    const descriptions = await everyone(threads, undefined, () => ({ kind: "open" }));
    return createParallelTraining(planner, threads, describeAll(descriptions), watched);
  } catch (error) {
    watched[Symbol.dispose]();
    await end(threads);
    throw error;
  }
}

function describeAll(descriptions: readonly string[]): string {
  const each = Map.groupBy(descriptions, (text) => text);
  return [...each].map(([text, all]) => (all.length > 1 ? `${all.length} x ${text}` : text)).join(" + ");
}

interface CompiledShares {
  readonly program: TrainingProgram;
  readonly options: TrainingOptions;
  readonly memory: ShareMemory;
  /** Channels of images, and of the logits. */
  readonly channels: { readonly inputChannels: number; readonly classes: number };
  /** Samples that are being set. */
  readonly setting: Promise<unknown>[];
}

function createParallelTraining(
  planner: Planner,
  threads: readonly ShareThread[],
  description: string,
  watched: WatchedThreads,
): ParallelTraining {
  let current: CompiledShares | undefined;
  let wasLost = false;

  function compiled(program: TrainingProgram): CompiledShares {
    if (current?.program !== program) throw new RangeError("Training on several GPUs: the program is not alive");
    return current;
  }

  /** The share that has a sample, and which of its own it is. */
  function placeOf(sample: number, batch: number) {
    const shares = splitBatch(batch, threads.length);
    const share = shares.findLastIndex(({ first }) => first <= sample);
    return { thread: threads[share], sample: sample - shares[share].first };
  }

  async function stepOfAll<Call extends "trainStep" | "validationStep">(
    program: TrainingProgram,
    job: ShareJobOf<Call>,
  ) {
    const { memory, setting } = compiled(program);
    const samples = setting.splice(0);
    const results = everyone<Call>(threads, memory, () => job);
    await firstCause([results, ...samples]);
    return await results;
  }

  return {
    ...shareForecasts(planner, threads.length),
    description,
    get wasLost() {
      return wasLost;
    },
    async compileTraining(graph, options) {
      current = undefined;
      watched.memory = undefined;
      const shares = shareOptions(options, threads.length);
      const each = await everyone(threads, undefined, (i) => ({ kind: "compile", graph, options: shares[i] }));
      const memory = connect(each.map(({ shared }) => shared), options.batch);
      watched.memory = memory;
      await everyone(threads, memory, (number) => ({ kind: "join", memory, number }));
      const [{ memory: needed, steps, parameters }] = each;
      const program: TrainingProgram = {
        graph,
        patch: options.patch,
        batch: options.batch,
        memory: needed,
        steps,
        parameters,
        [Symbol.dispose]: () => {
          if (current?.program === program) current = undefined;
        },
      };
      current = { program, options, memory, channels: channelsOf(graph, options.patch), setting: [] };
      return program;
    },
    async setParameters(program, source, state) {
      const { memory } = compiled(program);
      const values = sharedValues(program, source);
      const shared = state && sharedState(state);
      await everyone(threads, memory, () => ({ kind: "setParameters", values, ...(shared && { state: shared }) }));
    },
    async readParameters(program) {
      compiled(program);
      return await ask(threads[0], { kind: "readParameters" });
    },
    setSample(program, sample, image, labels) {
      const { options: { batch, patch, loss }, channels, setting } = compiled(program);
      checkSample(image, labels, { patch, ...channels, loss });
      const { thread, ...place } = placeOf(sample, batch);
      const copies = { image: image.slice(), labels: labels.slice() };
      const set = ask(thread, { kind: "setSample", ...place, ...copies }, [copies.image.buffer, copies.labels.buffer]);
      set.catch(() => {}); // it is met with the step
      setting.push(set);
    },
    async trainStep(program, options) {
      const results = await stepOfAll<"trainStep">(program, { kind: "trainStep", options });
      if (results.some(({ skipped }) => skipped !== results[0].skipped)) throw apart();
      return results[0];
    },
    async validationStep(program) {
      const results = await stepOfAll<"validationStep">(program, { kind: "validationStep" });
      return addCounts(results);
    },
    async readGradients(program) {
      compiled(program);
      return new Map(await ask(threads[0], { kind: "readGradients" }));
    },
    async readLogits(program, output, sample) {
      const { thread, ...place } = placeOf(sample, compiled(program).options.batch);
      return await ask(thread, { kind: "readLogits", output, ...place });
    },
    async [Symbol.asyncDispose]() {
      if (current) failShares(current.memory);
      current = undefined;
      watched[Symbol.dispose]();
      wasLost ||= await end(threads);
    },
  };
}

/** @throws UserError if memory is short, or the engines cut gradients in different ways */
function connect(needs: readonly (ShareNeeds | undefined)[], of: number): ShareMemory {
  const doing = "connecting the GPUs of the training";
  const [first] = needs;
  if (!first) throw new RangeError("Training on several GPUs: a program is not that of a share");
  if (needs.some((one) => JSON.stringify(one) !== JSON.stringify(first))) {
    throw new UserError({
      doing,
      problem: "they bind so different amounts of memory that their gradients are laid out differently",
      remedy: "train on GPUs of one kind",
    });
  }
  try {
    return createShareMemory(first, { shares: needs.length, of });
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new UserError({
      doing,
      problem: `there is not enough main memory for their gradients (${error.message})`,
      remedy: "close other programs, or train on fewer GPUs",
    }, { cause: error });
  }
}

function channelsOf(graph: Graph, patch: Vec3) {
  const shapes = inferShapes(graph, patch);
  return { inputChannels: shapes[0].channels, classes: shapes[graph.outputs[0]].channels };
}

/** A copy that all threads see. */
function shared(values: Float32Array): Float32Array {
  const copy = new Float32Array(new SharedArrayBuffer(values.byteLength));
  copy.set(values);
  return copy;
}

const sharedMap = (values: ParameterValues) => new Map([...values].map(([name, value]) => [name, shared(value)]));

function sharedValues({ parameters }: TrainingProgram, source: WeightSource): ParameterValues {
  return new Map(parameters.map(({ name, shape }) => {
    const value = source.get(name, shape);
    const copy = shared(value);
    source.release?.(value);
    return [name, copy];
  }));
}

function sharedState({ kept, steps }: OptimizerState): OptimizerState {
  const copies = Object.entries(kept).map(([kind, values]) => [kind, sharedMap(values)]);
  return { kept: Object.fromEntries(copies), ...(steps !== undefined && { steps }) };
}

/** The loss is that of the whole batch in every share; counts are of its own samples. */
function addCounts(results: readonly ValidationStepResult[]): ValidationStepResult {
  const sum = (of: "truePositives" | "falsePositives" | "falseNegatives") => {
    const total = new Float64Array(results[0][of].length);
    for (const { [of]: counts } of results) counts.forEach((count, i) => total[i] += count);
    return total;
  };
  return {
    loss: results[0].loss,
    truePositives: sum("truePositives"),
    falsePositives: sum("falsePositives"),
    falseNegatives: sum("falseNegatives"),
  };
}

function apart(): UserError {
  return new UserError({
    doing: "training on several GPUs",
    problem: "of the same gradients some of them make a step and others do not: one of them computes wrong",
    remedy: "see `nnunet doctor`, and go on with the same command and --c, without that GPU",
  });
}
