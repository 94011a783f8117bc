/**
 * The engine's one shared 64-bit WebAssembly memory. Work runs in the order in which it was enqueued, so freed memory can be handed
 * out again at once: later commands find it free. Only what the main thread writes itself must wait for the commands before it;
 * the memory knows until when a range is busy.
 */
import { UserError } from "../core/base/errors.ts";
import { createAllocator } from "./allocator.ts";

/** What the JavaScript interface allows a memory to have. */
const LARGEST_MEMORY = 16 * 2 ** 30;

const PAGE = 65536;
/** The memory grows by at least this. */
const GROWTH = 16 * 2 ** 20;
/** Kernels load four numbers at a time, up to three of them behind the end of a range; they never use those. */
const OVERREAD = 12;
/** Parameters, commands and other small things live in chunks of this. */
const CHUNK = 2 ** 20;

export interface EngineMemory {
  readonly memory: WebAssembly.Memory;
  /**
   * A range for commands to write, and the number of the last command that still uses it.
   * @throws UserError naming `what` if the limit is reached.
   */
  allocate(bytes: number, what: string): { readonly address: number; readonly busyUntil: number };
  /** A range that the main thread may write at once. */
  allocateIdle(bytes: number, what: string): number;
  /** Gives a range back that commands up to number `lastUse` use. */
  free(address: number, lastUse: number): void;
  /** Small ranges that the main thread may write at once; they go back only when no command uses them any more. */
  allocateSmall(bytes: number): number;
  freeSmall(address: number): void;
  /** Tells that the first `completed` commands are done. */
  advance(completed: number): void;
  /** Bytes of the memory as they are now. */
  bytes(address: number, length: number): Uint8Array<ArrayBufferLike>;
  /** Lets go of the memory, whoever still has the engine: it can't be used any more. */
  release(): void;
  readonly used: number;
  readonly highWater: number;
}

/** @throws UserError if the machine does not give the address space. */
export function createEngineMemory(limitBytes: number = LARGEST_MEMORY): EngineMemory {
  const pages = Math.floor(Math.min(limitBytes, LARGEST_MEMORY) / PAGE);
  const limit = pages * PAGE;
  let memory: WebAssembly.Memory | undefined = newMemory(pages);
  let size = memory.buffer.byteLength;
  let completed = 0;
  let busy: { readonly from: number; readonly to: number; readonly until: number }[] = [];
  let wanted = { what: "the CPU engine", bytes: 0 };
  const chunks: ReturnType<typeof createAllocator>[] = [];
  const chunkOf = new Map<number, ReturnType<typeof createAllocator>>();

  // Address 0 stays unused: no range begins there.
  const allocator = createAllocator({ start: 64, reserve });

  function reserve(lastEnd: number): void {
    const end = lastEnd + OVERREAD;
    if (end <= size) return;
    if (end > limit) throw outOfMemory(wanted, allocator.used, limit);
    const next = Math.min(limit, Math.ceil(end / GROWTH) * GROWTH);
    try {
      growMemory(present(), (next - size) / PAGE);
    } catch (error) {
      throw outOfMemory(wanted, allocator.used, size, error);
    }
    size = next;
  }

  function busyUntil(from: number, to: number): number {
    return busy.reduce(
      (until, range) => (range.from < to && from < range.to ? Math.max(until, range.until) : until),
      0,
    );
  }

  function allocate(bytes: number, what: string) {
    wanted = { what, bytes };
    const address = allocator.allocate(bytes);
    return { address, busyUntil: busyUntil(address, address + bytes) };
  }

  function allocateIdle(bytes: number, what: string): number {
    const { address, busyUntil: until } = allocate(bytes, what);
    if (until <= completed) return address;
    allocator.free(address);
    return allocator.allocateFresh(bytes);
  }

  function present(): WebAssembly.Memory {
    if (!memory) throw new Error("Computing on the CPU: the engine has been disposed");
    return memory;
  }

  return {
    get memory() {
      return present();
    },
    allocate,
    allocateIdle,
    free(address, lastUse) {
      if (lastUse > completed) busy.push({ from: address, to: address + allocator.sizeOf(address), until: lastUse });
      allocator.free(address);
    },
    allocateSmall(bytes) {
      let found: { readonly address: number; readonly chunk: ReturnType<typeof createAllocator> } | undefined;
      for (const chunk of chunks) {
        found = tryAllocate(chunk, bytes);
        if (found) break;
      }
      if (!found) {
        const length = Math.max(CHUNK, bytes + 64);
        const start = allocateIdle(length, "parameters of kernels");
        const chunk = createAllocator({ start, reserve: (end) => ensureInChunk(end, start + length) });
        chunks.push(chunk);
        found = tryAllocate(chunk, bytes);
      }
      if (!found) throw new RangeError(`Allocating parameters: ${bytes} bytes do not fit`);
      chunkOf.set(found.address, found.chunk);
      return found.address;
    },
    freeSmall(address) {
      chunkOf.get(address)?.free(address);
      chunkOf.delete(address);
    },
    advance(count) {
      completed = count;
      if (busy.length > 0) busy = busy.filter(({ until }) => until > completed);
    },
    bytes: (address, length) => new Uint8Array(present().buffer, address, length),
    release() {
      memory = undefined;
    },
    get used() {
      return allocator.used;
    },
    get highWater() {
      return allocator.highWater;
    },
  };
}

class ChunkFull extends Error {}

function ensureInChunk(end: number, limit: number): void {
  if (end > limit) throw new ChunkFull();
}

function tryAllocate(chunk: ReturnType<typeof createAllocator>, bytes: number) {
  try {
    return { address: chunk.allocate(bytes), chunk };
  } catch (error) {
    if (error instanceof ChunkFull) return undefined;
    throw error;
  }
}

/** The TypeScript library does not know 64-bit memories yet: page counts are BigInts there. */
function newMemory(maximumPages: number): WebAssembly.Memory {
  const descriptor = { address: "i64", shared: true, initial: 16n, maximum: BigInt(Math.max(16, maximumPages)) };
  try {
    return new WebAssembly.Memory(descriptor as unknown as WebAssembly.MemoryDescriptor);
  } catch (error) {
    throw new UserError({
      doing: "setting up the CPU engine",
      problem: `the system does not give ${mebibytes(maximumPages * PAGE)} of address space (${error})`,
      remedy: "lift the limit on virtual memory (ulimit -v), or give a smaller --max-memory",
    }, { cause: error });
  }
}

function growMemory(memory: WebAssembly.Memory, pages: number): void {
  memory.grow(BigInt(pages) as unknown as number);
}

function outOfMemory(
  wanted: { readonly what: string; readonly bytes: number },
  used: number,
  limit: number,
  cause?: unknown,
): UserError {
  return new UserError({
    doing: `allocating memory for ${wanted.what}`,
    problem: `${mebibytes(wanted.bytes)} are needed and ${mebibytes(used)} are in use, of at most ${mebibytes(limit)}`,
    remedy: "give more with --max-memory, or run on a machine with more memory",
  }, { cause });
}

function mebibytes(bytes: number): string {
  return `${Math.ceil(bytes / 2 ** 20).toLocaleString("en")} MiB`;
}
