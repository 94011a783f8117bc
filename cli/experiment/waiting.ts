/** Waiting for other runs on the same dataset. */
import { Interrupted } from "../../core/base/errors.ts";
import { tryTakeLock } from "../../core/base/folder_lock.ts";
import type { CommandContext } from "../commands/command.ts";

/** Between two looks, milliseconds. */
const PAUSE = 2000;

export const STOPPED = "stopped; the same command goes on from there";

/** @throws Interrupted if the signal aborts */
export async function pause(signal: AbortSignal): Promise<void> {
  if (!signal.aborted) {
    await new Promise<void>((resolve) => {
      const end = () => {
        clearTimeout(timer);
        signal.removeEventListener("abort", end);
        resolve();
      };
      const timer = setTimeout(end, PAUSE);
      signal.addEventListener("abort", end);
    });
  }
  if (signal.aborted) throw new Interrupted(STOPPED);
}

/** Takes a lock, waiting for who has it. @param what Another run does: "is preparing the data" */
export async function waitForLock(path: string, what: string, { print, signal }: CommandContext): Promise<Disposable> {
  for (let isSaid = false;; isSaid = true) {
    const lock = tryTakeLock(path);
    if (lock) return lock;
    if (!isSaid) print(`waiting, as another run ${what}`);
    await pause(signal);
  }
}
