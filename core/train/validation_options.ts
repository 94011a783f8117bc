/** What a validation is asked for, and whom it tells. */
import type { ReadingLane } from "../predict/run/run_memory.ts";

export interface ValidationOptions {
  /** Also <case>.npz and <case>.pkl. */
  readonly saveProbabilities: boolean;
  /** The checkpoint's trainer may be unknown. */
  readonly assumePlansNetwork: boolean;
  readonly maxMemory?: number;
  /** Other trainings go on beside this one; `maxMemory` is its part. */
  readonly lane?: ReadingLane;
  readonly signal?: AbortSignal;
}

export interface ValidationHooks {
  /** A line for the log. */
  say(message: string): void;
  warn(message: string): void;
  /** Cases done. */
  onCase?(done: number, of: number): void;
}
