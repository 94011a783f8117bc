/** Commands on datasets of TIFFs: the same images as in NIfTI give the same results. */
import { basename, join } from "../../core/base/path.ts";
import { chooseReader } from "../../core/dataset/choose_reader.ts";
import { readLabels } from "../../core/formats/image/read_image.ts";
import { writeLabels } from "../../core/formats/image/write_image.ts";
import { UserError } from "../../core/base/errors.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";
import { GOLDEN, inTempFolder, namesIn, runCommand } from "./cli/run_command.ts";
import { resultOf, segmented, send, serve } from "./cli/served.ts";
import { MODEL, putImage, putTiffModel } from "./tiff/tiff_model.ts";
import { readTiffs, REFUSED } from "./tiff/tiffs.ts";

const CASES = ["test_000", "test_001"];

Deno.test("predict gives of TIFFs the segmentations that it gives of NIfTI, and upstream's file of voxel sizes beside; the service too", () =>
  inTempFolder(async (folder) => {
    const [model, images, output] = ["model", "images", "out"].map((name) => join(folder, name));
    await putTiffModel(model);
    await Deno.mkdir(images);
    for (const name of CASES) await putImage(images, name, name);
    const line = ["predict_from_modelfolder", "-i", images, "-o", output, "-m", model, "-f", "0", "1"];
    const result = await runCommand(line);
    assertEquals([result.code, result.stderr], [0, ""]);
    assertEquals(
      (await namesIn(output)).filter((name) => name.startsWith("test")),
      CASES.flatMap((name) => [`${name}.json`, `${name}.tif`]),
    );
    for (const name of CASES) {
      const { labels, geometry } = await readLabels("Tiff3DIO", join(output, `${name}.tif`));
      const expected = await readLabels("SimpleITKIO", join(GOLDEN, "expected", MODEL, `${name}.nii.gz`));
      assertEquals([...labels.data], [...expected.labels.data], name);
      assertEquals([geometry.shape, geometry.spacing], [expected.geometry.shape, expected.geometry.spacing], name);
    }
    await using served = await serve(["-m", model, "-f", "0", "1", "--state", join(folder, "state")]);
    const spacing = await Deno.readTextFile(join(images, "test_000.json"));
    const image = [join(images, "test_000_0000.tif")];
    const job = await segmented(served.url, image, { spacing });
    for (const [part, ending] of [["segmentation", ".tif"], ["spacing", ".json"]]) {
      const expected = await Deno.readFile(join(output, `test_000${ending}`));
      assertEquals(await resultOf(served.url, job.id, part), expected, part);
    }
    for (const wrong of ["{}", "[1, 1, 1]", '{"spacing": [1, 0, 1]}', "1"]) {
      assertEquals((await send(served.url, image, { spacing: wrong })).status, 400, wrong);
    }
    await Deno.writeTextFile(join(images, "test_000.json"), "{}");
    const wrong = await runCommand([...line.slice(0, 4), join(folder, "out2"), ...line.slice(5)]);
    assertEquals(wrong.code, 1);
    assert(wrong.stderr.includes("test_000.json") && wrong.stderr.includes("spacing"), wrong.stderr);
    assert((await namesIn(join(folder, "out2"))).includes("test_001.tif"), "the other case is predicted");
  }));

Deno.test("plan_and_preprocess makes of TIFFs the fingerprint and the data that it makes of NIfTI; evaluation compares them", () =>
  inTempFolder(async (folder) => {
    const [raw, preprocessed] = ["raw", "preprocessed"].map((name) => join(folder, name));
    const [nifti, tiff] = ["Dataset801_N", "Dataset802_T"].map((name) => join(raw, name));
    for (const [dataset, ending] of [[nifti, ".nii.gz"], [tiff, ".tif"]]) {
      for (const name of ["imagesTr", "labelsTr"]) await Deno.mkdir(join(dataset, name), { recursive: true });
      const labels = { background: 0, a: 1, b: 2 };
      const json = { channel_names: { 0: "CT" }, labels, numTraining: 5, file_ending: ending };
      await Deno.writeTextFile(join(dataset, "dataset.json"), JSON.stringify(json));
    }
    for (let i = 0; i < 5; i++) {
      const name = CASES[i % 2];
      await Deno.copyFile(
        join(GOLDEN, "images", MODEL, `${name}_0000.nii.gz`),
        join(nifti, "imagesTr", `c${i}_0000.nii.gz`),
      );
      await Deno.copyFile(join(GOLDEN, "expected", MODEL, `${name}.nii.gz`), join(nifti, "labelsTr", `c${i}.nii.gz`));
      await putImage(join(tiff, "imagesTr"), name, `c${i}`);
      const { labels, geometry: { shape, spacing } } = await readLabels(
        "SimpleITKIO",
        join(nifti, "labelsTr", `c${i}.nii.gz`),
      );
      await writeLabels("Tiff3DIO", join(tiff, "labelsTr", `c${i}.tif`), labels, {
        reader: "Tiff3DIO",
        shape,
        spacing,
      });
    }
    const env = { nnUNet_raw: raw, nnUNet_preprocessed: preprocessed };
    for (const id of ["801", "802"]) {
      const line = [
        "plan_and_preprocess",
        "-d",
        id,
        "--verify_dataset_integrity",
        "-c",
        "3d_fullres",
        "--format",
        "npz",
      ];
      const { code, stderr } = await runCommand(line, { env });
      assertEquals([code, stderr], [0, ""]);
    }
    const made = (dataset: string, ...path: string[]) => join(preprocessed, basename(dataset), ...path);
    const text = async (dataset: string) => await Deno.readTextFile(made(dataset, "dataset_fingerprint.json"));
    assertEquals(await text(tiff), await text(nifti));
    const plans = JSON.parse(await Deno.readTextFile(made(tiff, "nnUNetPlans.json")));
    assertEquals(plans.image_reader_writer, "Tiff3DIO");
    for (let i = 0; i < 5; i++) {
      const data = async (dataset: string) => await Deno.readFile(made(dataset, "nnUNetPlans_3d_fullres", `c${i}.npz`));
      assertEquals(await data(tiff), await data(nifti), `c${i}`);
    }
    const truth = made(tiff, "gt_segmentations");
    assertEquals((await namesIn(truth)).slice(0, 2), ["c0.json", "c0.tif"]);
    const files = ["-djfile", made(tiff, "dataset.json"), "-pfile", made(tiff, "nnUNetPlans.json")];
    const summary = join(folder, "summary.json");
    const evaluated = await runCommand(["evaluate_folder", truth, join(tiff, "labelsTr"), ...files, "-o", summary]);
    assertEquals([evaluated.code, evaluated.stderr], [0, ""]);
    assertEquals(JSON.parse(await Deno.readTextFile(summary)).foreground_mean.Dice, 1);
  }));

Deno.test("a dataset of .tif is of pictures where skimage sees one in its first image, 3 or 4 slices among them, else of volumes", () =>
  inTempFolder(async (folder) => {
    let volumes = 0;
    for (const [name, { ending, file, Tiff3DIO, NaturalImage2DIO }] of readTiffs()) {
      if (!/^(shape|imagej|ome|volume|picture)_/.test(name)) continue;
      const image = join(folder, `x_0000${ending}`);
      await Deno.writeFile(image, file);
      // The order of upstream's registry; pictures don't end in .tiff there.
      const expected = NaturalImage2DIO && ending === ".tif" ? "NaturalImage2DIO" : Tiff3DIO && "Tiff3DIO";
      const choose = () => chooseReader({ file_ending: ending }, "dataset.json", image);
      const chosen = await choose().catch((error) => {
        assert(error instanceof UserError, name);
        return null;
      });
      if (chosen) assertEquals(chosen.reader, expected, name);
      else assert(expected === null || name in REFUSED, name);
      if (expected === "Tiff3DIO") volumes++;
      if (expected === null) await assertFails(choose, UserError, image);
    }
    assert(volumes > 70, `${volumes} volumes`);
  }));
