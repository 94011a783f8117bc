/**
 * Which blocks share a buffer. On a GPU blocks cannot lie side by side in one arena: a buffer may not be read and written in one
 * dispatch, in whatever ranges. So blocks whose lifetimes do not meet share whole buffers: "greedy by size for shared objects" of
 * Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net Inference" (2020). Pure; no device involved.
 */
import type { BlockLifetime } from "../core/graph/memory_plan.ts";

export interface BufferPlan {
  /** Buffer by block name. */
  readonly buffers: ReadonlyMap<string, number>;
  /** Bytes of each buffer. */
  readonly sizes: readonly number[];
  readonly bytes: number;
}

/** Plans buffers; the result depends on the blocks alone, not on their order in the list. */
export function planBuffers(blocks: readonly BlockLifetime[]): BufferPlan {
  const bySize = blocks.toSorted((a, b) =>
    b.bytes - a.bytes || a.first - b.first || a.last - b.last || (a.name < b.name ? -1 : 1)
  );
  const tenants: BlockLifetime[][] = [];
  const sizes: number[] = [];
  const buffers = new Map<string, number>();
  for (const block of bySize) {
    if (buffers.has(block.name)) throw new RangeError(`Planning buffers: two blocks are called ${block.name}`);
    const free = (index: number) =>
      tenants[index].every((other) => other.last < block.first || block.last < other.first);
    // All buffers are at least as large as this block: of those that are free the smallest, where neighbours in time are closest.
    let best = -1;
    for (let index = 0; index < sizes.length; index++) {
      if (free(index) && (best < 0 || sizes[index] <= sizes[best])) best = index;
    }
    if (best < 0) {
      best = tenants.push([]) - 1;
      sizes.push(block.bytes);
    }
    tenants[best].push(block);
    buffers.set(block.name, best);
  }
  return { buffers, sizes, bytes: sizes.reduce((a, b) => a + b, 0) };
}
