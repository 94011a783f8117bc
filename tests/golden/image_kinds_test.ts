/** Pictures, reports and statistics of images in every format: what is drawn is upstream's, and the reports name the formats. */
import { fromFileUrl, join } from "../../core/base/path.ts";
import { readCase } from "../../core/formats/image/read_image.ts";
import { writeLabels } from "../../core/formats/image/write_image.ts";
import { assert, assertEquals } from "../assert.ts";
import { decodePng } from "../decode_png.ts";
import { inTempFolder, namesIn, runCommand } from "./cli/run_command.ts";
import { expectedSeries, packedSeries, unpackSeries } from "./dicom/cases.ts";

const GOLDEN = fromFileUrl(new URL("./overlays/", import.meta.url));
/** By the ending of their files: the formats' names. */
const FORMATS = { nrrd: "NRRD", mha: "MetaImage", gipl: "GIPL", tif: "TIFF", bmp: "BMP" } as const;

Deno.test("pictures of a dataset are upstream's in every format, pixel for pixel, and the format is named", async () => {
  for (const [ending, name] of Object.entries(FORMATS)) {
    await inTempFolder(async (folder) => {
      const env = { nnUNet_raw: join(GOLDEN, "formats", ending) };
      const run = await runCommand(["plot_overlay_pngs", "-d", "815", "--use_raw", "-o", folder], { env });
      assertEquals([run.code, run.stderr], [0, ""], ending);
      assert(run.stdout.endsWith(`2 pictures of ${name} images: ${folder}\n`), run.stdout);
      const expected = join(GOLDEN, "expected", "formats", ending);
      for (const file of await namesIn(expected)) {
        const [ours, theirs] = [
          decodePng(await Deno.readFile(join(folder, file))),
          decodePng(await Deno.readFile(join(expected, file))),
        ];
        assertEquals(ours.data, theirs.data, `${ending}, ${file}`);
      }
    });
  }
});

Deno.test("an evaluation's report draws over images of every format, and names it", async () => {
  for (const [ending, name] of Object.entries(FORMATS)) {
    await inTempFolder(async (folder) => {
      const data = join(GOLDEN, "formats", ending, "Dataset815_Formats");
      const [labels, images, html] = [join(data, "labelsTr"), join(data, "imagesTr"), join(folder, "report.html")];
      const flags = ["-djfile", join(data, "dataset.json"), "-pfile", join(data, "dataset.json")];
      const outputs = ["-o", join(folder, "summary.json"), "--html", html, "--images", images];
      const run = await runCommand(["evaluate_folder", labels, labels, ...flags, ...outputs]);
      assertEquals([run.code, run.stderr], [0, ""], ending);
      const text = await Deno.readTextFile(html);
      assert(
        text.includes(`${labels} compared with ${labels} (${name}); images: ${images} (${name})`),
        text.slice(0, 9000),
      );
      assertEquals([...text.matchAll(/alt="\w+: image, truth, prediction"/g)].length, 2);
    });
  }
});

Deno.test("the same voxels in volumes of every format have the same statistics; without a place in the patient these say so", async () => {
  const tables: string[] = [];
  for (const ending of ["nrrd", "mha", "gipl", "tif"]) {
    await inTempFolder(async (folder) => {
      const data = join(GOLDEN, "formats", ending, "Dataset815_Formats");
      const [file, images] = [join(folder, "measured.csv"), join(data, "imagesTr")];
      const flags = ["-djfile", join(data, "dataset.json"), "-i", images, "--statistics", file];
      const run = await runCommand(["measure", join(data, "labelsTr"), ...flags]);
      assertEquals([run.code, run.stderr], [0, ""], ending);
      const text = await Deno.readTextFile(file);
      assertEquals(text.includes(ending === "tif" ? ",image," : ",LPS,"), true);
      tables.push(text.replaceAll(/,(image|LPS),|,[^,]*$/gm, ","));
    });
  }
  for (const table of tables) assertEquals(table, tables[0]);
});

/** A folder `nifti` with SimpleITK's NIfTI file of a series, a folder `dicom` with the series, and a segmentation of it. */
async function makeSeries(folder: string): Promise<{ nifti: string; dicom: string; labels: string }> {
  const [nifti, dicom, labels] = ["nifti", "dicom", "labels"].map((name) => join(folder, name));
  for (const one of [nifti, dicom, labels]) await Deno.mkdir(one);
  await unpackSeries((await packedSeries()).oblique_1, join(dicom, "case"));
  const file = join(nifti, "case_0000.nii.gz");
  await Deno.writeFile(file, Uint8Array.fromBase64(expectedSeries.oblique_1.nifti ?? ""));
  const { data, geometry } = await readCase("SimpleITKIO", [file]);
  const middle = data.toSorted()[data.length >> 1];
  const shape = { data: Uint8Array.from(data, (value) => value > middle ? 1 : 2), shape: geometry.shape };
  await writeLabels("SimpleITKIO", join(labels, "case.nii.gz"), shape, geometry);
  return { nifti, dicom, labels };
}

Deno.test("statistics and reports over a DICOM series are those over SimpleITK's NIfTI file of it", async () => {
  await inTempFolder(async (folder) => {
    const { nifti, dicom, labels } = await makeSeries(folder);
    const [statistics, pictures]: [string[], string[]] = [[], []];
    for (const [images, name] of [[nifti, "NIfTI"], [dicom, "DICOM"]]) {
      const [csv, html] = [join(folder, "measured.csv"), join(folder, "report.html")];
      const measured = await runCommand(["measure", labels, "-l", "1", "2", "-i", images, "--statistics", csv]);
      assertEquals([measured.code, measured.stderr], [0, ""], name);
      statistics.push(await Deno.readTextFile(csv));
      const flags = ["-l", "1", "2", "-o", join(folder, "summary.json"), "--html", html, "--images", images];
      const evaluated = await runCommand(["evaluate_simple", labels, labels, ...flags]);
      assertEquals([evaluated.code, evaluated.stderr], [0, ""], name);
      const text = await Deno.readTextFile(html);
      assert(text.includes(`images: ${images} (${name})`));
      pictures.push(/<img alt="case: image, truth, prediction" src="([^"]*)"/.exec(text)?.[1] ?? "none");
    }
    assert(statistics[0].includes("channel_0_median") && pictures[0] !== "none");
    assertEquals(statistics[1], statistics[0]);
    assertEquals(pictures[1], pictures[0]);
  });
});
