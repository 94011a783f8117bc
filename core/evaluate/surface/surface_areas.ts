/**
 * Areas of surface elements, of which one lies at each corner of voxels: in mm^2 by which of the eight voxels around it are inside;
 * in the plane the lengths of contours in mm by which of four are. The definition is that of DeepMind's package surface-distance
 * (surface_distance/lookup_tables.py, Apache-2.0): the areas of the triangles of marching cubes.
 */
import type { Vec3 } from "../../base/shape.ts";

/** The code of a corner whose voxels are all inside. */
export const ALL_INSIDE = { plane: 15, volume: 255 } as const;

/**
 * Of the codes 0 to 127 the triangles' normals, which are as long as the areas in a grid of 1 mm: three digits each, the sizes of z, y
 * and x in eighths. A code with all bits turned around has the same triangles.
 */
const NORMALS = (
  "- 111 111 220220 111 202202 111111 111222400 111 111111 202202 111222400 220220 111222400 111222400 400400 111 " +
  "022022 111111 040111222 111111 004111222 111111111 111111222222 111111 022022111 111202202 022111202333 " +
  "111220220 022111220333 111111222400 111222400 111 111111 022022 040111222 111111 111202202 022022111 " +
  "022111202333 111111 111111111 004111222 111111222222 111220220 111111222400 022111220333 111222400 220220 " +
  "040111222 040111222 040040 111220220 111202220333 040111111222 040111222 111220220 040111111222 111202220333 " +
  "040111222 220220220220 111220220 111220220 220220 111 111111 111111 111220220 022022 004111222 022022111 " +
  "022111220333 111111 111111111 111202202 111111222400 040111222 111111222222 022111202333 111222400 202202 " +
  "004111222 111202202 111202220333 004111222 004004 004111111222 004111222 111202202 004111111222 202202202202 " +
  "111202202 111202220333 004111222 111202202 202202 111111 111111111 022022111 040111111222 022022111 " +
  "004111111222 022022022022 022022111 111111111 111111111111 004111111222 111111111 040111111222 111111111 " +
  "022022111 111111 111222400 111111222222 022111202333 040111222 022111220333 004111222 022022111 022022 " +
  "111111222400 111111111 111202202 111111 111220220 111111 111111 111"
).split(" ");

/** By code, 0 to 255. Bits from the highest: (z, y, x) - (1, 1, 1), - (1, 1, 0), - (1, 0, 1), ..., - (0, 0, 0). */
export function surfaceAreas([z, y, x]: Vec3): Float64Array {
  const face = [y * x, z * x, z * y];
  return Float64Array.from({ length: 256 }, (_, code) => {
    const normals = NORMALS[Math.min(code, 255 - code)];
    let area = 0;
    for (let at = 0; at + 3 <= normals.length; at += 3) {
      const [a, b, c] = face.map((size, axis) => Number(normals[at + axis]) / 8 * size);
      area += Math.sqrt(a * a + b * b + c * c);
    }
    return area;
  });
}

/** By code, 0 to 15, of the four voxels of a plane: (y, x) - (1, 1), - (1, 0), - (0, 1), - (0, 0). */
export function contourLengths(y: number, x: number): Float64Array {
  const diagonal = 0.5 * Math.sqrt(y * y + x * x);
  return Float64Array.from({ length: 16 }, (_, code) => {
    if (code === 0 || code === 15) return 0;
    if (code === 0b0011 || code === 0b1100) return x;
    if (code === 0b0101 || code === 0b1010) return y;
    return code === 0b0110 || code === 0b1001 ? 2 * diagonal : diagonal;
  });
}
