/** The next case of those that are asked for, read and preprocessed while the network is busy with the present one. */
import type { PredictionEvent } from "../../core/predict/run/request.ts";
import type { CaseAhead, ModelRuns } from "../../core/predict/run/resident_models.ts";
import { type AskedCase, firstRunOf, listCase, type ListedCase, type NamedCase } from "./asked_case.ts";

/** A case as far as it has been got; `ahead` is the taker's to give back. */
export interface TakenAhead {
  readonly listed: ListedCase;
  readonly ahead?: CaseAhead;
}

export interface ReadAhead {
  /** Looks for the next case, as what happens to the present one tells that there is time for it. */
  look(present: AskedCase, event: PredictionEvent): void;
  /** What was read of the case, or undefined; what was read of another one is given back. */
  take(key: unknown): Promise<TakenAhead | undefined>;
}

/** The share of its network runs after which the present case's result would have to wait for the next one's reading. */
const LATEST = 0.5;
const LOOK_MS = 100;

export function readsAhead(kept: Pick<ModelRuns, "readAhead">): ReadAhead {
  let reading: { readonly key: unknown; readonly taken: Promise<TakenAhead | undefined> } | undefined;
  /** Bytes that the present case was forecast to take. */
  let total = 0;
  let lastLook = -Infinity;

  async function read(next: NamedCase): Promise<TakenAhead | undefined> {
    try {
      const listed = await listCase(next);
      const { model, run } = firstRunOf(next, listed);
      const ahead = await kept.readAhead(model, run, total);
      return { listed, ...(ahead && { ahead }) };
    } catch {
      // It is for the case's own time to say why.
      return undefined;
    }
  }

  function giveBack(): void {
    reading?.taken.then((taken) => taken?.ahead?.[Symbol.dispose]());
    reading = undefined;
  }

  return {
    look(present, event) {
      if (event.kind === "case") total = event.memory.total;
      else if (event.kind !== "progress" || event.done > LATEST * event.of) return;
      const now = performance.now();
      if (event.kind === "progress" && now - lastLook < LOOK_MS) return;
      lastLook = now;
      const next = present.next?.();
      if (next?.key === reading?.key) return;
      giveBack();
      if (next) reading = { key: next.key, taken: read(next) };
    },
    async take(key) {
      if (reading?.key !== key) giveBack();
      const taken = reading?.taken;
      reading = undefined;
      return await taken;
    },
  };
}
