/** Plans direct and transposed convolutions: the block of voxels and the weight panels of an item. */
import { tapPacker } from "../../operators/conv/pack_weights.ts";
import { directPlaces, matrixPlaces } from "./pack_weights.ts";
import { convFlops } from "../../operators/conv/problem.ts";
import { padToFour, type Vec3 } from "../../../core/base/shape.ts";
import { listParams } from "../params.ts";
import { CORE_HERTZ, CYCLES, imbalance, L2_BYTES, productCycles, weightCycles } from "./cost_model.ts";
import { DIRECT_PARAMS, directScratch } from "./direct_kernels.ts";
import { PANEL } from "./gemm_kernels.ts";
import { aboutHalves, padToPanel, tensorParams } from "./layout.ts";
import { ceilDiv, productOf } from "../../operators/arithmetic.ts";
import { channelLayout, paddedChannels, statisticsOf } from "../../operators/tensor.ts";
import { directPacking } from "./pack_direct_kernel.ts";
import { type ConvOperator, type ConvProblem, type ItemRow, outputGridOf, padOf } from "./problem.ts";

export interface DirectChoice {
  readonly block: Vec3;
  readonly blocks: Vec3;
  readonly panelsPerItem: number;
  /** Of one sample, on one core. */
  readonly cycles: number;
}

/** Voxels an item computes at most. */
const MOST_VOXELS = 192;

export function stagedChannels(problem: ConvProblem): number {
  const { parts } = problem.input;
  return parts.length === 1 && parts[0] < 4 ? parts[0] : paddedChannels(problem.input);
}

/** Runs of taps and channels shorter than this are copied together, so that the product's inner loop is long. */
const SHORT_RUN = 32;

function joinsRuns(problem: ConvProblem): boolean {
  return problem.kernel[0] * problem.kernel[1] > 1 && problem.kernel[2] * stagedChannels(problem) < SHORT_RUN;
}

/** The cheapest blocks for products on `grid` (the output's, or a transposed convolution's input's) scattered over `taps`. */
function chooseBlock(problem: ConvProblem, grid: Vec3, taps: number): DirectChoice {
  const staged = stagedChannels(problem);
  const padded = paddedChannels(problem.input);
  const tapPanels = padToPanel(problem.outputChannels) / PANEL;
  const allPanels = taps * tapPanels;
  const runs = problem.kernel[0] * problem.kernel[1];
  const k = problem.kernel[2] * staged;
  const panelBytes = runs * k * PANEL * 4;
  const panelChoices = taps > 1
    ? [allPanels, tapPanels]
    : [1, 2, 4, 8, 16].map((parts) => ceilDiv(allPanels, Math.min(parts, allPanels)));
  let best: DirectChoice | undefined;
  for (const z of aboutHalves(grid[0])) {
    for (const y of aboutHalves(grid[1])) {
      for (const x of aboutHalves(grid[2])) {
        const block: Vec3 = [z, y, x];
        const voxels = productOf(block);
        if (voxels > MOST_VOXELS) continue;
        const blocks: Vec3 = [ceilDiv(grid[0], z), ceilDiv(grid[1], y), ceilDiv(grid[2], x)];
        const box = productOf(block.map((n, i) => (n - 1) * problem.stride[i] + problem.kernel[i]));
        for (const panelsPerItem of new Set(panelChoices)) {
          const groups = ceilDiv(allPanels, panelsPerItem);
          const items = productOf(blocks) * groups;
          const far = 1 + 0.3 * Math.max(0, Math.min(1, (box * staged * 4 + panelBytes) / L2_BYTES - 0.5));
          const lines = groups * ceilDiv(box, (x - 1) * problem.stride[2] + problem.kernel[2]) +
            ceilDiv(voxels, x) * taps;
          const stage = groups * box * (padded / 4) * CYCLES.loadPoint * (staged < padded ? 3 : 1) +
            lines * CYCLES.line;
          const joined = joinsRuns(problem);
          const copies = joined ? groups * voxels * runs * (3 + ceilDiv(k, 4)) : 0;
          const products = copies +
            (joined ? productCycles(voxels, allPanels, k * runs) : productCycles(voxels, allPanels, k, runs)) * far;
          const store = voxels * allPanels * 2 * (CYCLES.productVector + (problem.statistics ? 2 : 0));
          const weights = weightCycles(panelBytes * allPanels);
          const share = productOf(grid) / voxels;
          const cycles = (share * (stage + products + store) + productOf(blocks) * weights + items * 500) *
            imbalance(items);
          if (!best || cycles < best.cycles) best = { block, blocks, panelsPerItem, cycles };
        }
      }
    }
  }
  if (!best) throw new RangeError(`Planning ${problem.name}: the output grid ${grid.join("x")} is empty`);
  return best;
}

export function directChoice(problem: ConvProblem): DirectChoice {
  return chooseBlock(problem, outputGridOf(problem), 1);
}

/** An operator of the direct kernel; `scatter` is a transposed convolution's stride, undefined for a convolution. */
function directOperator(
  problem: ConvProblem,
  grid: Vec3,
  transposed: Vec3 | undefined,
  choice: DirectChoice,
): ConvOperator {
  const scatter: Vec3 = transposed ?? [1, 1, 1];
  const targetGrid = problem.gradient?.targetGrid ??
    [grid[0] * scatter[0], grid[1] * scatter[1], grid[2] * scatter[2]] as const;
  const spread = problem.gradient?.spread ?? scatter;
  const [oz, oy, ox] = problem.gradient?.origin ?? [0, 0, 0];
  const origin = ((oz * targetGrid[1] + oy) * targetGrid[2] + ox) * problem.output.channelStride;
  const pad = padOf(problem);
  const layout = channelLayout(problem.input.parts);
  const staged = stagedChannels(problem);
  const [taps, kernelTaps] = [productOf(scatter), productOf(problem.kernel)];
  const outputChannels = padToFour(problem.outputChannels);
  const panelChannels = padToPanel(problem.outputChannels);
  const biasOffset = kernelTaps * staged * panelChannels * taps * 4;
  const { block, blocks, panelsPerItem } = choice;
  const groups = ceilDiv(taps * panelChannels / PANEL, panelsPerItem);
  const parts = productOf(blocks) * (taps > 1 ? groups : 1);
  const params = listParams(DIRECT_PARAMS, {
    ...tensorParams(problem, biasOffset, origin),
    stagedChannels: staged,
    joinRuns: joinsRuns(problem) ? 1 : 0,
    outputChannels,
    in: problem.inputGrid,
    out: grid,
    kernel: problem.kernel,
    stride: problem.stride,
    pad,
    scatter,
    spread,
    targetGrid,
    block,
    blocks,
    tapPanels: panelChannels / PANEL,
    panelsPerItem,
    accumulate: problem.gradient?.accumulate ? 1 : 0,
  });
  const weightBytes = biasOffset + panelChannels * 4;
  return {
    algorithm: transposed ? "transposed" : "direct",
    calls: [{
      kernel: "conv_direct",
      params,
      items: problem.batch * productOf(blocks) * groups,
      scratchBytes: directScratch({
        kernel: problem.kernel,
        stride: problem.stride,
        block,
        inputChannels: layout.padded,
        stagedChannels: staged,
        joinRuns: joinsRuns(problem),
        panelsPerItem,
      }),
    }],
    temporaries: {},
    flops: convFlops(problem, outputGridOf(problem)) * taps,
    bytes: weightBytes +
      problem.batch * 4 * (productOf(problem.inputGrid) * layout.padded + productOf(grid) * taps * outputChannels),
    coreSeconds: problem.batch * choice.cycles / CORE_HERTZ,
    weightBytes,
    pack: tapPacker(
      [layout.positions.length, problem.outputChannels],
      transposed ? taps : kernelTaps,
      transposed !== undefined,
      transposed
        ? matrixPlaces(layout, problem.outputChannels, taps)
        : directPlaces(layout, staged, problem.outputChannels, kernelTaps),
    ),
    packing: directPacking(
      problem.weightSlot,
      problem.input.parts,
      problem.outputChannels,
      transposed ? taps : kernelTaps,
      staged,
      biasOffset,
      transposed !== undefined,
    ),
    ...(problem.statistics ? { statistics: statisticsOf(problem.batch, parts, outputChannels) } : {}),
    ...(problem.gradient ? {} : { rows: itemRows(problem, grid[0], scatter[0], choice, groups) }),
  };
}

function itemRows(
  problem: ConvProblem,
  depth: number,
  scatter: number,
  { block, blocks }: DirectChoice,
  groups: number,
): ItemRow[] {
  const [kernel, stride] = [problem.kernel[0], problem.stride[0]];
  const [pad] = padOf(problem);
  return Array.from({ length: blocks[0] }, (_, row) => {
    const [first, end] = [row * block[0], Math.min((row + 1) * block[0], depth)];
    return {
      items: blocks[1] * blocks[2] * groups,
      reads: [
        Math.max(0, first * stride - pad),
        Math.min(problem.inputGrid[0], (end - 1) * stride - pad + kernel),
      ],
      writes: [first * scatter, end * scatter],
    };
  });
}

export function planDirect(problem: ConvProblem, choice: DirectChoice = directChoice(problem)): ConvOperator {
  return directOperator(problem, outputGridOf(problem), undefined, choice);
}

/** Kernel = stride = `scatter`; the products are those of a 1x1x1 convolution with one set of weights per tap. */
export function planTransposed(problem: Omit<ConvProblem, "kernel">): ConvOperator {
  const plain: ConvProblem = { ...problem, kernel: [1, 1, 1], stride: [1, 1, 1] };
  const choice = chooseBlock(plain, problem.inputGrid, productOf(problem.stride));
  return directOperator(plain, problem.inputGrid, problem.stride, choice);
}
