/** Norm tables on a GPU: see kernels/operators/elementwise/norm.ts. */
import type { NormTableRange } from "../../../core/graph/problems.ts";
import type { Cost } from "../../operators/operator.ts";
import {
  checkNormRange,
  mergeCost,
  type NormConstant,
  type NormFinalize,
  tableCost,
  type TrainedNormFinalize,
} from "../../operators/elementwise/norm.ts";
import { padToFour } from "../../../core/base/shape.ts";
import {
  dispatchOf,
  f32,
  type KernelHeader,
  kernelHeader,
  threadKernel,
  threadMain,
  u32,
  type Uniform,
} from "../emit/thread_kernel.ts";
import { wholeView } from "../emit/views.ts";
import type { WgslDispatch, WgslOperator } from "../kernel.ts";

// Shapes are uniforms in all kernels here: a network has few of them, whatever the number of its layers.

/** Threads that merge the parts of four channels; a power of two. */
const MERGERS = 64;
/** Parts that one workgroup merges; where there are more, a first dispatch makes one part of each group of so many. */
const GROUP_PARTS = 1024;
const GROUPED_SLOT = "grouped statistics";

/** Statistics to be merged, as {@link NormFinalize} has them. */
type Statistics = Pick<NormFinalize, "batch" | "channels" | "parts" | "statisticsSlot">;

/**
 * A workgroup merges four channels of a sample: every thread takes every 64th part in turn, then halves meet. Parts are merged by the
 * means' difference (Chan, Golub and LeVeque 1979), which keeps f32's precision where sums of squares would cancel; the order
 * depends on the number of parts alone. Statistics are small, so what counts is the way through them: two dispatches where there are
 * many parts, so that many workgroups share the reading.
 */
export function planNormFinalize(spec: NormFinalize | TrainedNormFinalize): WgslOperator {
  checkNormRange(spec);
  const padded = padToFour(spec.channels);
  const last = (slot: string, parts: number) => tableDispatch(spec, slot, parts, padded);
  return { algorithm: "norm table from statistics", ...mergeInGroups(spec, last) };
}

/** The operator whose `last` dispatch merges a sample's parts, in few enough of them. */
export function mergeInGroups(
  spec: Statistics,
  last: (statisticsSlot: string, parts: number) => WgslDispatch,
): Omit<WgslOperator, "algorithm"> {
  const padded = padToFour(spec.channels);
  const groups = Math.ceil(spec.parts / GROUP_PARTS);
  return {
    dispatches: groups === 1
      ? [last(spec.statisticsSlot, spec.parts)]
      : [groupDispatch(spec, groups, padded), last(GROUPED_SLOT, groups)],
    temporaries: groups === 1 ? {} : { [GROUPED_SLOT]: spec.batch * groups * (1 + 2 * padded) * 4 },
    ...mergeCost(spec),
  };
}

/** One part of every group of parts: workgroup (four channels, group, sample). */
function groupDispatch(spec: Statistics, groups: number, padded: number): WgslDispatch {
  const views = [
    wholeView("statistics", spec.statisticsSlot, "f32", "read"),
    wholeView("merged", GROUPED_SLOT, "f32", "read_write"),
  ];
  const uniforms = { ...mergeUniforms(spec.parts, padded), groups: u32(groups) };
  const header = kernelHeader(views, { start: 0, end: 0 }, uniforms);
  const code = `${mergeText(header)}
${MAIN}
  let all = merge_parts(group.z, group.y * ${GROUP_PARTS}u, min(p.parts, (group.y + 1u) * ${GROUP_PARTS}u), group.x, lane);
  if (lane == 0u) {
    let at = (group.z * p.groups + group.y) * (1u + 2u * p.padded);
    if (group.x == 0u) {
      store_merged(at, all.count);
    }
    for (var i = 0u; i < 4u; i++) {
      store_merged(at + 1u + group.x * 4u + i, all.mean[i]);
      store_merged(at + 1u + p.padded + group.x * 4u + i, all.m2[i]);
    }
  }
}
`;
  const workgroups = [padded / 4, groups, spec.batch] as const;
  return dispatchOf("norm statistics in groups", header, workgroups, code);
}

/** The table from at most {@link GROUP_PARTS} (of groups: any number of) parts: workgroup (four channels, -, sample). */
function tableDispatch(
  spec: NormFinalize | TrainedNormFinalize,
  slot: string,
  parts: number,
  padded: number,
): WgslDispatch {
  const unitSlot = "unitNormSlot" in spec ? spec.unitNormSlot : undefined;
  const beside = (text: string) => unitSlot === undefined ? "" : text;
  const views = [
    wholeView("statistics", slot, "f32", "read"),
    wholeView("table", spec.normSlot, "f32", "read_write"),
    ...(spec.weightSlot === undefined ? [] : [wholeView("weight", spec.weightSlot, "f32", "read")]),
    ...(spec.biasSlot === undefined ? [] : [wholeView("bias", spec.biasSlot, "f32", "read")]),
    ...(unitSlot === undefined ? [] : [wholeView("unit", unitSlot, "f32", "read_write")]),
  ];
  const uniforms = { ...mergeUniforms(parts, padded), ...rangeUniforms(spec), eps: f32(spec.eps) };
  const header = kernelHeader(views, { start: 0, end: 0 }, uniforms);
  const code = `${mergeText(header)}
${MAIN}
  let all = merge_parts(group.z, 0u, p.parts, group.x, lane);
  // The first four threads write a channel each; padding lanes keep zeros: scale 0, shift 0, slope 1.
  if (lane < 4u) {
    let channel = group.x * 4u + lane;
    var scale = 0.0;
    var shift = 0.0;
    var slope = 1.0;
    ${beside("var unit = vec2f(0.0);")}
    if (channel < p.channels) {
      let variance = all.m2[lane] / all.count;
      scale = ${spec.weightSlot === undefined ? "1.0" : "load_weight(channel)"} / sqrt(variance + p.eps);
      shift = fma(-all.mean[lane], scale, ${spec.biasSlot === undefined ? "0.0" : "load_bias(channel)"});
      slope = p.slope;
      ${beside("unit.x = 1.0 / sqrt(variance + p.eps); unit.y = fma(-all.mean[lane], unit.x, 0.0);")}
    }
    let at = group.z * 3u * p.total_channels + p.channel_offset + channel;
    store_table(at, scale);
    store_table(at + p.total_channels, shift);
    store_table(at + 2u * p.total_channels, slope);
    ${
    beside(`let row = group.z * 3u * p.padded + channel;
    store_unit(row, unit.x);
    store_unit(row + p.padded, unit.y);
    store_unit(row + 2u * p.padded, 1.0);`)
  }
  }
}
`;
  return dispatchOf("norm table", header, [padded / 4, 1, spec.batch], code);
}

/** Where a norm table's entries go. */
function rangeUniforms(range: NormTableRange): Record<string, Uniform> {
  return {
    channels: u32(range.channels),
    total_channels: u32(range.totalChannels),
    channel_offset: u32(range.channelOffset),
    slope: f32(range.slope),
  };
}

/** What {@link mergeText} needs of the uniforms. */
export function mergeUniforms(parts: number, padded: number): Record<string, Uniform> {
  return { parts: u32(parts), padded: u32(padded) };
}

/** The head of a kernel whose workgroups merge four channels each. */
export const MAIN = `@compute @workgroup_size(${MERGERS})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {`;

/** `merge_parts`: the moments of parts [first, end) of a sample's four channels, known to the first threads of the workgroup. */
export function mergeText(header: KernelHeader): string {
  const halvings = Array.from({ length: Math.log2(MERGERS) }, (_, i) => MERGERS >> (i + 1));
  return `${header.text}

/// Voxels seen, and of four channels the means and the sums of squared distances from them.
struct Moments {
  count: f32,
  mean: vec4f,
  m2: vec4f,
}

fn merge(a: Moments, b: Moments) -> Moments {
  // A part without voxels says nothing, whatever its means hold.
  if (b.count == 0.0) { return a; }
  if (a.count == 0.0) { return b; }
  let count = a.count + b.count;
  let share = b.count / count;
  let apart = b.mean - a.mean;
  let m2 = fma(apart * apart, vec4f(a.count * share), a.m2 + b.m2);
  return Moments(count, fma(apart, vec4f(share), a.mean), m2);
}

/// Moments of a part, its means as distances from the origin.
fn part_of(sample: u32, part: u32, block: u32, origin: vec4f) -> Moments {
  let at = (sample * p.parts + part) * (1u + 2u * p.padded);
  let means = at + 1u + block * 4u;
  let m2s = means + p.padded;
  return Moments(
    load_statistics(at),
    vec4f(load_statistics(means), load_statistics(means + 1u), load_statistics(means + 2u), load_statistics(means + 3u)) - origin,
    vec4f(load_statistics(m2s), load_statistics(m2s + 1u), load_statistics(m2s + 2u), load_statistics(m2s + 3u)),
  );
}

var<workgroup> halves: array<Moments, ${MERGERS}>;

fn merge_parts(sample: u32, first: u32, end: u32, block: u32, lane: u32) -> Moments {
  var mine = Moments(0.0, vec4f(0.0), vec4f(0.0));
  // Means are merged as distances from that of the first part: small numbers, of which f32 rounds off less.
  let first_part = part_of(sample, first, block, vec4f(0.0));
  let origin = select(vec4f(0.0), first_part.mean, first_part.count > 0.0);
  for (var part = first + lane; part < end; part += ${MERGERS}u) {
    mine = merge(mine, part_of(sample, part, block, origin));
  }
  halves[lane] = mine;
${
    halvings.map((half) =>
      `  workgroupBarrier();
  if (lane < ${half}u) { halves[lane] = merge(halves[lane], halves[lane + ${half}u]); }`
    ).join("\n")
  }
  workgroupBarrier();
  let all = halves[0];
  return Moments(all.count, all.mean + origin, all.m2);
}
`;
}

/** Writes a table of constants. */
export function planNormConstant(spec: NormConstant): WgslOperator {
  return planTableOfChannels(spec, {
    name: "constant norm table",
    inputs: { scale: spec.scaleSlot, shift: spec.shiftSlot },
    scale: spec.scaleSlot === undefined ? "1.0" : "load_scale(channel)",
    shift: spec.shiftSlot === undefined ? "0.0" : "load_shift(channel)",
    cost: tableCost(spec, 0, 0),
  });
}

/** A norm table whose entries are those of every sample, as expressions of the channel. */
export interface ChannelTable {
  readonly name: string;
  /** Slots of f32 by channel, by the names the expressions load them by; those that are undefined are not bound. */
  readonly inputs: Readonly<Record<string, string | undefined>>;
  /** `shift` may use `scale`. */
  readonly scale: string;
  readonly shift: string;
  readonly cost: Cost;
}

/** A thread writes scale, shift and slope of a channel of a sample. */
export function planTableOfChannels(spec: NormTableRange, table: ChannelTable): WgslOperator {
  checkNormRange(spec);
  const padded = padToFour(spec.channels);
  const range = { start: 0, end: spec.batch * padded };
  const views = [
    wholeView("table", spec.normSlot, "f32", "read_write"),
    ...Object.entries(table.inputs).flatMap(([name, slot]) =>
      slot === undefined ? [] : [wholeView(name, slot, "f32", "read")]
    ),
  ];
  const text = `${threadMain("thread")}
  let sample = thread / p.padded;
  let channel = thread % p.padded;
  // Padding lanes keep zeros: scale 0, shift 0, slope 1.
  var scale = 0.0;
  var shift = 0.0;
  var slope = 1.0;
  if (channel < p.channels) {
    scale = ${table.scale};
    shift = ${table.shift};
    slope = p.slope;
  }
  let at = sample * 3u * p.total_channels + p.channel_offset + channel;
  store_table(at, scale);
  store_table(at + p.total_channels, shift);
  store_table(at + 2u * p.total_channels, slope);
}
`;
  return {
    algorithm: table.name,
    dispatches: [threadKernel(table.name, views, range, text, { padded: u32(padded), ...rangeUniforms(spec) })],
    temporaries: {},
    ...table.cost,
  };
}
