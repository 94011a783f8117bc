/**
 * The memory plan: blocks with known lifetimes are given places in one arena, so that blocks alive at the same time never overlap.
 * Offline interval placement as in Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net Inference" (2020):
 * blocks are placed in several orders, each at the smallest gap that holds it, and the smallest arena wins. No device involved.
 */

/** A block of memory that must exist from step `first` to step `last`, both included. */
export interface BlockLifetime {
  readonly name: string;
  readonly bytes: number;
  readonly first: number;
  readonly last: number;
}

/** Where every block lies. */
export interface MemoryPlan {
  /** Byte offset in the arena by block name. */
  readonly offsets: ReadonlyMap<string, number>;
  /** Size of the arena. */
  readonly bytes: number;
  /** The most bytes alive at one step: no plan can do with less. */
  readonly lowerBound: number;
}

/** Blocks begin at multiples of this: a cache line, and enough for every vector load. */
export const BLOCK_ALIGNMENT = 64;

/** Rounds a size up to whole cache lines. */
export function alignBlock(bytes: number): number {
  return Math.ceil(bytes / BLOCK_ALIGNMENT) * BLOCK_ALIGNMENT;
}

interface Placed extends BlockLifetime {
  readonly offset: number;
}

/**
 * Plans an arena. The result depends on the blocks alone, not on their order in the list.
 * @throws RangeError if a name occurs twice or a lifetime ends before it begins.
 */
export function planMemory(blocks: readonly BlockLifetime[]): MemoryPlan {
  const names = new Set<string>();
  const aligned = blocks.map((block) => {
    if (names.has(block.name)) throw new RangeError(`Planning memory: two blocks are called ${block.name}`);
    if (block.last < block.first) throw new RangeError(`Planning memory: ${block.name} ends before it begins`);
    names.add(block.name);
    return { ...block, bytes: alignBlock(block.bytes) };
  });
  const length = (block: BlockLifetime) => block.last - block.first + 1;
  const byName = (a: BlockLifetime, b: BlockLifetime) => (a.name < b.name ? -1 : 1);
  const orders: ((a: BlockLifetime, b: BlockLifetime) => number)[] = [
    (a, b) => b.bytes - a.bytes || a.first - b.first || byName(a, b),
    (a, b) => b.bytes * length(b) - a.bytes * length(a) || a.first - b.first || byName(a, b),
    (a, b) => length(b) - length(a) || b.bytes - a.bytes || byName(a, b),
    (a, b) => a.first - b.first || b.bytes - a.bytes || byName(a, b),
  ];
  const lowerBound = peakOf(aligned);
  let best: Placed[] | undefined;
  for (const order of orders) {
    const placed = place(aligned.toSorted(order));
    if (!best || endOf(placed) < endOf(best)) best = placed;
    if (endOf(best) === lowerBound) break;
  }
  const chosen = best ?? [];
  return { offsets: new Map(chosen.map((block) => [block.name, block.offset])), bytes: endOf(chosen), lowerBound };
}

function endOf(placed: readonly Placed[]): number {
  return placed.reduce((end, block) => Math.max(end, block.offset + block.bytes), 0);
}

function peakOf(blocks: readonly BlockLifetime[]): number {
  let peak = 0;
  for (const { first: step } of blocks) {
    const alive = blocks.filter((block) => block.first <= step && step <= block.last);
    peak = Math.max(peak, alive.reduce((sum, block) => sum + block.bytes, 0));
  }
  return peak;
}

/** Places each block in the smallest gap between those alive at the same time, the lowest of equals; above all of them if none fits. */
function place(blocks: readonly BlockLifetime[]): Placed[] {
  const placed: Placed[] = [];
  for (const block of blocks) {
    const neighbours = placed.filter((other) => other.first <= block.last && block.first <= other.last)
      .sort((a, b) => a.offset - b.offset);
    let offset = -1;
    let smallest = Infinity;
    let end = 0;
    for (const neighbour of neighbours) {
      const gap = neighbour.offset - end;
      if (gap >= block.bytes && gap < smallest) [offset, smallest] = [end, gap];
      end = Math.max(end, neighbour.offset + neighbour.bytes);
    }
    placed.push({ ...block, offset: offset < 0 ? end : offset });
  }
  return placed;
}
