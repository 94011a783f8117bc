/** Reads a predicted segmentation as the small integers it holds. */
import { allocationError } from "../base/allocation.ts";
import { UserError } from "../base/errors.ts";
import { freeArray } from "../base/free_array.ts";
import { type CaseReading, readLabelsOfCase } from "../evaluate/read_labels_of_case.ts";
import type { ImageGeometry, LabelValues } from "../formats/image/image.ts";
import type { LabelArray } from "./component_scan.ts";

/** Bytes that a case takes at most for each voxel while it is read: 32-bit numbers, and labels of 8 or 16 bits. */
export const BYTES_PER_VOXEL = 6;

export interface Segmentation {
  readonly data: LabelArray;
  readonly geometry: ImageGeometry;
}

type Reading = Omit<CaseReading, "work" | "bytesPerVoxel">;

/** Labels as the file has them, with the case named in errors. @throws UserError as {@link readLabelsOfCase} */
export function readReference(reading: Reading): ReturnType<typeof readLabelsOfCase> {
  return readLabelsOfCase({ ...reading, work: "working on", bytesPerVoxel: BYTES_PER_VOXEL });
}

/** As {@link readReference}, of labels that can be written again. @throws UserError also if one is below 0 or above 65535 */
export async function readSegmentation(reading: Reading): Promise<Segmentation> {
  const { data: wide, geometry } = await readReference(reading);
  if (wide instanceof Uint8Array) return { data: wide, geometry };
  const { caseId, file, doing } = reading;
  try {
    let [lowest, highest] = [0, 0];
    for (let i = 0; i < wide.length; i++) {
      const label = wide[i];
      if (label > highest) highest = label;
      else if (label < lowest) lowest = label;
    }
    if (lowest < 0 || highest > 65535) {
      const problem = `it holds the label ${lowest < 0 ? lowest : highest}, and labels are 0 to 65535`;
      throw new UserError({ doing, caseId, file, problem, remedy: "check that it is a segmentation" });
    }
    return { data: narrowed(wide, highest > 255), geometry };
  } catch (error) {
    throw allocationError(error, { doing, caseId, file });
  } finally {
    freeArray(wide);
  }
}

function narrowed(wide: LabelValues, needsTwoBytes: boolean): LabelArray {
  const narrow = needsTwoBytes ? new Uint16Array(wide.length) : new Uint8Array(wide.length);
  narrow.set(wide);
  return narrow;
}
