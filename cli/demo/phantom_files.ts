/** Phantoms as the files a prediction starts from. */
import zlib from "node:zlib";
import { writeAtomically } from "../../core/base/files.ts";
import type { ImageGeometry } from "../../core/formats/image/image.ts";
import { sitkHeader } from "../../core/formats/image/nifti/written_header.ts";
import { writeLabels } from "../../core/formats/image/write_image.ts";
import type { Phantom } from "./phantom.ts";

function geometryOf({ shape, spacing }: Phantom): ImageGeometry {
  const [z, y, x] = spacing;
  const direction = [1, 0, 0, 0, 1, 0, 0, 0, 1];
  return { reader: "SimpleITKIO", spacing, shape, sitk: { spacing: [x, y, z], origin: [0, 0, 0], direction } };
}

/** Writes the phantom's image. */
export async function writePhantomImage(file: string, phantom: Phantom): Promise<void> {
  await writeAtomically(file, phantomNifti(phantom), { doing: "writing a phantom" });
}

/** The phantom's image as int16 NIfTI (.nii.gz), as a scanner's export would look. */
export function phantomNifti(phantom: Phantom): Uint8Array {
  const { sitk } = geometryOf(phantom);
  if (!sitk) throw new TypeError("a phantom has ITK's geometry");
  const [z, y, x] = phantom.shape;
  const header = sitkHeader([x, y, z], sitk, "int16");
  const voxels = new Uint8Array(phantom.image.buffer, phantom.image.byteOffset, phantom.image.byteLength);
  const bytes = new Uint8Array(header.length + voxels.length);
  bytes.set(header);
  bytes.set(voxels, header.length);
  return zlib.gzipSync(bytes, { level: 1 });
}

/** Writes the phantom's true labels. */
export async function writePhantomLabels(file: string, phantom: Phantom): Promise<void> {
  await writeLabels("SimpleITKIO", file, { data: phantom.labels, shape: phantom.shape }, geometryOf(phantom));
}
