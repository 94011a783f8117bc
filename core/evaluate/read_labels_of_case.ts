/** Reads a case's segmentation within the memory that the case may take; what is wrong with it is said of the case. */
import { allocationError } from "../base/allocation.ts";
import { UserError } from "../base/errors.ts";
import { type MemoryAllowance, requireRoom } from "../base/memory_allowance.ts";
import { voxelCount } from "../base/shape.ts";
import type { ImageGeometry, ReaderName } from "../formats/image/image.ts";
import { readWideLabels } from "../formats/image/read_image.ts";

export interface CaseReading {
  readonly caseId: string;
  readonly reader: ReaderName;
  readonly file: string;
  /** For errors. */
  readonly doing: string;
  /** What is done with its voxels, for an error that names their number: "comparing". */
  readonly work: string;
  /** Bytes that the work takes for each voxel, this array included. */
  readonly bytesPerVoxel: number;
  readonly memory?: MemoryAllowance;
}

/** Labels of 32 bits, to be freed by the caller. @throws UserError naming the case, as {@link readWideLabels}, or too large */
export async function readLabelsOfCase(
  { caseId, reader, file, doing, work, bytesPerVoxel, memory }: CaseReading,
): Promise<{ readonly data: Int32Array; readonly geometry: ImageGeometry }> {
  try {
    return await readWideLabels(reader, file, {
      judge: ({ geometry: { shape } }) => {
        const needs = `${work} ${shape.join(" x ")} voxels takes`;
        requireRoom(memory, bytesPerVoxel * voxelCount(shape), needs, { doing, file });
      },
    });
  } catch (thrown) {
    const error = allocationError(thrown, { doing, file });
    throw error instanceof UserError ? error.withCase(caseId) : error;
  }
}
