/** Plans weight gradients in the transform domain: schemes per axis, block of tiles, groups of channels and chunks of blocks. */
import { type PairCalls, planSums, type SumsChoice, type SumsShape } from "./plan_weight_gradient_sums.ts";
import type { Vec3 } from "../../../core/base/shape.ts";
import { listParams } from "../params.ts";
import { CYCLES, imbalance, L2_BYTES, outerCycles } from "./cost_model.ts";
import type { WeightGradientProblem } from "./problem.ts";
import { PANEL } from "./gemm_kernels.ts";
import { ceilDiv, productOf, vec } from "../../operators/arithmetic.ts";
import { schemesFor, type SchemeTriple, weightCount } from "../../operators/conv/scheme.ts";
import {
  chunkCounts,
  groupSizes,
  MOST_GROUP_SUMS,
  MOST_SUMS,
  type WeightGradientPair,
} from "./weight_gradient_sides.ts";
import { gradientPad } from "../../operators/conv/gradient_problem.ts";
import { unitsOf } from "./weight_gradient_sums.ts";
import {
  TABLE_BYTES,
  WEIGHT_GRADIENT_WINOGRAD_PARAMS,
  type WeightGradientGeometry,
  weightGradientScratch,
  weightGradientWinograd,
} from "./weight_gradient_winograd_kernel.ts";

export interface WeightGradientWinogradChoice extends SumsChoice {
  readonly kind: "winograd";
  readonly schemes: SchemeTriple;
  readonly block: Vec3;
  /** Of the whole batch, on one core. */
  readonly cycles: number;
}

const MOST_TILES = 64;
/** Bytes of an item's scratch without the sums. */
const MOST_SCRATCH = 5 << 19;

function geometry(choice: Omit<WeightGradientWinogradChoice, "kind" | "chunks" | "cycles">): WeightGradientGeometry {
  const { schemes, block, groupA, groupB } = choice;
  return {
    points: vec((i) => schemes[i].points),
    outputs: vec((i) => schemes[i].outputs),
    steps: vec((i) => schemes[i].outputs * schemes[i].stride),
    block,
    groupA,
    groupB,
  };
}

/** Bytes of an item's regions but for its sums. */
function regionBytes(g: WeightGradientGeometry): number {
  const { a, b } = weightGradientScratch(g);
  const of = (s: typeof a) => g.points[0] * s.loaded + g.points[1] * s.plane + g.points[2] * s.point;
  return of(a) + of(b);
}

/** Cycles an item spends on a full block. */
function blockCycles(g: WeightGradientGeometry, normalised: boolean, sumsBytes: number): number {
  const { a, b } = weightGradientScratch(g);
  const [pz, py, px] = g.points;
  const [tz, ty] = g.block;
  const passes = (s: typeof a, loadPoint: number) =>
    (pz * s.loaded * loadPoint + pz * py * (s.plane + px * s.point) * CYCLES.passPoint) / 16;
  const calls = CYCLES.call * (2 * pz * tz * (1 + py * ty) + pz * py * px + 2 * ty * g.outputs[1] * tz);
  const count = productOf(g.block);
  const products = outerCycles(g.groupA, ceilDiv(g.groupB, PANEL), count);
  // Sums that do not stay in L2 are read and written through a shared cache.
  const far = sumsBytes + regionBytes(g) > L2_BYTES ? pz * py * px * g.groupA * g.groupB * 8 / 24 : 0;
  return passes(a, normalised ? CYCLES.loadPoint : CYCLES.plainLoadPoint) + passes(b, CYCLES.plainLoadPoint) + calls +
    pz * py * px * products + far;
}

function divisions(tiles: number, most: number): number[] {
  const sizes = new Set<number>();
  for (let parts = ceilDiv(tiles, most); parts <= tiles && sizes.size < 6; parts++) sizes.add(ceilDiv(tiles, parts));
  return [...sizes];
}

/** The triples of schemes that compute a problem, large tiles first; none where an axis has no scheme. */
function triplesOf({ kernel, stride, transposed }: WeightGradientProblem): SchemeTriple[] {
  if (transposed) return [];
  const [zs, ys, xs] = [0, 1, 2].map((i) => schemesFor(kernel[i], stride[i]).toReversed());
  const triples = zs.flatMap((z) => ys.flatMap((y) => xs.map((x): SchemeTriple => [z, y, x])));
  return triples.filter((schemes) => schemes.some((s) => s.points > 1));
}

/** The best choice of each triple of schemes for a pair. */
export function weightGradientWinogradChoices(
  problem: WeightGradientProblem,
  pair: WeightGradientPair,
): WeightGradientWinogradChoice[] {
  return triplesOf(problem).map((schemes) => bestOf(problem, pair, schemes)).filter((best) => best !== undefined);
}

/** The best of them if it takes less than `limit` cycles; triples whose products alone take more are not looked at. */
export function weightGradientWinogradChoice(
  problem: WeightGradientProblem,
  pair: WeightGradientPair,
  limit: number,
): WeightGradientWinogradChoice | undefined {
  const { a, b } = pair;
  let best: WeightGradientWinogradChoice | undefined;
  for (const schemes of triplesOf(problem)) {
    const tiles = schemes.map((s, i) => ceilDiv(b.grid[i], s.outputs) * s.points);
    const products = problem.batch * productOf(tiles) * a.padded * b.padded / 8;
    if (products >= (best?.cycles ?? limit)) continue;
    const choice = bestOf(problem, pair, schemes);
    if (choice && choice.cycles < (best?.cycles ?? limit)) best = choice;
  }
  return best;
}

function bestOf(
  problem: WeightGradientProblem,
  { a, b }: WeightGradientPair,
  schemes: SchemeTriple,
): WeightGradientWinogradChoice | undefined {
  const tiles = vec((i) => ceilDiv(b.grid[i], schemes[i].outputs));
  const weights = weightCount(schemes);
  let best: WeightGradientWinogradChoice | undefined;
  for (const groupA of groupSizes(a.padded, 4)) {
    for (const groupB of groupSizes(b.padded, PANEL)) {
      const groups = ceilDiv(a.padded, groupA) * ceilDiv(b.padded, groupB);
      const sumsBytes = weights * groupA * groupB * 4;
      if (sumsBytes > MOST_GROUP_SUMS) continue;
      for (const z of divisions(tiles[0], 2)) {
        for (const y of divisions(tiles[1], 8)) {
          for (const x of divisions(tiles[2], MOST_TILES)) {
            const block: Vec3 = [z, y, x];
            if (productOf(block) > MOST_TILES) continue;
            const g = geometry({ schemes, block, groupA, groupB });
            if (regionBytes(g) > MOST_SCRATCH && productOf(block) > 1) continue;
            const cost = blockCycles(g, a.hasNorm === 1, sumsBytes) * problem.batch * groups *
              productOf(tiles) / productOf(block);
            const blocks = problem.batch * productOf(tiles.map((n, i) => ceilDiv(n, block[i])));
            const finish = groups * unitsOf(groupA, groupB) *
              (weights * 32 * 4 + 3 * 16 * 8 * productOf(problem.kernel));
            for (const chunks of chunkCounts(blocks)) {
              if (chunks > 1 && chunks * groups * sumsBytes > MOST_SUMS) continue;
              const merge = chunks > 1 ? chunks * groups * sumsBytes * 2 * CYCLES.memoryByte : 0;
              const clear = chunks * groups * sumsBytes / 16;
              const rounds = ceilDiv(blocks, chunks) * chunks / blocks;
              const cycles = cost * rounds * imbalance(groups * chunks) + merge + clear +
                finish * imbalance(groups * (chunks > 1 ? unitsOf(groupA, groupB) : 1));
              if (!best || cycles < best.cycles) {
                best = { kind: "winograd", schemes, block, groupA, groupB, chunks, cycles };
              }
            }
          }
        }
      }
    }
  }
  return best;
}

/** The calls of one pair; `sumsSlot` holds the sums of several chunks. */
export function weightGradientWinogradCalls(
  problem: WeightGradientProblem,
  pair: WeightGradientPair,
  choice: WeightGradientWinogradChoice,
  sumsSlot: string,
): PairCalls {
  const { a, b } = pair;
  const { schemes, block } = choice;
  const g = geometry(choice);
  const tiles = vec((i) => ceilDiv(b.grid[i], schemes[i].outputs));
  const s = weightGradientScratch(g);
  const shape: SumsShape = {
    channelsA: a.padded,
    rows: weightCount(schemes),
    columns: 1,
    transforms: 1,
    scheme: vec((i) => schemes[i].id),
    weights: vec((i) => schemes[i].weight.length),
    taps: vec((i) => schemes[i].taps),
  };
  const sums = planSums(problem, pair, choice, shape, sumsSlot, TABLE_BYTES);
  const params = listParams(WEIGHT_GRADIENT_WINOGRAD_PARAMS, {
    ...sums.params,
    sourceA: a.start,
    sourceB: b.start,
    norm: a.norm,
    hasNorm: a.hasNorm,
    normChannels: a.normChannels,
    voxelA: a.voxel,
    voxelB: b.voxel,
    batch: problem.batch,
    in: a.grid,
    out: b.grid,
    points: g.points,
    tile: g.outputs,
    step: g.steps,
    pad: gradientPad(problem),
    tiles,
    block,
    blocks: vec((i) => ceilDiv(tiles[i], block[i])),
    loadedA: sums.region(g.points[0] * s.a.loaded),
    loadedB: sums.region(g.points[0] * s.b.loaded),
    planesA: sums.region(g.points[1] * s.a.plane),
    planesB: sums.region(g.points[1] * s.b.plane),
    pointsA: sums.region(g.points[2] * s.a.point),
    pointsB: sums.region(g.points[2] * s.b.point),
    sumsAt: sums.region(sums.itemBytes.sums),
    finishAt: sums.region(sums.itemBytes.finish),
    loadedStrideA: s.a.loaded,
    loadedStrideB: s.b.loaded,
    planeStrideA: s.a.plane,
    planeStrideB: s.b.plane,
    pointStrideA: s.a.point,
    pointStrideB: s.b.point,
  });
  return sums.callsOf(weightGradientWinograd.name, params);
}
