/** Plans direct weight gradients: the block of voxels, groups of channels and chunks of blocks. */
import { type PairCalls, planSums, type SumsChoice, type SumsShape } from "./plan_weight_gradient_sums.ts";
import { aboutHalves } from "./layout.ts";
import { padToFour, type Vec3 } from "../../../core/base/shape.ts";
import { listParams } from "../params.ts";
import { CYCLES, imbalance, L2_BYTES, outerCycles } from "./cost_model.ts";
import type { WeightGradientProblem } from "./problem.ts";
import { PANEL } from "./gemm_kernels.ts";
import { ceilDiv, productOf, vec } from "../../operators/arithmetic.ts";
import { RUN_BYTES } from "./outer_kernels.ts";
import { WEIGHT_GRADIENT_DIRECT_PARAMS, weightGradientDirect } from "./weight_gradient_direct_kernel.ts";
import {
  chunkCounts,
  groupSizes,
  MOST_GROUP_SUMS,
  MOST_SUMS,
  type WeightGradientPair,
} from "./weight_gradient_sides.ts";
import { gradientPad } from "../../operators/conv/gradient_problem.ts";
import { align64 } from "./winograd_block.ts";

export interface WeightGradientDirectChoice extends SumsChoice {
  readonly kind: "direct";
  readonly block: Vec3;
  /** Of the whole batch, on one core. */
  readonly cycles: number;
}

/** Voxels of a block: not fewer than this or an eighth of the grid, as sums are read and written once a block. */
const LEAST_VOXELS = 64;
const MOST_VOXELS = 512;

/** Channels of a staged voxel of A. */
const stagedA = ({ a }: WeightGradientPair) => Math.min(a.channels, a.padded) < 4 ? a.channels : a.padded;

const boxOf = (problem: WeightGradientProblem, block: Vec3) =>
  block.map((n, i) => (n - 1) * problem.stride[i] + problem.kernel[i]);

export function weightGradientDirectChoice(
  problem: WeightGradientProblem,
  pair: WeightGradientPair,
): WeightGradientDirectChoice {
  const { a, b } = pair;
  const { kernel, batch } = problem;
  const staged = stagedA(pair);
  const taps = productOf(kernel);
  const leastVoxels = Math.min(LEAST_VOXELS, productOf(b.grid) / 8);
  let best: WeightGradientDirectChoice | undefined;
  for (const groupA of staged < 4 ? [staged] : groupSizes(staged, 4)) {
    for (const groupB of groupSizes(b.padded, PANEL)) {
      const groups = ceilDiv(staged, groupA) * ceilDiv(b.padded, groupB);
      const sumsBytes = taps * groupA * groupB * 4;
      if (sumsBytes > MOST_GROUP_SUMS) continue;
      for (const z of aboutHalves(b.grid[0])) {
        for (const y of aboutHalves(b.grid[1])) {
          for (const x of aboutHalves(b.grid[2])) {
            const block: Vec3 = [z, y, x];
            const voxels = productOf(block);
            if (voxels > MOST_VOXELS || voxels < leastVoxels) continue;
            const box = productOf(boxOf(problem, block));
            const bytes = (box * groupA + voxels * groupB) * 4;
            if (bytes > L2_BYTES && voxels > 1) continue;
            const blocks = batch * ceilDiv(b.grid[0], z) * ceilDiv(b.grid[1], y) * ceilDiv(b.grid[2], x);
            const load = (norm: number) => norm ? CYCLES.loadPoint : CYCLES.plainLoadPoint;
            const stage = box * padToFour(groupA) / 4 * load(a.hasNorm) * (staged < 4 ? 3 : 1) +
              voxels * groupB / 4 * load(b.hasNorm) + (box / boxOf(problem, block)[2] + voxels / x) * CYCLES.line;
            const runs = z * y;
            const products = kernel[0] * kernel[1] *
              outerCycles(kernel[2] * groupA, ceilDiv(groupB, PANEL), voxels, runs);
            const far = sumsBytes + bytes > L2_BYTES ? taps * groupA * groupB * 8 / 24 : 0;
            const cost = (stage + products + far) * groups * batch * productOf(b.grid) / voxels;
            for (const chunks of chunkCounts(blocks)) {
              if (chunks > 1 && chunks * groups * sumsBytes > MOST_SUMS) continue;
              const merge = (chunks > 1 ? chunks * groups * sumsBytes * 2 * CYCLES.memoryByte : 0) +
                groups * sumsBytes;
              const rounds = ceilDiv(blocks, chunks) * chunks / blocks;
              const cycles = cost * rounds * imbalance(groups * chunks) + merge;
              if (!best || cycles < best.cycles) best = { kind: "direct", block, groupA, groupB, chunks, cycles };
            }
          }
        }
      }
    }
  }
  if (!best) {
    throw new RangeError(`Planning the weight gradient of ${problem.name}: the grid ${b.grid.join("x")} is empty`);
  }
  return best;
}

/** The calls of one pair; `sumsSlot` holds the sums of several chunks. */
export function weightGradientDirectCalls(
  problem: WeightGradientProblem,
  pair: WeightGradientPair,
  choice: WeightGradientDirectChoice,
  sumsSlot: string,
): PairCalls {
  const { a, b } = pair;
  const { kernel, stride } = problem;
  const { block, groupA, groupB } = choice;
  const staged = stagedA(pair);
  const box = boxOf(problem, block);
  const shape: SumsShape = {
    channelsA: staged,
    rows: kernel[0] * kernel[1],
    columns: kernel[2],
    transforms: 0,
    scheme: [0, 0, 0],
    weights: kernel,
    taps: kernel,
  };
  const sums = planSums(problem, pair, choice, shape, sumsSlot, align64(block[0] * block[1] * RUN_BYTES));
  const params = listParams(WEIGHT_GRADIENT_DIRECT_PARAMS, {
    ...sums.params,
    sourceA: a.start,
    sourceB: b.start,
    normA: a.norm,
    normB: b.norm,
    hasNormA: a.hasNorm,
    hasNormB: b.hasNorm,
    normChannelsA: a.normChannels,
    normChannelsB: b.normChannels,
    voxelA: a.voxel,
    voxelB: b.voxel,
    batch: problem.batch,
    gridA: a.grid,
    gridB: b.grid,
    stride,
    pad: gradientPad(problem),
    block,
    blocks: vec((i) => ceilDiv(b.grid[i], block[i])),
    lineAt: sums.region(staged < 4 ? box[2] * 16 : 0),
    boxAt: sums.region(productOf(box) * groupA * 4),
    stagedBAt: sums.region(productOf(block) * groupB * 4 + 16),
    sumsAt: sums.region(sums.itemBytes.sums),
    finishAt: sums.region(sums.itemBytes.finish),
  });
  return sums.callsOf(weightGradientDirect.name, params);
}
