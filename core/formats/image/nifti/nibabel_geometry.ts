/**
 * What nibabel 5.4 makes of a NIfTI header (affine in RAS millimetres, zooms, scaling), and its reorientation to RAS+.
 * Sources: nibabel/nifti1.py, analyze.py, quaternions.py, orientations.py, spatialimages.py.
 */
import type { Vec3 } from "../../../base/shape.ts";
import type { Affine } from "../image.ts";
import { columnLengths, determinant, divideColumns, nearestOrthogonal, quaternionToMatrix } from "./matrix.ts";
import type { NiftiHeader } from "./header.ts";
import type { HeaderProblem } from "./sitk_geometry.ts";

/** What reading needs of a header. */
export interface NibabelImage {
  /** Size (x, y, z). */
  readonly size: readonly [number, number, number];
  /** Voxel sizes (x, y, z) of the header. */
  readonly zooms: readonly [number, number, number];
  readonly affine: Affine;
  readonly scaling: { readonly slope: number; readonly intercept: number } | null;
  readonly dataStart: number;
}

/** Interprets `header` as nibabel does. */
export function interpretAsNibabel(header: NiftiHeader): NibabelImage | HeaderProblem {
  const { dim } = header;
  if (dim[0] !== 3) {
    const what = dim[0] === 2 ? "a slice as a 3-D image with one slice" : "each volume as a 3-D image";
    return {
      problem: `it has ${dim[0]} dimensions (dim is ${
        dim.slice(0, dim[0] + 1).join(" ")
      }); NibabelIO reads 3-D images only`,
      remedy: `save ${what}`,
    };
  }
  if (dim.slice(1, 4).some((size) => size <= 0)) {
    return { problem: `a dimension is not positive (dim is ${dim.slice(0, 4).join(" ")})`, remedy: "save it again" };
  }
  const size: [number, number, number] = [dim[1], dim[2], dim[3]];
  const zooms = zoomsOf(header);
  if ("problem" in zooms) return zooms;
  const start = dataStartOf(header);
  if (typeof start !== "number") return start;
  const affine = affineOf(header, size, zooms);
  if ("problem" in affine) return affine;
  const matrix = linearPart(affine);
  if (!affine.every((row) => row.every(Number.isFinite)) || determinant(matrix) === 0) {
    return {
      problem: "its affine is singular or not finite, so that no segmentation could be given its geometry",
      remedy: "set a proper sform or qform",
    };
  }
  const scaling = scalingOf(header);
  if (scaling && "problem" in scaling) return scaling;
  return { size, zooms, affine, scaling, dataStart: start };
}

function zoomsOf(header: NiftiHeader): [number, number, number] | HeaderProblem {
  const zooms = header.pixdim.slice(1, 4).map((value) => value === 0 ? 1 : Math.abs(value));
  if (!zooms.every(Number.isFinite)) {
    const problem = `a voxel size is not a number (pixdim is ${header.pixdim.slice(1, 4).join(" ")})`;
    return { problem, remedy: "set pixdim to the voxel size in mm" };
  }
  return [zooms[0], zooms[1], zooms[2]];
}

function dataStartOf(header: NiftiHeader): number | HeaderProblem {
  const smallest = header.version === 2 ? 544 : 352;
  if (header.singleFile && !(header.voxOffset >= smallest)) {
    return {
      problem: `vox_offset is ${header.voxOffset}; voxels of a single file can't start before byte ${smallest}`,
      remedy: `set vox_offset to where the voxels start (${smallest} without extensions)`,
    };
  }
  return Math.trunc(header.voxOffset);
}

function affineOf(
  header: NiftiHeader,
  size: readonly [number, number, number],
  zooms: readonly [number, number, number],
): Affine | HeaderProblem {
  const { srow } = header;
  if (header.version !== 0 && header.sformCode > 0) {
    return [[srow[0], srow[1], srow[2], srow[3]], [srow[4], srow[5], srow[6], srow[7]], [
      srow[8],
      srow[9],
      srow[10],
      srow[11],
    ], [0, 0, 0, 1]];
  }
  if (header.version !== 0 && header.qformCode > 0) {
    const quaternion = fillQuaternion(header);
    if ("problem" in quaternion) return quaternion;
    const rotation = quaternionToMatrix(quaternion);
    const signed = [zooms[0], zooms[1], header.pixdim[0] === -1 ? -zooms[2] : zooms[2]];
    const rows = rotation.map((row, i): [number, number, number, number] => [
      row[0] * signed[0],
      row[1] * signed[1],
      row[2] * signed[2],
      header.qoffset[i],
    ]);
    return [...rows, [0, 0, 0, 1]];
  }
  // The base affine of Analyze: x flipped, the grid's centre at 0.
  const centre = (axis: number) => (size[axis] - 1) / 2 * zooms[axis];
  return [[-zooms[0], 0, 0, centre(0)], [0, zooms[1], 0, -centre(1)], [0, 0, zooms[2], -centre(2)], [0, 0, 0, 1]];
}

function fillQuaternion(header: NiftiHeader): [number, number, number, number] | HeaderProblem {
  const [x, y, z] = header.quaternion;
  const threshold = 3 * (header.version === 2 ? Number.EPSILON : 2 ** -23);
  const squared = 1 - (x * x + y * y + z * z);
  if (Math.abs(squared) < threshold) return [0, x, y, z];
  if (!(squared >= 0)) {
    return {
      problem: `the qform's quaternion is longer than 1 (${x} ${y} ${z}), so that it is no rotation`,
      remedy: "set the qform again from the right affine",
    };
  }
  return [Math.sqrt(squared), x, y, z];
}

function scalingOf(header: NiftiHeader): { slope: number; intercept: number } | HeaderProblem | null {
  const { slope, intercept } = header;
  if (slope === 0 || !Number.isFinite(slope)) return null;
  if (!Number.isFinite(intercept)) {
    return { problem: `scl_inter is ${intercept} while scl_slope is ${slope}`, remedy: "set scl_inter to a number" };
  }
  return slope === 1 && intercept === 0 ? null : { slope, intercept };
}

/** The upper left 3x3 of an affine. */
export function linearPart(affine: Affine): [number, number, number][] {
  return [0, 1, 2].map((i) => [affine[i][0], affine[i][1], affine[i][2]]);
}

/** For each axis of a stored array (x, y, z): the world axis it becomes, and whether it is turned round. */
export interface Orientation {
  readonly axis: readonly [number, number, number];
  readonly flip: readonly [boolean, boolean, boolean];
}

/** nibabel's io_orientation: which world axis each stored axis is nearest to. The affine is regular. */
export function orientationOf(affine: Affine): Orientation {
  const linear = linearPart(affine);
  const rotation = nearestOrthogonal(divideColumns(linear, columnLengths(linear)));
  const axis: [number, number, number] = [-1, -1, -1];
  const flip: [boolean, boolean, boolean] = [false, false, false];
  const strongest = (column: number) => Math.max(...rotation.map((row) => row[column] ** 2));
  // Strongest column first, ties in order; taken world axes are struck out.
  const order = [0, 1, 2].sort((a, b) => strongest(b) - strongest(a) || a - b);
  for (const column of order) {
    let best = 0;
    for (let row = 1; row < 3; row++) {
      if (Math.abs(rotation[row][column]) > Math.abs(rotation[best][column])) best = row;
    }
    axis[column] = best;
    flip[column] = rotation[best][column] < 0;
    rotation[best] = [0, 0, 0];
  }
  return { axis, flip };
}

/** True if the array is already RAS+. */
export function isRas({ axis, flip }: Orientation): boolean {
  return axis.every((value, i) => value === i) && !flip.some(Boolean);
}

/** Size of the reoriented array (x, y, z). */
export function reorientedSize(
  size: readonly [number, number, number],
  { axis }: Orientation,
): [number, number, number] {
  const result: [number, number, number] = [0, 0, 0];
  for (let i = 0; i < 3; i++) result[axis[i]] = size[i];
  return result;
}

/** Where an array of size `to` (x, y, z) has the first voxel of one of size `from`, and its neighbours along x, y and z. */
export function reorientedOrder(from: Vec3, to: Vec3, { axis, flip }: Orientation): { origin: number; strides: Vec3 } {
  const steps = [1, to[0], to[0] * to[1]];
  const strides: [number, number, number] = [0, 0, 0];
  let origin = 0;
  for (let i = 0; i < 3; i++) {
    const step = steps[axis[i]];
    strides[i] = flip[i] ? -step : step;
    if (flip[i]) origin += step * (from[i] - 1);
  }
  return { origin, strides };
}

/** nibabel's affine of the reoriented array: affine . inv_ornt_aff(orientation, size). */
export function reorientedAffine(
  affine: Affine,
  size: readonly [number, number, number],
  { axis, flip }: Orientation,
): Affine {
  const rows = affine.slice(0, 3).map((row): [number, number, number, number] => {
    const result: [number, number, number, number] = [0, 0, 0, 0];
    let shift = 0;
    for (let i = 0; i < 3; i++) {
      result[axis[i]] = flip[i] ? -row[i] : row[i];
      if (flip[i]) shift += row[i] * (size[i] - 1);
    }
    result[3] = shift + row[3];
    return result;
  });
  return [...rows, [0, 0, 0, 1]];
}

/** The orientation that undoes `orientation`: as_reoriented with it gives the stored array back (ornt_transform of 2.5.2). */
export function inverseOrientation({ axis, flip }: Orientation): Orientation {
  const back: [number, number, number] = [0, 0, 0];
  const backFlip: [boolean, boolean, boolean] = [false, false, false];
  for (let i = 0; i < 3; i++) {
    back[axis[i]] = i;
    backFlip[axis[i]] = flip[i];
  }
  return { axis: back, flip: backFlip };
}
