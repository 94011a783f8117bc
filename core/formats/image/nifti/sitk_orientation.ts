/**
 * SimpleITK's DICOMOrient: images turned so that their axes point to given sides. Three letters say where x, y and z point to: "LPS" is
 * an image whose axes are those of the world. Sources: itkDICOMOrientation.cxx, itkDICOMOrientImageFilter.hxx, itkFlipImageFilter.hxx.
 */
import type { SitkGeometry } from "../image.ts";
import { inverseOrientation, type Orientation } from "./nibabel_geometry.ts";

/** Letters of each world axis, in LPS: against it, and along it. */
const SIDES = ["RL", "AP", "IS"] as const;

/** True for three letters of the three world axes. */
export function isDicomOrientation(letters: string): boolean {
  const axes = [...letters].map((letter) => SIDES.findIndex((sides) => sides.includes(letter)));
  return axes.length === 3 && SIDES.every((_, axis) => axes.includes(axis));
}

/** Where the axes of an image of this direction (3 x 3, row by row) point to, that with the largest cosine first. */
export function orientationOfDirection(direction: readonly number[]): string {
  const letters = ["", "", ""];
  const [rows, columns] = [new Set([0, 1, 2]), new Set([0, 1, 2])];
  while (rows.size > 0) {
    let best: readonly [row: number, column: number] | undefined;
    for (const row of rows) {
      for (const column of columns) {
        // Of equal ones the last is taken.
        const largest = best ? Math.abs(direction[3 * best[0] + best[1]]) : 0;
        if (!best || Math.abs(direction[3 * row + column]) >= largest) best = [row, column];
      }
    }
    if (!best) break;
    const [row, column] = best;
    letters[column] = SIDES[row][direction[3 * row + column] > 0 ? 1 : 0];
    rows.delete(row);
    columns.delete(column);
  }
  return letters.join("");
}

/** For each axis of an image that points as `given`: which it becomes in one that points as `wanted`, and whether it is turned round. */
export function turnBetween(given: string, wanted: string): Orientation {
  const axisOf = (letter: string) =>
    [...wanted].findIndex((other) => SIDES.some((sides) => sides.includes(other) && sides.includes(letter)));
  const axis = [...given].map(axisOf);
  const flip = axis.map((one, i) => wanted[one] !== given[i]);
  return { axis: [axis[0], axis[1], axis[2]], flip: [flip[0], flip[1], flip[2]] };
}

/** The geometry of the turned image. @param size Of the image before (x, y, z) */
export function turnedGeometry(
  { spacing, origin, direction }: SitkGeometry,
  size: readonly number[],
  orientation: Orientation,
): SitkGeometry {
  const { axis: from, flip } = inverseOrientation(orientation);
  const turned = from.map((one) => spacing[one]);
  // No negative zeros.
  const cosine = (row: number, axis: number) => direction[3 * row + from[axis]] + 0;
  // The first voxel is the one that was at the end of each axis that is turned round.
  const first = [0, 1, 2].map((row) => {
    let point = origin[row];
    for (let axis = 0; axis < 3; axis++) {
      if (flip[axis]) point += cosine(row, axis) * turned[axis] * (size[from[axis]] - 1);
    }
    return point;
  });
  return {
    spacing: turned,
    origin: first,
    direction: [0, 1, 2].flatMap((row) =>
      [0, 1, 2].map((axis) => flip[axis] ? 0 - cosine(row, axis) : cosine(row, axis))
    ),
  };
}
