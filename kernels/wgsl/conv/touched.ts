/** Which segments of a tensor a part of a convolution can touch, and how a convolution is cut until few enough are bound. */
import type { Vec3 } from "../../../core/base/shape.ts";
import { activationView, type ArrayLayout, type ArrayView, bindingsOf, touchedSegments } from "../emit/views.ts";
import type { ThreadRange } from "../emit/ranges.ts";
import type { WgslOperand, WgslTarget } from "../kernel.ts";
import type { ConvLimits } from "./problem.ts";

/** Voxels of a tensor from the first to the last one inclusive: samples, and of those planes and rows; clipped to the grid. */
export interface TouchedBox {
  readonly samples: readonly [number, number];
  readonly planes: readonly [number, number];
  readonly rows: readonly [number, number];
}

type Range = readonly [first: number, last: number];

/** Ranges of elements that hold a box, whole rows: one a plane where the box is a part of each plane. */
function touchedRanges(tensor: WgslOperand | WgslTarget, grid: Vec3, box: TouchedBox): Range[] {
  const clip = ([a, b]: readonly [number, number], n: number): Range => [
    Math.min(Math.max(a, 0), n - 1),
    Math.max(Math.min(b, n - 1), 0),
  ];
  const [z0, z1] = clip(box.planes, grid[0]);
  const [y0, y1] = clip(box.rows, grid[1]);
  const row = (n: number, z: number, y: number) =>
    ((n * grid[0] + z) * grid[1] + y) * grid[2] * tensor.channelStride / 4;
  const [n0, n1] = box.samples;
  if (n0 !== n1) return [[row(n0, z0, 0), row(n1, z1, grid[1]) - 1]];
  if (y0 === 0 && y1 === grid[1] - 1) return [[row(n0, z0, 0), row(n0, z1, y1 + 1) - 1]];
  return Array.from({ length: z1 - z0 + 1 }, (_, i): Range => [row(n0, z0 + i, y0), row(n0, z0 + i, y1 + 1) - 1]);
}

/** A tensor as a dispatch sees it that touches this box. */
export function tensorView(
  name: string,
  tensor: WgslOperand | WgslTarget,
  access: ArrayView["access"],
  grid: Vec3,
  box: TouchedBox,
): ArrayView {
  const { layout } = tensor;
  const ranges = layout.segments === 1 ? [] : touchedRanges(tensor, grid, box);
  return activationView(name, layout, access, touchedSegments(layout, ranges));
}

/** Where packed weights of so many vec4 lie: in segments of what the device binds. */
export function weightLayout(slot: string, length: number, limits: ConvLimits): ArrayLayout {
  const most = Math.floor(limits.maxBindingBytes / 256) * 16;
  const segmentLength = Math.min(length, most);
  return { slot, length, segmentLength, segments: Math.ceil(length / segmentLength) };
}

export function weightView(layout: ArrayLayout, first: number, last: number): ArrayView {
  const segments = touchedSegments(layout, [[first, last]]);
  return { name: "weights", slot: layout.slot, element: "vec4<f32>", access: "read", segments };
}

/** Workgroups along one dimension of a dispatch. */
const MOST_GROUPS = 65535;

/** A way to compute a convolution needs more buffers at once than the device binds; another way may not. */
export class BindingLimitError extends RangeError {
  override name = "BindingLimitError";
}

/** Workgroups of a dispatch and what they bind. */
export interface CutGroups {
  readonly range: ThreadRange;
  readonly views: readonly ArrayView[];
}

/**
 * Halves a range of workgroups until each part binds no more than the device allows; between groups of `grain` (a sample's) first.
 * @throws BindingLimitError if even one group would bind more, naming the problem.
 */
export function cutGroups(
  name: string,
  range: ThreadRange,
  grain: number,
  limits: ConvLimits,
  viewsOf: (range: ThreadRange) => readonly ArrayView[],
): CutGroups[] {
  const { start, end } = range;
  const views = viewsOf(range);
  const bound = bindingsOf(views);
  if (end - start <= MOST_GROUPS && bound <= limits.maxBindings) return [{ range, views }];
  if (end - start === 1) {
    throw new BindingLimitError(
      `Describing the convolution ${name}: a workgroup binds ${bound} buffers; the device allows ${limits.maxBindings} ` +
        `of at most ${limits.maxBindingBytes} bytes each`,
    );
  }
  const half = (start + end) / 2;
  const border = Math.round(half / grain) * grain;
  const middle = border > start && border < end ? border : Math.ceil(half);
  return [{ start, end: middle }, { start: middle, end }].flatMap((part) =>
    cutGroups(name, part, grain, limits, viewsOf)
  );
}
