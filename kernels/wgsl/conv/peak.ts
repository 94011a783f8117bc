/** The product alone, large and square: what f32 rate a device reaches with the kernels here, for the bench's roofline. */
import { dispatchOf, kernelHeader } from "../emit/thread_kernel.ts";
import { wholeView } from "../emit/views.ts";
import type { WgslOperator } from "../kernel.ts";
import { unroll } from "../emit/template.ts";
import { columnText, gemmText, type GemmTile, plainA, rowText, tileColumns, tileName, tileRows } from "./gemm.ts";
import { BASE_LIMITS, type ConvLimits } from "./problem.ts";
import { ceilDiv } from "../../operators/arithmetic.ts";
import { tilesFor } from "./tiles.ts";

/** The register tiles a peak can be looked for with on a device. */
export const peakTiles = (limits: ConvLimits = BASE_LIMITS): GemmTile[] => tilesFor(1 << 10, limits, () => 0);

/**
 * C = A B of `size` x `size` f32 by rows in slots "a", "b" (read) and "c" (written), each size * size * 4 bytes; `size` a multiple of
 * four. To measure a device's peak: fill a and b once, run it often enough for 100 ms in one submission per tile of
 * {@link peakTiles}, and divide `flops` by the best time (timestamp queries where the device has them); size 4096 keeps a large GPU busy.
 */
export function gemmPeakKernel(size = 4096, tile: GemmTile = peakTiles()[0]): WgslOperator {
  if (size % 4 !== 0 || size < 4) throw new RangeError(`Describing the peak kernel: ${size} is no multiple of four`);
  const blocks = size / 4;
  const header = kernelHeader([
    wholeView("a", "a", "vec4<f32>", "read"),
    wholeView("b", "b", "vec4<f32>", "read"),
    wholeView("c", "c", "vec4<f32>", "read_write"),
  ], { start: 0, end: size });
  const code = gemmText({
    tile,
    depth: blocks,
    columns: blocks,
    header: header.text,
    functions: `fn fetch_a(row: u32, k4: u32) -> vec4f {
  if (row >= ${size}u || k4 >= ${blocks}u) { return vec4f(0.0); }
  return load_a(row * ${blocks}u + k4);
}`,
    setup: `let row0 = group.y * ${tileRows(tile)}u;`,
    rowSetup: (i, row) => `let row_${i} = ${row};`,
    ...plainA((i) => `fetch_a(row_${i}, k4)`),
    loadB: `load_b(k * ${blocks}u + column)`,
    epilogue: unroll(
      tile.tm,
      (m) =>
        unroll(tile.tn, (j) =>
          `if (${rowText(tile, m)} < ${size}u && ${columnText(tile, j)} < ${blocks}u) { ` +
          `store_c((${rowText(tile, m)}) * ${blocks}u + ${columnText(tile, j)}, c_${m}_${j}); }`),
    )
      .flat().join("\n"),
    epilogueRows: 0,
  });
  const name = `peak product ${tileName(tile)}`;
  const workgroups = [ceilDiv(blocks, tileColumns(tile)), ceilDiv(size, tileRows(tile)), 1] as const;
  return {
    algorithm: name,
    dispatches: [dispatchOf(name, header, workgroups, code)],
    temporaries: {},
    flops: 2 * size ** 3,
    bytes: 3 * 4 * size ** 2,
  };
}
