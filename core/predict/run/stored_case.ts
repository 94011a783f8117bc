/** A case that is preprocessed on disk, as training has it: read whole, with what writing its segmentation takes. */
import { UserError } from "../../base/errors.ts";
import { type MemoryAllowance, requireRoom } from "../../base/memory_allowance.ts";
import { equalVec3, permute, type Vec3, voxelCount } from "../../base/shape.ts";
import type { Plans } from "../../plan/plans.ts";
import type { CaseProperties, PreprocessedCase } from "../../preprocess/case.ts";
import { readPreviousStage } from "../../preprocess/predicted_previous_stage.ts";
import { openPreprocessedCase } from "../../preprocess/training_case_reader.ts";
import type { StoredCase } from "../../formats/preprocessed/training_data.ts";

/** Where it is. */
export interface StoredCaseFolders {
  /** nnUNet_preprocessed/DATASET/DATA_IDENTIFIER. */
  readonly folder: string;
  /** Cascade: predicted_next_stage/CONFIGURATION of the previous stage. */
  readonly previousFolder?: string;
}

/** @throws UserError if it is not there, damaged, or the previous stage's prediction is of another grid */
export async function readStoredCase(
  id: string,
  { folder, previousFolder }: StoredCaseFolders,
  plans: Pick<Plans, "reader" | "transposeForward" | "transposeBackward">,
  memory?: MemoryAllowance,
): Promise<PreprocessedCase> {
  using stored = await openPreprocessedCase(folder, id);
  const { channels, grid, file } = stored;
  const bytes = (4 * channels + (previousFolder === undefined ? 2 : 4)) * voxelCount(grid);
  const needs = `reading its ${grid.join(" x ")} voxels takes`;
  requireRoom(memory, bytes, needs, { doing: "reading the preprocessed case", caseId: id, file });
  const previous = previousFolder === undefined ? undefined : await readPreviousStage(previousFolder, id, grid);
  const { image } = await stored.readBox([0, 0, 0], grid);
  return {
    id,
    data: image,
    channels,
    grid,
    ...(previous && { previousStage: previous }),
    properties: propertiesOf(stored, plans),
    warnings: [],
    replacedVoxels: new Array<number>(channels).fill(0),
  };
}

function propertiesOf(
  { properties, file }: StoredCase,
  plans: Pick<Plans, "reader" | "transposeForward" | "transposeBackward">,
): CaseProperties {
  const { spacing, shapeBeforeCropping, boundingBox, shapeAfterCropping, geometry } = properties;
  const [z, y, x] = boundingBox;
  const size = (axis: number) => boundingBox[axis][1] - boundingBox[axis][0];
  if (!equalVec3([size(0), size(1), size(2)], shapeAfterCropping)) {
    const problem = "its bounding box is not of the size after cropping";
    throw new UserError({ doing: "reading the preprocessed case", file, problem, remedy: "run preprocess again" });
  }
  const shape: Vec3 = permute(shapeBeforeCropping, plans.transposeBackward);
  return {
    geometry: { ...geometry, reader: plans.reader, spacing, shape },
    originalSpacing: permute(spacing, plans.transposeForward),
    shapeBeforeCropping,
    boundingBox: [z, y, x],
    shapeAfterCropping,
  };
}
