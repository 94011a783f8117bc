/**
 * How much of a convolution's transformed tiles is kept at a time. Little stays in the device's L2 and makes many dispatches, each of which
 * waits for the one before; much goes through the device's memory, which on some GPUs is nearly as fast. WebGPU tells of neither: so
 * two usual layers are run with chunks of several sizes.
 */
import { type Vec3, voxelCount } from "../core/base/shape.ts";
import { planConv } from "../kernels/wgsl/conv/plan_conv.ts";
import type { ConvLimits, WgslConvOperator, WgslConvProblem } from "../kernels/wgsl/conv/problem.ts";
import { DEFAULT_CACHE_BYTES } from "../kernels/wgsl/conv/winograd_shape.ts";
import { prepareOperator, timeOperator } from "./prepare_operator.ts";
import type { Tools } from "./program.ts";
import { hasTimestamps } from "./timing.ts";

export interface MeasuredCache {
  /** For {@link ConvLimits.cacheBytes}. */
  readonly bytes: number;
  /** Of the layers together, with so many bytes and with the usual ones. */
  readonly milliseconds: number;
  readonly usualMilliseconds: number;
}

/** What an L2 of 8, 16 or 32 MiB holds beside other things, and two that go through the memory of large ones. */
const CHOICES = [6, 12, 24, 64, 256].map((mebibytes) => mebibytes * 2 ** 20);
/** What is free of the device's memory must be this many times a choice. */
const FREE = 16;
/** A choice must take at most this share of what the usual one takes. */
const WORTH_IT = 0.97;

interface Layer {
  readonly channels: number;
  readonly grid: Vec3;
}

/** The levels of a usual network that take most of its time; and what a software adapter is done with in a moment. */
const LAYERS: readonly Layer[] = [{ channels: 32, grid: [64, 64, 64] }, { channels: 128, grid: [32, 32, 32] }];
const SMALL_LAYERS: readonly Layer[] = [{ channels: 8, grid: [8, 16, 16] }];

/** The choices a device has memory for, the usual one first. @param free Bytes; undefined: more than enough */
export function cacheChoices(free = Infinity): number[] {
  return [DEFAULT_CACHE_BYTES, ...CHOICES.filter((bytes) => bytes !== DEFAULT_CACHE_BYTES && bytes * FREE <= free)];
}

/**
 * Measures the choices.
 * @returns undefined where the device has no clock, by which alone differences of microseconds are seen
 * @throws UserError if the device fails
 */
export async function measureCache(
  tools: Tools,
  limits: ConvLimits,
  free: number | undefined,
): Promise<MeasuredCache | undefined> {
  if (!hasTimestamps(tools.gpu)) return undefined;
  const layers = tools.gpu.facts.software ? SMALL_LAYERS : LAYERS;
  const times: { readonly bytes: number; readonly milliseconds: number }[] = [];
  for (const bytes of cacheChoices(free)) {
    let milliseconds = 0;
    for (const layer of layers) {
      milliseconds += await timeLayer(tools, problemOf(layer, { ...limits, cacheBytes: bytes }));
    }
    times.push({ bytes, milliseconds });
  }
  const [usual] = times;
  const best = times.reduce((a, b) => (b.milliseconds < a.milliseconds ? b : a));
  const chosen = best.milliseconds <= WORTH_IT * usual.milliseconds ? best : usual;
  return { ...chosen, usualMilliseconds: usual.milliseconds };
}

function problemOf({ channels, grid }: Layer, limits: ConvLimits): WgslConvProblem {
  const tensor = (slot: string) => {
    const length = voxelCount(grid) * channels / 4;
    const layout = { slot, length, type: "f32", segments: 1, segmentLength: length } as const;
    return { layout, channelStride: channels, channelOffset: 0 };
  };
  return {
    name: "measured",
    batch: 1,
    inputGrid: grid,
    kernel: [3, 3, 3],
    stride: [1, 1, 1],
    input: { ...tensor("input"), parts: [channels] },
    output: { ...tensor("output"), channels },
    outputChannels: channels,
    weightSlot: "weights",
    statistics: false,
    limits,
  };
}

async function timeLayer(tools: Tools, problem: WgslConvProblem): Promise<number> {
  const operator: WgslConvOperator = planConv(problem);
  const { weightBytes, weightSegmentBytes } = operator;
  const tensors = [problem.input, problem.output].map(({ layout: { slot, length } }) => {
    const bytes = length * 16;
    return { slot, bytes, segmentBytes: bytes, data: new Float32Array(length * 4).fill(0.5) };
  });
  const weights = {
    slot: problem.weightSlot,
    bytes: weightBytes,
    segmentBytes: weightSegmentBytes,
    data: new Float32Array(weightBytes / 4).fill(0.01),
  };
  using prepared = await prepareOperator(tools, operator, new Map(), [...tensors, weights]);
  return await timeOperator(tools, prepared);
}
