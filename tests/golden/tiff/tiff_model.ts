/** A golden model and its images as if it had been trained on TIFFs. */
import { join } from "../../../core/base/path.ts";
import { readCase } from "../../../core/formats/image/read_image.ts";
import { copyFolder, GOLDEN } from "../cli/run_command.ts";
import { plainTiff } from "./plain_tiff.ts";

export const MODEL = "iso_ct_two_folds";

export async function putTiffModel(folder: string): Promise<void> {
  await copyFolder(join(GOLDEN, "models", MODEL), folder);
  await rewriteJson(join(folder, "plans.json"), (plans) => plans.image_reader_writer = "Tiff3DIO");
  await rewriteJson(join(folder, "dataset.json"), (dataset) => {
    dataset.file_ending = ".tif";
    delete dataset.overwrite_image_reader_writer;
  });
}

/** A golden image as TIFF with its voxel sizes beside, for `id`; the voxels plus `more`. */
export async function putImage(folder: string, name: string, id: string, more = 0): Promise<void> {
  const { data, geometry } = await readCase("SimpleITKIO", [join(GOLDEN, "images", MODEL, `${name}_0000.nii.gz`)]);
  await Deno.writeFile(join(folder, `${id}_0000.tif`), plainTiff(data.map((value) => value + more), geometry.shape));
  await Deno.writeTextFile(join(folder, `${id}.json`), JSON.stringify({ spacing: geometry.spacing }));
}

async function rewriteJson(file: string, change: (json: Record<string, unknown>) => void): Promise<void> {
  const json = JSON.parse(await Deno.readTextFile(file));
  change(json);
  await Deno.writeTextFile(file, JSON.stringify(json));
}
