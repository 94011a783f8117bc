/**
 * The array and the geometry that SimpleITKIO makes of an image of ITK, and the way back. SimpleITKIOWithReorient (nnU-Net 2.6.3 and
 * later) turns 3-D images to RAS, and segmentations back.
 */
import { UserError } from "../../../base/errors.ts";
import type { Vec3 } from "../../../base/shape.ts";
import type { ImageGeometry, ReaderName, SitkGeometry } from "../image.ts";
import { type LabelsToWrite, READING } from "../image_format.ts";
import { inverseOrientation, reorientedOrder, reorientedSize } from "../nifti/nibabel_geometry.ts";
import { orientationOfDirection, turnBetween, turnedGeometry } from "../nifti/sitk_orientation.ts";
import type { StoredOrder } from "../written_voxels.ts";

export type SitkReader = Extract<ReaderName, "SimpleITKIO" | "SimpleITKIOWithReorient">;

/** What a file holds: the grid of one channel, and how many there are. */
export interface ItkGrid {
  readonly dimensions: 2 | 3;
  /** Size (x, y, z); z is 1 in 2-D. */
  readonly size: readonly [number, number, number];
  readonly channels: number;
  /** Of the first `dimensions` axes. */
  readonly geometry: SitkGeometry;
}

/** Where the axes of an array point to that was turned. */
const TURNED_TO = "RAS";

/** SimpleITKIOWithReorient turns by DICOMOrient, which takes 3-D images only. @throws UserError */
export function requireTurnable({ dimensions, channels }: ItkGrid, reader: SitkReader, file: string): void {
  if (reader === "SimpleITKIO" || (dimensions === 3 && channels === 1)) return;
  throw new UserError({
    doing: READING,
    file,
    problem: `it is ${dimensions === 2 ? "2-D" : "4-D"}, and SimpleITKIOWithReorient turns 3-D images only`,
    remedy: dimensions === 2
      ? "save it as a 3-D image with one slice"
      : "save each channel as a file of its own, CASE_0000, CASE_0001, ...",
  });
}

/** The array that a file becomes: its geometry, and where in it the file's first voxel and its neighbours along x, y, z go. */
export function arrayOf(
  { dimensions, size, geometry: stored }: ItkGrid,
  reader: SitkReader,
): { readonly geometry: ImageGeometry; readonly origin: number; readonly strides: Vec3 } {
  if (reader === "SimpleITKIO") {
    const [sx, sy] = stored.spacing;
    // A slice has no thickness; upstream gives it one that keeps resampling and tiling in the plane.
    const thickness = dimensions === 2 ? 999 * Math.max(sx, sy) : stored.spacing[2];
    return {
      geometry: { reader, spacing: [thickness, sy, sx], shape: [size[2], size[1], size[0]], sitk: stored },
      origin: 0,
      strides: [1, size[0], size[0] * size[1]],
    };
  }
  const originalOrientation = orientationOfDirection(stored.direction);
  const turn = turnBetween(originalOrientation, TURNED_TO);
  const sitk = { ...turnedGeometry(stored, size, turn), originalOrientation };
  const [nx, ny, nz] = reorientedSize([size[0], size[1], size[2]], turn);
  const [sx, sy, sz] = sitk.spacing;
  return {
    geometry: { reader, spacing: [sz, sy, sx], shape: [nz, ny, nx], sitk },
    ...reorientedOrder(size, [nx, ny, nz], turn),
  };
}

/** The geometry that a segmentation is written with, and the order of its voxels in the file. */
export function writtenArray(
  reader: SitkReader,
  { labels, geometry: { sitk } }: LabelsToWrite,
): { readonly geometry: SitkGeometry; readonly order: StoredOrder } {
  if (!sitk) throw new TypeError(`${reader}'s geometry is missing`);
  const size: Vec3 = [labels.shape[2], labels.shape[1], labels.shape[0]];
  const { originalOrientation } = sitk;
  if (originalOrientation === undefined) {
    return { geometry: sitk, order: { size, origin: 0, strides: [1, size[0], size[0] * size[1]] } };
  }
  // As upstream: from where the array points to, which for oblique images need not be RAS again.
  const turn = turnBetween(orientationOfDirection(sitk.direction), originalOrientation);
  const written = reorientedSize([size[0], size[1], size[2]], turn);
  const order = { size: written, ...reorientedOrder(written, size, inverseOrientation(turn)) };
  return { geometry: turnedGeometry(sitk, size, turn), order };
}
