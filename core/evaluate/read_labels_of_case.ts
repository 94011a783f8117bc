/** Reads a case's segmentation within the memory that the case may take; what is wrong with it is said of the case. */
import { allocationError } from "../base/allocation.ts";
import { UserError } from "../base/errors.ts";
import { type MemoryAllowance, requireRoom } from "../base/memory_allowance.ts";
import { voxelCount } from "../base/shape.ts";
import type { ImageGeometry, LabelValues, ReaderName } from "../formats/image/image.ts";
import { type CaseReadOptions, readNarrowLabels, readWideLabels } from "../formats/image/read_image.ts";

export interface CaseReading {
  readonly caseId: string;
  readonly reader: ReaderName;
  readonly file: string;
  /** For errors. */
  readonly doing: string;
  /** What is done with its voxels, for an error that names their number: "comparing". */
  readonly work: string;
  /** Bytes that the work takes for each voxel at most, this array included. */
  readonly bytesPerVoxel: number;
  readonly memory?: MemoryAllowance;
}

interface ReadLabels<T extends LabelValues> {
  readonly data: T;
  readonly geometry: ImageGeometry;
}

/** Labels of 32 bits, to be freed by the caller. @throws UserError naming the case, as {@link readWideLabels}, or too large */
export async function readWideLabelsOfCase(reading: CaseReading): Promise<ReadLabels<Int32Array>> {
  return await readWithin(reading, readWideLabels);
}

/** As {@link readWideLabelsOfCase}, of as few bits as the file has them. */
export async function readLabelsOfCase(reading: CaseReading): Promise<ReadLabels<LabelValues>> {
  return await readWithin(reading, readNarrowLabels);
}

async function readWithin<T extends LabelValues>(
  { caseId, reader, file, doing, work, bytesPerVoxel, memory }: CaseReading,
  read: (reader: ReaderName, file: string, options: Pick<CaseReadOptions, "judge">) => Promise<ReadLabels<T>>,
): Promise<ReadLabels<T>> {
  try {
    return await read(reader, file, {
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
