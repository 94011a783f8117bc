/** Where the voxels of an image are in the patient: millimetres in LPS, whatever the reader's own world is. */
import type { Vec3 } from "../base/shape.ts";
import { voxelCount } from "../base/shape.ts";
import type { ImageGeometry } from "../formats/image/image.ts";
import { type GridMatrix, gridToPatient } from "../formats/image/image_grid.ts";
import { determinant } from "../formats/image/nifti/matrix.ts";
import { readerClass } from "../formats/image/readers.ts";

export interface PatientSpace {
  /**
   * What positions in mm are relative to. `LPS`: the patient, x grows to its left, y to its back, z to its head, as in DICOM; `image`: the first
   * voxel, along the image's axes; `none`: there are no millimetres.
   */
  readonly coordinates: "LPS" | "image" | "none";
  /** 2 for an image that is one plane without a thickness. */
  readonly dimensions: 2 | 3;
  /** From a position x, y, z in voxels to mm: three rows of four. */
  readonly matrix: GridMatrix;
  /** Of a voxel, millilitres; absent where it has no volume. */
  readonly voxelMl?: number;
}

export function patientSpace(geometry: ImageGeometry): PatientSpace {
  const { sitk, nibabel, reader } = geometry;
  const matrix = gridToPatient(geometry);
  if (readerClass(reader).geometry === "picture") return { coordinates: "none", dimensions: 2, matrix };
  if (sitk?.spacing.length === 2) return { coordinates: "LPS", dimensions: 2, matrix };
  if (!nibabel) {
    const coordinates = sitk ? "LPS" : "image";
    return { coordinates, dimensions: 3, matrix, voxelMl: voxelCount(geometry.spacing) / 1000 };
  }
  return { coordinates: "LPS", dimensions: 3, matrix, voxelMl: Math.abs(handedness(matrix)) / 1000 };
}

/** The determinant of the map, mm^3 a voxel: negative where the image's axes are left-handed in the patient. */
export function handedness(matrix: GridMatrix): number {
  return determinant(matrix.map(([a, b, c]): Vec3 => [a, b, c]));
}

/** A position x, y, z in voxels, in mm. */
export function toMillimetres({ matrix }: Pick<PatientSpace, "matrix">, [x, y, z]: Vec3): Vec3 {
  const [a, b, c] = matrix.map((row) => row[0] * x + row[1] * y + row[2] * z + row[3]);
  return [a, b, c];
}
