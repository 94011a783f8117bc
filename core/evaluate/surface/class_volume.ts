/** A segmentation as classes: labels by their number among those that are measured, and which targets each belongs to. */
import type { Vec3 } from "../../base/shape.ts";
import type { Target } from "../overlap.ts";

/** Labels as consecutive numbers. */
export interface Classes {
  /** How many, with class 0: what belongs to no target. */
  readonly count: number;
  readonly byLabel: ReadonlyMap<number, number>;
  readonly targets: number;
  /** By class: the targets that it is part of. */
  readonly targetsOf: readonly Uint16Array[];
  /** 1 at class * targets + target where the class is part of the target. */
  readonly members: Uint8Array;
}

export interface ClassVolume {
  /** Classes; (z, y, x). */
  readonly data: Int32Array;
  readonly shape: Vec3;
}

export function classesOf(targets: readonly Target[]): Classes {
  const labels = [...new Set(targets.flatMap(({ labels }) => labels))];
  const count = labels.length + 1;
  const members = new Uint8Array(count * targets.length);
  const targetsOf = [
    new Uint16Array(0),
    ...labels.map((label, i) => {
      const having = targets.flatMap((target, t) => target.labels.includes(label) ? [t] : []);
      for (const t of having) members[(i + 1) * targets.length + t] = 1;
      return Uint16Array.from(having);
    }),
  ];
  return {
    count,
    byLabel: new Map(labels.map((label, i) => [label, i + 1])),
    targets: targets.length,
    targetsOf,
    members,
  };
}

/**
 * Replaces labels by classes, in place. Voxels whose reference is `ignoreLabel` become class 0 in both, as in MONAI's metrics under
 * `ignore_index`.
 */
export function toClasses(
  prediction: Int32Array,
  reference: Int32Array,
  { byLabel }: Classes,
  ignoreLabel?: number,
): void {
  let [label, found] = [0, byLabel.get(0) ?? 0];
  const classOf = (value: number): number => {
    if (value === label) return found;
    label = value;
    return found = byLabel.get(value) ?? 0;
  };
  if (ignoreLabel !== undefined) {
    // Neither is a class then: a label that none of the targets has.
    let none = 0;
    while (byLabel.has(none) || none === ignoreLabel) none++;
    for (let i = 0; i < reference.length; i++) {
      if (reference[i] === ignoreLabel) prediction[i] = reference[i] = none;
    }
  }
  for (let i = 0; i < reference.length; i++) reference[i] = classOf(reference[i]);
  for (let i = 0; i < prediction.length; i++) prediction[i] = classOf(prediction[i]);
}
