/**
 * A segmentation's labels in the order of the slices that it was made from. Readers give axes in another order or turned around
 * (NibabelIOWithReorient); here the geometry tells which axis of the array is which of the source.
 */
import { UserError } from "../../base/errors.ts";
import type { Vec3 } from "../../base/shape.ts";
import type { ImageGeometry, LabelVolume } from "../image/image.ts";
import { gridToPatient } from "../image/image_grid.ts";
import { WRITING } from "../image/image_format.ts";
import { inverse } from "../image/nifti/matrix.ts";
import type { LabelsOnSlices } from "./seg_places.ts";
import { cross } from "./slice.ts";
import { sliceSpacing, type SourceImages } from "./source_images.ts";

/** A voxel of the labels may be this far from its pixel in the source, in pixels. */
const TOLERANCE = 0.25;

/**
 * The labels slice by slice of `source`; nothing is copied.
 * @throws UserError if the labels lie on another grid
 */
export function labelsOnSource(labels: LabelVolume, geometry: ImageGeometry, source: SourceImages): LabelsOnSlices {
  const { slices, rows, columns } = source;
  const sizes: Vec3 = [columns, rows, slices.length];
  const toSource = gridToSource(geometry, source);
  const [nz, ny, nx] = labels.shape;
  const arraySizes: Vec3 = [nx, ny, nz];
  const arrayStrides: Vec3 = [1, nx, nx * ny];
  let offset = 0;
  const strides = [0, 0, 0];
  const used = new Set<number>();
  toSource.forEach((row, axis) => {
    const from = [0, 1, 2].reduce((best, i) => Math.abs(row[i]) > Math.abs(row[best]) ? i : best, 0);
    const sign = Math.sign(row[from]);
    // The corner at which this axis of the source begins, and the errors that add up over the grid.
    const first = sign > 0 ? row[3] : row[3] + row[from] * (arraySizes[from] - 1);
    const bend = [0, 1, 2].reduce(
      (sum, i) => sum + Math.abs(i === from ? row[i] - sign : row[i]) * (arraySizes[i] - 1),
      0,
    );
    if (used.has(from) || arraySizes[from] !== sizes[axis] || !(Math.abs(first) + bend <= TOLERANCE)) throw otherGrid();
    used.add(from);
    if (sign < 0) offset += arrayStrides[from] * (arraySizes[from] - 1);
    strides[axis] = sign * arrayStrides[from];
  });
  return {
    data: labels.data,
    slices: slices.length,
    rows,
    columns,
    offset,
    strides: [strides[2], strides[1], strides[0]],
  };
}

/** Position in the array (x, y, z) to column, row and slice of the source: three rows of four. */
function gridToSource(geometry: ImageGeometry, source: SourceImages): readonly (readonly number[])[] {
  const { rowDirection: r, columnDirection: c, pixelSpacing: [rowSpacing, columnSpacing], slices } = source;
  const spacing = sliceSpacing(source);
  const [first, last] = [slices[0].position, slices[slices.length - 1].position];
  const along = slices.length === 1
    ? cross(r, c).map((value) => value * spacing)
    : first.map((value, i) => (last[i] - value) / (slices.length - 1));
  const toPixels = inverse([0, 1, 2].map((i) => [r[i] * columnSpacing, c[i] * rowSpacing, along[i]] as const));
  const grid = gridToPatient(geometry);
  return toPixels.map((row) =>
    [0, 1, 2, 3].map((j) =>
      row[0] * (grid[0][j] - (j === 3 ? first[0] : 0)) + row[1] * (grid[1][j] - (j === 3 ? first[1] : 0)) +
      row[2] * (grid[2][j] - (j === 3 ? first[2] : 0))
    )
  );
}

function otherGrid(): UserError {
  const problem = "the labels do not lie on the grid of the DICOM images they were made from";
  return new UserError({ doing: WRITING, problem, remedy: "choose --output-format nifti" });
}
