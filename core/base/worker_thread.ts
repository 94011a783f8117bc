/**
 * A thread that answers jobs, one after the other: both sides of it. Jobs, results and errors cross as plain data; what the thread keeps
 * between jobs is made once, of a setting. A job may have news on its way.
 */
import { fromPlainError, type PlainError, toPlainError } from "./plain_error.ts";

/** To the thread; the setting comes first. */
type Request<Setting, Job> =
  | { readonly kind: "setting"; readonly setting: Setting }
  | { readonly kind: "job"; readonly number: number; readonly job: Job }
  /** For the jobs to end themselves. */
  | { readonly kind: "abort" };

type Reply<Result, News> =
  | { readonly kind: "news"; readonly number: number; readonly news: News }
  | { readonly kind: "result"; readonly number: number; readonly result: Result }
  | { readonly kind: "error"; readonly number: number; readonly error: PlainError };

/** Does a job. @param signal Aborts when the caller's thread is told to */
export type RunJob<Job, Result, News = never> = (
  job: Job,
  signal: AbortSignal,
  tell: (news: News) => void,
) => Promise<Result>;

/** A worker's own side, its `self`; the type of the library is known in workers' scripts only. */
export interface JobPort {
  onmessage: ((event: MessageEvent) => void) | null;
  postMessage(message: unknown, transfer?: ArrayBuffer[]): void;
}

/**
 * What a worker's script calls, once.
 * @param start Called with the setting; what it throws is the answer to every job.
 * @param transferablesOf Buffers of a result that are moved instead of copied
 * @param onAnswered Called when a job's answer is on its way
 */
export function answerJobs<Setting, Job, Result, News = never>(
  port: JobPort,
  start: (setting: Setting) => RunJob<Job, Result, News>,
  transferablesOf: (result: Result) => ArrayBuffer[] = () => [],
  onAnswered: (job: Job) => void = () => {},
): void {
  const stop = new AbortController();
  const setting = Promise.withResolvers<Setting>();
  const run = setting.promise.then(start);
  run.catch(() => {}); // each job is answered with it
  let queue: Promise<void> = Promise.resolve();

  const send = (reply: Reply<Result, News>, transfer: ArrayBuffer[] = []) => port.postMessage(reply, transfer);
  const answer = async (number: number, job: Job): Promise<void> => {
    try {
      const result = await (await run)(job, stop.signal, (news) => send({ kind: "news", number, news }));
      send({ kind: "result", number, result }, transferablesOf(result));
    } catch (error) {
      send({ kind: "error", number, error: toPlainError(error) });
    }
    onAnswered(job);
  };
  port.onmessage = ({ data }: MessageEvent<Request<Setting, Job>>) => {
    if (data.kind === "setting") setting.resolve(data.setting);
    else if (data.kind === "abort") stop.abort();
    else queue = queue.then(() => answer(data.number, data.job));
  };
}

/** The thread itself ended, with the jobs it had: a defect of the program, or its heap is full. */
export class ThreadEnded extends Error {
  override readonly name = "ThreadEnded";
  /** @param detail What the runtime says of it */
  constructor(does: string, readonly detail: string) {
    super(`A thread that ${does} ended: ${detail}`);
  }
}

export interface ThreadStart<Setting> {
  /** For messages: "reads training cases". */
  readonly does: string;
  /** Starts a worker whose script calls {@link answerJobs}; given as a function so that its URL is a static text bundlers find. */
  readonly startWorker: () => Worker;
  readonly setting: Setting;
}

/** A thread that does its jobs in the order they are given; disposing ends it at once. */
export interface JobThread<Job, Result, News = never> extends Disposable {
  /** @param transfer Buffers of the job that are moved to the thread. @throws what the job throws there; {@link ThreadEnded} */
  readonly run: (job: Job, transfer?: ArrayBuffer[], onNews?: (news: News) => void) => Promise<Result>;
  /** Jobs that are not answered. */
  readonly waiting: () => number;
  /** Tells the jobs, running and to come, to end themselves. */
  readonly abort: () => void;
  /** Makes the jobs that are not answered fail for their callers; the thread goes on with them. */
  readonly reject: (error: Error) => void;
  /** When no job is left unanswered. */
  readonly settled: () => Promise<void>;
}

/** A job that is not answered. */
interface Pending<Result, News> {
  readonly answer: PromiseWithResolvers<Result>;
  readonly onNews?: (news: News) => void;
}

export function startJobThread<Setting, Job, Result, News = never>(
  start: ThreadStart<Setting>,
): JobThread<Job, Result, News> {
  const worker = start.startWorker();
  const pending = new Map<number, Pending<Result, News>>();
  let count = 0;
  let ended: ThreadEnded | undefined;
  const send = (request: Request<Setting, Job>, transfer: ArrayBuffer[] = []) => worker.postMessage(request, transfer);
  const reject = (error: Error) => {
    for (const { answer } of pending.values()) answer.reject(error);
    pending.clear();
  };
  worker.onmessage = ({ data }: MessageEvent<Reply<Result, News>>) => {
    const job = pending.get(data.number);
    if (data.kind === "news") return job?.onNews?.(data.news);
    pending.delete(data.number);
    if (data.kind === "result") job?.answer.resolve(data.result);
    else job?.answer.reject(fromPlainError(data.error));
  };
  worker.onerror = (event) => {
    event.preventDefault();
    ended = new ThreadEnded(start.does, event.message);
    reject(ended);
  };
  send({ kind: "setting", setting: start.setting });
  return {
    run: (job, transfer, onNews) => {
      if (ended) return Promise.reject(ended);
      const answer = Promise.withResolvers<Result>();
      const number = count++;
      pending.set(number, { answer, ...(onNews && { onNews }) });
      try {
        send({ kind: "job", number, job }, transfer);
      } catch (error) {
        pending.delete(number);
        answer.reject(error);
      }
      return answer.promise;
    },
    waiting: () => pending.size,
    abort: () => send({ kind: "abort" }),
    reject,
    async settled() {
      await Promise.allSettled([...pending.values()].map(({ answer }) => answer.promise));
    },
    [Symbol.dispose]: () => worker.terminate(),
  };
}
