/** What the demo ends with: the Dice of each class, and a picture of image, truth and prediction. */
import { writeAtomically } from "../../core/base/files.ts";
import { join } from "../../core/base/path.ts";
import { dice, labelOverlaps } from "../../core/evaluate/overlap.ts";
import { fullestSlice, overlayPng, type SlicePicture } from "../../core/evaluate/overlay.ts";
import { readLabels } from "../../core/formats/image/read_image.ts";
import type { CommandContext } from "../commands/command.ts";
import { type Phantom, PHANTOM_LABELS } from "./phantom.ts";
import type { PhantomCase } from "./phantom_dataset.ts";

const SOFT_TISSUE_WINDOW = [-160, 240] as const;
const PIXELS_PER_VOXEL = 3;

/** Prints the table of `predictions` (a folder with CASE.nii.gz) and draws them to `picture`. */
export async function showResults(
  cases: readonly PhantomCase[],
  predictions: string,
  picture: string,
  print: CommandContext["print"],
): Promise<void> {
  const labels = Object.values(PHANTOM_LABELS);
  const row = (name: string, cells: readonly string[]) =>
    name.padEnd(14) + cells.map((cell) => cell.padStart(9)).join("");
  const rows: SlicePicture[] = [];
  const table = [row("Dice", Object.keys(PHANTOM_LABELS))];
  for (const { id, phantom } of cases) {
    const prediction = (await readLabels("SimpleITKIO", join(predictions, `${id}.nii.gz`))).labels.data;
    const overlaps = labelOverlaps(prediction, phantom.labels, labels);
    table.push(row(id, [...overlaps.values()].map((overlap) => dice(overlap).toFixed(3))));
    rows.push(pictureRow(phantom, prediction));
  }
  print(`\n${table.join("\n")}`);
  await writeAtomically(picture, overlayPng(rows, PIXELS_PER_VOXEL), { doing: "writing the picture" });
  print(`\n${picture} shows each phantom, its true labels and the prediction.`);
}

function pictureRow({ image, labels, shape, spacing }: Phantom, prediction: ArrayLike<number>): SlicePicture {
  const slice = fullestSlice(labels, shape);
  return { image, shape, spacing, window: SOFT_TISSUE_WINDOW, panels: [undefined, labels, prediction], slice };
}
