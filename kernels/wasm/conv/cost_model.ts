/**
 * Forecasts in cycles of one core, for choosing among algorithms and block sizes. Constants were measured with tests/bench/conv_bench.ts
 * on a Zen 4 server core; other machines differ by a common factor mostly, which does not change the choices.
 */

/** Cycles a second of the core the constants were measured on: 43 GFLOP/s of 128-bit FMA. */
export const CORE_HERTZ = 2.69e9;

export const CYCLES = {
  /** A vector stream entry of a transform pass: load, arithmetic, store. */
  passPoint: 1.2,
  /** The same where values come from a tensor, and where norm and activation are applied besides. */
  plainLoadPoint: 2,
  loadPoint: 2.6,
  /** A vector of output: bias, store, statistics, and the write to main memory. */
  storeVector: 9.5,
  /** A vector of products that goes on to the output of a direct convolution. */
  productVector: 4,
  /** A group of rows of the product: calling, clearing and storing sums. */
  group: 30,
  /** A line of a direct convolution's box or output. */
  line: 120,
  /** A call of a pass or product. */
  call: 22,
  /** A byte of weights streamed from a shared cache, and from main memory. */
  cachedWeightByte: 1 / 50,
  weightByte: 1 / 10,
  /** A byte of points through main memory. */
  memoryByte: 1 / 5,
} as const;

/** Bytes of scratch up to which an item's working set stays in a core's L2. */
export const L2_BYTES = 1 << 20;

/** Weights up to this size are taken to stay in a shared cache between items. */
const SHARED_CACHE_BYTES = 16 << 20;

/** Cycles to stream a layer's weights once. */
export function weightCycles(bytes: number): number {
  return bytes * (bytes > SHARED_CACHE_BYTES ? CYCLES.weightByte : CYCLES.cachedWeightByte);
}

/** Threads assumed when items are counted against idle threads; a constant, so that choices do not depend on the machine. */
const NOMINAL_THREADS = 8;

/** Factor by which a call with few items takes longer than its share. */
export function imbalance(items: number): number {
  return Math.ceil(items / NOMINAL_THREADS) * NOMINAL_THREADS / items;
}

/** Groups of up to six rows, and the rows of all of them as they cost: fewer than four wait for the adders. */
function rowGroups(rows: number) {
  const groups = Math.ceil(rows / 6);
  const small = Math.floor(rows / groups);
  const larger = rows % groups;
  return { groups, steps: larger * Math.max(small + 1, 4) + (groups - larger) * Math.max(small, 4) };
}

/** Cycles of rows x panels x k products by the six-row micro-kernels. */
export function productCycles(rows: number, panels: number, k: number, runs = 1): number {
  const { groups, steps } = rowGroups(rows);
  return panels * (steps * k * runs * 1.08 + groups * (CYCLES.group + (runs - 1) * 12));
}

/** Cycles of sums of outer products, rows x panels over `k`, `runs` pieces of them. */
export function outerCycles(rows: number, panels: number, k: number, runs = 1): number {
  const { groups, steps } = rowGroups(rows);
  return panels * (steps * k * 1.08 + groups * (CYCLES.group + runs * 8));
}

/** Cycles to pack the weights of `pairs` of input and output channels from `taps` to `weights` values each. */
export function packCycles(pairs: number, taps: number, weights: number): number {
  return pairs * (2 * taps + 0.6 * weights);
}
