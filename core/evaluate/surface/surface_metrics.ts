/**
 * How far the surface of a segmentation lies from that of its reference. The surface Dice is that of DeepMind's package
 * surface-distance (compute_surface_dice_at_tolerance; Nikolov et al. 2018, https://arxiv.org/abs/1809.04430): surface elements weigh
 * by their area. HD95 and ASSD are those of MONAI (compute_hausdorff_distance with percentile=95, compute_average_surface_distance with
 * symmetric=True): each voxel at the edge counts once. Where a target is in one of the two only, the surface Dice is 0 and distances
 * are infinite (MONAI's HD95 is NaN then); where it is in neither, all are NaN.
 */
import { freeArray } from "../../base/free_array.ts";
import type { Vec3 } from "../../base/shape.ts";
import type { Classes, ClassVolume } from "./class_volume.ts";
import { type GridPoints, nearestDistances, TREE_BYTES_PER_POINT, within } from "./nearest_point.ts";
import { contourLengths, surfaceAreas } from "./surface_areas.ts";
import {
  collectPoints,
  countPoints,
  findCorners,
  findEdges,
  type FindPoints,
  type SurfacePoints,
} from "./surface_points.ts";

export interface SurfaceMetrics {
  /** Share of both surfaces that lies within the tolerance of the other one, 0 to 1. */
  readonly SurfaceDice: number;
  /** The larger one of the 95th percentiles of the distances, mm. */
  readonly HD95: number;
  /** Mean of the distances both ways, mm. */
  readonly ASSD: number;
}

export interface SurfaceSetting {
  /** mm, not negative: how far surfaces may lie apart that the surface Dice takes as one. */
  readonly tolerance: number;
}

export interface SurfaceTask extends SurfaceSetting {
  readonly prediction: ClassVolume;
  /** Of the same shape. */
  readonly reference: ClassVolume;
  readonly classes: Classes;
  /** mm (z, y, x). */
  readonly spacing: Vec3;
  /** Told, before they are taken, the bytes that are needed beside the volumes; what it throws is thrown. */
  readonly judge?: (bytes: number) => void;
}

/** Points that can be told apart by their index. */
const MOST_POINTS = 2 ** 32;

/** Bytes by voxel that surfaces take, about; what they do take is checked once it is known. */
export const SURFACE_BYTES_PER_VOXEL = 1;

/** True where the corners of a volume's voxels can be told apart. */
export function canBeMeasured([z, y, x]: Vec3): boolean {
  return (z + 1) * (y + 1) * (x + 1) <= MOST_POINTS;
}

/** The metrics of every target, in the order of `classes`. A volume with one slice along an axis is measured as a plane. */
export function measureSurfaces(task: SurfaceTask): SurfaceMetrics[] {
  const { shape, spacing, planar } = withoutThinAxis(task.reference.shape, task.spacing);
  const [depth, height, width] = shape;
  const corners: Vec3 = [planar ? 1 : depth + 1, height + 1, width + 1];
  const areas = planar ? contourLengths(spacing[1], spacing[2]) : surfaceAreas(spacing);
  const flat = { ...task, shape, planar };
  const dice = eachTarget(flat, findCorners, (prediction, reference) => {
    const points = (of: SurfacePoints): GridPoints => ({ indices: of.indices, grid: corners, spacing });
    const predicted = share(prediction, areas, within(points(prediction), reference.indices, task.tolerance));
    const known = share(reference, areas, within(points(reference), prediction.indices, task.tolerance));
    return (known.near + predicted.near) / (known.all + predicted.all);
  });
  const distances = eachTarget(flat, findEdges, (prediction, reference) => {
    if (prediction.indices.length === 0 || reference.indices.length === 0) {
      const distance = prediction.indices.length === reference.indices.length ? NaN : Infinity;
      return { HD95: distance, ASSD: distance };
    }
    const points = (of: SurfacePoints): GridPoints => ({ indices: of.indices, grid: shape, spacing });
    const toReference = nearestDistances(points(prediction), reference.indices);
    const toPrediction = nearestDistances(points(reference), prediction.indices);
    const ASSD = (sum(toReference) + sum(toPrediction)) / (toReference.length + toPrediction.length);
    const HD95 = Math.max(percentile95(toReference), percentile95(toPrediction));
    return { HD95, ASSD };
  });
  return dice.map((SurfaceDice, t) => ({ SurfaceDice, ...distances[t] }));
}

/** A plane's axes are the last two. */
function withoutThinAxis(shape: Vec3, spacing: Vec3): { shape: Vec3; spacing: Vec3; planar: boolean } {
  const thin = shape.indexOf(1);
  if (thin < 0) return { shape, spacing, planar: false };
  const [a, b] = [0, 1, 2].filter((axis) => axis !== thin);
  return { shape: [1, shape[a], shape[b]], spacing: [1, spacing[a], spacing[b]], planar: true };
}

/** Finds the points of all targets and measures one target after the other. */
function eachTarget<T>(
  { prediction, reference, classes, shape, planar, judge }: SurfaceTask & { shape: Vec3; planar: boolean },
  find: FindPoints,
  measure: (prediction: SurfacePoints, reference: SurfacePoints) => T,
): T[] {
  const volumes = [prediction, reference].map(({ data }) => ({ data, shape }));
  const counts = volumes.map((volume) => countPoints(find, volume, classes, planar));
  judge?.(bytesOf(counts[0], counts[1]));
  const [predicted, known] = volumes.map((volume, i) => collectPoints(find, volume, classes, planar, counts[i]));
  return predicted.map((ofPrediction, t) => {
    const result = measure(ofPrediction, known[t]);
    for (const { indices, codes } of [ofPrediction, known[t]]) {
      freeArray(indices);
      freeArray(codes);
    }
    return result;
  });
}

/** Indices and codes of all points; of one target at a time the tree, and distances. */
function bytesOf(predicted: Float64Array, known: Float64Array): number {
  const both = known.map((count, t) => count + predicted[t]);
  return 5 * sum(both) + both.reduce((most, count) => Math.max(most, count * (TREE_BYTES_PER_POINT + 8)), 0);
}

/** The area of a surface in mm^2 (mm in the plane), and of that part of it that is near the other one. */
function share({ codes }: SurfacePoints, areas: Float64Array, near: Uint8Array): { near: number; all: number } {
  const total = { near: 0, all: 0 };
  codes?.forEach((code, i) => {
    total.all += areas[code];
    if (near[i] === 1) total.near += areas[code];
  });
  return total;
}

function sum(values: Float64Array): number {
  let total = 0;
  for (let i = 0; i < values.length; i++) total += values[i];
  return total;
}

/**
 * As torch.quantile: between the two values next to it, linearly, the place of which torch computes in float32 (a rank of a few thousand
 * is off by up to 1e-4 so). Sorts in place.
 */
function percentile95(distances: Float64Array): number {
  distances.sort();
  const rank = Math.min(Math.fround(Math.fround(0.95) * (distances.length - 1)), distances.length - 1);
  const below = Math.floor(rank);
  const low = distances[below];
  return low + (rank - below) * (distances[Math.ceil(rank)] - low);
}
