/**
 * Sums over the voxels of each sample, for every channel: of products with normalised values, of probabilities, of gradients. Two kernels:
 * workgroups sum up chunks of voxels, halves meeting in a fixed order; then a thread adds the chunks of four channels in theirs, and what
 * follows from the sums is made by the same kernel. Chunks depend on shapes alone, so the same values give the same bits on every run.
 * Shapes are uniforms, so that layers share kernels.
 */
import { type ArrayView, wholeView } from "../emit/views.ts";
import { dispatchOf, kernelHeader, threadKernel, threadMain, u32, type Uniform } from "../emit/thread_kernel.ts";
import type { ThreadRange } from "../emit/ranges.ts";
import { type ConvLimits } from "../conv/problem.ts";
import { cutGroups } from "../conv/touched.ts";
import type { WgslDispatch } from "../kernel.ts";
import { meetHalves, unroll, wgsl } from "../emit/template.ts";

export interface ChannelSums {
  /** For timings: "norm backward". */
  readonly name: string;
  readonly batch: number;
  readonly voxels: number;
  /** vec4 of channels. */
  readonly blocks: number;
  /** Sums per channel. */
  readonly quantities: number;
  readonly limits: ConvLimits;
  /** What is read for voxels [first, last], counted over the batch. */
  readonly viewsOf: (voxels: readonly [number, number]) => readonly ArrayView[];
  readonly functions?: string;
  /** What setup and body read of `p` beside `blocks`. */
  readonly uniforms?: Readonly<Record<string, Uniform>>;
  /** Statements on `sample` and `block`, before the voxels. */
  readonly setup?: string;
  /** Statements on `voxel` (counted over the batch), `sample` and `block` that add to the vec4f `sum_0`, `sum_1`, ...; `continue` skips one. */
  readonly body: string;
  /** f32 [sample][chunk][quantity][4 * blocks]. */
  readonly partsSlot: string;
}

const LANES = 256;
/** The fewest voxels of a chunk, and about the most chunks of a sample. */
const [LEAST_VOXELS, MOST_CHUNKS] = [1024, 256];

/** Voxels of a chunk, and chunks of a sample. */
export function chunksOf(voxels: number) {
  const length = Math.max(LEAST_VOXELS, Math.ceil(voxels / MOST_CHUNKS / LANES) * LANES);
  return { length, count: Math.ceil(voxels / length) };
}

type SumsShape = Pick<ChannelSums, "batch" | "voxels" | "blocks" | "quantities">;

/** Bytes of the parts of all chunks, and of the totals of all samples. */
export function sumsBytes({ batch, voxels, blocks, quantities }: SumsShape) {
  const totals = batch * quantities * blocks * 16;
  return { parts: totals * chunksOf(voxels).count, totals };
}

/** Fills the parts. */
export function planChunkSums(spec: ChannelSums): WgslDispatch[] {
  const { voxels, blocks, quantities, batch } = spec;
  const { length, count } = chunksOf(voxels);
  const wide = Math.min(16, 2 ** Math.floor(Math.log2(blocks)));
  const lanes = LANES / wide;
  const viewsOf = ({ start, end }: ThreadRange) => {
    const first = Math.floor(start / count) * voxels + start % count * length;
    const last = end - 1;
    const behind = Math.min(voxels, (last % count + 1) * length) - 1;
    return [
      ...spec.viewsOf([first, Math.floor(last / count) * voxels + behind]),
      wholeView("parts", spec.partsSlot, "vec4<f32>", "read_write"),
    ];
  };
  return cutGroups(spec.name, { start: 0, end: batch * count }, count, spec.limits, viewsOf).map(({ range, views }) => {
    const shape = { chunks: u32(count), chunk_voxels: u32(length), voxels: u32(voxels), blocks: u32(blocks) };
    const header = kernelHeader(views, range, { ...shape, ...spec.uniforms });
    const code = wgsl`
${header.text}

${spec.functions ?? ""}

var<workgroup> halves: array<vec4f, ${LANES}>;

@compute @workgroup_size(${LANES})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let number = p.start + group.y;
  let sample = number / p.chunks;
  let first = number % p.chunks * p.chunk_voxels;
  let end = min(p.voxels, first + p.chunk_voxels);
  let block = group.x * ${wide}u + lane % ${wide}u;
  ${unroll(quantities, (k) => `var sum_${k} = vec4f(0.0);`)}
  if (block < p.blocks) {
    ${spec.setup ?? ""}
    for (var within = first + lane / ${wide}u; within < end; within += ${lanes}u) {
      let voxel = sample * p.voxels + within;
      ${spec.body}
    }
  }
  ${
      unroll(quantities, (k) =>
        wgsl`
halves[lane] = sum_${k};
workgroupBarrier();
${meetHalves(LANES, Math.log2(lanes))}
if (lane < ${wide}u && block < p.blocks) {
  store_parts((number * ${quantities}u + ${k}u) * p.blocks + block, halves[lane]);
}
workgroupBarrier();`)
    }
}
`;
    const workgroups = [Math.ceil(blocks / wide), range.end - range.start, 1] as const;
    return dispatchOf(`${spec.name} sums`, header, workgroups, code);
  });
}

/** Adds the chunks of every sample: f32 [sample][quantity][4 * blocks]. */
export function planSumTotals(
  shape: SumsShape & { readonly partsSlot: string; readonly totalsSlot: string },
): WgslDispatch {
  const { batch, voxels, blocks, quantities } = shape;
  const { count } = chunksOf(voxels);
  const row = quantities * blocks;
  const range = { start: 0, end: batch * row };
  const views = [
    wholeView("parts", shape.partsSlot, "vec4<f32>", "read"),
    wholeView("totals", shape.totalsSlot, "vec4<f32>", "read_write"),
  ];
  const text = wgsl`
${threadMain("thread")}
  let first = thread / p.row * p.chunks * p.row + thread % p.row;
  var sum = vec4f(0.0);
  for (var chunk = 0u; chunk < p.chunks; chunk++) {
    sum += load_parts(first + chunk * p.row);
  }
  store_totals(thread, sum);
}
`;
  return threadKernel("sums of chunks", views, range, text, { row: u32(row), chunks: u32(count) });
}

/** What becomes of the parts of {@link planChunkSums}. */
export interface SumsFinish extends SumsShape {
  /** For timings: "norm backward". */
  readonly name: string;
  readonly partsSlot: string;
  readonly channels: number;
  /** By quantity, f32 [channels] each: the totals added over the samples, a vector parameter's gradient; overwritten. */
  readonly gradientSlots: readonly (string | undefined)[];
  readonly perSample?: PerSample;
}

/** What follows from a sample's totals. */
export interface PerSample {
  readonly views: readonly ArrayView[];
  readonly uniforms: Readonly<Record<string, Uniform>>;
  /** Statements on `sample`, `block` and the vec4f `total_0`, `total_1`, ...; `p.blocks` is how many blocks there are. */
  readonly body: string;
}

/**
 * Adds the chunks of every sample, and the samples' totals, each in their order: all in one dispatch, as there is little of either. A thread
 * has a quantity of a block of four channels of a sample; a workgroup has all samples of its blocks, as many at a time as it has threads.
 */
export function planSumsFinish(spec: SumsFinish): WgslDispatch {
  const { batch, voxels, blocks, quantities, channels, perSample } = spec;
  const powerBelow = (n: number) => Math.max(1, 2 ** Math.floor(Math.log2(n)));
  const wide = Math.min(16, powerBelow(blocks), powerBelow(LANES / (quantities * batch)));
  const gradients = spec.gradientSlots.flatMap((slot, quantity) => slot === undefined ? [] : [{ slot, quantity }]);
  const views = [
    wholeView("parts", spec.partsSlot, "vec4<f32>", "read"),
    ...gradients.map(({ slot, quantity }) => wholeView(`gradient_${quantity}`, slot, "f32", "read_write")),
    ...perSample?.views ?? [],
  ];
  const header = kernelHeader(views, { start: 0, end: 0 }, {
    batch: u32(batch),
    blocks: u32(blocks),
    channels: u32(channels),
    chunks: u32(chunksOf(voxels).count),
    wide: u32(wide),
    together: u32(Math.min(batch, Math.floor(LANES / (wide * quantities)))),
    ...perSample?.uniforms,
  });
  const code = wgsl`
${header.text}

var<workgroup> totals: array<vec4f, ${LANES}>;

@compute @workgroup_size(${LANES})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let block = group.x * p.wide + lane % p.wide;
  let quantity = lane / p.wide % ${quantities}u;
  let of_sample = p.wide * ${quantities}u;
  let place = lane / of_sample;
  let row = ${quantities}u * p.blocks;
  var gradient = vec4f(0.0);
  for (var first = 0u; first < p.batch; first += p.together) {
    let sample = first + place;
    let exists = place < p.together && sample < p.batch && block < p.blocks;
    var sum = vec4f(0.0);
    if (exists) {
      let at = sample * p.chunks * row + quantity * p.blocks + block;
      for (var chunk = 0u; chunk < p.chunks; chunk++) { sum += load_parts(at + chunk * row); }
    }
    totals[lane] = sum;
    workgroupBarrier();
    if (place == 0u) {
      for (var other = lane; other < p.together * of_sample; other += of_sample) { gradient += totals[other]; }
    }
    ${
    perSample === undefined ? "" : wgsl`
if (quantity == 0u && exists) {
  ${unroll(quantities, (k) => `let total_${k} = totals[lane + ${k}u * p.wide];`)}
  ${perSample.body}
}`
  }
    workgroupBarrier();
  }
  if (place != 0u || block >= p.blocks) { return; }
  for (var i = 0u; i < min(4u, p.channels - block * 4u); i++) {
    ${
    gradients.map(({ quantity }) =>
      `if (quantity == ${quantity}u) { store_gradient_${quantity}(block * 4u + i, gradient[i]); }`
    ).join("\n")
  }
  }
}
`;
  return dispatchOf(`${spec.name} totals`, header, [Math.ceil(blocks / wide), 1, 1], code);
}
