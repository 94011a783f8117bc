/**
 * The register-tiled matrix product behind direct, transposed and Winograd convolutions: C[row][column] = sum over k of A[row][k] B[k][column].
 * What A is (voxels gathered tap by tap, transformed tiles), and what becomes of C (bias, statistics, scatter), the caller splices in.
 *
 * Everything is in vec4: A holds four consecutive k of a row, B and C four consecutive columns. A workgroup computes ny * tm rows by
 * nx * tn vec4 columns. Its nx * ny threads first bring a slice of A and B of `depth` vec4 along k into workgroup memory; then every
 * thread reads, for every vec4 along k, tm vec4 of A and 4 * tn of B, and does 4 * tm * tn vec4 multiply-adds with them (tm = 8, tn = 2:
 * 16 reads for 64), so that the arithmetic units are what is busy. Threads next to each other take neighbouring columns: they read B
 * without bank conflicts and share their reads of A. The next slice is on its way from device memory while one is multiplied.
 *
 * Slices are nested arrays, though they take up to 12 registers more: by AMD's compiler every tile of every form gains by it (0.3 to 20 %
 * of inverse throughput, on polaris10, vega10, navi10 and navi21) but one, 64x128x8 for images on polaris10, which loses a wave.
 */
import { unroll, wgsl } from "../emit/template.ts";

/** How a product is cut among threads. */
export interface GemmTile {
  /** Threads along columns and rows. */
  readonly nx: number;
  readonly ny: number;
  /** Rows, and vec4 columns, of a thread. */
  readonly tm: number;
  readonly tn: number;
  /** vec4 along k of a slice: 1, 2, 4 or 8. */
  readonly depth: number;
}

export interface GemmText {
  readonly tile: GemmTile;
  /** vec4 along k, and vec4 columns, of the whole product. */
  readonly depth: number;
  readonly columns: number;
  /** Enables, bindings and accessors; then functions that the other splices use. */
  readonly header: string;
  readonly functions: string;
  /** Statements that give `row0`, from the workgroup's id `group`: its first row. */
  readonly setup: string;
  /** Statements on the row `row` (an expression) that this thread will load as its i-th. */
  readonly rowSetup: (i: number, row: string) => string;
  /** Declarations of what lives from a slice's reads until it is stored, for this many rows of a thread. */
  readonly kept: (loads: number) => string;
  /** Statements on the column `k4` of A, one for all the rows this thread loads. */
  readonly depthSetup: string;
  /**
   * Statements that read row i's vec4 at `k4`, which may be beyond the end: zeros then. What they read should not be used before
   * `finishA`, so that nothing waits for it while the slice before is multiplied.
   */
  readonly fetchA: (i: number) => string;
  /** Expression: the vec4f for the product from what was read. */
  readonly finishA: (i: number) => string;
  /** Expression: B's vec4 at `k` (scalar, below 4 * depth) and `column` (below `columns`). */
  readonly loadB: string;
  /** Statements after the sums c_m_j are there (rows row0 + ty + m * ny, columns column0 + tx + j * nx); no thread has left. */
  readonly epilogue: string;
  /** Rows of workgroup memory (`shared_b`, as long as a tile's columns) that the epilogue uses. */
  readonly epilogueRows: number;
}

export const tileRows = (tile: GemmTile) => tile.ny * tile.tm;
export const tileColumns = (tile: GemmTile) => tile.nx * tile.tn;
export const tileThreads = (tile: GemmTile) => tile.nx * tile.ny;
export const tileName = (tile: GemmTile) => `${tileRows(tile)}x${4 * tileColumns(tile)}x${4 * tile.depth}`;

/** vec4 from one row of A to the next in workgroup memory: odd where many rows are read at once, against bank conflicts. */
const rowStride = (tile: GemmTile) => tile.nx < 8 && tile.depth > 1 ? tile.depth + 1 : tile.depth;

/** Rows of B's slice, and of what the epilogue keeps in its place. */
const rowsOfB = (tile: GemmTile, epilogueRows: number) => Math.max(4 * tile.depth, epilogueRows);

/** Workgroup memory of the kernel. */
export function gemmWorkgroupBytes(tile: GemmTile, epilogueRows: number): number {
  return 16 * (tileRows(tile) * rowStride(tile) + rowsOfB(tile, epilogueRows) * tileColumns(tile));
}

export function gemmText(g: GemmText): string {
  const { tile } = g;
  const { nx, ny, tm, tn, depth } = tile;
  const [threads, rows, columns, stride] = [tileThreads(tile), tileRows(tile), tileColumns(tile), rowStride(tile)];
  const [itemsA, itemsB] = [rows * depth, 4 * depth * columns];
  const [loadsA, loadsB] = [Math.ceil(itemsA / threads), Math.ceil(itemsB / threads)];
  const steps = Math.ceil(g.depth / depth);
  // Threads beyond the last item of an uneven split load nothing.
  const guard = (items: number, i: number, statement: string) =>
    (i + 1) * threads <= items ? statement : `if (lane + ${i * threads}u < ${items}u) { ${statement} }`;
  const rowOf = (i: number) => `(lane + ${i * threads}u) / ${depth}u`;
  return wgsl`
${g.header}

${g.functions}

fn fetch_b(k: u32, column: u32) -> vec4f {
  if (k >= ${4 * g.depth}u || column >= ${g.columns}u) { return vec4f(0.0); }
  return ${g.loadB};
}

/// Slices of A, [row][k4], and of B, [k][column]. Nested: a constant index is not checked, and the other one checked once for all.
var<workgroup> shared_a: array<array<vec4f, ${stride}>, ${rows}>;
var<workgroup> shared_b: array<array<vec4f, ${columns}>, ${rowsOfB(tile, g.epilogueRows)}>;

@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tx = lane % ${nx}u;
  let ty = lane / ${nx}u;
  let column0 = group.x * ${columns}u;
  ${g.setup}
  ${unroll(loadsA, (i) => g.rowSetup(i, `row0 + ${rowOf(i)}`))}
  ${unroll(tm, (m) => unroll(tn, (j) => `var c_${m}_${j} = vec4f(0.0);`).join(" "))}
  // Step s fetches slice s and multiplies slice s - 1, which is in workgroup memory by then.
  for (var step = 0u; step <= ${steps}u; step++) {
    ${g.kept(loadsA)}
    ${unroll(loadsB, (i) => `var b_${i} = vec4f(0.0);`)}
    if (step < ${steps}u) {
      let k4 = step * ${depth}u + lane % ${depth}u;
      ${g.depthSetup}
      ${unroll(loadsA, (i) => guard(itemsA, i, g.fetchA(i)))}
      ${
    unroll(loadsB, (i) => {
      const item = `(lane + ${i * threads}u)`;
      const k = `step * ${4 * depth}u + ${item} / ${columns}u`;
      return guard(itemsB, i, `b_${i} = fetch_b(${k}, column0 + ${item} % ${columns}u);`);
    })
  }
    }
    if (step > 0u) {
      ${unroll(depth, (k) => multiplyText(tile, k))}
    }
    workgroupBarrier();
    if (step < ${steps}u) {
      ${unroll(loadsA, (i) => guard(itemsA, i, `shared_a[${rowOf(i)}][lane % ${depth}u] = ${g.finishA(i)};`))}
      ${
    unroll(loadsB, (i) => {
      const item = `(lane + ${i * threads}u)`;
      return guard(itemsB, i, `shared_b[${item} / ${columns}u][${item} % ${columns}u] = b_${i};`);
    })
  }
    }
    workgroupBarrier();
  }
  ${g.epilogue}
}
`;

  /** All the products with the slice's k-th vec4. */
  function multiplyText(tile: GemmTile, k: number): string {
    return wgsl`
{
  ${unroll(4, (e) => unroll(tn, (j) => `let b_${e}_${j} = shared_b[${4 * k + e}u][tx + ${j * tile.nx}u];`).join(" "))}
  ${
      unroll(tm, (m) => {
        const sums = unroll(tn, (j) => {
          const sum = `c_${m}_${j}`;
          return `${sum} = ${["x", "y", "z", "w"].reduce((s, e, i) => `fma(vec4f(a.${e}), b_${i}_${j}, ${s})`, sum)};`;
        });
        return `{ let a = shared_a[ty + ${m * ny}u][${k}u]; ${sums.join(" ")} }`;
      })
    }
}`;
  }
}

/**
 * The splices for an A that is read as it is stored: `expression(i)` gives row i's.
 * @param storage Zeros as stored, and the vec4f of what is; vec4f unless given.
 */
export function plainA(
  expression: (i: number) => string,
  { zero, unpack }: { readonly zero: string; readonly unpack: (stored: string) => string } = {
    zero: "vec4f(0.0)",
    unpack: (stored) => stored,
  },
): Pick<GemmText, "kept" | "depthSetup" | "fetchA" | "finishA"> {
  return {
    kept: (loads) => unroll(loads, (i) => `var a_${i} = ${zero};`).join("\n"),
    depthSetup: "",
    fetchA: (i) => `a_${i} = ${expression(i)};`,
    finishA: (i) => unpack(`a_${i}`),
  };
}

/** The rows and columns of a thread's sums, as expressions. */
export const rowText = (tile: GemmTile, m: number) => `row0 + ty + ${m * tile.ny}u`;
export const columnText = (tile: GemmTile, j: number) => `column0 + tx + ${j * tile.nx}u`;
