/**
 * What the main thread and the workers agree on. A command is a list of kernel calls in shared memory; commands form a linked list.
 * Every worker runs every command (single program, multiple data): it takes items of a call from a shared counter until none is left,
 * then waits for the others. Workers sleep in Atomics.wait; the main thread never does.
 */

/** Cells of the control block, an Int32Array; those written often have a cache line each. */
export const CONTROL = {
  /** 1: workers end as soon as they see it. */
  stop: 0,
  /** 0: no error; 1: a worker is writing its error; 2: written. Workers skip all items from then on. */
  failed: 1,
  /** Bytes of the error's text. */
  errorBytes: 2,
  /** Commands published by the main thread. */
  published: 16,
  /** Commands that all workers have finished. */
  completed: 32,
  /** The next item of the current call. */
  nextItem: 48,
  /** Workers that found no more items. */
  arrived: 64,
  /** Counts calls; a change lets waiting workers go on. */
  generation: 80,
} as const;

/** Byte offset and size of the error's UTF-8 text in the control block. */
export const ERROR_TEXT = { offset: 512, bytes: 3584 } as const;
export const CONTROL_BYTES = ERROR_TEXT.offset + ERROR_TEXT.bytes;

/** Fields of a command, all 8 bytes: address of the next command, of its calls, their number, scratch of thread 0, scratch per thread. */
export const COMMAND = { next: 0, calls: 8, count: 16, scratch: 24, scratchBytes: 32, bytes: 40 } as const;

/** Fields of a call: kernel (i32, an index or {@link COPY}), items (i32), address of the parameters (8 bytes), first item (i32). */
export const CALL = { kernel: 0, items: 4, params: 8, firstItem: 16, bytes: 24 } as const;

/** A built-in kernel: copies bytes. Its parameters, 8 bytes each: source, target, number of bytes. */
export const COPY = -1;
export const COPY_PARAMS = { source: 0, target: 8, length: 16, bytes: 24 } as const;
/** Bytes copied by an item. */
export const COPY_ITEM_BYTES = 1 << 22;

/** What a worker is told when it starts. */
export interface WorkerStart {
  readonly memory: WebAssembly.Memory;
  readonly module: WebAssembly.Module;
  readonly control: SharedArrayBuffer;
  /** Exports of the module by kernel index. */
  readonly kernels: readonly string[];
  readonly thread: number;
  readonly threads: number;
  /** Address of an empty command; the first real one follows it. */
  readonly firstCommand: number;
}

/** What a worker says: that it waits for commands, that it could not start, that it has ended. */
export type WorkerMessage =
  | { readonly kind: "ready" }
  | { readonly kind: "failed"; readonly message: string }
  | { readonly kind: "ended" };
