/** What crosses between the program and a thread that trains a fold; plain data. */
import type { PlainError } from "../../core/base/plain_error.ts";
import type { EpochProgress, TrainRequest } from "../../core/train/train_request.ts";
import type { EngineFlags } from "../training_request.ts";

/** A training without its engine. */
export type FoldRequest = Omit<TrainRequest, "openEngine" | "recover" | "shares" | "validators">;

export interface FoldJob {
  readonly request: FoldRequest;
  readonly flags: EngineFlags;
}

export type FoldNews =
  | { readonly kind: "info" | "warn"; readonly line: string }
  | { readonly kind: "epoch"; readonly progress: EpochProgress }
  | { readonly kind: "case"; readonly done: number; readonly of: number }
  /** A checkpoint was written. */
  | { readonly kind: "saved" }
  /** Again and again: the thread is not held by a GPU that hangs. */
  | { readonly kind: "alive" };

export type FoldEnd =
  /** Mean Dice of the validation. */
  | { readonly kind: "done"; readonly dice: number }
  /** The engine has failed, and another one may do it. */
  | { readonly kind: "failed"; readonly error: PlainError };
