/** How far two segmentations of one image agree, and where they do not. */
import type { Vec3 } from "../../base/shape.ts";
import { countOverlaps, dice, type Target } from "../overlap.ts";

/** Voxels from `low` to `high` (excluded), each (z, y, x). */
export interface VoxelBox {
  readonly low: Vec3;
  readonly high: Vec3;
}

/** Where voxels differ. */
export interface Place {
  readonly box: VoxelBox;
  /** The slice along z that has most of them, and how many it has. */
  readonly slice: number;
  readonly inSlice: number;
}

export interface TargetAgreement {
  /** {@link Target.key} */
  readonly key: string;
  /** Voxels here, in the reference, and in both. */
  readonly voxels: number;
  readonly referenceVoxels: number;
  readonly common: number;
  /** NaN where the target is in neither. */
  readonly dice: number;
  /** Of the voxels that are in one of the two only. */
  readonly where?: Place;
}

export interface Agreement {
  readonly voxels: number;
  readonly differing: number;
  readonly where?: Place;
  readonly targets: readonly TargetAgreement[];
}

/**
 * Compares two label volumes of the shape (z, y, x).
 * @throws RangeError if their lengths differ
 */
export function compareLabels(
  labels: ArrayLike<number>,
  reference: ArrayLike<number>,
  shape: Vec3,
  targets: readonly Target[],
): Agreement {
  const overlaps = countOverlaps(labels, reference, targets);
  const all = createPlace(shape);
  const places = targets.map(() => createPlace(shape));
  const members = new Map<number, Uint8Array>();
  const membersOf = (label: number): Uint8Array => {
    let found = members.get(label);
    if (!found) {
      found = Uint8Array.from(targets, (target) => target.labels.includes(label) ? 1 : 0);
      members.set(label, found);
    }
    return found;
  };
  for (let i = 0; i < labels.length; i++) {
    if (labels[i] === reference[i]) continue;
    all.add(i);
    const [a, b] = [membersOf(labels[i]), membersOf(reference[i])];
    for (let t = 0; t < places.length; t++) if (a[t] !== b[t]) places[t].add(i);
  }
  return {
    voxels: labels.length,
    differing: all.count(),
    ...all.where(),
    targets: targets.map(({ key }, t) => {
      const { TP, FP, FN } = overlaps[t];
      return {
        key,
        voxels: TP + FP,
        referenceVoxels: TP + FN,
        common: TP,
        dice: dice(overlaps[t]),
        ...places[t].where(),
      };
    }),
  };
}

interface GrowingPlace {
  add(voxel: number): void;
  count(): number;
  where(): { readonly where?: Place };
}

function createPlace([depth, height, width]: Vec3): GrowingPlace {
  const low = [depth, height, width];
  const high = [0, 0, 0];
  const perSlice = new Float64Array(depth);
  let count = 0;
  return {
    add(voxel) {
      const x = voxel % width;
      const row = (voxel - x) / width;
      const y = row % height;
      const z = (row - y) / height;
      if (z < low[0]) low[0] = z;
      if (y < low[1]) low[1] = y;
      if (x < low[2]) low[2] = x;
      if (z >= high[0]) high[0] = z + 1;
      if (y >= high[1]) high[1] = y + 1;
      if (x >= high[2]) high[2] = x + 1;
      perSlice[z]++;
      count++;
    },
    count: () => count,
    where() {
      if (count === 0) return {};
      const inSlice = perSlice.reduce((most, one) => Math.max(most, one), 0);
      const box = { low: [low[0], low[1], low[2]], high: [high[0], high[1], high[2]] } as const;
      return { where: { box, slice: perSlice.indexOf(inSlice), inSlice } };
    },
  };
}
