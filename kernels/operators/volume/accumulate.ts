/**
 * Sums of overlapping patches in a ring of open planes: adding a patch's logits weighted by importance, and dividing by the summed
 * weights once no further patch touches a plane.
 */
import { permute, type Vec3, voxelCount } from "../../../core/base/shape.ts";
import type { Placement } from "./gather.ts";

/** A ring of open planes, channels of a voxel side by side. */
export interface RingShape {
  readonly channels: number;
  readonly planes: number;
  readonly rows: number;
  readonly columns: number;
  /** Volume axes that planes, rows and columns run along. */
  readonly axes: Vec3;
  /** Planes of the whole volume. */
  readonly depth: number;
}

/**
 * A ring of logits in memory: element of plane s, row u, column v, channel c is
 * (((s mod planes) * rows + u) * columns + v) * channelStride + c; the weight sums have one element a voxel in the same order.
 */
export interface RingGeometry extends RingShape {
  /** At least `channels`; what lies between a voxel's last channel and the next voxel is never written. */
  readonly channelStride: number;
}

/** ring += flip(output) * (importance * scale) where the patch lies inside the volume, and weightSums += importance if asked. */
export interface AccumulateOf<Ring> {
  readonly ring: Ring;
  /** Of the output, [sample][z][y][x][padded channels]. */
  readonly sample: number;
  readonly patch: Vec3;
  readonly placement: Placement;
  readonly scale: number;
  readonly addWeight: boolean;
}

/** logits *= 1 / (weightSums * folds) for planes [from, to) of the volume, in place. */
export interface FinishPlanesOf<Ring> {
  readonly ring: Ring;
  readonly from: number;
  readonly to: number;
  readonly folds: number;
  /** f32, set to 1 if a logit is NaN or infinite. */
  readonly flagSlot?: string;
}

/** Planes of the ring that follow each other in memory. */
export interface PlaneRun {
  /** First plane, counted in the volume. */
  readonly plane: number;
  readonly planes: number;
}

/** The part of a ring that a patch covers, along planes, rows and columns, and how the patch is walked beside it. */
export interface PatchCover {
  /** First voxel, counted in the volume, and voxels along each axis. */
  readonly first: Vec3;
  readonly count: Vec3;
  readonly voxels: number;
  /** Planes in runs up to the ring's end; none where the patch lies outside. */
  readonly runs: readonly PlaneRun[];
  /** Distance of neighbours in the importance, and in the output, where it is negative along flipped axes; in voxels. */
  readonly importanceStep: Vec3;
  readonly outputStep: Vec3;
  /** Voxel of the first row and column of a plane in the importance, in the output (counted over samples) and in the ring. */
  readonly importanceStart: (plane: number) => number;
  readonly outputStart: (plane: number) => number;
  readonly ringStart: (plane: number) => number;
}

export function coverOf(spec: AccumulateOf<RingShape>): PatchCover {
  const { ring, patch, placement, sample } = spec;
  const origin = permute<number>(placement.origin, ring.axes);
  const size = permute<number>(patch, ring.axes);
  const mirror = permute<boolean>(placement.mirror, ring.axes);
  const step = permute<number>([patch[1] * patch[2], patch[2], 1], ring.axes);
  const limits = [ring.depth, ring.rows, ring.columns];
  const firstOf = (i: number) => Math.max(0, origin[i]);
  const countOf = (i: number) => Math.max(0, Math.min(limits[i], origin[i] + size[i]) - firstOf(i));
  const first: Vec3 = [firstOf(0), firstOf(1), firstOf(2)];
  const count: Vec3 = [countOf(0), countOf(1), countOf(2)];
  const voxels = voxelCount(count);
  const inPatch = (plane: number) => [plane, first[1], first[2]].map((position, i) => position - origin[i]);
  const dot = (positions: readonly number[]) => positions.reduce((sum, position, i) => sum + position * step[i], 0);
  const flipped = (positions: readonly number[]) => positions.map((p, i) => mirror[i] ? size[i] - 1 - p : p);
  return {
    first,
    count,
    voxels,
    runs: voxels === 0 ? [] : planeRuns(first[0], count[0], ring.planes),
    importanceStep: step,
    outputStep: [mirror[0] ? -step[0] : step[0], mirror[1] ? -step[1] : step[1], mirror[2] ? -step[2] : step[2]],
    importanceStart: (plane) => dot(inPatch(plane)),
    outputStart: (plane) => sample * voxelCount(patch) + dot(flipped(inPatch(plane))),
    ringStart: (plane) => ((plane % ring.planes) * ring.rows + first[1]) * ring.columns + first[2],
  };
}

/** Planes [first, first + count) as runs that lie one behind the other in a ring. */
export function planeRuns(first: number, count: number, ringPlanes: number): PlaneRun[] {
  const runs: PlaneRun[] = [];
  for (let plane = first; plane < first + count;) {
    const planes = Math.min(first + count - plane, ringPlanes - plane % ringPlanes);
    runs.push({ plane, planes });
    plane += planes;
  }
  return runs;
}
