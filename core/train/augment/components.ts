/**
 * Removal of one small component of a mask. Source: batchgeneratorsv2/transforms/nnunet/remove_connected_components.py (0.3.6).
 */
import { type Vec3, voxelCount } from "../../base/shape.ts";

/** Components that are not smaller than this share of the patch are kept. */
const LARGEST_SHARE = 0.15;

/** Runs of set voxels along x, in order; voxels that touch, if only at a corner, have the same root. */
interface Runs {
  readonly begin: Int32Array;
  readonly end: Int32Array;
  readonly root: Int32Array;
  /** Of row r: firstOfRow[r]..firstOfRow[r + 1]. */
  readonly firstOfRow: Int32Array;
}

/** Empties one component of `mask` (size); `choice` in [0, 1) picks it among the small ones. */
export function removeComponent(mask: Float32Array, size: Vec3, choice: number): void {
  const runs = joinRuns(findRuns(mask, size), size);
  const { begin, end, root } = runs;
  const sizes = new Int32Array(root.length);
  for (let i = 0; i < root.length; i++) sizes[root[i]] += end[i] - begin[i];
  const limit = LARGEST_SHARE * voxelCount(size);
  const small: number[] = [];
  sizes.forEach((voxels, index) => {
    if (voxels > 0 && voxels < limit) small.push(index);
  });
  if (small.length === 0) return;
  const chosen = small[Math.floor(choice * small.length)];
  for (let i = 0; i < root.length; i++) if (root[i] === chosen) mask.fill(0, begin[i], end[i]);
}

function findRuns(mask: Float32Array, [depth, height, width]: Vec3): Runs {
  const rows = depth * height;
  let count = 0;
  for (let row = 0; row < rows; row++) {
    let before = 0;
    for (let i = row * width; i < (row + 1) * width; i++) {
      if (mask[i] !== 0 && before === 0) count++;
      before = mask[i];
    }
  }
  const [begin, end, root] = [new Int32Array(count), new Int32Array(count), new Int32Array(count)];
  const firstOfRow = new Int32Array(rows + 1);
  let at = 0;
  for (let row = 0; row < rows; row++) {
    firstOfRow[row] = at;
    let before = 0;
    for (let i = row * width; i < (row + 1) * width; i++) {
      if (mask[i] !== 0 && before === 0) [begin[at], root[at]] = [i, at];
      if (mask[i] === 0 && before !== 0) end[at++] = i;
      before = mask[i];
    }
    if (before !== 0) end[at++] = (row + 1) * width;
  }
  firstOfRow[rows] = at;
  return { begin, end, root, firstOfRow };
}

/** Joins runs that touch; every run's root is then its component's first run. */
function joinRuns(runs: Runs, [depth, height, width]: Vec3): Runs {
  const { root } = runs;
  for (let z = 0; z < depth; z++) {
    for (let y = 0; y < height; y++) {
      const row = z * height + y;
      if (y > 0) joinRows(runs, row - 1, row, width);
      if (z === 0) continue;
      for (let other = Math.max(y - 1, 0); other <= Math.min(y + 1, height - 1); other++) {
        joinRows(runs, (z - 1) * height + other, row, width);
      }
    }
  }
  for (let i = 0; i < root.length; i++) root[i] = root[root[i]];
  return runs;
}

/** Joins the touching runs of two neighbouring rows. */
function joinRows({ begin, end, root, firstOfRow }: Runs, a: number, b: number, width: number): void {
  const shift = (b - a) * width;
  let i = firstOfRow[a];
  let j = firstOfRow[b];
  while (i < firstOfRow[a + 1] && j < firstOfRow[b + 1]) {
    // Diagonal neighbours touch too.
    if (begin[i] + shift <= end[j] && begin[j] <= end[i] + shift) join(root, i, j);
    if (end[i] + shift < end[j]) i++;
    else j++;
  }
}

function join(root: Int32Array, i: number, j: number): void {
  const a = find(root, i);
  const b = find(root, j);
  if (a < b) root[b] = a;
  else root[a] = b;
}

function find(root: Int32Array, i: number): number {
  while (root[i] !== i) {
    root[i] = root[root[i]];
    i = root[i];
  }
  return i;
}
