/** Headers of segmentations as SimpleITK 2.5.7 writes them: of the image's header nothing but its geometry is kept. */
import type { SitkGeometry } from "../image.ts";
import { exactNumber } from "../itk/number_text.ts";
import { orientationOfDirection } from "../nifti/sitk_orientation.ts";

/** Width of the packed size, which is put in once it is known: of all sizes there are. */
const SIZE_DIGITS = 16;
/** The sides that axes come from, by those they point to. */
const OPPOSITE: Readonly<Record<string, string>> = { L: "R", R: "L", P: "A", A: "P", S: "I", I: "S" };

/** The header; voxels follow, packed by zlib, little-endian. `size` is (x, y[, z]). */
export function metaHeader(
  size: readonly number[],
  geometry: SitkGeometry,
  bytesPerLabel: 1 | 2,
  packedBytes: number,
): Uint8Array {
  const { spacing, origin, direction } = geometry;
  const axes = spacing.map((_, i) => i);
  const n = axes.length;
  const text = (values: readonly number[]) => values.map(exactNumber).join(" ");
  const sides = n === 3 ? [...orientationOfDirection(direction)].map((side) => OPPOSITE[side]).join("") : "??";
  const orientation = `AnatomicalOrientation = ${sides}`;
  const lines = [
    "ObjectType = Image",
    `NDims = ${n}`,
    "BinaryData = True",
    "BinaryDataByteOrderMSB = False",
    "CompressedData = True",
    `CompressedDataSize = ${String(packedBytes).padStart(SIZE_DIGITS)}`,
    `TransformMatrix = ${text(axes.flatMap((axis) => axes.map((row) => direction[row * n + axis])))}`,
    `Offset = ${text(origin)}`,
    `CenterOfRotation = ${axes.map(() => 0).join(" ")}`,
    ...(n === 3 ? [orientation] : []),
    `ElementSpacing = ${text(spacing)}`,
    `DimSize = ${size.join(" ")}`,
    ...(n === 3 ? [] : [orientation]),
    `ElementType = MET_${bytesPerLabel === 1 ? "UCHAR" : "USHORT"}`,
    "ElementDataFile = LOCAL\n",
  ];
  return new TextEncoder().encode(lines.join("\n"));
}
