/** How large a case becomes when it is read, from the headers of its files alone. */
import { UserError } from "../base/errors.ts";
import { voxelCount } from "../base/shape.ts";
import type { ReaderName } from "../formats/image/image.ts";
import { bytesToRead, type ImageProbe } from "../formats/image/image_format.ts";
import { probeImage } from "../formats/image/read_image.ts";
import type { RawCase } from "./raw_dataset.ts";

/** What the headers of `file` say; null if they can't be read, which reading it will say. */
export async function tryProbe(reader: ReaderName, file: string): Promise<ImageProbe | null> {
  try {
    return await probeImage(reader, file);
  } catch (error) {
    if (error instanceof UserError) return null;
    throw error;
  }
}

/** Voxels of all channels of an image file; 0 if its headers can't be read. */
export async function voxelsOfFile(reader: ReaderName, file: string): Promise<number> {
  const probe = await tryProbe(reader, file);
  return probe ? probe.channels * voxelCount(probe.geometry.shape) : 0;
}

/** Bytes that the images and the segmentation of a case take when they are read. */
export async function bytesOfCase(reader: ReaderName, { images, label }: RawCase): Promise<number> {
  let bytes = 0;
  for (const file of [...images, label]) {
    const probe = await tryProbe(reader, file);
    if (probe) bytes += bytesToRead(probe);
  }
  return bytes;
}
