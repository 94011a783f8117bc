/**
 * Which register tiles there are, and how long kernels take on a nominal large GPU. The numbers only have to rank the ways to compute a
 * convolution where nothing was measured; an autotuner measures the candidates.
 */
import { type GemmTile, gemmWorkgroupBytes, tileColumns, tileRows, tileThreads } from "./gemm.ts";
import { type ConvLimits } from "./problem.ts";
import { ceilDiv } from "../../operators/arithmetic.ts";

/** The nominal GPU: about half of what an H100 or A100 has on paper. */
export const NOMINAL = {
  /** f32 multiplications and additions a second. */
  flops: 2e13,
  /** Bytes a second of device memory and of L2. */
  memory: 1.6e12,
  cache: 4e12,
  /** Threads that must be there to keep it busy. */
  threads: 132 * 256,
  /** From the end of one dispatch to the start of the next that needs it. */
  launch: 3e-6,
} as const;

/** Tiles for any product, large ones first. */
const TILES: readonly GemmTile[] = [
  { nx: 8, ny: 16, tm: 8, tn: 2, depth: 4 },
  { nx: 8, ny: 16, tm: 8, tn: 4, depth: 4 },
  { nx: 8, ny: 8, tm: 8, tn: 2, depth: 4 },
  { nx: 16, ny: 8, tm: 8, tn: 2, depth: 2 },
  { nx: 4, ny: 32, tm: 8, tn: 2, depth: 2 },
  { nx: 4, ny: 16, tm: 8, tn: 2, depth: 4 },
  { nx: 8, ny: 8, tm: 4, tn: 2, depth: 4 },
  { nx: 8, ny: 8, tm: 4, tn: 1, depth: 4 },
  { nx: 8, ny: 8, tm: 2, tn: 1, depth: 4 },
  { nx: 16, ny: 4, tm: 2, tn: 1, depth: 4 },
  { nx: 8, ny: 8, tm: 1, tn: 1, depth: 4 },
];

/** Tiles for products with few columns: heads. */
function narrowTile(columns: number): GemmTile {
  return { nx: 1, ny: 64, tm: Math.max(1, Math.floor(16 / columns)), tn: columns, depth: 2 };
}

export interface ProductShape {
  readonly rows: number;
  /** vec4. */
  readonly columns: number;
  readonly depth: number;
  /** Products of this shape in one dispatch. */
  readonly count: number;
}

/** Tiles that the device can run, for a product whose epilogue uses `epilogueRows(tile)` rows of B's workgroup memory. */
export function tilesFor(columns: number, limits: ConvLimits, epilogueRows: (tile: GemmTile) => number): GemmTile[] {
  const all = columns <= 8 ? [...TILES, narrowTile(columns)] : TILES;
  return all.filter((tile) =>
    tileThreads(tile) <= limits.workgroupThreads &&
    gemmWorkgroupBytes(tile, epilogueRows(tile)) <= limits.workgroupMemoryBytes
  );
}

/**
 * vec4 sums of a thread that leave room for others beside it. With more, a thread reads less of workgroup memory for each sum, but takes
 * nearly all registers that there are (AMD: 254, for 4 % less inverse throughput; 146 with 16 sums): for measurements to find out.
 */
const MOST_SUMS = 16;
/** What is left of the efficiency beyond. */
const CROWDED = 0.85;

/** Seconds of the arithmetic: edges of tiles, reads of workgroup memory beside it, and threads that are not there counted in. */
export function productSeconds(tile: GemmTile, { rows, columns, depth, count }: ProductShape): number {
  const [m, n] = [ceilDiv(rows, tileRows(tile)), ceilDiv(columns, tileColumns(tile))];
  const slices = ceilDiv(depth, tile.depth) * tile.depth;
  const flops = 2 * 16 * m * tileRows(tile) * n * tileColumns(tile) * slices * count;
  const own = tile.tm * tile.tn;
  const efficiency = own / (own + 0.5 * (tile.tm + 4 * tile.tn)) * (own > MOST_SUMS ? CROWDED : 1);
  // A thread with more sums of its own needs fewer others beside it.
  const threads = m * n * count * tileThreads(tile) * Math.sqrt(own / 4);
  return flops / (NOMINAL.flops * efficiency * Math.min(1, threads / NOMINAL.threads));
}

/**
 * vec4 sums of a thread that fit the 128 registers which it has on Intel's and Apple's GPUs, with what is beside them: 104 to 124 by AMD's
 * compiler. With 16 sums it takes 144 to 200, for a tenth less inverse throughput. Tiles between the two, of 6 x 2 or 8 x 1 sums, take
 * as many registers for what they save.
 */
const FEW_SUMS = 8;

/** Of ways in the order of their forecasts the first `most`, and the first with a tile of few sums if none of them has one: what is measured. */
export function withFewSums<T extends { readonly tile: GemmTile }>(ranked: readonly T[], most: number): T[] {
  const chosen = ranked.slice(0, most);
  const few = ranked.find(({ tile }) => tile.tm * tile.tn <= FEW_SUMS);
  return few === undefined || chosen.includes(few) ? chosen : [...chosen, few];
}

/** The tiles for a product, the one forecast to be the fastest first. */
export function rankTiles(tiles: readonly GemmTile[], shape: ProductShape): GemmTile[] {
  return [...tiles].sort((a, b) => productSeconds(a, shape) - productSeconds(b, shape));
}
