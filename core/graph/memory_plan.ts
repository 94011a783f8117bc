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
  /**
   * Ties the block to another one: it begins `offset` bytes behind that one's beginning (before it where negative; a multiple of
   * {@link BLOCK_ALIGNMENT}). Blocks that are tied together may overlap while they exist: whoever ties them says in which order
   * they are written and read.
   */
  readonly over?: { readonly block: string; readonly offset: number };
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

/** Blocks tied together, or one alone. */
interface Cluster {
  readonly name: string;
  /** Distances from the cluster's beginning; the lowest is 0. */
  readonly members: readonly (BlockLifetime & { readonly offset: number })[];
  /** From the first byte to the last of all members. */
  readonly bytes: number;
  readonly first: number;
  readonly last: number;
}

/** A block in the arena. */
type Placed = BlockLifetime & { readonly offset: number };

/**
 * Plans an arena. The result depends on the blocks alone, not on their order in the list.
 * @throws RangeError if a name occurs twice, a lifetime ends before it begins, or blocks are tied in a circle or to none.
 */
export function planMemory(blocks: readonly BlockLifetime[]): MemoryPlan {
  const names = new Set<string>();
  const aligned = blocks.map((block) => {
    if (names.has(block.name)) throw new RangeError(`Planning memory: two blocks are called ${block.name}`);
    if (block.last < block.first) throw new RangeError(`Planning memory: ${block.name} ends before it begins`);
    names.add(block.name);
    return { ...block, bytes: alignBlock(block.bytes) };
  });
  const clusters = joinTied(aligned);
  const length = (cluster: Cluster) => cluster.last - cluster.first + 1;
  const byName = (a: Cluster, b: Cluster) => (a.name < b.name ? -1 : 1);
  const orders: ((a: Cluster, b: Cluster) => number)[] = [
    (a, b) => b.bytes - a.bytes || a.first - b.first || byName(a, b),
    (a, b) => b.bytes * length(b) - a.bytes * length(a) || a.first - b.first || byName(a, b),
    (a, b) => length(b) - length(a) || b.bytes - a.bytes || byName(a, b),
    (a, b) => a.first - b.first || b.bytes - a.bytes || byName(a, b),
  ];
  const lowerBound = peakOf(clusters);
  let best: Placed[] | undefined;
  for (const order of orders) {
    const placed = place(clusters.toSorted(order));
    if (!best || endOf(placed) < endOf(best)) best = placed;
    if (endOf(best) === lowerBound) break;
  }
  const chosen = best ?? [];
  return { offsets: new Map(chosen.map((block) => [block.name, block.offset])), bytes: endOf(chosen), lowerBound };
}

/** The clusters of blocks that are tied, directly or through others. */
function joinTied(blocks: readonly BlockLifetime[]): Cluster[] {
  const byName = new Map(blocks.map((block) => [block.name, block]));
  const members = new Map<string, Placed[]>();
  for (const block of blocks) {
    let root = block;
    let offset = 0;
    for (let ties = 0; root.over; ties++) {
      const next = byName.get(root.over.block);
      if (!next) {
        throw new RangeError(`Planning memory: ${root.name} is tied to ${root.over.block}, which is not there`);
      }
      if (ties === blocks.length) throw new RangeError(`Planning memory: ${block.name} is tied in a circle`);
      offset += root.over.offset;
      root = next;
    }
    if (offset % BLOCK_ALIGNMENT !== 0) throw new RangeError(`Planning memory: ${block.name} would not be aligned`);
    members.set(root.name, [...members.get(root.name) ?? [], { ...block, offset }]);
  }
  return [...members].map(([name, tied]) => {
    const start = Math.min(...tied.map(({ offset }) => offset));
    const moved = tied.map((block) => ({ ...block, offset: block.offset - start }));
    return {
      name,
      members: moved,
      bytes: endOf(moved),
      first: Math.min(...tied.map(({ first }) => first)),
      last: Math.max(...tied.map(({ last }) => last)),
    };
  });
}

function endOf(placed: readonly Placed[]): number {
  return placed.reduce((end, block) => Math.max(end, block.offset + block.bytes), 0);
}

function peakOf(clusters: readonly Cluster[]): number {
  let peak = 0;
  for (const step of new Set(clusters.flatMap(({ members }) => members.map(({ first }) => first)))) {
    peak = Math.max(peak, clusters.reduce((sum, cluster) => sum + bytesAt(cluster, step), 0));
  }
  return peak;
}

/** Bytes of a cluster that are alive at a step; those that several members share count once. */
function bytesAt({ members }: Cluster, step: number): number {
  const alive = members.filter((block) => block.first <= step && step <= block.last).sort((a, b) =>
    a.offset - b.offset
  );
  let [bytes, end] = [0, 0];
  for (const { offset, bytes: size } of alive) {
    bytes += Math.max(0, offset + size - Math.max(end, offset));
    end = Math.max(end, offset + size);
  }
  return bytes;
}

/**
 * Places each cluster in the smallest gap between the blocks alive at the same time as its members, the lowest of equals; above all
 * of them if none fits.
 */
function place(clusters: readonly Cluster[]): Placed[] {
  const placed: Placed[] = [];
  for (const { members } of clusters) {
    // Where the cluster may not begin: between these limits.
    const forbidden = members.flatMap((member) =>
      placed.filter((other) => other.first <= member.last && member.first <= other.last).map((other) => ({
        from: other.offset - member.offset - member.bytes,
        to: other.offset + other.bytes - member.offset,
      }))
    ).sort((a, b) => a.from - b.from);
    let start = -1;
    let smallest = Infinity;
    let end = 0;
    for (const { from, to } of forbidden) {
      const room = from - end;
      if (room >= 0 && room < smallest) [start, smallest] = [end, room];
      end = Math.max(end, to);
    }
    const base = start < 0 ? end : start;
    for (const member of members) placed.push({ ...member, offset: base + member.offset });
  }
  return placed;
}
