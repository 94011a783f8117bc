/**
 * The weight gradient of a convolution: dL/dw[o][i][tap] = sum over samples and voxels v of dL/dy[v][o] in[v * stride + tap - pad][i], for
 * every tap a matrix product whose sums run over voxels. A transposed convolution is the same with both sides exchanged: its input is
 * walked, its output's gradient reached.
 *
 * A workgroup makes a tile of one tap's matrix over a chunk of voxels: slices of both sides come into workgroup memory, each thread sums up
 * a few vec4 rows of the tile for its share of a slice's voxels, shares meet in a fixed order. A second kernel adds the chunks in theirs.
 * Chunks depend on shapes alone: the same values give the same bits on every run.
 */
import { padToFour, type Vec3, voxelCount } from "../../../core/base/shape.ts";
import { normaliseText, normViews } from "../elementwise_operand.ts";
import {
  type ArrayView,
  kernelHeader,
  MAX_THREADS,
  threadDispatch,
  type ThreadRange,
  wholeView,
} from "../elementwise_segments.ts";
import type { WgslDispatch, WgslOperand, WgslOperator } from "../kernel.ts";
import { unroll, wgsl } from "../template.ts";
import { planChunkSums, planSumTotals, planVectorGradient, sumsBytes } from "../training_sums.ts";
import { blocksOf, elementBytes, type TensorRange, voxelView } from "../training_tensors.ts";
import { gradientOutputGrid } from "./data_gradient.ts";
import { channelLayout, type ConvLimits, type GradientProblem, productOf } from "./problem.ts";
import { BindingLimitError, cutGroups, tensorView } from "./touched.ts";

export interface WeightGradientProblem extends GradientProblem {
  /** The operand as the forward pass read it, its norm table included. */
  readonly input: WgslOperand;
  /** dL/dy, padding lanes zero. */
  readonly outputGradient: TensorRange;
  /** f32, torch's layout: (out, in, kz, ky, kx), transposed (in, out, sz, sy, sx). Overwritten. */
  readonly weightGradientSlot: string;
  /** f32 (out). Overwritten; absent: not computed. */
  readonly biasGradientSlot?: string;
  readonly limits: ConvLimits;
}

const PARTS = "weight gradient parts";
const BIAS_PARTS = "bias gradient parts";
const BIAS_TOTALS = "bias gradient totals";

/** Workgroups that keep a device busy, and the fewest slices of a chunk. */
const [WANTED_GROUPS, LEAST_SLICES] = [2048, 8];
/** The most vec4 of either side of a tile. */
const MOST_BLOCKS = 16;

interface Side {
  readonly operand: WgslOperand;
  readonly grid: Vec3;
  /** vec4 of a voxel, of a tile, and of a thread. */
  readonly blocks: number;
  readonly tile: number;
  readonly own: number;
}

interface Tiling {
  readonly walked: Side;
  readonly reached: Side;
  /** Tiles of the matrix. */
  readonly tiles: number;
  /** Threads across a tile and sharing a slice. */
  readonly across: number;
  readonly shares: number;
  /** Voxels of a slice; slices of a chunk; chunks of all voxels of the batch. */
  readonly slice: number;
  readonly slices: number;
  readonly chunks: number;
}

function sideOf(operand: WgslOperand, grid: Vec3): Side {
  const blocks = channelLayout(operand.parts).padded / 4;
  const own = blocks > 1 ? 2 : 1;
  return { operand, grid, blocks, own, tile: Math.min(MOST_BLOCKS, Math.ceil(blocks / own) * own) };
}

/** @param finer So many times as many chunks as keep a device busy. */
function tilingOf(problem: WeightGradientProblem, finer: number): Tiling {
  const { outputGradient: { channels, ...range }, inputGrid, transposed, limits } = problem;
  const sides = [
    sideOf({ ...range, parts: [channels] }, gradientOutputGrid(problem)),
    sideOf(problem.input, inputGrid),
  ];
  const [walked, reached] = transposed ? sides.toReversed() : sides;
  const tiles = Math.ceil(walked.blocks / walked.tile) * Math.ceil(reached.blocks / reached.tile);
  const across = walked.tile / walked.own * reached.tile / reached.own;
  const slice = walked.tile + reached.tile <= 16 ? 32 : 16;
  const shares = Math.min(16, 2 ** Math.floor(Math.log2(Math.min(256, limits.workgroupThreads) / across)));
  const taps = productOf(problem.kernel);
  const voxels = problem.batch * voxelCount(walked.grid);
  const partBytes = taps * walked.blocks * reached.blocks * 64;
  const most = Math.min(
    Math.ceil(voxels / (slice * (finer === 1 ? LEAST_SLICES : 1))),
    Math.floor(limits.maxBindingBytes / partBytes),
  );
  const wanted = Math.max(1, Math.min(most, finer * Math.ceil(WANTED_GROUPS / (tiles * taps))));
  const slices = Math.ceil(voxels / slice / wanted);
  return { walked, reached, tiles, across, shares, slice, slices, chunks: Math.ceil(voxels / (slice * slices)) };
}

/** Where arrays span bindings, chunks are made so short that each touches few of them. */
const FINER = [1, 4, 16, 64];

/** @throws BindingLimitError if nothing fits the device, naming the problem. */
export function planWeightGradient(problem: WeightGradientProblem): WgslOperator {
  for (const finer of FINER.slice(0, -1)) {
    try {
      return planTiling(problem, tilingOf(problem, finer));
    } catch (error) {
      if (!(error instanceof BindingLimitError)) throw error;
    }
  }
  return planTiling(problem, tilingOf(problem, FINER[FINER.length - 1]));
}

function planTiling(problem: WeightGradientProblem, t: Tiling): WgslOperator {
  const taps = productOf(problem.kernel);
  const [walked, reached] = [t.walked, t.reached].map(({ operand }) => operand.parts.reduce((a, b) => a + b));
  const voxels = problem.batch * voxelCount(t.walked.grid);
  const bias = problem.biasGradientSlot === undefined ? undefined : biasGradient(problem, problem.biasGradientSlot);
  const sides = [t.walked, t.reached].reduce(
    (sum, { operand, grid, blocks }) => sum + problem.batch * voxelCount(grid) * blocks * elementBytes(operand),
    0,
  );
  return {
    algorithm: `weight gradient ${4 * t.walked.tile}x${4 * t.reached.tile} by ${t.chunks}`,
    dispatches: [...products(problem, t), merge(problem, t), ...(bias?.dispatches ?? [])].flat(),
    temporaries: { [PARTS]: t.chunks * taps * t.walked.blocks * t.reached.blocks * 64, ...bias?.temporaries },
    flops: 2 * voxels * taps * walked * reached,
    bytes: sides,
  };
}

function products(problem: WeightGradientProblem, t: Tiling): WgslDispatch[] {
  const { kernel, stride, transposed, limits, batch } = problem;
  const { walked, reached, across, shares, slice, slices } = t;
  const taps = productOf(kernel);
  const pad = kernel.map((k) => (transposed ? 0 : (k - 1) >> 1));
  const threads = across * shares;
  const perSample = voxelCount(walked.grid);
  const voxels = batch * perSample;
  const plane = walked.grid[1] * walked.grid[2];
  const tilesAcross = Math.ceil(reached.blocks / reached.tile);
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
      wholeView("parts", PARTS, "vec4<f32>", "read_write"),
    ];
  };
  const itemsWalked = slice * walked.tile;
  const itemsReached = slice * reached.tile;
  const sums = unroll(4 * walked.own, (a) => unroll(reached.own, (b) => `c_${a}_${b}`)).flat();
  const load = (items: number, i: number, body: string) =>
    (i + 1) * threads <= items ? body : `if (lane + ${i * threads}u < ${items}u) { ${body} }`;
  const rowOf = (a: number) =>
    `(tile_walked + ${Math.floor(a / 4)}u * ${walked.tile / walked.own}u + ia) * 4u + ${a % 4}u`;
  const columnOf = (b: number) => `tile_reached + ${b * reached.tile / reached.own}u + ib`;
  const halvings = unroll(Math.log2(shares), (i) => shares >> (i + 1));
  const text = (header: string) =>
    wgsl`
${header}

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

/// Slices of both sides, [voxel][block]; at the end sums of threads.
var<workgroup> shared_walked: array<vec4f, ${Math.max(itemsWalked, threads)}>;
var<workgroup> shared_reached: array<vec4f, ${itemsReached}>;

@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tile_walked = group.x / ${tilesAcross}u * ${walked.tile}u;
  let tile_reached = group.x % ${tilesAcross}u * ${reached.tile}u;
  let chunk = p.start + group.y;
  let tap = vec3i(vec3u(group.z / ${kernel[1] * kernel[2]}u, group.z / ${kernel[2]}u % ${kernel[1]}u, group.z % ${
      kernel[2]
    }u)) -
    vec3i(${pad[0]}, ${pad[1]}, ${pad[2]});
  let share = lane / ${across}u;
  let ia = lane % ${across}u / ${reached.tile / reached.own}u;
  let ib = lane % ${reached.tile / reached.own}u;
  ${sums.map((sum) => `var ${sum} = vec4f(0.0);`)}
  for (var step = 0u; step < ${slices}u; step++) {
    let q0 = (chunk * ${slices}u + step) * ${slice}u;
    ${
      unroll(Math.ceil(itemsWalked / threads), (i) => {
        const item = `(lane + ${i * threads}u)`;
        const value = `walked_at(q0 + ${item} / ${walked.tile}u, tile_walked + ${item} % ${walked.tile}u)`;
        return load(itemsWalked, i, `shared_walked[${item}] = ${value};`);
      })
    }
    ${
      unroll(Math.ceil(itemsReached / threads), (i) => {
        const item = `(lane + ${i * threads}u)`;
        const value = `reached_at(q0 + ${item} / ${reached.tile}u, tap, tile_reached + ${item} % ${reached.tile}u)`;
        return load(itemsReached, i, `shared_reached[${item}] = ${value};`);
      })
    }
    workgroupBarrier();
    for (var i = share; i < ${slice}u; i += ${shares}u) {
      ${
      unroll(walked.own, (a) =>
        `let a_${a} = shared_walked[i * ${walked.tile}u + ${a * walked.tile / walked.own}u + ia];`)
    }
      ${
      unroll(reached.own, (b) =>
        `let b_${b} = shared_reached[i * ${reached.tile}u + ${b * reached.tile / reached.own}u + ib];`)
    }
      ${
      unroll(4 * walked.own, (a) =>
        unroll(reached.own, (b) => {
          const sum = `c_${a}_${b}`;
          return `${sum} = fma(vec4f(a_${Math.floor(a / 4)}.${"xyzw"[a % 4]}), b_${b}, ${sum});`;
        }).join(" "))
    }
    }
    workgroupBarrier();
  }
  ${
      unroll(4 * walked.own, (a) =>
        unroll(reached.own, (b) =>
          wgsl`
shared_walked[lane] = c_${a}_${b};
workgroupBarrier();
${
            halvings.map((half) =>
              `if (share < ${half}u) { shared_walked[lane] += shared_walked[lane + ${
                half * across
              }u]; }\nworkgroupBarrier();`
            )
          }
if (share == 0u && ${rowOf(a)} < ${4 * walked.blocks}u && ${columnOf(b)} < ${reached.blocks}u) {
  store_parts(((chunk * ${taps}u + group.z) * ${4 * walked.blocks}u + ${rowOf(a)}) * ${reached.blocks}u + ${
            columnOf(b)
          }, shared_walked[lane]);
}
workgroupBarrier();`)).flat()
    }
}
`;
  return cutGroups(problem.name, { start: 0, end: t.chunks }, 1, limits, viewsOf).map(({ range, views }) => {
    const header = kernelHeader(views, range);
    const { bindings, uniforms } = header;
    const workgroups = [t.tiles, range.end - range.start, taps] as const;
    return { name: `weight gradient ${kernel.join("x")}`, code: text(header.text), bindings, uniforms, workgroups };
  });
}

/** A thread adds one weight's chunks. */
function merge(problem: WeightGradientProblem, t: Tiling): WgslDispatch[] {
  const taps = productOf(problem.kernel);
  const [walked, reached] = [t.walked, t.reached].map(({ operand: { parts } }) => ({
    channels: parts.reduce((a, b) => a + b),
    positions: positionText(parts),
    padded: channelLayout(parts).padded,
  }));
  const count = taps * walked.channels * reached.channels;
  const matrix = taps * walked.padded * reached.padded;
  return Array.from({ length: Math.ceil(count / MAX_THREADS) }, (_, i) => {
    const range = { start: i * MAX_THREADS, end: Math.min(count, (i + 1) * MAX_THREADS) };
    const header = kernelHeader([
      wholeView("parts", PARTS, "f32", "read"),
      wholeView("gradient", problem.weightGradientSlot, "f32", "read_write"),
    ], range);
    const code = wgsl`
${header.text}

fn walked_position(channel: u32) -> u32 { return ${walked.positions}; }
fn reached_position(channel: u32) -> u32 { return ${reached.positions}; }

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u) {
  // Threads follow each other as the parts do, whose reads are more than the one write.
  let thread = p.start + id.x;
  if (thread >= p.end) { return; }
  let b = thread % ${reached.channels}u;
  let a = thread / ${reached.channels}u % ${walked.channels}u;
  let tap = thread / ${reached.channels * walked.channels}u;
  let first = (tap * ${walked.padded}u + walked_position(a)) * ${reached.padded}u + reached_position(b);
  var sum = 0.0;
  for (var chunk = 0u; chunk < ${t.chunks}u; chunk++) { sum += load_parts(chunk * ${matrix}u + first); }
  store_gradient((a * ${reached.channels}u + b) * ${taps}u + tap, sum);
}
`;
    return threadDispatch("weight gradient chunks", header, range, code);
  });
}

/** Where the channel `channel` of concatenated parts is in memory: an expression. */
function positionText(parts: readonly number[]): string {
  let text = "channel";
  let [end, gap] = [0, 0];
  for (const part of parts.slice(0, -1)) {
    end += part;
    gap += padToFour(part) - part;
    text = `select(${text}, channel + ${gap}u, channel >= ${end}u)`;
  }
  return text;
}

function biasGradient({ batch, outputGradient, limits, ...problem }: WeightGradientProblem, gradientSlot: string) {
  const voxels = voxelCount(gradientOutputGrid({ ...problem, batch }));
  const shape = { batch, voxels, blocks: blocksOf(outputGradient), quantities: 1 };
  const { channelStride, channelOffset, channels } = outputGradient;
  const bytes = sumsBytes(shape);
  return {
    dispatches: [
      ...planChunkSums({
        ...{ ...shape, name: "bias gradient", limits, partsSlot: BIAS_PARTS },
        viewsOf: (range) => [voxelView("gradient", outputGradient, "read", range)],
        body: `sum_0 += load_gradient(voxel * ${channelStride / 4}u + ${channelOffset / 4}u + block);`,
      }),
      planSumTotals({ ...shape, partsSlot: BIAS_PARTS, totalsSlot: BIAS_TOTALS }),
      planVectorGradient({ ...shape, quantity: 0, channels, totalsSlot: BIAS_TOTALS, gradientSlot }),
    ],
    temporaries: { [BIAS_PARTS]: bytes.parts, [BIAS_TOTALS]: bytes.totals },
  };
}
