/** A job as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html). */
import { isFinalState } from "./job.ts";
import type { JobQueue } from "./job_queue.ts";

/** So that proxies, and clients that have gone, are noticed. */
const SIGN_OF_LIFE_MS = 10_000;
/** Of changes in between the last is told. */
const PAUSE_MS = 100;

export async function* jobEvents(queue: JobQueue, id: string, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const encoder = new TextEncoder();
  let changed = Promise.withResolvers<void>();
  using _watching = queue.watch(id, () => changed.resolve());
  let told = "";
  while (!signal.aborted) {
    const job = queue.get(id);
    if (!job) return;
    const text = JSON.stringify(job);
    if (text !== told) yield encoder.encode(`event: job\ndata: ${text}\n\n`);
    else yield encoder.encode(": here\n\n");
    told = text;
    if (isFinalState(job.state)) return;
    await waitFor(changed.promise, signal, SIGN_OF_LIFE_MS);
    await waitFor(undefined, signal, PAUSE_MS);
    changed = Promise.withResolvers();
  }
}

async function waitFor(promise: Promise<void> | undefined, signal: AbortSignal, ms: number): Promise<void> {
  const late = Promise.withResolvers<void>();
  const end = () => late.resolve();
  const timer = setTimeout(end, ms);
  signal.addEventListener("abort", end, { once: true });
  if (signal.aborted) end();
  await Promise.race([late.promise, ...(promise ? [promise] : [])]);
  clearTimeout(timer);
  signal.removeEventListener("abort", end);
}
