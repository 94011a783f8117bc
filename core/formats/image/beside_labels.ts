/** What lies beside a segmentation and belongs to it, when it is copied or moved: the voxel sizes of a TIFF. */
import { copyAtomically, removeIfThere, type WriteOptions } from "../../base/files.ts";
import { READERS } from "./readers.ts";

/**
 * Copies what lies beside `labels` to beside `target`, if there is anything; to be done before the segmentation is copied, which then
 * tells that all is there.
 * @throws UserError; Interrupted as copyAtomically
 */
export async function copyBesideLabels(labels: string, target: string, options: WriteOptions): Promise<void> {
  for (const [from, to] of besidePairs(labels, target)) {
    if (await isThere(from)) await copyAtomically(from, to, options);
  }
}

/** As {@link copyBesideLabels}, and leaves nothing where it was. */
export async function moveBesideLabels(labels: string, target: string, options: WriteOptions): Promise<void> {
  await copyBesideLabels(labels, target, options);
  for (const [from] of besidePairs(labels, target)) {
    await removeIfThere(from, options.doing ?? "moving the segmentation");
  }
}

function besidePairs(labels: string, target: string): readonly (readonly [from: string, to: string])[] {
  const name = labels.toLowerCase();
  return READERS.flatMap(({ formats }) => formats).flatMap(({ endings, besideLabels }) =>
    besideLabels && endings.some((ending) => name.endsWith(ending))
      ? [[besideLabels(labels), besideLabels(target)] as const]
      : []
  );
}

async function isThere(file: string): Promise<boolean> {
  try {
    return (await Deno.stat(file)).isFile;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
