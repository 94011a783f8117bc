/**
 * Writes segmentations with the geometry of their image, as nnU-Net's writers do, but never modulo 256: uint8, or uint16 where a label
 * is above 255 (as 2.6 and later).
 */
import type { ImageGeometry, LabelVolume, ReaderName } from "./image.ts";
import { formatOf } from "./readers.ts";

/**
 * Writes `labels` (array order of the reader, as the image was read) to `file`, whole or not at all. The reader and the file's ending
 * choose the format.
 *
 * @throws UserError if the file cannot be written; RangeError for labels below 0 or of another shape than the image;
 * Interrupted if `signal` aborts.
 * @example
 * ```ts
 * import { deepStrictEqual } from "node:assert";
 * import { readLabels } from "./read_image.ts";
 *
 * const file = await Deno.makeTempFile({ suffix: ".nii.gz" });
 * const sitk = { spacing: [0.5, 0.5, 3], origin: [0, 0, 0], direction: [1, 0, 0, 0, 1, 0, 0, 0, 1] };
 * const geometry = { reader: "SimpleITKIO", spacing: [3, 0.5, 0.5], shape: [2, 1, 2], sitk } as const;
 * await writeLabels("SimpleITKIO", file, { data: Uint8Array.of(0, 1, 2, 0), shape: [2, 1, 2] }, geometry);
 * deepStrictEqual([...(await readLabels("SimpleITKIO", file)).labels.data], [0, 1, 2, 0]);
 * await Deno.remove(file);
 * ```
 */
export async function writeLabels(
  reader: ReaderName,
  file: string,
  labels: LabelVolume,
  geometry: ImageGeometry,
  signal?: AbortSignal,
): Promise<void> {
  const { shape } = labels;
  if (shape.some((size, i) => size !== geometry.shape[i]) || labels.data.length !== shape[0] * shape[1] * shape[2]) {
    throw new RangeError(`labels of shape ${shape.join(" x ")} for an image of shape ${geometry.shape.join(" x ")}`);
  }
  const bytesPerLabel = labels.data instanceof Uint8Array || highestLabel(labels) <= 255 ? 1 : 2;
  await formatOf(reader, file).write(file, { labels, geometry, bytesPerLabel, signal });
}

function highestLabel({ data }: LabelVolume): number {
  let [lowest, highest] = [0, 0];
  for (let i = 0; i < data.length; i++) {
    const label = data[i];
    if (label > highest) highest = label;
    else if (label < lowest) lowest = label;
  }
  if (lowest < 0) throw new RangeError(`a segmentation to be written holds the label ${lowest}; labels are 0 or more`);
  return highest;
}
