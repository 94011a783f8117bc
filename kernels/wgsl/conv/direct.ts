/** Direct and transposed convolutions as one register-tiled product (implicit GEMM): nothing is stored between input and output. */
import { tapPacker } from "../../operators/conv/pack_weights.ts";
import { directPlaces, transposedPlaces } from "./pack.ts";
import { padToFour, type Vec3, voxelCount } from "../../../core/base/shape.ts";
import { normViews } from "../elementwise/operand.ts";
import type { ArrayView } from "../emit/views.ts";
import { dispatchOf, kernelHeader } from "../emit/thread_kernel.ts";
import type { ThreadRange } from "../emit/ranges.ts";
import type { WgslDispatch } from "../kernel.ts";
import { unroll, wgsl } from "../emit/template.ts";
import { type Gather, gatherDepth, gatherText } from "./gather.ts";
import { columnText, gemmText, type GemmTile, rowText, tileColumns, tileName, tileRows } from "./gemm.ts";
import {
  checkProblem,
  convBytes,
  storeOutput,
  type WgslConvOperator,
  type WgslConvProblem,
  type WgslTransposedConvProblem,
} from "./problem.ts";
import { ceilDiv, productOf } from "../../operators/arithmetic.ts";
import { channelLayout } from "../../operators/tensor.ts";
import { convFlops, convOutputGrid } from "../../operators/conv/problem.ts";
import { statisticsSize, statisticsText, statisticsViews } from "./statistics.ts";
import { NOMINAL, productSeconds, rankTiles, tilesFor } from "./tiles.ts";
import { cutGroups, tensorView, weightLayout, weightView } from "./touched.ts";

/** What the statistics need of B's workgroup memory: a share of each column from each row of threads. */
const scratchRows = (statistics: boolean) => (tile: GemmTile) => statistics ? tile.ny : 0;

/** Tiles for a direct convolution with their forecasts, best first. */
export function directTiles(problem: WgslConvProblem): { readonly tile: GemmTile; readonly seconds: number }[] {
  const columns = padToFour(problem.outputChannels) / 4;
  const grid = convOutputGrid(problem.inputGrid, problem.kernel, problem.stride);
  const depth = gatherDepth(gatherOf(problem, grid));
  const shape = { rows: voxelCount(grid), columns, depth, count: problem.batch };
  const bytes = convBytes(problem, grid, (4 * depth + 1) * columns * 16);
  return rankTiles(tilesFor(columns, problem.limits, scratchRows(problem.statistics)), shape).map((tile) => ({
    tile,
    seconds: Math.max(productSeconds(tile, shape), bytes / NOMINAL.memory) + NOMINAL.launch,
  }));
}

function gatherOf(problem: WgslConvProblem, outputGrid: Vec3): Gather {
  const { parts } = problem.input;
  const dense = parts.length === 1 && parts[0] <= 2 ? { dense: parts[0] } : {};
  return { ...problem, outputGrid, padded: channelLayout(parts).padded, ...dense };
}

/**
 * out[sample][voxel][o] = bias[o] + sum over taps and channels of in[sample][voxel * stride + tap - pad][i] w[tap][i][o].
 * Rows are a sample's output voxels, k runs over taps and channels, columns are output channels. Voxels are gathered tap by tap while the
 * product runs: neighbours share them in the caches. A workgroup's voxels are a part of the statistics.
 */
export function planDirect(problem: WgslConvProblem, tile: GemmTile = directTiles(problem)[0].tile): WgslConvOperator {
  const { input, output, limits } = problem;
  const grid = convOutputGrid(problem.inputGrid, problem.kernel, problem.stride);
  checkProblem(problem, grid);
  const gather = gatherOf(problem, grid);
  const depth = gatherDepth(gather);
  const columns = padToFour(problem.outputChannels) / 4;
  const voxels = voxelCount(grid);
  const tiles = ceilDiv(voxels, tileRows(tile));
  const weights = weightLayout(problem.weightSlot, (4 * depth + 1) * columns, limits);
  const viewsOf = (range: ThreadRange): ArrayView[] => {
    const box = voxelsOf(range, tiles, tileRows(tile), grid);
    const reach = (axis: 0 | 1, [a, b]: readonly [number, number]): readonly [number, number] => {
      const [stride, pad] = [problem.stride[axis], (problem.kernel[axis] - 1) >> 1];
      return [a * stride - pad, b * stride - pad + problem.kernel[axis] - 1];
    };
    const touched = { samples: box.samples, planes: reach(0, box.planes), rows: reach(1, box.rows) };
    return [
      tensorView("input", input, "read", problem.inputGrid, touched),
      weightView(weights, 0, weights.length - 1),
      tensorView("output", output, "read_write", grid, box),
      ...normViews("input", input),
      ...statisticsViews(problem),
    ];
  };
  const sums = unroll(tile.tn, (j) => ({ j, column: columnText(tile, j) }));
  const statistics = () =>
    statisticsText({
      channels: problem.outputChannels,
      spread: sums.map(({ j, column }) => ({
        values: (add) =>
          unroll(tile.tm, (m) => `if (${rowText(tile, m)} < ${voxels}u) { ${add(`c_${m}_${j}`)} }`).join("\n"),
        mine: `shared_b[ty][tx + ${j * tile.nx}u]`,
        shares: unroll(tile.ny, (y) => `shared_b[${y}u][tx + ${j * tile.nx}u]`),
        block: column,
      })),
      count: `f32(min(${tileRows(tile)}u, ${voxels}u - row0))`,
      part: "number",
      writer: "ty == 0u",
    });
  const epilogue = wgsl`
${
    sums.map(({ j, column }) =>
      wgsl`
if (${column} < ${columns}u) {
  let bias = load_weights(${4 * depth * columns}u + ${column});
  ${unroll(tile.tm, (m) => `c_${m}_${j} += bias;`).join(" ")}
  ${
        unroll(tile.tm, (m) =>
          `if (${rowText(tile, m)} < ${voxels}u) { ` +
          storeOutput(
            problem,
            `(sample * ${voxels}u + ${rowText(tile, m)}) * ${output.channelStride / 4}u + ` +
              `${output.channelOffset / 4}u + ${column}`,
            `c_${m}_${j}`,
          ) + " }")
      }
}`
    )
  }
${problem.statistics ? statistics() : ""}`;
  const name = `direct convolution ${problem.kernel.join("x")} ${tileName(tile)}`;
  const parts = cutGroups(problem.name, { start: 0, end: problem.batch * tiles }, tiles, limits, viewsOf);
  const dispatches = parts.map(({ range, views }): WgslDispatch => {
    const header = kernelHeader(views, range);
    const code = gemmText({
      tile,
      depth,
      columns,
      header: header.text,
      ...gatherText(gather, views[0]),
      setup: sampleRows(tiles, tileRows(tile)),
      loadB: `load_weights(k * ${columns}u + column)`,
      epilogue,
      epilogueRows: scratchRows(problem.statistics)(tile),
    });
    return dispatchOf(name, header, [ceilDiv(columns, tileColumns(tile)), range.end - range.start, 1], code);
  });
  const layout = channelLayout(input.parts);
  const taps = productOf(problem.kernel);
  const weightBytes = weights.length * 16;
  const bytes = convBytes(problem, grid, weightBytes);
  const shape = { rows: voxels, columns, depth, count: problem.batch };
  const perTap = gather.dense ?? layout.padded;
  const channels = [layout.positions.length, problem.outputChannels] as const;
  return {
    algorithm: `direct ${tileName(tile)}`,
    dispatches,
    temporaries: {},
    flops: convFlops(problem, grid),
    bytes,
    weightBytes,
    weightSegmentBytes: weights.segmentLength * 16,
    seconds: Math.max(productSeconds(tile, shape), bytes / NOMINAL.memory) + dispatches.length * NOMINAL.launch,
    ...statisticsSize(problem, tiles),
    packing: { kind: "direct", perTap, rows: 4 * depth },
    pack: tapPacker(channels, taps, false, directPlaces(layout.positions, perTap, 4 * depth, problem.outputChannels)),
  };
}

/** `number` counts workgroups of rows over samples and dispatches. */
const sampleRows = (tiles: number, rows: number) =>
  wgsl`
let number = p.start + group.y;
let sample = number / ${tiles}u;
let row0 = number % ${tiles}u * ${rows}u;`;

/** Voxels (of `grid`) that workgroups of so many rows, so many of them a sample, compute. */
function voxelsOf({ start, end }: ThreadRange, tiles: number, rows: number, grid: Vec3) {
  const first = start % tiles * rows;
  const last = Math.min(((end - 1) % tiles + 1) * rows, voxelCount(grid)) - 1;
  const plane = grid[1] * grid[2];
  const samples = [Math.floor(start / tiles), Math.floor((end - 1) / tiles)] as const;
  const planes = [Math.floor(first / plane), Math.floor(last / plane)] as const;
  const within = samples[0] === samples[1] && planes[0] === planes[1];
  const rowOf = (voxel: number) => Math.floor(voxel % plane / grid[2]);
  return { samples, planes, rows: within ? [rowOf(first), rowOf(last)] as const : [0, grid[1] - 1] as const };
}

/** Tiles for a transposed convolution, best first. */
export function transposedTiles(problem: WgslTransposedConvProblem): GemmTile[] {
  const columns = productOf(problem.stride) * padToFour(problem.outputChannels) / 4;
  const depth = channelLayout(problem.input.parts).padded / 4;
  const shape = { rows: voxelCount(problem.inputGrid), columns, depth, count: problem.batch };
  return rankTiles(tilesFor(columns, problem.limits, () => 0), shape);
}

/**
 * out[sample][voxel * stride + tap][o] = bias[o] + sum over i of in[sample][voxel][i] w[i][tap][o]: taps do not overlap, so they are
 * columns of one product over the input's voxels, and every sum is written once to where its tap lies.
 */
export function planTransposed(
  problem: WgslTransposedConvProblem,
  tile: GemmTile = transposedTiles(problem)[0],
): WgslConvOperator {
  const { input, output, limits, inputGrid, stride } = problem;
  const grid: Vec3 = [inputGrid[0] * stride[0], inputGrid[1] * stride[1], inputGrid[2] * stride[2]];
  const asConv = { ...problem, kernel: stride };
  checkProblem(asConv, grid);
  if (problem.statistics) {
    throw new RangeError(
      `Describing the transposed convolution ${problem.name}: it leaves no statistics; no norm follows one`,
    );
  }
  const layout = channelLayout(input.parts);
  const one: Vec3 = [1, 1, 1];
  const gather: Gather = {
    input,
    inputGrid,
    outputGrid: inputGrid,
    kernel: one,
    stride: one,
    padded: layout.padded,
  };
  const depth = gatherDepth(gather);
  const taps = productOf(stride);
  const blocks = padToFour(problem.outputChannels) / 4;
  const columns = taps * blocks;
  const voxels = voxelCount(inputGrid);
  const tiles = ceilDiv(voxels, tileRows(tile));
  const weights = weightLayout(problem.weightSlot, 4 * depth * columns + blocks, limits);
  const viewsOf = (range: ThreadRange): ArrayView[] => {
    const box = voxelsOf(range, tiles, tileRows(tile), inputGrid);
    const spread = (axis: 0 | 1, [a, b]: readonly [number, number]) =>
      [a * stride[axis], (b + 1) * stride[axis] - 1] as const;
    const written = { samples: box.samples, planes: spread(0, box.planes), rows: spread(1, box.rows) };
    return [
      tensorView("input", input, "read", inputGrid, box),
      weightView(weights, 0, weights.length - 1),
      tensorView("output", output, "read_write", grid, written),
      ...normViews("input", input),
    ];
  };
  const [, iy, ix] = inputGrid;
  const [sz, sy, sx] = stride;
  const scatter = wgsl`
/// The first voxel of the output that an input voxel becomes.
fn corner_of(sample: u32, row: u32) -> u32 {
  let at = vec3u(row / ${iy * ix}u, row / ${ix}u % ${iy}u, row % ${ix}u) * vec3u(${sz}u, ${sy}u, ${sx}u);
  return ((sample * ${grid[0]}u + at.x) * ${grid[1]}u + at.y) * ${grid[2]}u + at.z;
}
`;
  const epilogue = wgsl`
${unroll(tile.tm, (m) => `let corner_${m} = corner_of(sample, ${rowText(tile, m)});`)}
${
    unroll(tile.tn, (j) =>
      wgsl`
if (${columnText(tile, j)} < ${columns}u) {
  let tap = (${columnText(tile, j)}) / ${blocks}u;
  let block = (${columnText(tile, j)}) % ${blocks}u;
  let voxel = (tap / ${sy * sx}u * ${grid[1]}u + tap / ${sx}u % ${sy}u) * ${grid[2]}u + tap % ${sx}u;
  let bias = load_weights(${4 * depth * columns}u + block);
  ${
        unroll(tile.tm, (m) =>
          `if (${rowText(tile, m)} < ${voxels}u) { store_output((corner_${m} + voxel) * ${
            output.channelStride / 4
          }u + ` +
          `${output.channelOffset / 4}u + block, c_${m}_${j} + bias); }`)
      }
}`)
  }`;
  const name = `transposed convolution ${stride.join("x")} ${tileName(tile)}`;
  const parts = cutGroups(problem.name, { start: 0, end: problem.batch * tiles }, tiles, limits, viewsOf);
  const dispatches = parts.map(({ range, views }): WgslDispatch => {
    const header = kernelHeader(views, range);
    const read = gatherText(gather, views[0]);
    const code = gemmText({
      tile,
      depth,
      columns,
      header: header.text,
      ...read,
      epilogue,
      epilogueRows: 0,
      functions: `${read.functions}\n${scatter}`,
      setup: sampleRows(tiles, tileRows(tile)),
      loadB: `load_weights(k * ${columns}u + column)`,
    });
    return dispatchOf(name, header, [ceilDiv(columns, tileColumns(tile)), range.end - range.start, 1], code);
  });
  const weightBytes = weights.length * 16;
  const bytes = convBytes(asConv, grid, weightBytes);
  const shape = { rows: voxels, columns, depth, count: problem.batch };
  const channels = [layout.positions.length, problem.outputChannels] as const;
  return {
    algorithm: `transposed ${tileName(tile)}`,
    dispatches,
    temporaries: {},
    flops: 2 * problem.batch * voxelCount(grid) * channels[0] * channels[1],
    bytes,
    weightBytes,
    weightSegmentBytes: weights.segmentLength * 16,
    seconds: Math.max(productSeconds(tile, shape), bytes / NOMINAL.memory) + dispatches.length * NOMINAL.launch,
    packing: { kind: "transposed" },
    pack: tapPacker(channels, taps, true, transposedPlaces(layout, problem.outputChannels, taps)),
  };
}
