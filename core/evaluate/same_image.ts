/** Whether a segmentation and its reference can be compared voxel by voxel. */
import { UserError } from "../base/errors.ts";
import { equalVec3 } from "../base/shape.ts";
import { compareGrids, GRID_TOLERANCE, type NamedGrid } from "../formats/image/image_grid.ts";

/**
 * A sentence to warn of headers that place the two apart; undefined where there is nothing to say.
 * @throws UserError if the shapes differ
 */
export function checkComparable(
  caseId: string,
  prediction: NamedGrid,
  reference: NamedGrid,
  doing: string,
): string | undefined {
  const [a, b] = [prediction.geometry, reference.geometry];
  if (!equalVec3(a.shape, b.shape)) {
    throw new UserError({
      doing,
      caseId,
      file: prediction.file,
      problem: `its shape is ${a.shape.join(" x ")} (z, y, x), that of ${reference.file} is ${b.shape.join(" x ")}`,
      remedy: "check that both belong to the same image",
    });
  }
  const distance = compareGrids(a, b);
  if (distance <= GRID_TOLERANCE.warning) return undefined;
  return `case ${caseId}: the headers of ${prediction.file} and ${reference.file} place them up to ` +
    `${distance.toPrecision(3)} voxels apart; they are compared voxel by voxel`;
}
