/**
 * The engine's workers as the main thread sees them: commands are published in order and completed in order.
 * The main thread only ever waits with Atomics.waitAsync: Atomics.wait there would hold back signals and timers.
 */
import { COMMAND, CONTROL, CONTROL_BYTES, ERROR_TEXT, type WorkerMessage, type WorkerStart } from "./protocol.ts";

export interface PoolOptions {
  readonly memory: WebAssembly.Memory;
  readonly module: WebAssembly.Module;
  /** Exports of the module by kernel index. */
  readonly kernels: readonly string[];
  readonly threads: number;
  /** Address of an empty command, {@link COMMAND}.bytes of zeros. */
  readonly firstCommand: number;
  /** Called after commands have been completed, and after a failure. */
  readonly onProgress: () => void;
}

export interface WorkerPool extends AsyncDisposable {
  /** Appends the command at an address, whose fields but `next` are written, to the list. */
  publish(command: number): void;
  /** Commands completed so far. */
  readonly completed: number;
  /** What went wrong in a worker, if anything did; nothing is computed afterwards. */
  readonly failure: Error | undefined;
}

/** Starts the workers and waits until all of them are ready. */
export async function startWorkers(
  { memory: given, module, kernels, firstCommand, threads, onProgress }: PoolOptions,
): Promise<WorkerPool> {
  // Let go of at the end: whoever still has the pool must not keep it.
  let memory: WebAssembly.Memory | undefined = given;
  const control = new Int32Array(new SharedArrayBuffer(CONTROL_BYTES));
  let lastCommand = firstCommand;
  let published = 0;
  let watching = false;
  let death: Error | undefined;
  let ending = false;
  let running = false;

  const workers = Array.from({ length: threads }, () => {
    return new Worker(new URL("./engine_worker.ts", import.meta.url), { type: "module" });
  });
  const ended: ReturnType<typeof startWorker>[] = [];
  // No function, which would keep the memory it is given.
  for (const [thread, worker] of workers.entries()) ended.push(startWorker(worker, thread, given));

  function stop(): void {
    ending = true;
    Atomics.store(control, CONTROL.stop, 1);
    // A worker may be about to sleep on one of these: only another value keeps it awake.
    Atomics.store(control, CONTROL.published, -1);
    Atomics.add(control, CONTROL.generation, 1);
    for (const cell of [CONTROL.published, CONTROL.generation, CONTROL.completed]) Atomics.notify(control, cell);
  }

  function startWorker(
    worker: Worker,
    thread: number,
    memory: WebAssembly.Memory,
  ): { ready: Promise<void>; gone: Promise<void> } {
    const ready = Promise.withResolvers<void>();
    const gone = Promise.withResolvers<void>();
    const die = (message: string) => {
      death ??= new Error(`Worker ${thread} of the CPU engine: ${message}`);
      ready.reject(death);
      gone.resolve();
      stop();
      if (running) onProgress();
    };
    worker.onmessage = ({ data }: MessageEvent<WorkerMessage>) => {
      if (data.kind === "ready") ready.resolve();
      else if (data.kind === "failed") die(data.message);
      else gone.resolve();
    };
    worker.onerror = (event) => {
      event.preventDefault();
      die(event.message);
    };
    worker.onmessageerror = () => die("a message could not be read");
    const start: WorkerStart = {
      memory,
      module,
      control: control.buffer as SharedArrayBuffer,
      kernels,
      thread,
      threads,
      firstCommand,
    };
    worker.postMessage(start);
    return { ready: ready.promise, gone: gone.promise };
  }

  function failure(): Error | undefined {
    if (!death && Atomics.load(control, CONTROL.failed) === 2) {
      const text = new Uint8Array(control.buffer, ERROR_TEXT.offset, Atomics.load(control, CONTROL.errorBytes)).slice();
      death = new Error(`Computing on the CPU: ${new TextDecoder().decode(text)}`);
    }
    return death;
  }

  /** Follows the workers as long as commands are open; never calls back while it is being called. */
  async function watch(): Promise<void> {
    if (watching) return;
    watching = true;
    await Promise.resolve();
    for (;;) {
      const completed = Atomics.load(control, CONTROL.completed);
      // Before the loop may end: what was completed last must be told, too.
      onProgress();
      if (completed === published || ending) break;
      const wait = Atomics.waitAsync(control, CONTROL.completed, completed);
      if (wait.async) await wait.value;
    }
    watching = false;
  }

  const started = await Promise.allSettled(ended.map(({ ready }) => ready));
  const failed = started.find((result) => result.status === "rejected");
  if (failed) {
    stop();
    throw failed.reason;
  }
  running = true;

  return {
    publish(command) {
      if (!memory) throw new Error("Computing on the CPU: the engine has been disposed");
      new DataView(memory.buffer).setBigUint64(lastCommand + COMMAND.next, BigInt(command), true);
      lastCommand = command;
      published = Atomics.add(control, CONTROL.published, 1) + 1;
      Atomics.notify(control, CONTROL.published);
      void watch();
    },
    get completed() {
      return Atomics.load(control, CONTROL.completed);
    },
    get failure() {
      return failure();
    },
    async [Symbol.asyncDispose]() {
      stop();
      await Promise.all(ended.map(({ gone }) => gone));
      memory = undefined;
    },
  };
}
