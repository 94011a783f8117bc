/**
 * Writes segmentations with the geometry of their image, as nnU-Net's writers do, but never modulo 256: uint8, or uint16 where a label
 * is above 255 (as 2.6 and later).
 */
import type { ImageGeometry, LabelVolume, ReaderName } from "./image.ts";
import { gridToPatient } from "./image_grid.ts";
import { fileEndings, formatOf } from "./readers.ts";

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

/**
 * Writes `labels` as a volume in the format of the file's ending, whatever the reader they came by: what its class does not write,
 * SimpleITKIO's does.
 *
 * @throws UserError if the file cannot be written, or the labels have no place in space; Interrupted if `signal` aborts
 */
export async function writeVolume(
  file: string,
  labels: LabelVolume,
  geometry: ImageGeometry,
  signal?: AbortSignal,
): Promise<void> {
  const { reader } = geometry;
  const isOwn = fileEndings(reader).some((ending) => file.toLowerCase().endsWith(ending));
  if (isOwn) return await writeLabels(reader, file, labels, geometry, signal);
  if (!fileEndings("SimpleITKIO").some((ending) => file.toLowerCase().endsWith(ending))) {
    throw new RangeError(`no format for volumes has the ending of ${file}`);
  }
  await writeLabels("SimpleITKIO", file, labels, itkGeometry(geometry), signal);
}

/** The same grid as SimpleITKIO has it, in three dimensions. */
export function itkGeometry(geometry: ImageGeometry): ImageGeometry {
  const matrix = gridToPatient(geometry);
  const { shape } = geometry;
  const lengths = [0, 1, 2].map((axis) => Math.hypot(matrix[0][axis], matrix[1][axis], matrix[2][axis]));
  const [x, y, z] = lengths;
  return {
    reader: "SimpleITKIO",
    spacing: [z, y, x],
    shape,
    sitk: {
      spacing: [x, y, z],
      origin: matrix.map((row) => row[3]),
      direction: matrix.flatMap((row) => lengths.map((length, axis) => row[axis] / length)),
    },
  };
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
