/**
 * The engine of a training, and what goes on in its place when a GPU fails on the way: the GPU once more, without the kernel that it failed
 * at, or the CPU.
 */
import { UserError } from "../../core/base/errors.ts";
import type { TrainRequest } from "../../core/train/train_request.ts";
import { MOST_SUSPECTS } from "./gpu_start.ts";
import { type ChosenEngine, type EngineWish, mayUseCpu, selectEngine, startCpu } from "./select_engine.ts";

/** How trainings come to their engines. */
export type EngineOpener = Pick<TrainRequest, "openEngine" | "recover">;

/** With what it knows of the engine opened last. */
export interface FollowedEngines extends Required<EngineOpener> {
  /** What that could not get over, or why there was none. */
  lastFailure(): Error | undefined;
  /** Its device is gone. */
  wasLost(): boolean;
}

export interface FollowOptions {
  readonly onOpen?: (chosen: ChosenEngine) => void;
  /** A device was lost before: kernels are tried one by one from the first engine on. */
  readonly search?: boolean;
}

/** A device that is lost so often before it has come to a checkpoint is given up. */
export const MOST_LOSSES = 2;
/** Kernels that are done without, one after the other, before the GPU is given up. */
const MOST_LESSONS = 16;

/** Opens the engine that is wished for, and others in its place. */
export function followEngines(wish: EngineWish, { onOpen, search }: FollowOptions = {}): FollowedEngines {
  let last: ChosenEngine | undefined;
  let notOpened: Error | undefined;
  /** Once a device was lost: the next ones look for the kernel that it was lost by, among them these. */
  let suspects: Set<string> | undefined = search ? new Set() : undefined;
  let lessons = 0;
  let whyCpu: string | undefined;

  async function openEngine() {
    notOpened = last = undefined;
    try {
      last = whyCpu === undefined
        ? await selectEngine(wish, {}, suspects)
        : await startCpu(wish, whyCpu, wish.allowCpu);
    } catch (error) {
      notOpened = error instanceof Error ? error : new Error(String(error));
      throw error;
    }
    onOpen?.(last);
    return last.engine;
  }

  /** What is looked for on the next device, or done without on it; undefined if it would fail as the last one. */
  async function nextOnGpu(failed: ChosenEngine, attempts: number): Promise<string | undefined> {
    const [lesson, suspect] = [failed.lesson(), failed.suspect()];
    if (lesson && lessons++ < MOST_LESSONS) {
      await lesson();
      return "another way";
    }
    if (suspect !== undefined) suspects?.add(suspect);
    else if (!failed.wasLost() || attempts >= MOST_LOSSES) return undefined;
    suspects ??= new Set();
    return suspects.size <= MOST_SUSPECTS ? "kernel by kernel" : undefined;
  }

  return {
    openEngine,
    async recover(_error, attempts) {
      const failure = last?.lastFailure();
      if (!last || !failure) return undefined;
      const how = await nextOnGpu(last, attempts);
      if (how !== undefined) return `the GPU failed and is tried again, ${how}: ${withoutRemedy(failure)}`;
      if (!last.isUseless() || !mayUseCpu(wish)) return undefined;
      whyCpu = `the GPU failed, the CPU goes on${wish.allowCpu ? " (--allow_cpu)" : ""}: ${withoutRemedy(failure)}`;
      return whyCpu;
    },
    lastFailure: () => notOpened ?? last?.lastFailure(),
    wasLost: () => last?.wasLost() ?? false,
  };
}

/** It is done already. */
function withoutRemedy(failure: Error): string {
  if (!(failure instanceof UserError)) return failure.message;
  const { remedy: _remedy, ...parts } = failure.parts;
  return new UserError(parts).message;
}
