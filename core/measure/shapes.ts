/** How large each class of a label volume is and where, in one pass over it. */
import type { Vec3 } from "../base/shape.ts";
import type { VoxelBox } from "./mesh/march.ts";

/** A label volume in which labels are consecutive numbers; (z, y, x). */
export interface NumberedVolume {
  readonly data: Uint8Array | Uint16Array;
  readonly shape: Vec3;
}

export interface Shape {
  readonly voxels: number;
  /** Mean position of its voxels' centres, x, y, z in voxels; undefined of none. */
  readonly centroid?: Vec3;
  /** Undefined of none. */
  readonly box?: VoxelBox;
}

/** Sums over a number's voxels: count, then x, y, z of their positions, then the lowest and highest x, y, z. */
const FIELDS = 10;

/** @param members By class: 1 for the numbers that make it up. @param numbers How many there are, 0 among them */
export function measureShapes(
  volume: NumberedVolume,
  members: readonly Uint8Array[],
  numbers: number,
): Shape[] {
  const table = sumUp(volume, numbers);
  return members.map((of) => {
    let voxels = 0;
    const sum = [0, 0, 0];
    const [low, high] = [[Infinity, Infinity, Infinity], [-1, -1, -1]];
    for (let number = 0; number < numbers; number++) {
      const at = number * FIELDS;
      if (of[number] === 0 || table[at] === 0) continue;
      voxels += table[at];
      for (let axis = 0; axis < 3; axis++) {
        sum[axis] += table[at + 1 + axis];
        low[axis] = Math.min(low[axis], table[at + 4 + axis]);
        high[axis] = Math.max(high[axis], table[at + 7 + axis] + 1);
      }
    }
    if (voxels === 0) return { voxels };
    return {
      voxels,
      centroid: [sum[0] / voxels, sum[1] / voxels, sum[2] / voxels],
      box: { low: [low[0], low[1], low[2]], high: [high[0], high[1], high[2]] },
    };
  });
}

/** Sums of whole numbers, exact: of a volume of 2^32 voxels they stay below 2^53. Number 0 is left out. */
function sumUp({ data, shape: [depth, height, width] }: NumberedVolume, numbers: number): Float64Array {
  const table = new Float64Array(FIELDS * numbers);
  for (let number = 0; number < numbers; number++) {
    table.fill(Infinity, FIELDS * number + 4, FIELDS * number + 7);
    table.fill(-1, FIELDS * number + 7, FIELDS * number + 10);
  }
  for (let z = 0; z < depth; z++) {
    for (let y = 0; y < height; y++) {
      const row = (z * height + y) * width;
      for (let x = 0; x < width;) {
        const number = data[row + x];
        let end = x + 1;
        while (end < width && data[row + end] === number) end++;
        if (number !== 0) addRun(table, number * FIELDS, x, end - 1, y, z);
        x = end;
      }
    }
  }
  return table;
}

/** Voxels from x to `last` of a row. */
function addRun(table: Float64Array, at: number, x: number, last: number, y: number, z: number): void {
  const count = last - x + 1;
  table[at] += count;
  table[at + 1] += (x + last) * count / 2;
  table[at + 2] += y * count;
  table[at + 3] += z * count;
  if (x < table[at + 4]) table[at + 4] = x;
  if (y < table[at + 5]) table[at + 5] = y;
  if (z < table[at + 6]) table[at + 6] = z;
  if (last > table[at + 7]) table[at + 7] = last;
  if (y > table[at + 8]) table[at + 8] = y;
  if (z > table[at + 9]) table[at + 9] = z;
}
