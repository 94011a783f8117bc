/** Writes label volumes as NIfTI-1, plain or gzip-compressed by the file's ending. */
import { writeAll, writeAtomically } from "../../../base/files.ts";
import { type LabelsToWrite, WRITING } from "../image_format.ts";
import { labelBytes, type StoredOrder, writePacked } from "../written_voxels.ts";

export interface StoredVolume extends StoredOrder {
  readonly header: Uint8Array;
}

/** Writes the segmentation in the order of `volume`. */
export async function writeNifti(file: string, segmentation: LabelsToWrite, volume: StoredVolume): Promise<void> {
  const pieces = labelBytes(segmentation, volume);
  await writeAtomically(file, async (out) => {
    if (file.toLowerCase().endsWith(".gz")) await writePacked(out, "gzip", pieces, volume.header);
    else {
      await writeAll(out, volume.header);
      for (const piece of pieces) await writeAll(out, piece);
    }
  }, { doing: WRITING, signal: segmentation.signal });
}
