/** The slice of a case in which two segmentations differ most: image, one, the other, and the voxels that differ. */
import { freeArray } from "../../base/free_array.ts";
import { type MemoryAllowance, requireRoom } from "../../base/memory_allowance.ts";
import { voxelCount } from "../../base/shape.ts";
import type { ReaderName } from "../../formats/image/image.ts";
import { readCase, readLabels } from "../../formats/image/read_image.ts";
import { greyWindow, overlayPng } from "../overlay.ts";

export interface PictureOf {
  readonly reader: ReaderName;
  /** The image's files; the first channel is shown. */
  readonly images: readonly string[];
  readonly file: string;
  readonly referenceFile: string;
  /** Along z. */
  readonly slice: number;
  readonly memory?: MemoryAllowance;
}

/** Pixels that a panel is about as wide as, at least. */
const WIDTH = 320;
/** The label in whose colour (red) voxels that differ are shown. */
const DIFFERENCE = 4;
/** Bytes for each voxel of the image's first file: 32-bit numbers. */
const BYTES_PER_VOXEL = 4;

/** A PNG of four panels. @throws UserError if a file can't be read, or there is no memory for the image */
export async function agreementPng(
  { reader, images, file, referenceFile, slice, memory }: PictureOf,
): Promise<Uint8Array> {
  const cut = <T extends Float32Array | Int16Array>(data: T, size: number): T =>
    data.slice(slice * size, (slice + 1) * size) as T;
  const image = await readCase(reader, images.slice(0, 1), {
    judge: ({ channels, geometry: { shape } }) => {
      const bytes = BYTES_PER_VOXEL * channels * voxelCount(shape);
      requireRoom(memory, bytes, "reading the image takes", { doing: "drawing the overlay", file: images[0] });
    },
  });
  const { shape, spacing } = image.geometry;
  const size = shape[1] * shape[2];
  const grey = cut(image.data, size);
  freeArray(image.data);
  const labelsOf = async (of: string) => {
    const { labels } = await readLabels(reader, of);
    const part = cut(labels.data, size);
    freeArray(labels.data);
    return part;
  };
  const [ours, reference] = [await labelsOf(file), await labelsOf(referenceFile)];
  const differing = Uint8Array.from(ours, (label, i) => label === reference[i] ? 0 : DIFFERENCE);
  return overlayPng([{
    image: grey,
    shape: [1, shape[1], shape[2]],
    spacing,
    window: greyWindow(grey),
    panels: [undefined, ours, reference, differing],
    slice: 0,
  }], Math.max(1, Math.round(WIDTH / shape[2])));
}
