/**
 * What ITK's reader (itkImageFileReader.hxx, itkImageBase.hxx) does with the geometry that a file's header says, whatever the format:
 * negative voxel sizes turn their axis round, and images that fill no space are refused.
 */
import type { SitkGeometry } from "../image.ts";
import { determinant } from "../nifti/matrix.ts";

/** Why an image can't be taken, and what to do. */
export interface ImageProblem {
  readonly problem: string;
  readonly remedy: string;
}

/** @param direction Row by row, of as many dimensions as `spacing` has */
export function itkGeometry(
  spacing: readonly number[],
  origin: readonly number[],
  direction: readonly number[],
): SitkGeometry | ImageProblem {
  const dimensions = spacing.length;
  if (!spacing.every((value) => Number.isFinite(value) && value !== 0)) {
    const problem = `its voxel sizes are ${spacing.join(" x ")}, of which one is 0 or no number`;
    return { problem, remedy: "set the voxel sizes in its header" };
  }
  if (!origin.every(Number.isFinite)) {
    return { problem: `its origin is ${origin.join(" ")}`, remedy: "set the origin in its header" };
  }
  // No negative zeros.
  const turned = direction.map((value, i) => spacing[i % dimensions] < 0 ? 0 - value : value);
  if (!spansSpace(turned)) {
    return {
      problem: `its axes do not span the ${dimensions === 2 ? "plane" : "space"}: the direction's determinant is 0`,
      remedy: "set the directions of its axes in the header",
    };
  }
  return { spacing: spacing.map(Math.abs), origin, direction: turned };
}

/** True for a direction (2 x 2 or 3 x 3, row by row) whose determinant is a number but 0. */
export function spansSpace(d: readonly number[]): boolean {
  const value = d.length === 4
    ? d[0] * d[3] - d[1] * d[2]
    : determinant([[d[0], d[1], d[2]], [d[3], d[4], d[5]], [d[6], d[7], d[8]]]);
  return Number.isFinite(value) && value !== 0;
}
