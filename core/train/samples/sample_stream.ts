/**
 * Samples in the order in which the training takes them, loaded ahead of it by threads of their own. What comes does not depend on
 * their number.
 */
import { fromPlainError } from "../../base/plain_error.ts";
import { createSampleLoader, type Sample, type SampleName, type SampleSetting } from "./sample_loader.ts";
import type { SampleReply, SampleRequest } from "./sample_messages.ts";

export interface SampleStream extends Disposable {
  /** The next sample. @throws UserError naming the case; RangeError behind the last one */
  next(): Promise<Sample>;
}

export interface SampleStreamOptions {
  /** 0: loaded in the calling thread when they are asked for. */
  readonly threads: number;
  /** Samples that are loaded, or being loaded, before they are asked for. */
  readonly ahead: number;
}

export function createSampleStream(
  setting: SampleSetting,
  names: Iterator<SampleName>,
  options: SampleStreamOptions,
): SampleStream {
  if (options.threads === 0) {
    const loader = createSampleLoader(setting);
    return {
      next: () => loader.load(nextName(names)),
      [Symbol.dispose]: () => loader[Symbol.dispose](),
    };
  }
  const threads = Array.from({ length: options.threads }, () => startThread(setting));
  const queue: Promise<Sample>[] = [];
  const fill = () => {
    while (queue.length < options.ahead) {
      const { value, done } = names.next();
      if (done) return;
      const idlest = threads.reduce((a, b) => (b.waiting() < a.waiting() ? b : a));
      const sample = idlest.load(value);
      sample.catch(() => {}); // it is met when it is asked for
      queue.push(sample);
    }
  };
  fill();
  return {
    next() {
      const sample = queue.shift();
      fill();
      return sample ?? Promise.reject(new RangeError("There is no further sample"));
    },
    [Symbol.dispose]: () => threads.forEach((thread) => thread[Symbol.dispose]()),
  };
}

function nextName(names: Iterator<SampleName>): SampleName {
  const { value, done } = names.next();
  if (done) throw new RangeError("There is no further sample");
  return value;
}

interface Thread extends Disposable {
  load(name: SampleName): Promise<Sample>;
  /** Samples asked for and not there. */
  waiting(): number;
}

function startThread(setting: SampleSetting): Thread {
  const worker = new Worker(new URL("./sample_worker.ts", import.meta.url), { type: "module" });
  const pending = new Map<number, PromiseWithResolvers<Sample>>();
  let count = 0;
  let failure: Error | undefined;
  const send = (request: SampleRequest) => worker.postMessage(request);
  worker.onmessage = ({ data }: MessageEvent<SampleReply>) => {
    const one = pending.get(data.number);
    pending.delete(data.number);
    if (data.kind === "sample") one?.resolve(data.sample);
    else one?.reject(fromPlainError(data.error));
  };
  worker.onerror = (event) => {
    event.preventDefault();
    failure = new Error(`A thread that loads samples ended: ${event.message}`);
    for (const one of pending.values()) one.reject(failure);
    pending.clear();
  };
  send({ kind: "setting", setting });
  return {
    load(name) {
      if (failure) return Promise.reject(failure);
      const one = Promise.withResolvers<Sample>();
      pending.set(count, one);
      send({ kind: "sample", number: count++, name });
      return one.promise;
    },
    waiting: () => pending.size,
    [Symbol.dispose]: () => worker.terminate(),
  };
}
