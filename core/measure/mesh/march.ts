/**
 * The surface of one class of a label volume, closed at the volume's borders too: triangles row by row, so that what is held are two planes
 * of the class's box. Its volume is known exactly at the end.
 */
import type { Vec3 } from "../../base/shape.ts";
import type { CubeTable } from "./cube_table.ts";

/** Where a class is in its volume: from `low` on, `high` excluded; x, y, z. */
export interface VoxelBox {
  readonly low: Vec3;
  readonly high: Vec3;
}

export interface MarchedVolume {
  /** Consecutive numbers of labels; (z, y, x). */
  readonly data: Uint8Array | Uint16Array;
  readonly shape: Vec3;
  /** 1 for the numbers that make up the class. */
  readonly members: Uint8Array;
  readonly box: VoxelBox;
  readonly table: CubeTable;
}

/** Triangles of a row of cubes. */
export interface TriangleRow {
  /** Three vertices a triangle, x, y, z in half voxels from the centre of voxel 0; only valid until the next row is asked for. */
  readonly vertices: Int32Array;
  readonly triangles: number;
}

/** Numbers of a triangle. */
const NUMBERS = 9;
const MOST_TRIANGLES = 5;
/** Bits of a cube's corners by those of one of its sides, which has every second corner. */
const SPREAD = Uint8Array.from({ length: 16 }, (_, i) => i & 1 | (i & 2) << 1 | (i & 4) << 2 | (i & 8) << 3);

/**
 * Rows of the surface, those at lower z and then y first; each belongs to the cubes whose lower corners are at one y and z. Seen from outside
 * of the class a triangle's vertices are counterclockwise where (x, y, z) is right-handed.
 */
export function* marchClass(
  { data, shape, members, box: { low, high }, table }: MarchedVolume,
): Generator<TriangleRow> {
  // One voxel of background around the box.
  const [width, height] = [high[0] - low[0] + 2, high[1] - low[1] + 2];
  const fill = (plane: Uint8Array, z: number) => {
    plane.fill(0);
    if (z < low[2] || z >= high[2]) return;
    for (let y = low[1]; y < high[1]; y++) {
      const row = (z * shape[1] + y) * shape[2];
      const target = (y - low[1] + 1) * width + 1 - low[0];
      for (let x = low[0]; x < high[0]; x++) plane[target + x] = members[data[row + x]];
    }
  };
  let [lower, upper] = [new Uint8Array(width * height), new Uint8Array(width * height)];
  const vertices = new Int32Array(NUMBERS * MOST_TRIANGLES * width);
  for (let z = low[2] - 1; z < high[2]; z++) {
    fill(upper, z + 1);
    for (let y = 0; y + 1 < height; y++) {
      const at: Vec3 = [low[0] - 1, low[1] - 1 + y, z];
      const triangles = marchRow(lower, upper, y * width, width, at, table, vertices);
      if (triangles > 0) yield { vertices, triangles };
    }
    [lower, upper] = [upper, lower];
  }
}

/** @param row Where the row begins in both planes. @param first Position of the first cube's corner 0. @returns how many triangles */
function marchRow(
  lower: Uint8Array,
  upper: Uint8Array,
  row: number,
  width: number,
  first: Vec3,
  { edges, triangles }: CubeTable,
  vertices: Int32Array,
): number {
  let count = 0;
  let side = 0;
  for (let x = 0; x < width; x++) {
    const i = row + x;
    const next = lower[i] | lower[i + width] << 1 | upper[i] << 2 | upper[i + width] << 3;
    // Before the first corner there is no cube, and background is before it as it is there.
    if (next !== side || (side !== 0 && side !== 15)) {
      const found = triangles[SPREAD[side] | SPREAD[next] << 1];
      for (const edge of found) {
        const { x: ex, y: ey, z: ez } = edges[edge];
        vertices[count++] = 2 * (first[0] + x - 1) + ex;
        vertices[count++] = 2 * first[1] + ey;
        vertices[count++] = 2 * first[2] + ez;
      }
    }
    side = next;
  }
  return count / NUMBERS;
}

/** Six times the volume between triangles and `centre`, in cubes of half a voxel: exact as long as it is below 2^53. */
export function sixfoldVolume({ vertices: v, triangles }: TriangleRow, [cx, cy, cz]: Vec3): number {
  let sum = 0;
  for (let i = 0; i < NUMBERS * triangles; i += NUMBERS) {
    const [ax, ay, az] = [v[i] - cx, v[i + 1] - cy, v[i + 2] - cz];
    const [bx, by, bz] = [v[i + 3] - cx, v[i + 4] - cy, v[i + 5] - cz];
    const [dx, dy, dz] = [v[i + 6] - cx, v[i + 7] - cy, v[i + 8] - cz];
    sum += ax * (by * dz - bz * dy) + ay * (bz * dx - bx * dz) + az * (bx * dy - by * dx);
  }
  return sum;
}
