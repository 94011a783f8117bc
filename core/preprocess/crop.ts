/**
 * The region that holds the image: the bounding box of the voxels that are not zero in some channel, and the mask of that region
 * with its holes filled. Sources: nnunetv2/preprocessing/cropping/cropping.py, scipy's binary_fill_holes (6 neighbours).
 */
import type { Vec3 } from "../base/shape.ts";

/** Half-open [low, high) per axis. */
export type BoundingBox = readonly [readonly [number, number], readonly [number, number], readonly [number, number]];

/** Of (channels, z, y, x): the box of voxels that are not zero in some channel; the whole grid where there are none. */
export function nonzeroBoundingBox(data: Float32Array, channels: number, shape: Vec3): BoundingBox {
  const [depth, height, width] = shape;
  const low = [depth, height, width];
  const high = [0, 0, 0];
  for (let c = 0; c < channels; c++) {
    for (let z = 0; z < depth; z++) {
      for (let y = 0; y < height; y++) {
        const start = ((c * depth + z) * height + y) * width;
        // Only what could widen the box is looked at, once its rows are known to belong to it.
        const inside = z >= low[0] && z < high[0] && y >= low[1] && y < high[1];
        const leftEnd = inside ? low[2] : width;
        let left = 0;
        while (left < leftEnd && data[start + left] === 0) left++;
        if (left === width) continue;
        const rightEnd = Math.max(inside ? high[2] : 0, left + (inside ? 0 : 1));
        let right = width;
        while (right > rightEnd && data[start + right - 1] === 0) right--;
        low[2] = Math.min(low[2], left);
        high[2] = Math.max(high[2], right);
        low[1] = Math.min(low[1], y);
        high[1] = Math.max(high[1], y + 1);
        low[0] = Math.min(low[0], z);
        high[0] = Math.max(high[0], z + 1);
      }
    }
  }
  if (high[0] === 0) return [[0, depth], [0, height], [0, width]];
  return [[low[0], high[0]], [low[1], high[1]], [low[2], high[2]]];
}

/** A box of a volume, axes permuted: what is read, in which order. */
export interface CropView {
  /** Element of the box's first voxel. */
  readonly offset: number;
  /** Element steps along the result's axes. */
  readonly strides: Vec3;
  /** Shape of the result. */
  readonly shape: Vec3;
}

/** Edge of the tiles in which an axis with stride 1 is exchanged with the last one. */
const TILE = 32;

/** Copies the view into `target`, contiguous. */
export function copyCrop<T extends Float32Array | Int16Array>(source: T, view: CropView, target: T): void {
  const [n0, n1, n2] = view.shape;
  const [s0, s1, s2] = view.strides;
  if (s2 === 1) {
    for (let a = 0; a < n0; a++) {
      for (let b = 0; b < n1; b++) {
        const from = view.offset + a * s0 + b * s1;
        target.set(source.subarray(from, from + n2), (a * n1 + b) * n2);
      }
    }
    return;
  }
  // One of the first two axes is adjacent in the source, the last one in the target: tiles over both.
  const inner = s0 === 1 ? 0 : 1;
  const outer = 1 - inner;
  const targetStrides = [n1 * n2, n2];
  for (let a = 0; a < view.shape[outer]; a++) {
    const from = view.offset + a * view.strides[outer];
    const to = a * targetStrides[outer];
    for (let b0 = 0; b0 < view.shape[inner]; b0 += TILE) {
      const b1 = Math.min(b0 + TILE, view.shape[inner]);
      for (let c0 = 0; c0 < n2; c0 += TILE) {
        const c1 = Math.min(c0 + TILE, n2);
        for (let b = b0; b < b1; b++) {
          const in0 = from + b * view.strides[inner];
          const out0 = to + b * targetStrides[inner];
          for (let c = c0; c < c1; c++) target[out0 + c] = source[in0 + c * s2];
        }
      }
    }
  }
}

const HOLE_OR_UNSEEN = 0;
const NONZERO = 1;
const OUTSIDE = 2;

/** Adds a channel's nonzero voxels to a mask of the same view. */
export function markNonzero(source: Float32Array, view: CropView, mask: Uint8Array): void {
  const [n0, n1, n2] = view.shape;
  const [s0, s1, s2] = view.strides;
  let out = 0;
  for (let a = 0; a < n0; a++) {
    for (let b = 0; b < n1; b++) {
      const from = view.offset + a * s0 + b * s1;
      for (let c = 0; c < n2; c++, out++) if (source[from + c * s2] !== 0) mask[out] = NONZERO;
    }
  }
}

/**
 * Fills the holes of a mask of 0 and 1 in place: what can't be reached from the border of the grid through faces becomes 1. The
 * bounding box's border may stand for the image's, since everything between them is outside.
 */
export function fillHoles(mask: Uint8Array, shape: Vec3): void {
  const [depth, height, width] = shape;
  let stack = new Int32Array(1024);
  let size = 0;
  /** Notes the first voxel of each run of unseen voxels in [from, to] of a row. */
  const push = (row: number, from: number, to: number) => {
    for (let x = from; x <= to; x++) {
      if (mask[row + x] !== HOLE_OR_UNSEEN || (x > from && mask[row + x - 1] === HOLE_OR_UNSEEN)) continue;
      if (size === stack.length) {
        const larger = new Int32Array(2 * size);
        larger.set(stack);
        stack = larger;
      }
      stack[size++] = row + x;
    }
  };
  const spread = () => {
    while (size > 0) {
      const voxel = stack[--size];
      if (mask[voxel] !== HOLE_OR_UNSEEN) continue;
      const x = voxel % width;
      const row = voxel - x;
      const y = (row / width) % height;
      const z = Math.floor(row / (width * height));
      let left = x;
      while (left > 0 && mask[row + left - 1] === HOLE_OR_UNSEEN) left--;
      let right = x;
      while (right + 1 < width && mask[row + right + 1] === HOLE_OR_UNSEEN) right++;
      mask.fill(OUTSIDE, row + left, row + right + 1);
      if (y > 0) push(row - width, left, right);
      if (y + 1 < height) push(row + width, left, right);
      if (z > 0) push(row - width * height, left, right);
      if (z + 1 < depth) push(row + width * height, left, right);
    }
  };
  for (let z = 0; z < depth; z++) {
    for (let y = 0; y < height; y++) {
      const row = (z * height + y) * width;
      if (z === 0 || z === depth - 1 || y === 0 || y === height - 1) push(row, 0, width - 1);
      else {
        push(row, 0, 0);
        push(row, width - 1, width - 1);
      }
      spread();
    }
  }
  for (let i = 0; i < mask.length; i++) mask[i] = mask[i] === OUTSIDE ? 0 : 1;
}
