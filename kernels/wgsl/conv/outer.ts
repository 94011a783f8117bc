/**
 * The register-tiled product behind weight gradients: C[a][b] = sum over k of A[k][a] B[k][b], where a and b are channels and k runs over
 * voxels (direct form) or over the tiles of a point (Winograd). Both sides are stored k by k, channels next to each other, so it is a sum of
 * outer products rather than gemm.ts's rows times columns.
 *
 * Everything is in vec4: A and B hold four consecutive channels, C four consecutive b of one a. A workgroup makes a tile of C, 4 * a.tile
 * rows by b.tile vec4. Its threads first bring `slice` k of both sides into workgroup memory; then every thread reads a.own + b.own vec4 of
 * a k and does 4 * a.own * b.own vec4 multiply-adds with them (2 and 2: 4 reads for 16), so that the arithmetic units are what is busy.
 * Where the tile is too small for many threads, `shares` groups of them take turns with the k of a slice, and meet in a fixed order at the
 * end. The next slice is on its way from device memory while one is multiplied.
 */
import { unroll, wgsl } from "../emit/template.ts";
import type { TileStorage } from "./tile_storage.ts";
import { NOMINAL } from "./tiles.ts";

/** One side of a product, in vec4 of channels: all of it, a workgroup's tile, a thread's own. */
export interface OuterSide {
  readonly blocks: number;
  readonly tile: number;
  readonly own: number;
}

/** How a product is cut among threads. */
export interface OuterTile {
  readonly a: OuterSide;
  readonly b: OuterSide;
  /** k that are in workgroup memory at once. */
  readonly slice: number;
  /** Groups of threads that share a slice's k: a power of two. */
  readonly shares: number;
}

export interface OuterText {
  readonly tile: OuterTile;
  /** Slices that a workgroup adds up. */
  readonly slices: number;
  /** Enables, bindings and accessors; then functions that the other splices use. */
  readonly header: string;
  readonly functions: string;
  /** Statements on the workgroup's id `group`, whose x is the tile of C. */
  readonly setup: string;
  /** Expressions: A's and B's four channels as stored, at a workgroup's k-th k and `block`, either of which may be beyond the end: zeros then. */
  readonly fetchA: (k: string, block: string) => string;
  readonly fetchB: (k: string, block: string) => string;
  /** Zeros as stored, and the vec4f of what is: unpacked when it is needed, not waited for before. */
  readonly stored: Pick<TileStorage, "zero" | "unpack">;
  /** A statement that stores the vec4f `value` of C's row `row` and vec4 `column`, both inside C. */
  readonly store: (row: string, column: string, value: string) => string;
}

/** Tiles of C. */
export const outerTiles = ({ a, b }: OuterTile) => Math.ceil(a.blocks / a.tile) * Math.ceil(b.blocks / b.tile);

const acrossOf = ({ a, b }: OuterTile) => a.tile / a.own * b.tile / b.own;

export const outerThreads = (tile: OuterTile) => acrossOf(tile) * tile.shares;

/** "64x64": channels of a tile. */
export const outerName = ({ a, b }: OuterTile) => `${4 * a.tile}x${4 * b.tile}`;

function sideOf(blocks: number, most: number): OuterSide {
  const own = blocks > 1 ? 2 : 1;
  const tiles = Math.ceil(blocks / most);
  return { blocks, own, tile: Math.ceil(blocks / tiles / own) * own };
}

/**
 * The tile for a product of so many vec4 of channels of A and B.
 * @param threads The workgroup's, about: shares make them up where the tile has fewer.
 * @param most The most vec4 of either side of a tile; at 16 a workgroup takes 8 KiB of memory.
 */
export function outerTile(blocksA: number, blocksB: number, threads: number, most = 16): OuterTile {
  const [a, b] = [sideOf(blocksA, most), sideOf(blocksB, most)];
  const slice = a.tile + b.tile <= 16 ? 32 : 16;
  const across = acrossOf({ a, b, slice, shares: 1 });
  return { a, b, slice, shares: Math.min(16, 2 ** Math.max(0, Math.floor(Math.log2(threads / across)))) };
}

/** Seconds of the arithmetic on the nominal GPU: edges of tiles, reads of workgroup memory and missing threads counted in, as tiles.ts does. */
export function outerSeconds(tile: OuterTile, depth: number, products: number): number {
  const { a, b } = tile;
  const groups = outerTiles(tile) * products;
  const flops = 2 * 16 * a.tile * b.tile * depth * groups;
  const own = a.own * b.own;
  const threads = groups * outerThreads(tile) * Math.sqrt(own);
  return flops / (NOMINAL.flops * own / (own + 0.5 * (a.own + b.own)) * Math.min(1, threads / NOMINAL.threads));
}

export function outerText(g: OuterText): string {
  const { tile: { a, b, slice, shares }, slices } = g;
  const [across, threads] = [acrossOf(g.tile), outerThreads(g.tile)];
  const columns = b.tile / b.own;
  const [itemsA, itemsB] = [slice * a.tile, slice * b.tile];
  const loads = [
    { name: "a", items: itemsA, first: 0, tile: a.tile, fetch: g.fetchA },
    { name: "b", items: itemsB, first: itemsA, tile: b.tile, fetch: g.fetchB },
  ];
  const memory = Math.max(itemsA + itemsB, threads / 2);
  /** Statements on the items of a side that a thread brings; those beyond the last of an uneven split bring nothing. */
  const each = (items: number, statement: (i: number, item: string) => string) =>
    unroll(Math.ceil(items / threads), (i) => {
      const text = statement(i, `(lane + ${i * threads}u)`);
      return (i + 1) * threads <= items ? text : `if (lane + ${i * threads}u < ${items}u) { ${text} }`;
    });
  const sums = unroll(4 * a.own, (row) => unroll(b.own, (j) => ({ row, j, name: `c_${row}_${j}` }))).flat();
  const rowOf = (row: number) => `(first_a + ${(row >> 2) * a.tile / a.own}u + ta) * 4u + ${row % 4}u`;
  const columnOf = (j: number) => `first_b + ${j * columns}u + tb`;
  const unrolled = Math.min(4, slice / shares);
  return wgsl`
${g.header}

${g.functions}

/// Slices of A and then of B, [k][block]; at the end the sums of shares.
var<workgroup> shared_ab: array<vec4f, ${memory}>;

@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let first_a = group.x / ${Math.ceil(b.blocks / b.tile)}u * ${a.tile}u;
  let first_b = group.x % ${Math.ceil(b.blocks / b.tile)}u * ${b.tile}u;
  let share = lane / ${across}u;
  let ta = lane % ${across}u / ${columns}u;
  let tb = lane % ${columns}u;
  ${g.setup}
  ${sums.map(({ name }) => `var ${name} = vec4f(0.0);`)}
  // Step s fetches slice s and multiplies slice s - 1, which is in workgroup memory by then.
  for (var step = 0u; step <= ${slices}u; step++) {
    ${
    loads.map(({ name, items }) =>
      unroll(Math.ceil(items / threads), (i) => `var fetched_${name}_${i} = ${g.stored.zero};`).join(" ")
    )
  }
    if (step < ${slices}u) {
      let k0 = step * ${slice}u;
      ${
    loads.flatMap(({ name, items, tile, fetch }) =>
      each(items, (i, item) =>
        `fetched_${name}_${i} = ${fetch(`k0 + ${item} / ${tile}u`, `first_${name} + ${item} % ${tile}u`)};`)
    )
  }
    }
    if (step > 0u) {
      for (var k = share; k < ${slice}u; k += ${unrolled * shares}u) {
        ${unroll(unrolled, (u) => multiplyText(`k + ${u * shares}u`))}
      }
    }
    workgroupBarrier();
    if (step < ${slices}u) {
      ${
    loads.flatMap(({ name, items, first }) =>
      each(items, (i, item) => `shared_ab[${first}u + ${item}] = ${g.stored.unpack(`fetched_${name}_${i}`)};`)
    )
  }
    }
    workgroupBarrier();
  }
  ${unroll(Math.log2(shares), (i) => mergeText(shares >> (i + 1)))}
  if (share == 0u) {
    ${
    sums.map(({ row, j, name }) =>
      `if (${rowOf(row)} < ${4 * a.blocks}u && ${columnOf(j)} < ${b.blocks}u) { ${
        g.store(rowOf(row), columnOf(j), name)
      } }`
    )
  }
  }
}
`;

  /** All the products of the slice's k-th k. */
  function multiplyText(k: string): string {
    const read = (name: "a" | "b", { tile, own }: OuterSide, first: number, thread: string) =>
      unroll(own, (i) => `let ${name}_${i} = shared_ab[(${k}) * ${tile}u + ${first + i * tile / own}u + ${thread}];`);
    return wgsl`
{
  ${[...read("a", a, 0, "ta"), ...read("b", b, itemsA, "tb")]}
  ${sums.map(({ row, j, name }) => `${name} = fma(vec4f(a_${row >> 2}.${"xyzw"[row % 4]}), b_${j}, ${name});`)}
}`;
  }

  /** The second `half` of the shares give their sums to the first: as many at a time as workgroup memory holds. */
  function mergeText(half: number): string {
    const most = Math.floor(memory / (half * across));
    const place = (i: number) => `shared_ab[${i * half * across}u + lane % ${half * across}u]`;
    const batches = unroll(Math.ceil(sums.length / most), (batch) => sums.slice(batch * most, (batch + 1) * most));
    return batches.map((batch) =>
      wgsl`
if (share >= ${half}u && share < ${2 * half}u) {
  ${batch.map(({ name }, i) => `${place(i)} = ${name};`)}
}
workgroupBarrier();
if (share < ${half}u) {
  ${batch.map(({ name }, i) => `${name} += ${place(i)};`)}
}
workgroupBarrier();`
    ).join("\n");
  }
}
