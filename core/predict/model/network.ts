/** A model on an engine: its program for the batch in use, and the packed weights of its folds. */
import { collectGarbage } from "../../base/collect_garbage.ts";
import type {
  Engine,
  OwnMemory,
  Precision,
  Program,
  ProgramMemory,
  StepCost,
  WeightSet,
  WeightStorage,
} from "../../engine/engine.ts";
import type { EngineCosts } from "../../engine/costs.ts";
import { checkpointWeights } from "../../network/weights.ts";
import type { Model } from "./model_folder.ts";

type Forecast = { readonly memory: ProgramMemory; readonly steps: readonly StepCost[] };

/** Programs and weights of one model, kept from case to case. */
export interface LoadedNetwork extends AsyncDisposable {
  /** Elements that a voxel of its logits takes in a ring. */
  readonly ringStride: number;
  /** The engine's. */
  readonly costs: EngineCosts;
  readonly ownMemory?: OwnMemory;
  /** Bytes of the engine that program and weights have at the moment. */
  readonly heldBytes: number;
  /** What a run of `batch` samples takes; allocates nothing. */
  forecast(batch: number): Forecast;
  /** Does beforehand what takes time and no memory for a batch. */
  prepare(batch: number, signal?: AbortSignal): Promise<void>;
  /** The program for a batch, compiled when it differs from the one before. */
  program(batch: number): Promise<Program>;
  /** The weights of fold `index` of the model; with `keep` those of the other folds stay packed beside them. */
  weights(index: number, keep: boolean): Promise<WeightSet>;
}

/** Packing weights in every run may cost this share of a run's time, if it saves at least that many bytes. */
const PACKING_TIME = { usual: 0.05, limited: 0.5 };
const PACKING_SAVES_BYTES = 64 * 2 ** 20;

/**
 * Nothing is compiled or loaded before it is asked for.
 * @param limited the user has set a memory limit: memory is worth more time then
 * @param first weights of the first fold that are there already; they become this object's
 */
export function loadNetwork(
  engine: Engine,
  model: Model,
  limited: boolean,
  precision: Precision = "f32",
  first?: WeightSet,
): LoadedNetwork {
  const patch = model.configuration.patchSize;
  let chosen: WeightStorage | undefined;
  const forecasts = new Map<number, Forecast>();
  const packed = new Map<number, WeightSet>(first && [[0, first]]);
  let current: Program | undefined;

  async function program(batch: number): Promise<Program> {
    if (current?.batch === batch) return current;
    const previous = current;
    if (previous) {
      await engine.flush();
      current = undefined;
      previous[Symbol.dispose]();
    }
    current = await engine.compile(model.graph, optionsFor(batch, weightStorage()));
    return current;
  }

  function optionsFor(batch: number, weightStorage: WeightStorage) {
    return { patch, batch, precision, weightStorage, inputOnce: true } as const;
  }

  /** One choice for all batches, since they share the weights. */
  function weightStorage(): WeightStorage {
    if (chosen) return chosen;
    const [kept, remade] = (["packed", "packedPerRun"] as const).map((storage) => {
      const forecast = engine.forecast(model.graph, optionsFor(1, storage));
      const { memory, steps } = forecast;
      const seconds = steps.reduce((sum, step) => sum + step.seconds, 0);
      return { storage, forecast, seconds, bytes: memory.weights + memory.activations + memory.scratch };
    });
    const dear = remade.seconds > kept.seconds * (1 + PACKING_TIME[limited ? "limited" : "usual"]);
    const better = dear || kept.bytes - remade.bytes < PACKING_SAVES_BYTES ? kept : remade;
    forecasts.set(1, better.forecast); // planning a network takes a while: not again for the batch it was chosen by
    return chosen = better.storage;
  }

  /** A fold's weights if they are packed as the program reads them. */
  async function usable(index: number, program: Program): Promise<WeightSet | undefined> {
    const set = packed.get(index);
    if (!set || engine.takesWeights?.(program, set) !== false) return set;
    await engine.flush();
    set[Symbol.dispose]();
    packed.delete(index);
    return undefined;
  }

  return {
    ringStride: engine.ringStride(model.outputChannels),
    costs: engine.costs,
    ...(engine.ownMemory && { ownMemory: engine.ownMemory }),
    get heldBytes() {
      const sets = [...packed.values()].reduce((sum, { bytes }) => sum + bytes, 0);
      return sets + (current ? current.memory.activations + current.memory.scratch : 0);
    },
    forecast(batch) {
      const storage = weightStorage();
      let known = forecasts.get(batch);
      if (!known) forecasts.set(batch, known = engine.forecast(model.graph, optionsFor(batch, storage)));
      return known;
    },
    async prepare(batch, signal) {
      await engine.prepare?.(model.graph, optionsFor(batch, weightStorage()), signal);
    },
    program,
    async weights(index, keep) {
      if (!current) throw new Error("Loading weights: no program is compiled yet");
      const there = await usable(index, current);
      if (!keep && packed.size > (there ? 1 : 0)) {
        await engine.flush();
        for (const [other, set] of packed) {
          if (other === index) continue;
          set[Symbol.dispose]();
          packed.delete(other);
        }
      }
      if (there) return there;
      const fold = model.folds[index];
      const set = await engine.loadWeights(current, checkpointWeights(fold.checkpoint, model.graph, fold.file));
      packed.set(index, set);
      // What planning, compiling and reading have left would lie beside the network's run, which is the peak.
      collectGarbage();
      return set;
    },
    async [Symbol.asyncDispose]() {
      await engine.flush().catch(() => {});
      for (const set of packed.values()) set[Symbol.dispose]();
      packed.clear();
      current?.[Symbol.dispose]();
      current = undefined;
    },
  };
}
