/**
 * `deno task demo`: makes phantom CTs, predicts them with a small model that the real nnU-Net trained (cli/demo/model; see
 * tests/golden/models/make_demo_model.py), prints Dice per class and draws a picture. Everything goes to demo-output/.
 */
import { ensureFolder, writeAtomically } from "../../core/base/files.ts";
import { fromFileUrl, join } from "../../core/base/path.ts";
import { dice, labelOverlaps } from "../../core/evaluate/overlap.ts";
import { fullestSlice, overlayPng, type SlicePicture } from "../../core/evaluate/overlay.ts";
import { readLabels } from "../../core/formats/read_image.ts";
import { main } from "../main.ts";
import { print } from "../terminal.ts";
import { makePhantom, type Phantom, PHANTOM_LABELS } from "./phantom.ts";
import { writePhantomImage, writePhantomLabels } from "./phantom_files.ts";

/** Seeds of phantoms that the model has not seen (it was trained on 1 to 16). */
const SEEDS = [101, 102, 103];
const FOLDER = "demo-output";
const SOFT_TISSUE_WINDOW = [-160, 240] as const;
const PIXELS_PER_VOXEL = 3;

/** Runs the demo in the current folder. @returns the exit code */
export async function demo(): Promise<number> {
  const model = fromFileUrl(new URL("./model", import.meta.url));
  const folders = {
    images: join(FOLDER, "images"),
    truth: join(FOLDER, "truth"),
    predictions: join(FOLDER, "predictions"),
  };
  for (const folder of Object.values(folders)) await ensureFolder(folder, "making the demo's folders");
  const cases = SEEDS.map((seed) => ({ id: `phantom_${seed}`, phantom: makePhantom(seed) }));
  for (const { id, phantom } of cases) {
    await writePhantomImage(join(folders.images, `${id}_0000.nii.gz`), phantom);
    await writePhantomLabels(join(folders.truth, `${id}.nii.gz`), phantom);
  }
  print(`${cases.length} phantom CTs are in ${folders.images}, their true labels in ${folders.truth}.\n`);

  const command = [
    "predict_from_modelfolder",
    "-m",
    model,
    "-i",
    folders.images,
    "-o",
    folders.predictions,
    "-f",
    "all",
  ];
  print(`nnunet ${command.join(" ")}`);
  const code = await main(command);
  if (code !== 0) return code;

  const predictions: ArrayLike<number>[] = [];
  for (const { id } of cases) {
    const { labels } = await readLabels("SimpleITKIO", join(folders.predictions, `${id}.nii.gz`));
    predictions.push(labels.data);
  }
  print("");
  printDice(cases, predictions);
  const picture = join(FOLDER, "overlay.png");
  const rows = cases.map(({ phantom }, i) => pictureRow(phantom, predictions[i]));
  await writeAtomically(picture, overlayPng(rows, PIXELS_PER_VOXEL), { doing: "writing the picture" });
  print(`\n${picture} shows each phantom, its true labels and the prediction.`);
  return 0;
}

function printDice(
  cases: readonly { id: string; phantom: Phantom }[],
  predictions: readonly ArrayLike<number>[],
): void {
  const labels = Object.values(PHANTOM_LABELS);
  const row = (name: string, cells: readonly string[]) =>
    name.padEnd(14) + cells.map((cell) => cell.padStart(9)).join("");
  print(row("Dice", Object.keys(PHANTOM_LABELS)));
  cases.forEach(({ id, phantom }, i) => {
    const overlaps = labelOverlaps(predictions[i], phantom.labels, labels);
    print(row(id, [...overlaps.values()].map((overlap) => dice(overlap).toFixed(3))));
  });
}

function pictureRow({ image, labels, shape, spacing }: Phantom, prediction: ArrayLike<number>): SlicePicture {
  const slice = fullestSlice(labels, shape);
  return { image, shape, spacing, window: SOFT_TISSUE_WINDOW, panels: [undefined, labels, prediction], slice };
}

if (import.meta.main) Deno.exit(await demo());
