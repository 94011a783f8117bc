/**
 * The allocator of the engine's shared memory. It hands out ranges of addresses; the memory behind them never shrinks, so freed
 * ranges are used again before fresh ones: best fit, the lowest address of equals. Only pages that were touched cost memory.
 */
import { alignBlock, BLOCK_ALIGNMENT } from "../core/graph/memory_plan.ts";

export interface AllocatorOptions {
  /** First address; a multiple of {@link BLOCK_ALIGNMENT}. */
  readonly start: number;
  /** Makes all addresses below `end` usable, or throws. */
  readonly reserve: (end: number) => void;
}

/** Ranges of addresses, aligned to {@link BLOCK_ALIGNMENT}. */
export interface Allocator {
  /** Address of a range of `bytes`. Whatever `reserve` throws passes through and leaves the allocator as it was. */
  allocate(bytes: number): number;
  /** The same from addresses that were never handed out before. */
  allocateFresh(bytes: number): number;
  /** @throws RangeError if no range begins at the address. */
  free(address: number): void;
  /** Bytes of a range, rounded up to the alignment. */
  sizeOf(address: number): number;
  /** Bytes handed out now, and the most there ever were. */
  readonly used: number;
  readonly highWater: number;
  /** End of the highest range ever handed out. */
  readonly end: number;
}

export function createAllocator({ start, reserve }: AllocatorOptions): Allocator {
  const blocks = new Map<number, number>();
  /** Sorted by address; neighbours never touch. */
  let holes: { address: number; bytes: number }[] = [];
  let end = start;
  let used = 0;
  let highWater = 0;

  function handOut(address: number, bytes: number): number {
    blocks.set(address, bytes);
    used += bytes;
    highWater = Math.max(highWater, used);
    return address;
  }

  function extend(address: number, bytes: number): number {
    reserve(address + bytes);
    end = address + bytes;
    return handOut(address, bytes);
  }

  return {
    allocate(request) {
      const bytes = Math.max(alignBlock(request), BLOCK_ALIGNMENT);
      const best = holes.reduce<(typeof holes)[number] | undefined>(
        (chosen, hole) => (hole.bytes >= bytes && (!chosen || hole.bytes < chosen.bytes) ? hole : chosen),
        undefined,
      );
      if (best) {
        const { address } = best;
        if (best.bytes === bytes) holes = holes.filter((hole) => hole !== best);
        else [best.address, best.bytes] = [address + bytes, best.bytes - bytes];
        return handOut(address, bytes);
      }
      const last = holes.at(-1);
      if (!last || last.address + last.bytes !== end) return extend(end, bytes);
      const address = extend(last.address, bytes);
      holes.pop();
      return address;
    },
    allocateFresh(request) {
      return extend(end, Math.max(alignBlock(request), BLOCK_ALIGNMENT));
    },
    free(address) {
      const bytes = blocks.get(address);
      if (bytes === undefined) throw new RangeError(`Freeing memory: nothing begins at ${address}`);
      blocks.delete(address);
      used -= bytes;
      holes.push({ address, bytes });
      holes.sort((a, b) => a.address - b.address);
      holes = holes.reduce<typeof holes>((merged, hole) => {
        const before = merged.at(-1);
        if (before && before.address + before.bytes === hole.address) before.bytes += hole.bytes;
        else merged.push({ ...hole });
        return merged;
      }, []);
    },
    sizeOf(address) {
      const bytes = blocks.get(address);
      if (bytes === undefined) throw new RangeError(`Asking for a size: nothing begins at ${address}`);
      return bytes;
    },
    get used() {
      return used;
    },
    get highWater() {
      return highWater;
    },
    get end() {
      return end;
    },
  };
}
