/**
 * Winograd convolutions (Lavin and Gray, CVPR 2016): per chunk of tiles three dispatches - input transform to V, one product V U for each
 * point, output transform from M. F(4x4x4, 3x3x3) does 216 products a tile of 64 outputs where the direct form does 1728. A chunk is so
 * large that V and M stay in the device's L2 and the products have rows enough, and no larger.
 */
import { transformPacker } from "../../operators/conv/pack_weights.ts";
import { transformedPlaces } from "./pack.ts";
import { convFlops } from "../../operators/conv/problem.ts";
import { gradientSchemesFor, schemesFor, type SchemeTriple, weightCount } from "../../operators/conv/scheme.ts";
import { dispatchOf, kernelHeader, u32 } from "../emit/thread_kernel.ts";
import type { ThreadRange } from "../emit/ranges.ts";
import { wholeView } from "../emit/views.ts";
import type { WgslDispatch } from "../kernel.ts";
import { wgsl } from "../emit/template.ts";
import { gemmText, type GemmTile, plainA, tileColumns, tileName, tileRows } from "./gemm.ts";
import { checkProblem, convBytes, type WgslConvOperator, type WgslConvProblem, writtenGrid } from "./problem.ts";
import { ceilDiv, productOf } from "../../operators/arithmetic.ts";
import { channelLayout } from "../../operators/tensor.ts";
import { statisticsSize, statisticsViews } from "./statistics.ts";
import { storagesOf, type TileStorage } from "./tile_storage.ts";
import { NOMINAL, productSeconds, rankTiles, tilesFor } from "./tiles.ts";
import { cutGroups, tensorView, weightLayout, weightView } from "./touched.ts";
import { outputTransformText } from "./winograd_kernels.ts";
import {
  chunkTiles,
  DEFAULT_CACHE_BYTES,
  inputSide,
  outputBoxes,
  tileBox,
  weightOfPoints,
  type WinogradShape,
  winogradShape,
} from "./winograd_shape.ts";
import { createTexts, planInputTransform, tilesOf, type TransformPlan } from "./winograd_transform.ts";

export const V_SLOT = "winograd inputs";
const M_SLOT = "winograd products";

/** All the numbers of one way to do it. */
export interface WinogradChoice {
  readonly shape: WinogradShape;
  readonly tile: GemmTile;
  /** Of V and M. */
  readonly storage: TileStorage;
  /** Tiles of a chunk, counted over samples. */
  readonly chunk: number;
  readonly seconds: number;
}

/** Tells choices apart: scheme, register tile, how tiles are stored, chunk. */
export const winogradName = ({ shape, tile, storage, chunk }: WinogradChoice) =>
  `winograd ${schemeName(shape.schemes)} ${tileName(tile)}${storage.suffix} by ${chunk}`;

export const schemeName = (schemes: SchemeTriple) => schemes.map((s) => s.name).join("x");

function choose(
  problem: WgslConvProblem,
  schemes: SchemeTriple,
  storage: TileStorage,
  tile?: GemmTile,
): WinogradChoice | undefined {
  const shape = winogradShape(problem, schemes);
  if (!shape) return undefined;
  const count = productOf(shape.points);
  const all = problem.batch * shape.sampleTiles;
  const grain = Math.max(shape.input.tiles, shape.output.tiles);
  const bytes = [count * shape.inputBlocks * storage.bytes, count * shape.outputBlocks * storage.bytes] as const;
  const chunk = chunkTiles(problem.limits, all, grain, bytes);
  if (chunk * Math.max(...bytes) > problem.limits.maxBindingBytes) return undefined;
  const product = { rows: chunk, columns: shape.outputBlocks, depth: shape.inputBlocks, count };
  const [best] = tile ? [tile] : rankTiles(tilesFor(shape.outputBlocks, problem.limits, () => 0), product);
  if (!best) return undefined;
  const chunks = ceilDiv(all, chunk);
  const weightBytes = weightCount(schemes) * shape.inputBlocks * shape.outputBlocks * 64;
  // Every V and M is written once and read once for each tile of columns or rows; F(4) reads each input about three times.
  const points = all * count * storage.bytes;
  const columns = ceilDiv(shape.outputBlocks, tileColumns(best));
  const rows = ceilDiv(chunk, tileRows(best));
  const cached = points * (2.5 * shape.inputBlocks + shape.inputBlocks * columns + 2 * shape.outputBlocks) +
    chunks * rows * weightBytes;
  // The products' own work on blocks; that of the transforms is done while they wait for memory.
  const packed = 2 * all * count * shape.outputBlocks * storage.packing;
  const unpacked = 2 * all * count * shape.inputBlocks * columns * storage.unpacking;
  const seconds = chunks * (productSeconds(best, product) + 3 * NOMINAL.launch) +
    (packed + unpacked) / NOMINAL.flops + cached / NOMINAL.cache +
    (convBytes(problem, shape.outputGrid, 0) + weightBytes * (weightBytes > DEFAULT_CACHE_BYTES ? chunks : 1)) /
      NOMINAL.memory;
  return { shape, tile: best, storage, chunk, seconds };
}

/** Every combination of schemes with its best product tile, the one forecast to be the fastest first; empty where there is none. */
export function winogradChoices(problem: WgslConvProblem): WinogradChoice[] {
  const schemes = problem.gradientGrid ? gradientSchemesFor : schemesFor;
  const [zs, ys, xs] = [0, 1, 2].map((i) =>
    // F(3, 3) saves little over F(2, 3) and F(4, 3), and would double what there is to measure.
    schemes(problem.kernel[i], problem.stride[i]).filter((s) => !s.name.startsWith("3"))
  );
  const triples = zs.flatMap((z) => ys.flatMap((y) => xs.map((x): SchemeTriple => [z, y, x])));
  const bestOf = (schemes: SchemeTriple) => {
    const choices = storagesOf(problem.input, problem.output).map((storage) => choose(problem, schemes, storage));
    return choices.filter((choice) => choice !== undefined).sort((a, b) => a.seconds - b.seconds)[0];
  };
  return triples.map(bestOf).filter((choice) => choice !== undefined).sort((a, b) => a.seconds - b.seconds);
}

/** The choice with another register tile for its products. */
export function withTile(problem: WgslConvProblem, choice: WinogradChoice, tile: GemmTile): WinogradChoice {
  return choose(problem, choice.shape.schemes, choice.storage, tile) ?? choice;
}

/** The choice with tiles stored in each other way that there is. */
export function withStorages(problem: WgslConvProblem, choice: WinogradChoice): WinogradChoice[] {
  return storagesOf(problem.input, problem.output).filter((storage) => storage !== choice.storage)
    .map((storage) => choose(problem, choice.shape.schemes, storage)).filter((other) => other !== undefined);
}

/** The choice with chunks of about so many tiles, as far as they can be bound; forecast to be a little slower than the usual chunk. */
export function withChunk(problem: WgslConvProblem, choice: WinogradChoice, tiles: number): WinogradChoice {
  const { input, output, points, inputBlocks, outputBlocks, sampleTiles } = choice.shape;
  const grain = Math.max(input.tiles, output.tiles);
  const up = (n: number) => ceilDiv(n, grain) * grain;
  const bytes = productOf(points) * Math.max(inputBlocks, outputBlocks) * choice.storage.bytes;
  const bound = Math.floor(problem.limits.maxBindingBytes / bytes / grain) * grain;
  const chunk = Math.min(up(tiles), up(problem.batch * sampleTiles), bound);
  return { ...choice, chunk, seconds: choice.seconds * 1.01 };
}

/** M[point][tile][o] = sum over i of V[point][tile][i] U[weight of point][i][o], for the tiles of a chunk. */
function productText(header: string, choice: WinogradChoice): string {
  const { shape, tile, storage, chunk } = choice;
  const { inputBlocks, outputBlocks } = shape;
  const weights = weightOfPoints(shape.schemes);
  const same = weights.every((weight, point) => weight === point);
  const matrix = 4 * inputBlocks * outputBlocks;
  const sums = Array.from(
    { length: tile.tm },
    (_, m) =>
      Array.from(
        { length: tile.tn },
        (_, j) =>
          `if (row0 + ty + ${m * tile.ny}u < p.rows && column0 + tx + ${j * tile.nx}u < ${outputBlocks}u) { ` +
          `store_m((first + row0 + ty + ${m * tile.ny}u) * ${outputBlocks}u + column0 + tx + ${j * tile.nx}u, ${
            storage.pack(`c_${m}_${j}`)
          }); }`,
      ),
  ).flat();
  return gemmText({
    tile,
    depth: inputBlocks,
    columns: outputBlocks,
    header,
    functions: wgsl`
${
      same ? "" : `/// Points of the odd samples share weights.
const weight_of = array<u32, ${weights.length}>(${weights.map((w) => `${w}u`).join(", ")});`
    }
${storage.functions}

fn fetch_v(first: u32, row: u32, k4: u32) -> ${storage.element} {
  if (row >= p.rows || k4 >= ${inputBlocks}u) { return ${storage.zero}; }
  return load_v((first + row) * ${inputBlocks}u + k4);
}
var<private> matrix: u32;
`,
    setup: wgsl`
let point = p.start + group.z;
let row0 = group.y * ${tileRows(tile)}u;
let first = point * ${chunk}u;
matrix = ${same ? "point" : "weight_of[point]"} * ${matrix}u;`,
    rowSetup: (i, row) => `let row_${i} = ${row};`,
    ...plainA((i) => `fetch_v(first, row_${i}, k4)`, storage),
    loadB: `load_weights(matrix + k * ${outputBlocks}u + column)`,
    epilogue: sums.join("\n"),
    epilogueRows: 0,
  });
}

export function planWinograd(problem: WgslConvProblem, choice: WinogradChoice): WgslConvOperator {
  const { shape: s, tile, storage, chunk } = choice;
  const { limits, input, output, batch } = problem;
  checkProblem(problem, writtenGrid(problem));
  const count = productOf(s.points);
  const matrix = 4 * s.inputBlocks * s.outputBlocks;
  const matrices = weightCount(s.schemes);
  const weights = weightLayout(problem.weightSlot, matrices * matrix + s.outputBlocks, limits);
  const weightOf = weightOfPoints(s.schemes);
  const name = schemeName(s.schemes);
  const all = batch * s.sampleTiles;
  const points = (name: "v" | "m", access: "read" | "read_write") =>
    wholeView(name, name === "v" ? V_SLOT : M_SLOT, storage.element, access);

  const texts = createTexts();
  const transform: TransformPlan = {
    name: problem.name,
    kernel: `winograd input transform ${name}${storage.suffix}`,
    side: inputSide(problem, s),
    slot: V_SLOT,
    storage,
    chunk,
    limits,
    texts,
  };
  const productDispatches = (rows: number): WgslDispatch[] => {
    const viewsOf = ({ start, end }: ThreadRange) => {
      const used = weightOf.slice(start, end);
      return [
        points("v", "read"),
        weightView(weights, Math.min(...used) * matrix, (Math.max(...used) + 1) * matrix - 1),
        points("m", "read_write"),
      ];
    };
    return cutGroups(problem.name, { start: 0, end: count }, 1, limits, viewsOf).map(({ range, views }) => {
      const header = kernelHeader(views, range, { rows: u32(rows) });
      const tiles = [ceilDiv(s.outputBlocks, tileColumns(tile)), ceilDiv(rows, tileRows(tile))] as const;
      const code = texts("product", header.text, (text) => productText(text, choice));
      return dispatchOf(
        `winograd product ${name} ${tileName(tile)}${storage.suffix}`,
        header,
        [...tiles, range.end - range.start],
        code,
      );
    });
  };
  const outputDispatches = (first: number, end: number): WgslDispatch[] => {
    const { tiles, blocks } = s.output;
    const groups = { start: first / tiles, end: end / tiles };
    const viewsOf = (range: ThreadRange) => [
      points("m", "read"),
      weightView(weights, matrices * matrix, weights.length - 1),
      tensorView("output", output, "read_write", s.outputGrid, tileBox(outputBoxes(s), tilesOf(range, tiles, all))),
      ...statisticsViews(problem),
    ];
    return cutGroups(problem.name, groups, s.parts, limits, viewsOf).map(({ range, views }) => {
      const header = kernelHeader(views, range, { chunk: u32(first) });
      const workgroups = [ceilDiv(s.outputBlocks, blocks), range.end - range.start, 1] as const;
      const outputText = (text: string) => outputTransformText(text, problem, s, chunk, matrices * matrix, storage);
      return dispatchOf(
        `winograd output transform ${name}${storage.suffix}`,
        header,
        workgroups,
        texts("output", header.text, outputText),
      );
    });
  };
  const dispatches = Array.from({ length: ceilDiv(all, chunk) }, (_, i) => {
    const [first, end] = [i * chunk, Math.min(all, (i + 1) * chunk)];
    return [
      ...planInputTransform(transform, first, end),
      ...productDispatches(end - first),
      ...outputDispatches(first, end),
    ];
  }).flat();
  const layout = channelLayout(input.parts);
  const weightBytes = weights.length * 16;
  return {
    algorithm: winogradName(choice),
    dispatches,
    temporaries: {
      [V_SLOT]: chunk * count * s.inputBlocks * storage.bytes,
      [M_SLOT]: chunk * count * s.outputBlocks * storage.bytes,
    },
    // A data gradient has those of its convolution, which wrote what this reads.
    flops: convFlops(problem, problem.gradientGrid ? problem.inputGrid : s.outputGrid),
    bytes: convBytes(problem, s.outputGrid, weightBytes),
    weightBytes,
    weightSegmentBytes: weights.segmentLength * 16,
    seconds: choice.seconds,
    ...statisticsSize(problem, s.parts),
    packing: { kind: "winograd", schemes: s.schemes },
    pack: transformPacker(
      [layout.positions.length, problem.outputChannels],
      s.schemes,
      transformedPlaces(layout, problem.outputChannels, weightCount(s.schemes)),
    ),
  };
}
