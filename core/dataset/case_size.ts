/** How large a case becomes when it is read, from the headers of its files alone. */
import { UserError } from "../base/errors.ts";
import { openBytes } from "../formats/archive/gzip.ts";
import { openNifti } from "../formats/image/nifti_file.ts";
import type { RawCase } from "./raw_dataset.ts";

/** Voxels of all channels of an image file; 0 if its header can't be read, which reading it will say. */
export async function voxelsOfFile(file: string): Promise<number> {
  try {
    if (file.toLowerCase().endsWith(".png")) return await pixelsOfPng(file);
    await using nifti = await openNifti(file);
    const [dimensions, ...sizes] = nifti.header.dim;
    return sizes.slice(0, dimensions).reduce((product, size) => product * Math.max(1, size), 1);
  } catch (error) {
    if (error instanceof UserError) return 0;
    throw error;
  }
}

/** Bytes that the images and the segmentation of a case take as float32. */
export async function bytesOfCase({ images, label }: RawCase): Promise<number> {
  let voxels = 0;
  for (const file of [...images, label]) voxels += await voxelsOfFile(file);
  return 4 * voxels;
}

async function pixelsOfPng(file: string): Promise<number> {
  await using source = await openBytes(file, false);
  const head = new Uint8Array(26);
  if (await source.read(head) < head.length) return 0;
  const view = new DataView(head.buffer);
  const channels = [1, 0, 3, 3, 2, 0, 4][head[25]] ?? 4;
  return view.getUint32(16) * view.getUint32(20) * channels;
}
