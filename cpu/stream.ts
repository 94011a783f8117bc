/**
 * The stream of work: commands go to the workers in the order in which they were enqueued, downloads read what was there when they
 * were asked for, memory of finished commands goes back. Nothing here blocks the main thread.
 */
import { createEngineMemory, type EngineMemory } from "./memory.ts";
import { encodeCalls, encodeCommand, type PlacedCall } from "./encode.ts";
import { COMMAND } from "./protocol.ts";
import { startWorkers, type WorkerPool } from "./worker_pool.ts";

/** Memory that commands use, as the stream follows it. */
export interface Resource {
  /** Number of the last command that uses it. */
  lastUse: number;
  /** Downloads that have not been copied yet; commands that touch it and come after them wait for them. */
  readonly openReads: Set<object>;
}

/** A range of the engine's memory. */
export interface Region extends Resource {
  readonly address: number;
  readonly bytes: number;
  alive: boolean;
}

/** Encoded calls in shared memory. */
export interface Encoded {
  readonly address: number;
  readonly count: number;
  /** Private memory a thread needs. */
  readonly scratchBytes: number;
}

export interface StreamOptions {
  readonly threads: number;
  readonly memoryLimitBytes?: number;
  /** Bytes of the kernels' module. */
  readonly module: Uint8Array<ArrayBuffer>;
}

export interface Stream extends AsyncDisposable {
  readonly memory: EngineMemory;
  /** Number of the last command enqueued. */
  readonly issued: number;
  /** Writes calls to memory that stays until it is released. */
  encode(calls: readonly PlacedCall[]): Encoded;
  /** Gives the memory of encoded calls back once the commands enqueued so far are done. */
  release(encoded: Encoded): void;
  /** Enqueues encoded calls that use `resources`. */
  submit(encoded: Encoded, resources: readonly Resource[]): void;
  /** True if no command that was enqueued uses the resource any more, so that the main thread may write it. */
  isIdle(resource: Resource): boolean;
  /** Makes room for the threads' private memory, `bytes` each. */
  reserveScratch(bytes: number): void;
  /** Calls `read` when the commands that use the resource are done, before any later one touches it. */
  read<T>(resource: Resource, read: () => T): Promise<T>;
  /** Calls `action` when the commands enqueued so far are done. */
  afterwards(action: () => void): void;
  /** Resolves when the commands up to a number are done, by default all that were enqueued. */
  settled(until?: number): Promise<void>;
  /** Throws what went wrong, if anything did. */
  check(): void;
}

interface Waiter {
  readonly until: number;
  readonly done: () => void;
  readonly fail: (error: unknown) => void;
}

/** Starts the workers on a fresh memory. */
export async function createStream({ threads, memoryLimitBytes, module: bytes }: StreamOptions): Promise<Stream> {
  const memory = createEngineMemory(memoryLimitBytes);
  const module = await WebAssembly.compile(bytes);
  const names = WebAssembly.Module.exports(module).filter(({ kind }) => kind === "function").map(({ name }) => name);
  const kernels = new Map(names.map((name, index) => [name, index]));
  const firstCommand = memory.allocateSmall(COMMAND.bytes);
  const pool: WorkerPool = await startWorkers({
    memory: memory.memory,
    module,
    kernels: names,
    threads,
    firstCommand,
    onProgress: () => progress(),
  });

  let issued = 0;
  let ended = false;
  let scratch = { address: 0, bytes: 0 };
  let waiters: Waiter[] = [];
  /** Waiters whose commands are done, in the order in which they came; whoever finds them runs them before anything later. */
  const ready: Waiter[] = [];
  /** Commands that wait for an open read, and all that came after them. */
  const held: { readonly command: number; readonly reads: readonly object[] }[] = [];
  const openReads = new Set<object>();

  function failure(): Error | undefined {
    return pool.failure ?? (ended ? new Error("Computing on the CPU: the engine has been disposed") : undefined);
  }

  function progress(): void {
    const error = failure();
    if (error) {
      const failed = waiters;
      waiters = [];
      for (const waiter of failed) waiter.fail(error);
      return;
    }
    const { completed } = pool;
    memory.advance(completed);
    runReady(completed);
    publishHeld();
  }

  function runReady(completed: number): void {
    ready.push(...waiters.filter(({ until }) => until <= completed));
    waiters = waiters.filter(({ until }) => until > completed);
    for (let next = ready.shift(); next; next = ready.shift()) next.done();
  }

  function publishHeld(): void {
    while (held.length > 0 && !held[0].reads.some((read) => openReads.has(read))) {
      const [{ command }] = held.splice(0, 1);
      pool.publish(command);
    }
  }

  function when(until: number, done: () => void, fail: (error: unknown) => void): void {
    const error = failure();
    if (error) return fail(error);
    const { completed } = pool;
    if (until > completed) return void waiters.push({ until, done, fail });
    // The threads may be further than this thread has heard. What waits for less comes first: memory that is freed at once may be one
    // that a read still waits for.
    runReady(completed);
    done();
  }

  function reserveScratch(bytes: number): void {
    if (bytes <= scratch.bytes) return;
    // Later commands may have the former range: those that use it come before them.
    if (scratch.bytes > 0) memory.free(scratch.address, issued);
    scratch = { address: 0, bytes: 0 };
    const { address } = memory.allocate(bytes * threads, "the threads' private memory");
    scratch = { address, bytes };
  }

  return {
    memory,
    get issued() {
      return issued;
    },
    encode(calls) {
      const { bytes, count, relocate } = encodeCalls(calls, kernels);
      const address = memory.allocateSmall(bytes.length);
      relocate(address);
      memory.bytes(address, bytes.length).set(bytes);
      const scratchBytes = calls.reduce((most, { call }) => Math.max(most, Math.ceil(call.scratchBytes / 64) * 64), 0);
      return { address, count, scratchBytes };
    },
    release: ({ address }) => when(issued, () => memory.freeSmall(address), () => {}),
    submit(encoded, resources) {
      if (ended) throw new Error("Computing on the CPU: the engine has been disposed");
      if (encoded.count === 0) return;
      reserveScratch(encoded.scratchBytes);
      const command = memory.allocateSmall(COMMAND.bytes);
      const record = encodeCommand(encoded.address, encoded.count, scratch.address, scratch.bytes);
      memory.bytes(command, COMMAND.bytes).set(record);
      issued++;
      for (const resource of resources) resource.lastUse = issued;
      // Workers find the next command through this one, so it stays until the next one is done.
      when(issued + 1, () => memory.freeSmall(command), () => {});
      held.push({ command, reads: resources.flatMap((resource) => [...resource.openReads]) });
      publishHeld();
    },
    isIdle: (resource) => resource.openReads.size === 0 && resource.lastUse <= pool.completed,
    reserveScratch,
    read<T>(resource: Resource, read: () => T): Promise<T> {
      const token = {};
      resource.openReads.add(token);
      openReads.add(token);
      return new Promise<T>((resolve, reject) => {
        const finish = (action: () => void) => () => {
          resource.openReads.delete(token);
          openReads.delete(token);
          try {
            action();
          } catch (error) {
            reject(error);
          }
        };
        when(resource.lastUse, finish(() => resolve(read())), (error) => finish(() => reject(error))());
      });
    },
    afterwards: (action) => when(issued, action, () => {}),
    settled: (until = issued) => new Promise((resolve, reject) => when(until, resolve, reject)),
    check() {
      const error = failure();
      if (error) throw error;
    },
    async [Symbol.asyncDispose]() {
      if (ended) return;
      ended = true;
      progress();
      await pool[Symbol.asyncDispose]();
      memory.release();
    },
  };
}
