/** A model on an engine: its program for the batch in use, and the packed weights of its folds. */
import type { Engine, Program, ProgramMemory, StepCost, WeightSet } from "../engine/engine.ts";
import { checkpointWeights } from "../network/weights.ts";
import type { Model } from "./model_folder.ts";

type Forecast = { readonly memory: ProgramMemory; readonly steps: readonly StepCost[] };

/** Programs and weights of one model, kept from case to case. */
export interface LoadedNetwork extends AsyncDisposable {
  /** What a run of `batch` samples takes; allocates nothing. */
  forecast(batch: number): Forecast;
  /** The program for a batch, compiled when it differs from the one before. */
  program(batch: number): Promise<Program>;
  /** The weights of fold `index` of the model; with `keep` those of the other folds stay packed beside them. */
  weights(index: number, keep: boolean): Promise<WeightSet>;
}

/** Nothing is compiled or loaded before it is asked for. */
export function loadNetwork(engine: Engine, model: Model): LoadedNetwork {
  const patch = model.configuration.patchSize;
  const forecasts = new Map<number, Forecast>();
  const packed = new Map<number, WeightSet>();
  let current: Program | undefined;

  async function program(batch: number): Promise<Program> {
    if (current?.batch === batch) return current;
    const previous = current;
    if (previous) {
      await engine.flush();
      current = undefined;
      previous[Symbol.dispose]();
    }
    current = await engine.compile(model.graph, { patch, batch, precision: "f32" });
    return current;
  }

  return {
    forecast(batch) {
      let known = forecasts.get(batch);
      if (!known) forecasts.set(batch, known = engine.forecast(model.graph, { patch, batch, precision: "f32" }));
      return known;
    },
    program,
    async weights(index, keep) {
      const there = packed.get(index);
      if (!keep && packed.size > (there ? 1 : 0)) {
        await engine.flush();
        for (const [other, set] of packed) {
          if (other === index) continue;
          set[Symbol.dispose]();
          packed.delete(other);
        }
      }
      if (there) return there;
      if (!current) throw new Error("Loading weights: no program is compiled yet");
      const fold = model.folds[index];
      const set = await engine.loadWeights(current, checkpointWeights(fold.checkpoint, model.graph, fold.file));
      packed.set(index, set);
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
