/** Waiting for other runs on the same dataset. */
import { tryTakeLock } from "../../core/base/folder_lock.ts";
import { pause } from "../../core/preprocess/shared_data_folder.ts";
import type { CommandContext } from "../commands/command.ts";

export const STOPPED = "stopped; the same command goes on from there";

/** Between two looks, milliseconds. */
export const LOOKING = 2000;

/**
 * Takes a lock, waiting for who has it.
 * @param what Another run does: "is preparing the data"
 * @throws Interrupted if the signal aborts
 */
export async function waitForLock(path: string, what: string, { print, signal }: CommandContext): Promise<Disposable> {
  for (let isSaid = false;; isSaid = true) {
    const lock = tryTakeLock(path);
    if (lock) return lock;
    if (!isSaid) print(`waiting, as another run ${what}`);
    await pause(signal, LOOKING);
  }
}
