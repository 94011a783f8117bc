/** Cutting patches out of volumes on a GPU. */
import type { GatherOf, Placement } from "../../operators/volume/gather.ts";
import { padToFour, voxelCount } from "../../../core/base/shape.ts";
import { activationView, type ArrayLayout, type ArrayView, arrayView, touchedSegments } from "../emit/views.ts";
import { cutToFit, type ThreadRange, type Walk, walkedSegment } from "../emit/ranges.ts";
import { i32, threadKernel, threadMain, u32 } from "../emit/thread_kernel.ts";
import { SCALAR_BYTES, type SlotLayout, type WgslDispatch, type WgslOperator } from "../kernel.ts";

/**
 * Labels are u32 words of two, the first one in the low half: the bytes of an Int16Array, rounded up to whole words. Elements of the
 * layout are words.
 */
export interface Gather extends GatherOf<{ readonly labels: ArrayLayout }> {
  /** f32 (channels, z, y, x); elements are single f32. */
  readonly volume: ArrayLayout;
  /** Patch i becomes sample firstSample + i; from the first one on unless given. */
  readonly firstSample?: number;
  /** [sample][z][y][x][padded channels] as vec4 of its type. */
  readonly input: SlotLayout;
}

/** A thread makes four channels of a voxel. Writes are in order; reads are in order along x for each channel, backwards where flipped. */
export function planGatherPatches(spec: Gather): WgslOperator {
  const padded = padToFour(spec.channels + (spec.labelMap?.oneHot.length ?? 0));
  const written = spec.patches.length * voxelCount(spec.patch) * padded;
  return {
    algorithm: "gather patches",
    dispatches: spec.patches.flatMap((placement, sample) =>
      gatherSample(spec, placement, (spec.firstSample ?? 0) + sample, padded / 4)
    ),
    temporaries: {},
    flops: 0,
    bytes: written * SCALAR_BYTES[spec.input.type] +
      spec.patches.length * voxelCount(spec.patch) * spec.channels * 4,
  };
}

function gatherSample(spec: Gather, placement: Placement, sample: number, blocks: number): WgslDispatch[] {
  const { grid, patch, volume, labelMap, input } = spec;
  const { origin, mirror } = placement;
  const voxels = voxelCount(grid);
  const planeThreads = patch[1] * patch[2] * blocks;
  const firstElement = sample * voxelCount(patch) * blocks;
  const walk: Walk = { layout: input, elementOf: (thread) => firstElement + thread };
  /** Source planes of the volume that threads can touch, as a range of its voxels; empty where all are outside. */
  const sourceOf = ({ start, end }: ThreadRange) => {
    const planes = [Math.floor(start / planeThreads), Math.floor((end - 1) / planeThreads)]
      .map((z) => origin[0] + (mirror[0] ? patch[0] - 1 - z : z));
    const from = Math.max(0, Math.min(...planes));
    const to = Math.min(grid[0] - 1, Math.max(...planes));
    return { first: from * grid[1] * grid[2], last: (to + 1) * grid[1] * grid[2] - 1 };
  };
  const viewsOf = (range: ThreadRange): ArrayView[] => {
    const { first, last } = sourceOf(range);
    const channels = Array.from({ length: spec.channels }, (_, c) => [c * voxels + first, c * voxels + last] as const);
    const inside = channels.filter(([from, to]) => from <= to);
    const words = first <= last ? [[first >> 1, last >> 1] as const] : [];
    return [
      arrayView("volume", volume, "f32", "read", touchedSegments(volume, inside)),
      ...(labelMap
        ? [arrayView("labels", labelMap.labels, "u32", "read", touchedSegments(labelMap.labels, words))]
        : []),
      activationView("sample", input, "read_write", walkedSegment(walk, range)),
    ];
  };
  const ranges = cutToFit(voxelCount(patch) * blocks, [walk], [planeThreads], viewsOf);
  const start = origin.map((o, i) => mirror[i] ? o + patch[i] - 1 : o);
  return ranges.map((range) => {
    const uniforms = {
      first_element: u32(firstElement),
      grid_z: u32(grid[0]),
      grid_y: u32(grid[1]),
      grid_x: u32(grid[2]),
      // Volume position of a voxel of the patch = start + step * position: the mirror is in the signs.
      start_z: i32(start[0]),
      start_y: i32(start[1]),
      start_x: i32(start[2]),
      step_z: i32(mirror[0] ? -1 : 1),
      step_y: i32(mirror[1] ? -1 : 1),
      step_x: i32(mirror[2] ? -1 : 1),
    };
    const text = `${blockText(spec, blocks)}

${threadMain("thread")}
  let block = thread % ${blocks}u;
  let voxel = thread / ${blocks}u;
  let row = voxel / ${patch[2]}u;
  // Positions before the volume wrap to large numbers: one comparison an axis.
  let z = u32(p.start_z + p.step_z * i32(row / ${patch[1]}u));
  let y = u32(p.start_y + p.step_y * i32(row % ${patch[1]}u));
  let x = u32(p.start_x + p.step_x * i32(voxel % ${patch[2]}u));
  var value = vec4f(0.0);
  if (z < p.grid_z && y < p.grid_y && x < p.grid_x) {
    value = channels_of((z * p.grid_y + y) * p.grid_x + x, block);
  }
  store_sample(p.first_element + thread, value);
}
`;
    return threadKernel("gather patch", viewsOf(range), range, text, uniforms);
  });
}

/** `channels_of(voxel, block)`: four channels of a voxel of the volume. */
function blockText(spec: Gather, blocks: number): string {
  const oneHot = spec.labelMap?.oneHot ?? [];
  const lane = (channel: number) => {
    if (channel < spec.channels) return `load_volume(${channel}u * voxels + voxel)`;
    const value = oneHot[channel - spec.channels];
    return value === undefined ? "0.0" : `select(0.0, 1.0, label == ${value})`;
  };
  const cases = Array.from({ length: blocks }, (_, block) => {
    const lanes = [0, 1, 2, 3].map((i) => lane(block * 4 + i));
    return `    ${block === blocks - 1 ? "default" : `case ${block}u`}: { return vec4f(${lanes.join(", ")}); }`;
  });
  return `fn channels_of(voxel: u32, block: u32) -> vec4f {
  let voxels = p.grid_z * p.grid_y * p.grid_x;
${
    spec.labelMap
      ? "  let label = extractBits(bitcast<i32>(load_labels(voxel / 2u)), voxel % 2u * 16u, 16u);\n"
      : ""
  }  switch (block) {
${cases.join("\n")}
  }
}`;
}
