/**
 * Collects garbage at once. The collector comes round only when a thread allocates, so what a stage has left, tens of megabytes, would
 * otherwise lie beside the next stage's peak while the thread merely waits for others.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

let collect: (() => void) | undefined;

/** Of the calling thread's objects; does nothing where the runtime does not offer it. */
export function collectGarbage(): void {
  collect ??= collector();
  collect();
}

/** The function is not there unless it was asked for at the start, except in contexts made after the flag was set. */
function collector(): () => void {
  try {
    setFlagsFromString("--expose-gc");
    const found: unknown = runInNewContext("gc");
    return typeof found === "function" ? () => found() : () => {};
  } catch {
    return () => {};
  }
}
