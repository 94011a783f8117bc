/** Phantoms as files: images to predict and their truth. */
import { ensureFolder } from "../../core/base/files.ts";
import { join } from "../../core/base/path.ts";
import { makePhantom, type Phantom } from "./phantom.ts";
import { writePhantomImage, writePhantomLabels } from "./phantom_files.ts";

export interface PhantomCase {
  readonly id: string;
  readonly phantom: Phantom;
}

/** Makes the phantoms of these seeds. */
export function phantomCases(seeds: readonly number[]): PhantomCase[] {
  return seeds.map((seed) => ({ id: `phantom_${String(seed).padStart(3, "0")}`, phantom: makePhantom(seed) }));
}

/** Writes CASE_0000.nii.gz into `images` and CASE.nii.gz into `labels`. */
export async function writeCases(cases: readonly PhantomCase[], images: string, labels: string): Promise<void> {
  for (const folder of [images, labels]) await ensureFolder(folder, "making the demo's folders");
  for (const { id, phantom } of cases) {
    await writePhantomImage(join(images, `${id}_0000.nii.gz`), phantom);
    await writePhantomLabels(join(labels, `${id}.nii.gz`), phantom);
  }
}
