/** Compares segmentation files as the project's accuracy goal does: per case and class, and over all voxels. */
import { dice, labelOverlaps } from "../../../core/evaluate/overlap.ts";
import type { ImageGeometry, ReaderName } from "../../../core/formats/image/image.ts";
import { readLabels } from "../../../core/formats/image/read_image.ts";
import { assert, assertClose, assertEquals } from "../../assert.ts";

/** Where the voxels lie, as numbers; the sign of a direction's zeros means nothing. */
function placement({ spacing, sitk, nibabel }: ImageGeometry): number[] {
  const numbers = sitk ? [...sitk.spacing, ...sitk.origin, ...sitk.direction] : nibabel?.originalAffine.flat() ?? [];
  return [...spacing, ...numbers];
}

/**
 * Asserts for each label present in either: Dice >= 0.999 or at most 20 differing voxels; and equal labels at 99.95 % of the voxels
 * (or at most 20 others, which is more in images this small).
 */
export async function assertSameSegmentation(reader: ReaderName, actual: string, expected: string): Promise<void> {
  const [ours, theirs] = [await readLabels(reader, actual), await readLabels(reader, expected)];
  assertEquals(ours.geometry.shape, theirs.geometry.shape, `${actual}: shape`);
  assertClose(placement(ours.geometry), placement(theirs.geometry), 1e-6, `${actual}: spacing, origin, direction`);
  const [a, b] = [ours.labels.data, theirs.labels.data];
  const labels = [...new Set([...a, ...b])].sort((x, y) => x - y);
  assert(labels.length > 1, `${expected} holds more than background`);
  for (const [label, overlap] of labelOverlaps(a, b, labels)) {
    const differing = overlap.FP + overlap.FN;
    assert(
      dice(overlap) >= 0.999 || differing <= 20,
      `${actual}: label ${label}: Dice ${dice(overlap)}, ${differing} voxels`,
    );
  }
  const differing = a.reduce((count, label, i) => count + (label === b[i] ? 0 : 1), 0);
  assert(differing <= Math.max(20, a.length * 0.0005), `${actual}: ${differing} of ${a.length} voxels differ`);
}
