/** Phantoms as files: a raw dataset that a training starts from, and images to predict with their truth. */
import { ensureFolder, writeAtomically } from "../../core/base/files.ts";
import { stringifyJson } from "../../core/base/json.ts";
import { join } from "../../core/base/path.ts";
import { makePhantom, type Phantom, PHANTOM_LABELS } from "./phantom.ts";
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

/** Writes a raw dataset of these cases into `folder`, nnUNet_raw/DatasetXXX_Name. */
export async function writePhantomDataset(folder: string, cases: readonly PhantomCase[]): Promise<void> {
  await writeCases(cases, join(folder, "imagesTr"), join(folder, "labelsTr"));
  const dataset = {
    channel_names: { "0": "CT" },
    labels: { background: 0, ...PHANTOM_LABELS },
    numTraining: cases.length,
    file_ending: ".nii.gz",
  };
  await writeAtomically(join(folder, "dataset.json"), stringifyJson(dataset), { doing: "writing the demo's dataset" });
}
