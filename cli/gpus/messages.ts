/** What crosses between the program and its threads with a GPU each; plain data. */
import type { PlainError } from "../../core/base/plain_error.ts";
import type { Precision, StepCost } from "../../core/engine/engine.ts";
import type { OpenModelOptions } from "../../core/predict/model/model_folder.ts";
import type { CaseToPredict, PredictionEvent } from "../../core/predict/run/request.ts";
import type { TakenRun } from "../../core/predict/run/resident_models.ts";
import type { EngineWish } from "../engines/select_engine.ts";

export interface ThreadSetting {
  readonly wish: EngineWish;
  /** Bytes that the process may take, all threads together. */
  readonly maxMemory?: number;
  /** How many threads there are. */
  readonly of: number;
}

/** What a thread opens a model by, and knows it by. */
export interface ModelSource {
  readonly folder: string;
  readonly options: OpenModelOptions;
}

/** The engine of a thread. */
export interface OpenedEngine {
  readonly kind: "cpu" | "gpu";
  readonly description: string;
  readonly reason: string;
  readonly precision: Precision | "auto";
}

export type ToThread =
  | { readonly kind: "open"; readonly setting: ThreadSetting }
  | { readonly kind: "run"; readonly source: ModelSource; readonly run: TakenRun; readonly first: CaseToPredict }
  /** The answer to "take". */
  | { readonly kind: "case"; readonly one: CaseToPredict | undefined }
  | { readonly kind: "abort" }
  | { readonly kind: "close" };

export type FromThread =
  | { readonly kind: "opened"; readonly engine: OpenedEngine }
  | { readonly kind: "say" | "warn"; readonly line: string }
  | { readonly kind: "take" }
  | { readonly kind: "event"; readonly event: PredictionEvent }
  /** A run has ended; `heldBytes` are the model's on the engine. */
  | {
    readonly kind: "ended";
    readonly steps: readonly StepCost[];
    readonly heldBytes: number;
    readonly failed?: { readonly error: PlainError; readonly isGone: boolean };
  }
  /** Opening, or a run, ended with an error that is no one case's. */
  | { readonly kind: "error"; readonly error: PlainError }
  | { readonly kind: "closed" };
