/**
 * Where an image's voxels lie in space, and whether two images lie on the same grid. Upstream requires equal shapes and spacings and
 * only prints a warning for another origin or direction; here grids may differ by rounding and not by a voxel.
 */
import { UserError } from "../../base/errors.ts";
import { equalVec3, type Vec3 } from "../../base/shape.ts";
import type { ImageGeometry } from "./image.ts";
import { inverse } from "./nifti/matrix.ts";

/** Corners of two channels' grids may be this far apart, in voxels, without an error and without a warning. */
export const GRID_TOLERANCE = { error: 1, warning: 0.1 } as const;

/** A grid's map from array position (x, y, z) to millimetres: three rows of four. */
export type GridMatrix = readonly (readonly [number, number, number, number])[];

/** The map of the world that the reader has: LPS where the geometry is ITK's, RAS where it is nibabel's, else millimetres along the axes. */
function gridMatrix({ sitk, nibabel, spacing }: ImageGeometry): GridMatrix {
  if (sitk) {
    const { direction: d, origin, spacing: s } = sitk;
    if (s.length === 2) {
      return [[d[0] * s[0], d[1] * s[1], 0, origin[0]], [d[2] * s[0], d[3] * s[1], 0, origin[1]], [0, 0, 1, 0]];
    }
    return [0, 1, 2].map((i) => [d[3 * i] * s[0], d[3 * i + 1] * s[1], d[3 * i + 2] * s[2], origin[i]]);
  }
  const affine = nibabel && (nibabel.reorientedAffine ?? nibabel.originalAffine);
  return affine ? affine.slice(0, 3) : [[spacing[2], 0, 0, 0], [0, spacing[1], 0, 0], [0, 0, spacing[0], 0]];
}

/** The map from array position (x, y, z) to ITK's and DICOM's patient millimetres (LPS), whatever the reader: three rows of four. */
export function gridToPatient(geometry: ImageGeometry): GridMatrix {
  const matrix = gridMatrix(geometry);
  if (geometry.nibabel === undefined) return matrix;
  return matrix.map(([a, b, c, d], row) => row < 2 ? [-a, -b, -c, -d] as const : [a, b, c, d] as const);
}

/**
 * The eight corner voxels' centres in mm, three numbers each, in the world of the reader (LPS for SimpleITKIO, RAS for the nibabel
 * readers); corner i is at the end of x, y, z where bits 0, 1, 2 of i are set.
 */
export function imageGridCorners(geometry: ImageGeometry): Float64Array {
  const matrix = gridMatrix(geometry);
  const [nz, ny, nx] = geometry.shape;
  const corners = new Float64Array(24);
  for (let i = 0; i < 8; i++) {
    const [x, y, z] = [i & 1 ? nx - 1 : 0, i & 2 ? ny - 1 : 0, i & 4 ? nz - 1 : 0];
    for (let row = 0; row < 3; row++) {
      const m = matrix[row];
      corners[3 * i + row] = m[0] * x + m[1] * y + m[2] * z + m[3];
    }
  }
  return corners;
}

/** Largest distance between corresponding corners of two grids, in voxels of `a`. */
export function compareGrids(a: ImageGeometry, b: ImageGeometry): number {
  const matrix = gridMatrix(a);
  const toVoxels = inverse(matrix.slice(0, 3).map(([x, y, z]) => [x, y, z] as const));
  const [first, second] = [imageGridCorners(a), imageGridCorners(b)];
  let largest = 0;
  for (let i = 0; i < 24; i += 3) {
    const d = [0, 1, 2].map((k) => second[i + k] - first[i + k]);
    const inVoxels = toVoxels.map((row) => row[0] * d[0] + row[1] * d[1] + row[2] * d[2]);
    const distance = Math.hypot(...inVoxels);
    if (!(distance <= largest)) largest = distance;
  }
  return largest;
}

/** A grid and the file it is of. */
export interface NamedGrid {
  readonly file: string;
  readonly geometry: ImageGeometry;
}

/**
 * Checks that `b` lies on the grid of `a`. Returns a warning sentence if corners are more than 0.1 voxel apart, else null.
 *
 * @throws UserError naming both files if the shapes differ or corners are more than one voxel apart.
 */
export function checkSameGrid(a: NamedGrid, b: NamedGrid, doing: string): string | null {
  const shape = (s: Vec3) => `${s[0]} x ${s[1]} x ${s[2]} (z, y, x)`;
  if (!equalVec3(a.geometry.shape, b.geometry.shape)) {
    throw new UserError({
      doing,
      file: b.file,
      problem: `its shape is ${shape(b.geometry.shape)}, that of ${a.file} is ${
        shape(a.geometry.shape)
      }; they have to be the same`,
      remedy: "resample the images of a case to one grid",
    });
  }
  const dimensions = (g: ImageGeometry) => g.sitk?.spacing.length ?? 3;
  if (dimensions(a.geometry) !== dimensions(b.geometry)) {
    const problem = `it is ${dimensions(b.geometry)}-D, and ${a.file} is ${dimensions(a.geometry)}-D`;
    throw new UserError({ doing, file: b.file, problem, remedy: "save both with the same number of dimensions" });
  }
  const distance = compareGrids(a.geometry, b.geometry);
  if (distance <= GRID_TOLERANCE.warning) return null;
  const figure = `corners of its grid are up to ${distance.toPrecision(3)} voxels away from those of ${a.file}`;
  if (!(distance <= GRID_TOLERANCE.error)) {
    throw new UserError({
      doing,
      file: b.file,
      problem: `${figure} (allowed: ${GRID_TOLERANCE.error}): origin, spacing or orientation differ`,
      remedy: "resample the images to one grid, or give them the right header",
    });
  }
  return `${b.file}: ${figure}.`;
}
