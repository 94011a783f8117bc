/** What a training is asked for and what it says while it runs, as plain data: the line between the command and the trainer. */
import type { Engine, Precision } from "../engine/engine.ts";
import type { TrainingEngine } from "../engine/training.ts";
import type { ThreadRuns } from "../predict/run/predict_in_threads.ts";
import type { ReadingLane } from "../predict/run/run_memory.ts";
import type { NextStageSetting, NextStageStart } from "./next_stage_threads.ts";
import type { ParallelTraining } from "./parallel/parallel_training.ts";
import type { RecipeChanges } from "./recipe.ts";
import type { TrainingTask } from "./setup.ts";
import type { EpochRecord } from "./training_log.ts";

export interface TrainRequest {
  readonly task: TrainingTask;
  readonly trainerName: string;
  readonly changes: RecipeChanges;
  /** Of all random numbers; undefined: drawn, and noted in log and checkpoint. */
  readonly seed?: number;
  /** pretrained: all weights that fit but the segmentation heads are those of `file`; strict: all have to fit. validate: no training, only the final validation. */
  readonly start: { readonly kind: "new" | "continue" | "validate" } | {
    readonly kind: "pretrained";
    readonly file: string;
    readonly strict: boolean;
  };
  /** Validate with checkpoint_best.pth instead of the final one. */
  readonly useBest: boolean;
  /** Of the validation cases. */
  readonly saveProbabilities: boolean;
  /** False: no checkpoint is ever written. */
  readonly checkpointing: boolean;
  /** Draw progress.png and training_report.html. */
  readonly pictures: boolean;
  /** Unpack .npz files before training. */
  readonly unpack: boolean;
  /** Threads that load samples; 0: none but the caller's. Default: by the engine and the cores. */
  readonly sampleThreads?: number;
  /** Bytes that may be taken; default: what is free. */
  readonly maxMemory?: number;
  readonly precision: Precision;
  /** Validation only: take an unknown trainer's network to be the plans'. */
  readonly assumePlansNetwork: boolean;
  /** Called once files and flags are found to be good. */
  openEngine(): Promise<Engine & TrainingEngine>;
  /** Several engines train, each a share of every batch; the one above plans and validates. */
  readonly shares?: TrainingShares;
  /** Several engines share the cases of the final validation; absent: the one above predicts them. */
  readonly validators?: ValidationEngines;
  /** Other trainings go on beside this one in the same process. */
  readonly lane?: ReadingLane;
  /**
   * Asked after every failure: keeps what it tells of the engines opened last.
   * @param attempts How many have come to nothing since the last checkpoint, the one that failed included
   * @returns what goes on and why, a sentence; undefined where the next engine would fail as they did
   */
  recover?(error: unknown, attempts: number): Promise<string | undefined>;
}

/** Where a training begins once more that has failed. @param isSaved It has a checkpoint of its own */
export function startAfter(start: TrainRequest["start"], isSaved: boolean): TrainRequest["start"] {
  return isSaved && start.kind !== "validate" ? { kind: "continue" } : start;
}

export interface TrainingShares {
  /** Two or more. */
  readonly count: number;
  /** @param planner An engine like theirs, which may be closed: for forecasts. @throws UserError if one cannot be opened */
  open(planner: TrainingEngine): Promise<ParallelTraining>;
}

/** Engines that predict the cases of a validation. */
export interface ValidationEngines {
  /** Opens as many as there are, but no more than there are cases. @throws UserError if none can be used */
  open(cases: number): Promise<Validators>;
  /** Their threads for a cascade's next stage, which open the fold by the setting. */
  nextStages(setting: NextStageSetting): readonly NextStageStart<NextStageSetting>[];
}

export interface Validators extends AsyncDisposable {
  /** In a line: "GPU 0, NVIDIA T4; GPU 1, NVIDIA T4, WebGPU". */
  readonly description: string;
  readonly runs: Pick<ThreadRuns, "predictAll">;
}

export interface EpochProgress {
  readonly epoch: number;
  readonly epochs: number;
  readonly record: EpochRecord;
  /** True where the moving average of the pseudo Dice is the best so far. */
  readonly isBest: boolean;
  readonly secondsLeft: number;
}

export interface TrainHooks {
  info(message: string): void;
  warn(message: string): void;
  /** Steps done of the epoch, validation included. */
  onStep?(done: number, of: number, epoch: number): void;
  onEpoch?(progress: EpochProgress): void;
  /** A checkpoint of this training is there: it can go on from it. */
  onSave?(): void;
  /** Validation cases done. */
  onCase?(done: number, of: number): void;
  /** Aborting it has a checkpoint written and then rejects with Interrupted. */
  readonly signal?: AbortSignal;
}
