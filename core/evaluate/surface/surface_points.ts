/**
 * Where the surfaces of all targets of a segmentation are, found in one pass over its voxels: corners of voxels that lie on a surface
 * (DeepMind's surface elements), and voxels at the edge of a target (MONAI's edges). Outside of the image nothing is inside.
 */
import { ALL_INSIDE } from "./surface_areas.ts";
import type { Classes, ClassVolume } from "./class_volume.ts";

/** The points of one target, in the order of their index. */
export interface SurfacePoints {
  /** Into the grid of corners, (z + 1, y + 1, x + 1) points and (1, y + 1, x + 1) in the plane, or into that of voxels. */
  readonly indices: Uint32Array;
  /** Of corners: which voxels around them are inside. */
  readonly codes?: Uint8Array;
}

/** Is told of a point, in the order of the indices within each target. */
type Visit = (target: number, index: number, code: number) => void;

export type FindPoints = (volume: ClassVolume, classes: Classes, planar: boolean, visit: Visit) => void;

/** Points by target. Finding them twice takes less memory than lists that grow. */
export function countPoints(find: FindPoints, volume: ClassVolume, classes: Classes, planar: boolean): Float64Array {
  const counts = new Float64Array(classes.targets);
  find(volume, classes, planar, (target) => {
    counts[target]++;
  });
  return counts;
}

/** @param counts Those of {@link countPoints} */
export function collectPoints(
  find: FindPoints,
  volume: ClassVolume,
  classes: Classes,
  planar: boolean,
  counts: Float64Array,
): SurfacePoints[] {
  const indices = Array.from(counts, (count) => new Uint32Array(count));
  const codes = find === findCorners ? Array.from(counts, (count) => new Uint8Array(count)) : undefined;
  const next = new Float64Array(classes.targets);
  find(volume, classes, planar, (target, index, code) => {
    const at = next[target]++;
    indices[target][at] = index;
    if (codes) codes[target][at] = code;
  });
  return indices.map((ofTarget, t) => ({ indices: ofTarget, ...(codes && { codes: codes[t] }) }));
}

/** Corners at which some of the voxels around are inside of a target and some are not. */
export function findCorners(
  { data, shape: [depth, height, width] }: ClassVolume,
  classes: Classes,
  planar: boolean,
  visit: Visit,
): void {
  const outside = new Int32Array(width);
  const row = (z: number, y: number) => {
    if (z < 0 || z >= depth || y < 0 || y >= height) return outside;
    const start = (z * height + y) * width;
    return data.subarray(start, start + width);
  };
  const mixed = mixedCorner(classes, planar ? ALL_INSIDE.plane : ALL_INSIDE.volume, visit);
  for (let z = 0; z < (planar ? 1 : depth + 1); z++) {
    for (let y = 0; y <= height; y++) {
      const start = (z * (height + 1) + y) * (width + 1);
      scanCorners(row(z - 1, y - 1), row(z - 1, y), row(z, y - 1), row(z, y), start, mixed);
    }
  }
}

/** The eight classes around a corner: lower z first, then lower y, then lower x. */
type MixedCorner = (
  index: number,
  a0: number,
  a1: number,
  b0: number,
  b1: number,
  c0: number,
  c1: number,
  d0: number,
  d1: number,
) => void;

/** Corners between four rows of voxels; most lie in one class and are passed over. */
function scanCorners(
  a: Int32Array,
  b: Int32Array,
  c: Int32Array,
  d: Int32Array,
  start: number,
  mixed: MixedCorner,
): void {
  const width = a.length;
  let [a0, b0, c0, d0] = [0, 0, 0, 0];
  let uniform = true;
  for (let x = 0; x < width; x++) {
    const a1 = a[x];
    const b1 = b[x];
    const c1 = c[x];
    const d1 = d[x];
    const now = a1 === b1 && a1 === c1 && a1 === d1;
    if (!(now && uniform && a0 === a1)) mixed(start + x, a0, a1, b0, b1, c0, c1, d0, d1);
    a0 = a1;
    b0 = b1;
    c0 = c1;
    d0 = d1;
    uniform = now;
  }
  if (!(uniform && a0 === 0)) mixed(start + width, a0, 0, b0, 0, c0, 0, d0, 0);
}

/** Tells of each target that has some of the voxels around a corner and not all of them. */
function mixedCorner({ targets, targetsOf }: Classes, allInside: number, visit: Visit): MixedCorner {
  const codes = new Uint8Array(targets);
  const touched = new Uint16Array(targets);
  let count = 0;
  const add = (one: number, bit: number) => {
    if (one === 0) return;
    const having = targetsOf[one];
    for (let i = 0; i < having.length; i++) {
      const target = having[i];
      if (codes[target] === 0) touched[count++] = target;
      codes[target] |= bit;
    }
  };
  return (index, a0, a1, b0, b1, c0, c1, d0, d1) => {
    count = 0;
    add(a0, 128);
    add(a1, 64);
    add(b0, 32);
    add(b1, 16);
    add(c0, 8);
    add(c1, 4);
    add(d0, 2);
    add(d1, 1);
    for (let i = 0; i < count; i++) {
      const target = touched[i];
      if (codes[target] !== allInside) visit(target, index, codes[target]);
      codes[target] = 0;
    }
  };
}

/** Voxels of a target that have a neighbour across a face (or, in the plane, an edge) that is not of it. */
export function findEdges(
  { data, shape: [depth, height, width] }: ClassVolume,
  { targets, targetsOf, members }: Classes,
  planar: boolean,
  visit: Visit,
): void {
  const plane = height * width;
  const neighbours = new Int32Array(planar ? 4 : 6);
  let i = -1;
  for (let z = 0; z < depth; z++) {
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const own = data[++i];
        if (own === 0) continue;
        neighbours[0] = x > 0 ? data[i - 1] : 0;
        neighbours[1] = x < width - 1 ? data[i + 1] : 0;
        neighbours[2] = y > 0 ? data[i - width] : 0;
        neighbours[3] = y < height - 1 ? data[i + width] : 0;
        let same = neighbours[0] === own && neighbours[1] === own && neighbours[2] === own && neighbours[3] === own;
        if (!planar) {
          neighbours[4] = z > 0 ? data[i - plane] : 0;
          neighbours[5] = z < depth - 1 ? data[i + plane] : 0;
          same &&= neighbours[4] === own && neighbours[5] === own;
        }
        if (same) continue;
        const having = targetsOf[own];
        for (let t = 0; t < having.length; t++) {
          let inside = 1;
          for (let n = 0; n < neighbours.length; n++) inside &= members[neighbours[n] * targets + having[t]];
          if (inside === 0) visit(having[t], i, 0);
        }
      }
    }
  }
}
