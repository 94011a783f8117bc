/** Headers of segmentations as SimpleITK 2.5.7 writes them: of the image's header nothing but its geometry is kept. */
import type { SitkGeometry } from "../image.ts";
import { exactNumber } from "../itk/number_text.ts";

/** The header with the empty line behind it; voxels follow as gzip, little-endian. `size` is (x, y[, z]). */
export function nrrdHeader(size: readonly number[], geometry: SitkGeometry, bytesPerLabel: 1 | 2): Uint8Array {
  const { spacing, origin, direction } = geometry;
  const n = spacing.length;
  const axes = spacing.map((_, i) => i);
  // No negative zeros.
  const vector = (values: readonly number[]) => `(${values.map((value) => exactNumber(value + 0)).join(",")})`;
  const directions = axes.map((axis) => vector(axes.map((row) => spacing[axis] * direction[row * n + axis])));
  const lines = [
    "NRRD0004",
    "# Complete NRRD file format specification at:",
    "# http://teem.sourceforge.net/nrrd/format.html",
    `type: unsigned ${bytesPerLabel === 1 ? "char" : "short"}`,
    `dimension: ${n}`,
    n === 3 ? "space: left-posterior-superior" : `space dimension: ${n}`,
    `sizes: ${size.join(" ")}`,
    `space directions: ${directions.join(" ")}`,
    `kinds: ${axes.map(() => "domain").join(" ")}`,
    ...(bytesPerLabel === 1 ? [] : ["endian: little"]),
    "encoding: gzip",
    `space origin: ${vector(origin)}`,
    "\n",
  ];
  return new TextEncoder().encode(lines.join("\n"));
}
