/** Plans a convolution in the transform domain: schemes per axis, block of tiles, one call or three. */
import { transformPacker } from "../../operators/conv/pack_weights.ts";
import { matrixPlaces } from "./pack_weights.ts";
import { convFlops } from "../../operators/conv/problem.ts";
import { padToFour, type Vec3 } from "../../../core/base/shape.ts";
import type { KernelCall, Param } from "../kernel.ts";
import { at, listParams } from "../params.ts";
import { CORE_HERTZ, CYCLES, imbalance, productCycles, weightCycles } from "./cost_model.ts";
import { PANEL } from "./gemm_kernels.ts";
import { padToPanel, tensorParams } from "./layout.ts";
import { ceilDiv, productOf, sum, vec } from "../../operators/arithmetic.ts";
import { channelLayout, paddedChannels, statisticsOf } from "../../operators/tensor.ts";
import { type OutputRange, winogradPacking } from "./pack_kernel.ts";
import {
  type ConvOperator,
  type ConvProblem,
  type GroupedCalls,
  type ItemRow,
  outputGridOf,
  padOf,
} from "./problem.ts";
import { gradientSchemesFor, schemesFor, type SchemeTriple, weightCount } from "../../operators/conv/scheme.ts";
import { align64, type BlockGeometry, blockScratch, WINOGRAD_PARAMS } from "./winograd_block.ts";

/** All the numbers of one way to do it. */
export interface WinogradChoice {
  readonly schemes: SchemeTriple;
  readonly tiles: Vec3;
  readonly block: Vec3;
  readonly blocks: Vec3;
  readonly split: boolean;
  readonly panelsPerItem: number;
  /** Of one sample, on one core. */
  readonly cycles: number;
}

function geometry(problem: ConvProblem, schemes: SchemeTriple, tiles: Vec3): BlockGeometry {
  return {
    points: vec((i) => schemes[i].points),
    inputs: vec((i) => schemes[i].inputs),
    steps: vec((i) => schemes[i].step),
    tiles,
    outputs: vec((i) => schemes[i].outputs),
    inputChannels: paddedChannels(problem.input),
    panelChannels: padToPanel(problem.outputChannels),
  };
}

/** Cycles of an item's input passes, output passes and products; `ownWeights`: transformed weights along x. */
function blockCycles(g: BlockGeometry, ownWeights: number, normalised: boolean) {
  const scratch = blockScratch(g);
  const vectors = (bytes: number) => bytes / 16;
  const count = productOf(g.tiles);
  const [pz, py, px] = g.points;
  const rows = g.tiles[0] * g.tiles[1];
  const calls = CYCLES.call * (pz * py * (rows + 1 + px) + g.tiles[0] * (py * g.tiles[1] + pz * g.tiles[1]));
  const load = vectors(scratch.loaded) * g.tiles[0] * (normalised ? CYCLES.loadPoint : CYCLES.plainLoadPoint);
  const planes = vectors(scratch.planes) * CYCLES.passPoint;
  const points = pz * py * vectors(scratch.inputPoints) * CYCLES.passPoint;
  const outX = pz * py * vectors(scratch.outputPoints) * CYCLES.passPoint;
  const outY = vectors(scratch.outputPlanes) * CYCLES.passPoint;
  const outZ = outY * g.outputs[1] / py;
  const stored = count * productOf(g.outputs) * g.panelChannels / 4 * CYCLES.storeVector;
  // The last points along x that share their weights are one product.
  const panels = g.panelChannels / PANEL;
  const alone = productCycles(count, panels, g.inputChannels);
  const sharing = productCycles(count * (px - ownWeights + 1), panels, g.inputChannels);
  const products = pz * py * ((ownWeights - 1) * alone + sharing);
  return {
    input: load + planes + points + calls / 2,
    output: outX + outY + outZ + stored + calls / 2,
    products,
  };
}

/** Block edges worth trying along an axis: those that divide its tiles evenly enough. */
function blockSizes(tiles: number, most: number): number[] {
  const sizes = new Set<number>();
  for (let parts = ceilDiv(tiles, most); parts <= tiles; parts++) sizes.add(ceilDiv(tiles, parts));
  return [...sizes];
}

/** Tiles a block holds at most, and bytes of its scratch. */
const MOST_TILES = 36;
const MOST_SCRATCH = 5 << 19;

function chooseBlocks(problem: ConvProblem, schemes: SchemeTriple): WinogradChoice[] {
  const out = outputGridOf(problem);
  const tiles = vec((i) => ceilDiv(out[i], schemes[i].outputs));
  const matrices = weightCount(schemes);
  const normalised = problem.input.normSlot !== undefined;
  let fused: WinogradChoice | undefined;
  let split: WinogradChoice | undefined;
  for (const z of blockSizes(tiles[0], 4)) {
    for (const y of blockSizes(tiles[1], 8)) {
      for (const x of blockSizes(tiles[2], MOST_TILES)) {
        const block: Vec3 = [z, y, x];
        const count = productOf(block);
        if (count > MOST_TILES) continue;
        const g = geometry(problem, schemes, block);
        const scratch = sum(Object.values(blockScratch(g)));
        if (scratch > MOST_SCRATCH && count > 1) continue;
        const blocks = vec((i) => ceilDiv(tiles[i], block[i]));
        const items = productOf(blocks);
        // Blocks at the far edges are smaller: scale a full block's cost by the tiles there are.
        const share = productOf(tiles) / count;
        const cost = blockCycles(g, schemes[2].weight.length, normalised);
        const matrixBytes = g.inputChannels * g.panelChannels * 4;
        const weightTraffic = weightCycles(matrices * matrixBytes);
        const fusedCycles = (share * (cost.input + cost.output + cost.products) + items * weightTraffic) *
          imbalance(items);
        const candidate = { schemes, tiles, block, blocks, panelsPerItem: 0 };
        if (!fused || fusedCycles < fused.cycles) fused = { ...candidate, split: false, cycles: fusedCycles };

        const allTiles = productOf(tiles);
        const points = productOf(g.points);
        const pointBytes = points * allTiles * (g.inputChannels + g.panelChannels) * 4;
        if (pointBytes > 128 << 20) continue;
        const panels = g.panelChannels / PANEL;
        const pairs = g.points[0] * g.points[1];
        const panelsPerItem = ceilDiv(panels, Math.min(panels, ceilDiv(64, pairs)));
        const splitCycles = share * (cost.input + cost.output) * imbalance(items) +
          points * productCycles(allTiles, panels, g.inputChannels) *
            imbalance(pairs * ceilDiv(panels, panelsPerItem)) +
          weightTraffic + 2 * pointBytes * CYCLES.memoryByte;
        if (!split || splitCycles < split.cycles) {
          split = { ...candidate, panelsPerItem, split: true, cycles: splitCycles };
        }
      }
    }
  }
  return [fused, split].filter((choice) => choice !== undefined);
}

/** Every combination of schemes, each with its best blocks; empty where the kernel or stride has none. */
export function winogradChoices(problem: ConvProblem): WinogradChoice[] {
  const schemesOf = problem.gradient ? gradientSchemesFor : schemesFor;
  const [zs, ys, xs] = [0, 1, 2].map((i) => schemesOf(problem.kernel[i], problem.stride[i]));
  const triples = zs.flatMap((z) => ys.flatMap((y) => xs.map((x): SchemeTriple => [z, y, x])));
  return triples.flatMap((schemes) => chooseBlocks(problem, schemes));
}

/** Parameters of the kernels for some of the output channels; their weights lie alone in the weight slot, all biases behind them. */
function winogradParams(problem: ConvProblem, choice: WinogradChoice, range: OutputRange, biasOffset: number): Param[] {
  const { schemes, tiles, block, blocks } = choice;
  const out = outputGridOf(problem);
  const pad = padOf(problem);
  const g = geometry(problem, schemes, block);
  const unused = at(problem.weightSlot);
  return listParams(WINOGRAD_PARAMS, {
    ...tensorParams(problem, biasOffset + range.first * 4, range.first),
    inputPoints: choice.split ? at(`${problem.name}.inputPoints`) : unused,
    outputPoints: choice.split ? at(`${problem.name}.outputPoints`) : unused,
    outputChannels: padToFour(range.channels),
    panelChannels: padToPanel(range.channels),
    batch: problem.batch,
    in: problem.inputGrid,
    out,
    scheme: vec((i) => schemes[i].id),
    inputs: g.inputs,
    points: g.points,
    tile: g.outputs,
    step: g.steps,
    pad,
    lastWeight: vec((i) => schemes[i].weight.length - 1),
    tiles,
    block,
    blocks,
    panelsPerItem: choice.panelsPerItem,
    accumulate: problem.gradient?.accumulate ? 1 : 0,
    statisticsChannels: padToFour(problem.outputChannels),
    firstChannel: range.first,
  });
}

/** The convolution of some output channels: its own call or, in the split form, its products and outputs of points that are there. */
function rangeCalls(problem: ConvProblem, choice: WinogradChoice, range: OutputRange, biasOffset: number) {
  const params = winogradParams(problem, choice, range, biasOffset);
  const g = geometry(problem, choice.schemes, choice.block);
  const scratchBytes = align64(sum(Object.values(blockScratch(g)))) + 64 * 8;
  const items = problem.batch * productOf(choice.blocks);
  if (!choice.split) return { calls: [{ kernel: "conv_winograd", params, items, scratchBytes }] };
  const panelItems = ceilDiv(padToPanel(range.channels) / PANEL, choice.panelsPerItem);
  return {
    input: { kernel: "conv_winograd_input", params, items, scratchBytes },
    calls: [
      { kernel: "conv_winograd_product", params, items: g.points[0] * g.points[1] * panelItems, scratchBytes: 0 },
      { kernel: "conv_winograd_output", params, items, scratchBytes },
    ],
  };
}

/** Weights, or points of outputs, that a group of channels takes at most. */
const GROUP_BYTES = 12 << 20;

/** The split form in groups of output channels over the same input points, if all channels at once would take more memory. */
function callsInGroups(problem: ConvProblem, choice: WinogradChoice): GroupedCalls | undefined {
  const padded = paddedChannels(problem.input);
  const points = productOf(choice.schemes.map((scheme) => scheme.points)) * problem.batch * productOf(choice.tiles) * 4;
  const matrices = weightCount(choice.schemes) * padded * 4;
  const panels = padToPanel(problem.outputChannels) / PANEL;
  const groups = ceilDiv(panels * PANEL * Math.max(matrices, points), GROUP_BYTES);
  if (!choice.split || groups < 2 || panels < 2) return undefined;
  const most = ceilDiv(panels, groups) * PANEL;
  const biasOffset = matrices * most;
  const calls: KernelCall[] = [];
  for (let first = 0; first < problem.outputChannels; first += most) {
    const range = { first, channels: Math.min(most, problem.outputChannels - first) };
    const { input, calls: own } = rangeCalls(problem, choice, range, biasOffset);
    if (input && first === 0) calls.push(input);
    calls.push(...winogradPacking(problem, choice.schemes, biasOffset, undefined, range).calls, ...own);
  }
  return {
    calls,
    temporaries: {
      [`${problem.name}.inputPoints`]: points * padded,
      [`${problem.name}.outputPoints`]: points * most,
      [problem.weightSlot]: biasOffset + panels * PANEL * 4,
    },
  };
}

export function planWinograd(problem: ConvProblem, choice: WinogradChoice): ConvOperator {
  const { schemes, tiles, block, blocks } = choice;
  const out = outputGridOf(problem);
  const layout = channelLayout(problem.input.parts);
  const outputChannels = padToFour(problem.outputChannels);
  const g = geometry(problem, schemes, block);
  const biasOffset = weightCount(schemes) * layout.padded * g.panelChannels * 4;
  const pointBytes = productOf(g.points) * problem.batch * productOf(tiles) * 4;
  const { input, calls } = rangeCalls(problem, choice, { first: 0, channels: problem.outputChannels }, biasOffset);
  const weightBytes = biasOffset + g.panelChannels * 4;
  return {
    algorithm: `winograd ${schemes.map((a) => a.name).join("x")}${choice.split ? " in three calls" : ""}`,
    calls: input ? [input, ...calls] : calls,
    temporaries: choice.split
      ? {
        [`${problem.name}.inputPoints`]: pointBytes * layout.padded,
        [`${problem.name}.outputPoints`]: pointBytes * g.panelChannels,
      }
      : {},
    flops: convFlops(problem, out),
    bytes: weightBytes + problem.batch * 4 *
        (productOf(problem.inputGrid) * layout.padded + productOf(out) * outputChannels),
    coreSeconds: problem.batch * choice.cycles / CORE_HERTZ,
    weightBytes,
    pack: transformPacker(
      [layout.positions.length, problem.outputChannels],
      schemes,
      matrixPlaces(layout, problem.outputChannels, weightCount(schemes)),
    ),
    packing: winogradPacking(problem, schemes, biasOffset),
    ...(problem.statistics ? { statistics: statisticsOf(problem.batch, productOf(blocks), outputChannels) } : {}),
    ...(!problem.gradient && { inGroups: callsInGroups(problem, choice) }),
    ...(choice.split || problem.gradient ? {} : { rows: itemRows(problem, choice, out[0]) }),
  };
}

function itemRows(
  problem: ConvProblem,
  { schemes: [z], tiles, block, blocks }: WinogradChoice,
  depth: number,
): ItemRow[] {
  const step = z.outputs * z.stride;
  const [pad] = padOf(problem);
  return Array.from({ length: blocks[0] }, (_, row) => {
    const [first, end] = [row * block[0], Math.min((row + 1) * block[0], tiles[0])];
    return {
      items: blocks[1] * blocks[2],
      reads: [
        Math.max(0, first * step - pad),
        Math.min(problem.inputGrid[0], (end - 1) * step - pad + z.points),
      ],
      writes: [first * z.outputs, Math.min(end * z.outputs, depth)],
    };
  });
}
