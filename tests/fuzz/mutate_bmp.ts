/** Mutations of BMP files: the headers' fields set to other and to extreme values. */
import { mutateBytes, putExtreme } from "./mutate_bytes.ts";
import type { Random } from "./random.ts";

/** Offset and bytes of the fields. */
const FIELDS: readonly (readonly [offset: number, width: number])[] = [
  ...[10, 14, 18, 22, 30, 34, 46, 54, 58, 62, 66].map((offset) => [offset, 4] as const),
  ...[26, 28].map((offset) => [offset, 2] as const),
];
const VALUES = [0, 1, 2, 3, 4, 8, 12, 16, 24, 32, 40, 52, 54, 56, 108, 124, 255];

export function mutateBmp(bytes: Uint8Array, random: Random, other: Uint8Array): Uint8Array {
  if (bytes.length < 60 || random.chance(0.3)) return mutateBytes(bytes, random, other);
  const changed = bytes.slice();
  for (let left = 1 + random.int(2); left > 0; left--) {
    const [offset, width] = random.pick(FIELDS);
    if (random.chance(0.6)) {
      changed.fill(0, offset, offset + width);
      changed[offset] = random.pick(VALUES);
    } else putExtreme(changed, offset, random, width);
  }
  return changed;
}
