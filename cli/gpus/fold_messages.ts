/** What crosses between the program and a thread that trains a fold; plain data. */
import type { PlainError } from "../../core/base/plain_error.ts";
import type { EpochProgress, TrainRequest } from "../../core/train/train_request.ts";
import type { EngineFlags } from "../training_request.ts";

/** A training without its engine. */
export type FoldRequest = Omit<TrainRequest, "openEngine" | "recover" | "shares" | "validators">;

export type ToFoldThread =
  | { readonly kind: "train"; readonly request: FoldRequest; readonly flags: EngineFlags }
  | { readonly kind: "abort" };

export type FromFoldThread =
  | { readonly kind: "info" | "warn"; readonly line: string }
  | { readonly kind: "epoch"; readonly progress: EpochProgress }
  | { readonly kind: "case"; readonly done: number; readonly of: number }
  /** A checkpoint was written. */
  | { readonly kind: "saved" }
  /** Again and again: the thread is not held by a GPU that hangs. */
  | { readonly kind: "alive" }
  /** Mean Dice of the validation. */
  | { readonly kind: "done"; readonly dice: number }
  /** `isEngines`: the engine has failed, and another one may do it. */
  | { readonly kind: "error"; readonly error: PlainError; readonly isEngines: boolean };
