/**
 * Exact distances from the points of one surface to the nearest of another, by a tree of boxes over the latter. Surfaces have few points
 * beside the voxels of the boxes they lie in, so this takes far less time and memory than a distance transform, and a stray voxel at
 * the other end of the image costs nothing.
 */
import type { Vec3 } from "../../base/shape.ts";

/** Points of a grid (z, y, x), given by their indices. */
export interface GridPoints {
  readonly indices: Uint32Array;
  readonly grid: Vec3;
  /** mm between neighbours (z, y, x). */
  readonly spacing: Vec3;
}

/** A balanced binary tree; node n has the nodes 2n and 2n + 1 below it, and the last level the points. */
interface Tree {
  readonly z: Int32Array;
  readonly y: Int32Array;
  readonly x: Int32Array;
  /** First node of the last level. */
  readonly leaves: number;
  /** Of the points of a node: start and end. */
  readonly ranges: Int32Array;
  /** Lowest and highest z, y, x of a node's points. */
  readonly boxes: Int32Array;
}

const LEAF_POINTS = 12;

/** Bytes of a tree by its points: their coordinates, and at most a third of as many nodes of 32 bytes. */
export const TREE_BYTES_PER_POINT = 23;

/**
 * Distances in mm from each of `points` to the nearest of `others`, of the same grid; infinite where there is none. As in scipy's
 * distance transform: the root of the sum of squares in the order z, y, x.
 */
export function nearestDistances(points: GridPoints, others: Uint32Array): Float64Array {
  const tree = buildTree({ ...points, indices: others });
  const distances = new Float64Array(points.indices.length);
  const find = finder(tree, points.spacing, 0);
  eachPoint(points, others, (i, z, y, x, coincides) => {
    distances[i] = coincides ? 0 : Math.sqrt(find(z, y, x, Infinity));
  });
  return distances;
}

/** For each of `points` 1 if one of `others` lies within `tolerance` mm, else 0. */
export function within(points: GridPoints, others: Uint32Array, tolerance: number): Uint8Array {
  const near = new Uint8Array(points.indices.length);
  const square = tolerance * tolerance;
  // Whether a root is above the tolerance is said by the root itself; squares only decide where to look.
  const bound = square * (1 + 1e-12) + Number.MIN_VALUE;
  const tree = buildTree({ ...points, indices: others });
  const find = finder(tree, points.spacing, square * (1 - 1e-12));
  eachPoint(points, others, (i, z, y, x, coincides) => {
    if (coincides) near[i] = 1;
    else {
      const found = find(z, y, x, bound);
      near[i] = found < bound && Math.sqrt(found) <= tolerance ? 1 : 0;
    }
  });
  return near;
}

/** Goes through points in order, and tells whether the same point is among `others`; both are sorted. */
function eachPoint(
  { indices, grid: [, height, width] }: GridPoints,
  others: Uint32Array,
  visit: (i: number, z: number, y: number, x: number, coincides: boolean) => void,
): void {
  let other = 0;
  for (let i = 0; i < indices.length; i++) {
    const index = indices[i];
    while (other < others.length && others[other] < index) other++;
    const line = Math.floor(index / width);
    const z = Math.floor(line / height);
    visit(i, z, line - z * height, index - line * width, other < others.length && others[other] === index);
  }
}

function buildTree({ indices, grid: [, height, width], spacing }: GridPoints): Tree {
  const count = indices.length;
  const [z, y, x] = [new Int32Array(count), new Int32Array(count), new Int32Array(count)];
  for (let i = 0; i < count; i++) {
    const line = Math.floor(indices[i] / width);
    z[i] = Math.floor(line / height);
    y[i] = line - z[i] * height;
    x[i] = indices[i] - line * width;
  }
  let leaves = 1;
  while (leaves * LEAF_POINTS < count) leaves *= 2;
  const ranges = new Int32Array(4 * leaves);
  const boxes = new Int32Array(12 * leaves);
  ranges[2] = 0;
  ranges[3] = count;
  for (let node = 1; node < 2 * leaves; node++) {
    const [from, to] = [ranges[2 * node], ranges[2 * node + 1]];
    const axis = boxOf([z, y, x], from, to, boxes, 6 * node, spacing);
    if (node >= leaves) continue;
    const middle = (from + to) >> 1;
    const [key, second, third] = axis === 0 ? [z, y, x] : axis === 1 ? [y, z, x] : [x, z, y];
    selectMiddle(key, second, third, from, to - 1, middle);
    ranges.set([from, middle, middle, to], 4 * node);
  }
  return { z, y, x, leaves, ranges, boxes };
}

/** Writes the box of points; gives the axis along which it is longest. */
function boxOf(
  axes: readonly Int32Array[],
  from: number,
  to: number,
  boxes: Int32Array,
  at: number,
  spacing: Vec3,
): number {
  let [longest, length] = [0, -1];
  axes.forEach((values, axis) => {
    let [low, high] = [values[from], values[from]];
    for (let i = from + 1; i < to; i++) {
      const value = values[i];
      if (value < low) low = value;
      else if (value > high) high = value;
    }
    boxes[at + 2 * axis] = low;
    boxes[at + 2 * axis + 1] = high;
    if ((high - low) * spacing[axis] <= length) return;
    length = (high - low) * spacing[axis];
    longest = axis;
  });
  return longest;
}

/** Orders points so that none before `middle` has a larger key than any from it on (Hoare's selection). */
function selectMiddle(
  key: Int32Array,
  second: Int32Array,
  third: Int32Array,
  from: number,
  to: number,
  middle: number,
): void {
  while (from < to) {
    const pivot = median(key[from], key[(from + to) >> 1], key[to]);
    let [i, j] = [from, to];
    while (i <= j) {
      while (key[i] < pivot) i++;
      while (key[j] > pivot) j--;
      if (i > j) break;
      const [a, b, c] = [key[i], second[i], third[i]];
      key[i] = key[j];
      second[i] = second[j];
      third[i] = third[j];
      key[j] = a;
      second[j] = b;
      third[j] = c;
      i++;
      j--;
    }
    if (middle <= j) to = j;
    else if (middle >= i) from = i;
    else return;
  }
}

function median(a: number, b: number, c: number): number {
  return Math.max(Math.min(a, b), Math.min(Math.max(a, b), c));
}

/**
 * Gives the least squared distance in mm^2 from a point to the tree's, or `bound` where none is nearer; of several that are not above
 * `enough` any. Points asked for one after the other are near each other: the last one's nearest point is tried first.
 */
function finder(
  { z, y, x, leaves, ranges, boxes }: Tree,
  [sz, sy, sx]: Vec3,
  enough: number,
): (qz: number, qy: number, qx: number, bound: number) => number {
  const nodes = new Int32Array(128);
  const squares = new Float64Array(128);
  let last = 0;
  const toBox = (node: number, qz: number, qy: number, qx: number): number => {
    const at = 6 * node;
    const dz = (qz < boxes[at] ? boxes[at] - qz : qz > boxes[at + 1] ? qz - boxes[at + 1] : 0) * sz;
    const dy = (qy < boxes[at + 2] ? boxes[at + 2] - qy : qy > boxes[at + 3] ? qy - boxes[at + 3] : 0) * sy;
    const dx = (qx < boxes[at + 4] ? boxes[at + 4] - qx : qx > boxes[at + 5] ? qx - boxes[at + 5] : 0) * sx;
    return dz * dz + dy * dy + dx * dx;
  };
  const toPoint = (i: number, qz: number, qy: number, qx: number): number => {
    const [dz, dy, dx] = [(z[i] - qz) * sz, (y[i] - qy) * sy, (x[i] - qx) * sx];
    return dz * dz + dy * dy + dx * dx;
  };
  return (qz, qy, qx, bound) => {
    if (z.length === 0) return bound; // nowhere
    let best = Math.min(bound, toPoint(last, qz, qy, qx));
    nodes[0] = 1;
    squares[0] = toBox(1, qz, qy, qx);
    for (let top = 0; top >= 0 && best > enough;) {
      let node = nodes[top];
      if (squares[top--] >= best) continue;
      let reached = true;
      while (node < leaves) {
        const [left, right] = [toBox(2 * node, qz, qy, qx), toBox(2 * node + 1, qz, qy, qx)];
        const leftFirst = left <= right;
        const further = leftFirst ? right : left;
        if (further < best) {
          nodes[++top] = 2 * node + (leftFirst ? 1 : 0);
          squares[top] = further;
        }
        if ((leftFirst ? left : right) >= best) {
          reached = false;
          break;
        }
        node = 2 * node + (leftFirst ? 0 : 1);
      }
      if (!reached) continue;
      for (let i = ranges[2 * node]; i < ranges[2 * node + 1]; i++) {
        const square = toPoint(i, qz, qy, qx);
        if (square < best) {
          best = square;
          last = i;
        }
      }
    }
    return best;
  };
}
