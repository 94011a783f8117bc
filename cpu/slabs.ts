/**
 * Convolutions in slabs along z, so that an output may lie over the input that dies with it: a slab's items run, all threads meet,
 * then the next slab's. The output lies shifted by so much that no slab writes what it or a later one still reads. The items are the
 * same as without slabs, so are the results, bit for bit. Pure; {@link ./slab_rules.ts} decides where it is done.
 */
import { BLOCK_ALIGNMENT } from "../core/graph/memory_plan.ts";
import type { ItemRow } from "../kernels/wasm/conv/problem.ts";
import type { KernelCall, Operator } from "../kernels/wasm/kernel.ts";
import type { CpuOperator } from "./kernel_set.ts";

/** A slab has at least so many items: on a few threads, waiting for the last of them costs about a percent. */
export const SLAB_ITEMS = 48;
/** Fewer slabs than this leave too little of the input dead to be worth it. */
const LEAST_SLABS = 3;

/** [from, to). */
type Range = readonly [number, number];

/** Consecutive items; planes are counted through all samples. */
interface Slab {
  readonly firstItem: number;
  readonly items: number;
  readonly reads: Range;
  readonly writes: Range;
}

/** Whether slabs go from the first plane to the last, with the output lying before the input, or the other way round. */
export type Direction = "ascending" | "descending";

/** A convolution and what it is cut by. */
export interface Sliceable {
  readonly operator: CpuOperator;
  readonly batch: number;
  /** Planes of a sample. */
  readonly inputPlanes: number;
  readonly outputPlanes: number;
}

/** A tensor as slabs cross it: planes of all samples, one behind the other. */
export interface SlabTensor {
  readonly bytes: number;
  readonly planeBytes: number;
}

/** Every row of every sample as a slab of its own. */
function rowsOfBatch({ operator: { rows = [] }, batch, inputPlanes, outputPlanes }: Sliceable): Slab[] {
  let firstItem = 0;
  return Array.from({ length: batch }, (_, sample) => sample).flatMap((sample) =>
    rows.map(({ items, reads, writes }: ItemRow): Slab => {
      const [input, output] = [sample * inputPlanes, sample * outputPlanes];
      const first = firstItem;
      firstItem += items;
      return {
        firstItem: first,
        items,
        reads: [reads[0] + input, reads[1] + input],
        writes: [writes[0] + output, writes[1] + output],
      };
    })
  );
}

function join(slabs: readonly Slab[]): Slab {
  const ends = (pick: (slab: Slab) => Range): Range => [
    Math.min(...slabs.map((slab) => pick(slab)[0])),
    Math.max(...slabs.map((slab) => pick(slab)[1])),
  ];
  return {
    firstItem: Math.min(...slabs.map((slab) => slab.firstItem)),
    items: slabs.reduce((sum, slab) => sum + slab.items, 0),
    reads: ends((slab) => slab.reads),
    writes: ends((slab) => slab.writes),
  };
}

/** Slabs of at least `leastItems` items in the order they run in; undefined if there would be too few of them. */
function cutIntoSlabs(conv: Sliceable, leastItems: number, direction: Direction): Slab[] | undefined {
  const slabs: Slab[] = [];
  let open: Slab[] = [];
  for (const row of inOrder(rowsOfBatch(conv), direction)) {
    open.push(row);
    if (open.reduce((sum, { items }) => sum + items, 0) < leastItems) continue;
    slabs.push(join(open));
    open = [];
  }
  const last = slabs.pop();
  if (last) slabs.push(join([last, ...open]));
  return slabs.length < LEAST_SLABS ? undefined : slabs;
}

function inOrder<T>(slabs: readonly T[], direction: Direction): readonly T[] {
  return direction === "ascending" ? slabs : slabs.toReversed();
}

/** For each slab of a consumer the slab of its producer that must have run before, beyond what has already; none: undefined. */
function producerSlabs(producer: Sliceable, consumer: readonly Slab[], direction: Direction): (Slab | undefined)[] {
  const rows = inOrder(rowsOfBatch(producer), direction);
  let next = 0;
  return consumer.map(({ reads }) => {
    const isNeeded = ({ writes }: Slab) => direction === "ascending" ? writes[0] < reads[1] : writes[1] > reads[0];
    const first = next;
    while (next < rows.length && isNeeded(rows[next])) next++;
    return next > first ? join(rows.slice(first, next)) : undefined;
  });
}

/** In turn, planes of one tensor are written while planes of another are still to be read: all between the first and the last. */
interface Crossing {
  readonly writes: Range;
  readonly stillRead: Range;
}

/**
 * Where the tensor `written` begins, counted from the beginning of `read`, so that no write meets a plane that is still to be read:
 * as far behind as that allows (ascending), or as far in front (descending).
 */
function shiftOf(read: SlabTensor, written: SlabTensor, crossings: readonly Crossing[], direction: Direction): number {
  const isAscending = direction === "ascending";
  const [far, near] = isAscending ? [0, 1] as const : [1, 0] as const;
  const limits = crossings.map(({ writes, stillRead }) =>
    (stillRead[far] * read.planeBytes - writes[near] * written.planeBytes) / BLOCK_ALIGNMENT
  );
  const least = limits.reduce(isAscending ? lesser : greater, isAscending ? Infinity : -Infinity);
  return BLOCK_ALIGNMENT * (isAscending ? Math.floor(least) : Math.ceil(least));
}

function lesser(a: number, b: number): number {
  return Math.min(a, b);
}

function greater(a: number, b: number): number {
  return Math.max(a, b);
}

/** Planes that each slab and those after it read. */
function stillReadBy(slabs: readonly Slab[]): Range[] {
  const ranges: Range[] = [];
  // From the last on: of a patch that is long along z there are too many to join the rest anew for each.
  for (const { reads } of slabs.toReversed()) {
    const [from, to] = ranges[ranges.length - 1] ?? reads;
    ranges.push([Math.min(from, reads[0]), Math.max(to, reads[1])]);
  }
  return ranges.reverse();
}

function inSlabs(operator: Operator, slabs: readonly Slab[]): Operator {
  const call = operator.calls[operator.calls.length - 1];
  const calls = [...operator.calls.slice(0, -1), ...slabs.map((slab) => slabCall(call, slab))];
  return { ...operator, algorithm: `${operator.algorithm}, in place`, calls };
}

function slabCall(call: KernelCall, { firstItem, items }: Slab): KernelCall {
  return { ...call, firstItem, items };
}

/**
 * A convolution whose output lies over its input, and where it begins from the input's beginning; undefined where it can't be cut.
 * The last of the operator's calls is the one that is cut; those before it run first.
 */
export function convOverInput(
  conv: Sliceable,
  input: SlabTensor,
  output: SlabTensor,
  direction: Direction,
  leastItems: number,
): { readonly operator: Operator; readonly offset: number } | undefined {
  const slabs = cutIntoSlabs(conv, leastItems, direction);
  if (!slabs) return undefined;
  const reads = stillReadBy(slabs);
  const crossings = slabs.map(({ writes }, i) => ({ writes, stillRead: reads[i] }));
  return { operator: inSlabs(conv.operator, slabs), offset: shiftOf(input, output, crossings, direction) };
}

/**
 * A transposed convolution and the convolution that reads it beside a skip connection, slab by slab in turn: of the upsampled tensor
 * only the planes that the next slab reads exist. It lies over the skip, and the output over both; offsets count from the skip.
 */
export function upsampledConv(
  up: Sliceable,
  conv: Sliceable,
  tensors: { readonly skip: SlabTensor; readonly upsampled: SlabTensor; readonly output: SlabTensor },
  direction: Direction,
  leastItems: number,
): { readonly operator: Operator; readonly upsampledOffset: number; readonly outputOffset: number } | undefined {
  const slabs = cutIntoSlabs(conv, leastItems, direction);
  if (!slabs || !up.operator.rows) return undefined;
  const { skip, upsampled, output } = tensors;
  const reads = stillReadBy(slabs);
  const ups = producerSlabs(up, slabs, direction);
  const upCrossings = ups.flatMap((slab, i) => (slab ? [{ writes: slab.writes, stillRead: reads[i] }] : []));
  const crossings = slabs.map(({ writes }, i) => ({ writes, stillRead: reads[i] }));
  const upsampledOffset = shiftOf(skip, upsampled, upCrossings, direction);
  const farther = direction === "ascending" ? Math.min : Math.max;
  const outputOffset = farther(
    upsampledOffset + shiftOf(upsampled, output, crossings, direction),
    shiftOf(skip, output, crossings, direction),
  );
  const [upCall, convCall] = [up.operator, conv.operator].map(({ calls }) => calls[calls.length - 1]);
  const before = [up.operator, conv.operator].flatMap(({ calls }) => calls.slice(0, -1));
  const inTurn = slabs.flatMap((slab, i) => {
    const first = ups[i];
    return [...(first ? [slabCall(upCall, first)] : []), slabCall(convCall, slab)];
  });
  const operator: Operator = {
    algorithm: `${up.operator.algorithm} | ${conv.operator.algorithm}, in place`,
    calls: [...before, ...inTurn],
    temporaries: { ...up.operator.temporaries, ...conv.operator.temporaries },
    flops: up.operator.flops + conv.operator.flops,
    bytes: up.operator.bytes + conv.operator.bytes,
    coreSeconds: up.operator.coreSeconds + conv.operator.coreSeconds,
  };
  return { operator, upsampledOffset, outputOffset };
}
