/**
 * A preprocessed case as Python's nnU-Net 2.6 and later has it: <case>.b2nd, <case>_seg.b2nd and <case>.pkl.
 * Source: save_case of nnunetv2/training/dataloading/nnunet_dataset.py and run_case_save of
 * nnunetv2/preprocessing/preprocessors/default_preprocessor.py (2.8.1).
 */
import type { Vec3 } from "../../base/shape.ts";
import { writeB2nd } from "../blosc2/b2nd_writer.ts";
import { b2ndTiles } from "./b2nd_tiles.ts";
import { writeCaseProperties } from "./npy_case.ts";
import type { ClassKey, TrainingData } from "./training_data.ts";

export const B2ND_ENDING = ".b2nd";
const DOING = "writing the preprocessed case";

/** What chunks and blocks are laid out for. */
export interface PatchOf {
  readonly patchSize: Vec3;
  readonly dimensions: 2 | 3;
}

/** @throws UserError if the files can't be written */
export async function writeB2ndCase(stem: string, data: TrainingData, configuration: PatchOf): Promise<void> {
  const { image, channels, grid, segmentation } = data;
  const tiles = ({ patchSize, dimensions }: PatchOf, bytes: number) => {
    const { chunk, block } = b2ndTiles(grid, patchSize, dimensions, bytes);
    return { chunk: [1, ...chunk], block: [1, ...block] };
  };
  const imageHeader = { dtype: "<f4", shape: [channels, ...grid], ...tiles(configuration, 4) } as const;
  await writeB2nd(stem + B2ND_ENDING, imageHeader, image, { doing: DOING });
  // Upstream's are of 16 bits, whatever the labels.
  const labels = segmentation instanceof Int16Array ? segmentation : new Int16Array(segmentation);
  const segHeader = { dtype: "<i2", shape: [1, ...grid], ...tiles(configuration, 2) } as const;
  await writeB2nd(`${stem}_seg${B2ND_ENDING}`, segHeader, labels, { doing: DOING });
  await writeCaseProperties(stem, data);
}

/** The keys of class locations: all labels of a dataset with an ignore label have -1, what lies outside the image, with them since 2.6. */
export function b2ndKeys(keys: readonly ClassKey[]): readonly ClassKey[] {
  return keys.map((key) => key.kind === "allLabels" ? { ...key, labels: [-1, ...key.labels] } : key);
}
