/**
 * Samples in the order in which the training takes them, loaded ahead of it by threads of their own. What comes does not depend on
 * their number.
 */
import { startJobThread, type ThreadStart } from "../../base/worker_thread.ts";
import { createSampleLoader, type Sample, type SampleName, type SampleSetting } from "./sample_loader.ts";

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
  const loading: ThreadStart<SampleSetting> = {
    does: "loads samples",
    startWorker: () => new Worker(new URL("./sample_worker.ts", import.meta.url), { type: "module" }),
    setting,
  };
  const threads = Array.from(
    { length: options.threads },
    () => startJobThread<SampleSetting, SampleName, Sample>(loading),
  );
  const queue: Promise<Sample>[] = [];
  const fill = () => {
    while (queue.length < options.ahead) {
      const { value, done } = names.next();
      if (done) return;
      const idlest = threads.reduce((a, b) => (b.waiting() < a.waiting() ? b : a));
      const sample = idlest.run(value);
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
