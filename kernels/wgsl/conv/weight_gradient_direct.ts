/**
 * The weight gradient of a convolution, tap by tap: dL/dw[o][i][tap] = sum over samples and voxels v of dL/dy[v][o] in[v * stride + tap - pad][i],
 * for every tap a matrix product whose sums run over voxels. A transposed convolution is the same with both sides exchanged: its input is
 * walked, its output's gradient reached.
 *
 * A workgroup makes a tile of one tap's matrix over a chunk of voxels (outer.ts); workgroups of the taps of a chunk run at the same time, so
 * that all but the first find their voxels in the caches. A second kernel adds the chunks in a fixed order. Chunks depend on shapes alone:
 * the same values give the same bits on every run.
 */
import { type Vec3, voxelCount } from "../../../core/base/shape.ts";
import { normaliseText, normViews } from "../elementwise/operand.ts";
import { type ArrayView, wholeView } from "../emit/views.ts";
import { dispatchOf, kernelHeader, threadKernel, u32 } from "../emit/thread_kernel.ts";
import { MAX_THREADS, type ThreadRange, WORKGROUP } from "../emit/ranges.ts";
import type { WgslDispatch, WgslOperand } from "../kernel.ts";
import { meetHalves, wgsl } from "../emit/template.ts";
import { elementBytes, voxelView } from "../training/tensors.ts";
import { outerName, outerSeconds, outerText, type OuterTile, outerTile, outerTiles } from "./outer.ts";
import { channelLayout } from "../../operators/tensor.ts";
import { gradientOutputGrid } from "../../operators/conv/gradient_problem.ts";
import { productOf } from "../../operators/arithmetic.ts";
import { WHOLE } from "./tile_storage.ts";
import { NOMINAL } from "./tiles.ts";
import { BindingLimitError, cutGroups, tensorView } from "./touched.ts";
import {
  PARTS_SLOT,
  positionText,
  weightGradientCosts,
  type WeightGradientOperator,
  type WeightGradientProblem,
} from "./weight_gradient_problem.ts";

/** Workgroups that keep a device busy, and the fewest slices of a chunk. */
const [WANTED_GROUPS, LEAST_SLICES] = [2048, 8];
/** The most vec4 of either side of a tile. */
const MOST_BLOCKS = [16, 8];

interface Side {
  readonly operand: WgslOperand;
  readonly grid: Vec3;
  /** vec4 of a voxel. */
  readonly blocks: number;
}

interface Tiling {
  readonly walked: Side;
  readonly reached: Side;
  readonly tile: OuterTile;
  /** Slices of a chunk; chunks of all voxels of the batch. */
  readonly slices: number;
  readonly chunks: number;
}

/** One way to do it. */
export interface WeightGradientDirectChoice {
  readonly name: string;
  readonly seconds: number;
  /** The most vec4 of either side of a tile. */
  readonly most: number;
}

/** The walked and the reached side. */
function sidesOf(problem: WeightGradientProblem): readonly [Side, Side] {
  const { outputGradient: { channels, ...range }, input, inputGrid, transposed } = problem;
  const side = (operand: WgslOperand, grid: Vec3): Side => (
    { operand, grid, blocks: channelLayout(operand.parts).padded / 4 }
  );
  const [output, read] = [side({ ...range, parts: [channels] }, gradientOutputGrid(problem)), side(input, inputGrid)];
  return transposed ? [read, output] : [output, read];
}

/** @param finer So many times as many chunks as keep a device busy. */
function tilingOf(problem: WeightGradientProblem, most: number, finer: number): Tiling {
  const [walked, reached] = sidesOf(problem);
  const { limits, batch } = problem;
  const tile = outerTile(walked.blocks, reached.blocks, Math.min(256, limits.workgroupThreads), most);
  const taps = productOf(problem.kernel);
  const voxels = batch * voxelCount(walked.grid);
  const partBytes = taps * walked.blocks * reached.blocks * 64;
  const mostChunks = Math.min(
    Math.ceil(voxels / (tile.slice * (finer === 1 ? LEAST_SLICES : 1))),
    Math.floor(limits.maxBindingBytes / partBytes),
  );
  const wanted = Math.max(1, Math.min(mostChunks, finer * Math.ceil(WANTED_GROUPS / (outerTiles(tile) * taps))));
  const slices = Math.ceil(voxels / tile.slice / wanted);
  return { walked, reached, tile, slices, chunks: Math.ceil(voxels / (tile.slice * slices)) };
}

/** Tiles of 64 and of 32 channels. */
export function weightGradientDirectChoices(problem: WeightGradientProblem): WeightGradientDirectChoice[] {
  return MOST_BLOCKS.map((most) => {
    const { tile, chunks, slices, walked, reached } = tilingOf(problem, most, 1);
    const taps = productOf(problem.kernel);
    const walkedVoxels = problem.batch * voxelCount(walked.grid);
    // Every tap reads both sides anew, the walked one for every tile across the reached one and the other way round.
    const cached = walkedVoxels * taps *
      (walked.blocks * elementBytes(walked.operand) * Math.ceil(tile.b.blocks / tile.b.tile) +
        reached.blocks * elementBytes(reached.operand) * Math.ceil(tile.a.blocks / tile.a.tile));
    const parts = chunks * taps * walked.blocks * reached.blocks * 64;
    const seconds = Math.max(outerSeconds(tile, slices * tile.slice, chunks * taps), cached / NOMINAL.cache) +
      2 * parts / NOMINAL.memory + 2 * NOMINAL.launch;
    return { name: `weight gradient direct ${outerName(tile)}`, seconds, most };
  });
}

/** Where arrays span bindings, chunks are made so short that each touches few of them. */
const FINER = [1, 4, 16, 64];

/** @throws BindingLimitError if nothing fits the device, naming the problem. */
export function planWeightGradientDirect(
  problem: WeightGradientProblem,
  choice: WeightGradientDirectChoice,
): WeightGradientOperator {
  for (const finer of FINER.slice(0, -1)) {
    try {
      return planTiling(problem, choice, tilingOf(problem, choice.most, finer));
    } catch (error) {
      if (!(error instanceof BindingLimitError)) throw error;
    }
  }
  return planTiling(problem, choice, tilingOf(problem, choice.most, FINER[FINER.length - 1]));
}

function planTiling(
  problem: WeightGradientProblem,
  choice: WeightGradientDirectChoice,
  t: Tiling,
): WeightGradientOperator {
  const matrices = productOf(problem.kernel) * t.walked.blocks * t.reached.blocks * 64;
  return {
    algorithm: choice.name,
    dispatches: [...products(problem, t), ...merge(problem, t)],
    temporaries: { [PARTS_SLOT]: t.chunks * matrices },
    ...weightGradientCosts(problem),
    seconds: choice.seconds,
  };
}

function products(problem: WeightGradientProblem, t: Tiling): WgslDispatch[] {
  const { kernel, stride, transposed, limits, batch } = problem;
  const { walked, reached, tile, slices } = t;
  const { slice } = tile;
  const taps = productOf(kernel);
  const pad = kernel.map((k) => (transposed ? 0 : (k - 1) >> 1));
  const perSample = voxelCount(walked.grid);
  const voxels = batch * perSample;
  const plane = walked.grid[1] * walked.grid[2];
  const viewsOf = ({ start, end }: ThreadRange): ArrayView[] => {
    const [first, last] = [start * slice * slices, Math.min(voxels, end * slice * slices) - 1];
    const [firstSample, lastSample] = [first, last].map((voxel) => Math.floor(voxel / perSample));
    const within = (voxel: number) => Math.floor(voxel % perSample / plane);
    const boxes = Array.from({ length: lastSample - firstSample + 1 }, (_, i) => {
      const sample = firstSample + i;
      const planes = [
        sample === firstSample ? within(first) : 0,
        sample === lastSample ? within(last) : walked.grid[0] - 1,
      ];
      return {
        samples: [sample, sample] as const,
        planes: [planes[0] * stride[0] - pad[0], planes[1] * stride[0] - pad[0] + kernel[0] - 1] as const,
        rows: [0, reached.grid[1] - 1] as const,
      };
    });
    const views = boxes.map((box) => tensorView("reached", reached.operand, "read", reached.grid, box));
    const touched = new Map(views.flatMap(({ segments }) => segments).map((one) => [one.segment, one]));
    const segments = [...touched.values()].sort((a, b) => a.segment - b.segment);
    return [
      voxelView("walked", walked.operand, "read", [first, last]),
      { ...views[0], segments },
      ...normViews("walked", walked.operand),
      ...normViews("reached", reached.operand),
      wholeView("parts", PARTS_SLOT, "vec4<f32>", "read_write"),
    ];
  };
  const text = (header: string) =>
    outerText({
      stored: WHOLE,
      tile,
      slices,
      header,
      functions: wgsl`
${normaliseText("walked", walked.operand)}

${normaliseText("reached", reached.operand)}

fn walked_at(q: u32, block: u32) -> vec4f {
  if (q >= ${voxels}u || block >= ${walked.blocks}u) { return vec4f(0.0); }
  let value = load_walked(q * ${walked.operand.channelStride / 4}u + ${walked.operand.channelOffset / 4}u + block);
  return normalise_walked(value, q / ${perSample}u, block);
}

/// What a tap (less the padding) reaches from a walked voxel: zeros outside.
fn reached_at(q: u32, tap: vec3i, block: u32) -> vec4f {
  if (q >= ${voxels}u || block >= ${reached.blocks}u) { return vec4f(0.0); }
  let sample = q / ${perSample}u;
  let within = q % ${perSample}u;
  let place = vec3u(within / ${plane}u, within / ${walked.grid[2]}u % ${walked.grid[1]}u, within % ${walked.grid[2]}u);
  let at = vec3u(vec3i(place * vec3u(${stride[0]}u, ${stride[1]}u, ${stride[2]}u)) + tap);
  if (at.x >= ${reached.grid[0]}u || at.y >= ${reached.grid[1]}u || at.z >= ${reached.grid[2]}u) { return vec4f(0.0); }
  let voxel = ((sample * ${reached.grid[0]}u + at.x) * ${reached.grid[1]}u + at.y) * ${reached.grid[2]}u + at.z;
  let value = load_reached(voxel * ${reached.operand.channelStride / 4}u + ${
        reached.operand.channelOffset / 4
      }u + block);
  return normalise_reached(value, sample, block);
}
`,
      setup: wgsl`
let chunk = p.start + group.z;
let first = chunk * ${slices * slice}u;
let tap = vec3i(vec3u(group.y / ${kernel[1] * kernel[2]}u, group.y / ${kernel[2]}u % ${kernel[1]}u, group.y % ${
        kernel[2]
      }u)) -
  vec3i(${pad[0]}, ${pad[1]}, ${pad[2]});`,
      fetchA: (k, block) => `walked_at(first + ${k}, ${block})`,
      fetchB: (k, block) => `reached_at(first + ${k}, tap, ${block})`,
      store: (row, column, value) =>
        `store_parts(((chunk * ${taps}u + group.y) * ${
          4 * walked.blocks
        }u + ${row}) * ${reached.blocks}u + ${column}, ${value});`,
    });
  return cutGroups(problem.name, { start: 0, end: t.chunks }, 1, limits, viewsOf).map(({ range, views }) => {
    const header = kernelHeader(views, range);
    const workgroups = [outerTiles(tile), taps, range.end - range.start] as const;
    return dispatchOf(`weight gradient ${kernel.join("x")}`, header, workgroups, text(header.text));
  });
}

/** Adds the chunks of every weight. Where they are many, up to 32 threads share them, and meet in a fixed order. */
function merge(problem: WeightGradientProblem, t: Tiling): WgslDispatch[] {
  const taps = productOf(problem.kernel);
  const [walked, reached] = [t.walked, t.reached].map(({ operand: { parts } }) => ({
    channels: parts.reduce((a, b) => a + b),
    positions: positionText(parts),
    padded: channelLayout(parts).padded,
  }));
  const count = taps * walked.channels * reached.channels;
  const matrix = taps * walked.padded * reached.padded;
  const shares = Math.min(32, 2 ** Math.max(0, Math.floor(Math.log2(t.chunks / 8))));
  const weights = WORKGROUP / shares;
  const threads = Math.ceil(count / weights) * WORKGROUP;
  const uniforms = {
    walked_channels: u32(walked.channels),
    walked_padded: u32(walked.padded),
    reached_channels: u32(reached.channels),
    reached_padded: u32(reached.padded),
    taps: u32(taps),
    count: u32(count),
    matrix: u32(matrix),
    chunks: u32(t.chunks),
  };
  return Array.from({ length: Math.ceil(threads / MAX_THREADS) }, (_, i) => {
    const range = { start: i * MAX_THREADS, end: Math.min(threads, (i + 1) * MAX_THREADS) };
    const views = [
      wholeView("parts", PARTS_SLOT, "f32", "read"),
      wholeView("gradient", problem.weightGradientSlot, "f32", "read_write"),
    ];
    const code = wgsl`
fn walked_position(channel: u32) -> u32 { return ${walked.positions}; }
fn reached_position(channel: u32) -> u32 { return ${reached.positions}; }

var<workgroup> halves: array<f32, ${WORKGROUP}>;

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(local_invocation_index) lane: u32) {
  // Threads follow each other as the parts do, whose reads are more than the one write.
  let weight = (p.start + id.x) / ${WORKGROUP}u * ${weights}u + lane % ${weights}u;
  let b = weight % p.reached_channels;
  let a = weight / p.reached_channels % p.walked_channels;
  let tap = weight / p.reached_channels / p.walked_channels;
  let first = (tap * p.walked_padded + walked_position(a)) * p.reached_padded + reached_position(b);
  var sum = 0.0;
  if (weight < p.count) {
    for (var chunk = lane / ${weights}u; chunk < p.chunks; chunk += ${shares}u) {
      sum += load_parts(chunk * p.matrix + first);
    }
  }
  halves[lane] = sum;
  workgroupBarrier();
  ${meetHalves(WORKGROUP, Math.log2(shares))}
  if (lane < ${weights}u && weight < p.count) {
    store_gradient((a * p.reached_channels + b) * p.taps + tap, halves[lane]);
  }
}
`;
    return threadKernel("weight gradient chunks", views, range, code, uniforms);
  });
}
