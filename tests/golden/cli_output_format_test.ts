/** `--output-format`: segmentations in other formats than the model's, against the one in the model's, and what can't be had. */
import { join } from "../../core/base/path.ts";
import type { ImageGeometry } from "../../core/formats/image/image.ts";
import { gridToPatient } from "../../core/formats/image/image_grid.ts";
import { inverse } from "../../core/formats/image/nifti/matrix.ts";
import { readLabels } from "../../core/formats/image/read_image.ts";
import { assert, assertEquals } from "../assert.ts";
import { assertSameSegmentation } from "./cli/compare_labels.ts";
import { GOLDEN, inTempFolder, namesIn, runCommand } from "./cli/run_command.ts";

const RUN_FILES = ["dataset.json", "plans.json", "predict_from_raw_data_args.json"];

function predict(model: string, output: string, ...more: string[]) {
  const [images, folder] = ["images", "models"].map((part) => join(GOLDEN, part, model));
  const input = more.includes("-i") ? [] : ["-i", images];
  return runCommand(["predict_from_modelfolder", ...input, "-o", output, "-m", folder, "-f", "0", ...more]);
}

/** The position (x, y, z) in `to` of a position in `from`, by their places in the patient. */
function positionIn(from: ImageGeometry, to: ImageGeometry, position: readonly number[]): number[] {
  const [a, b] = [gridToPatient(from), gridToPatient(to)];
  const place = a.map((row) => row[0] * position[0] + row[1] * position[1] + row[2] * position[2] + row[3]);
  const back = inverse(b.map(([x, y, z]) => [x, y, z] as const));
  return back.map((row) => row.reduce((sum, value, i) => sum + value * (place[i] - b[i][3]), 0));
}

/** That both files have the same labels at the same places of the patient. */
async function assertSamePlaces(one: string, other: string): Promise<void> {
  const [a, b] = await Promise.all([one, other].map((file) => readLabels("SimpleITKIO", file)));
  const count = ({ data }: { data: Int16Array }) => data.reduce((sum, label) => sum + (label > 0 ? 1 : 0), 0);
  assertEquals(count(a.labels), count(b.labels));
  const [, ny, nx] = a.labels.shape;
  const [, my, mx] = b.labels.shape;
  a.labels.data.forEach((label, i) => {
    if (label === 0) return;
    const position = positionIn(a.geometry, b.geometry, [i % nx, Math.floor(i / nx) % ny, Math.floor(i / nx / ny)]);
    const [x, y, z] = position.map(Math.round);
    assert(position.every((value) => Math.abs(value - Math.round(value)) < 1e-3), "on a voxel's centre");
    assertEquals(b.labels.data[(z * my + y) * mx + x], label);
  });
}

for (
  const [model, ending] of [["regions_ignore", ".nii.gz"], ["transposed_102_nibabel", ".nii"], [
    "transposed_201_reorient",
    ".nii.gz",
  ]]
) {
  Deno.test(`predict writes NRRD and MetaImage beside NIfTI, with the same labels at the same places (${model})`, () =>
    inTempFolder(async (folder) => {
      const { code, stderr } = await predict(model, folder, "--output-format", "nifti", "nrrd", "mha", "nifti");
      assertEquals(code, 0, stderr);
      const written = (await namesIn(folder)).filter((name) => !RUN_FILES.includes(name));
      const cases = written.filter((name) => name.endsWith(".nii.gz")).map((name) => name.slice(0, -".nii.gz".length));
      assertEquals(written, cases.flatMap((id) => [`${id}.mha`, `${id}.nii.gz`, `${id}.nrrd`]));
      for (const id of cases) {
        await assertSameSegmentation(
          "SimpleITKIO",
          join(folder, `${id}.nii.gz`),
          join(GOLDEN, "expected", model, `${id}${ending}`),
        );
        for (const other of [".nrrd", ".mha"]) {
          await assertSamePlaces(join(folder, `${id}${other}`), join(folder, `${id}.nii.gz`));
        }
      }
    }));
}

Deno.test("-o names one file of the first format, and a case whose other file is missing is not left out", () =>
  inTempFolder(async (folder) => {
    const images = [0, 1].map((channel) => join(GOLDEN, "images", "regions_ignore", `test_000_000${channel}.nii.gz`));
    const line = ["-i", images.join(), "--output-format", "nrrd", "nifti", "--continue_prediction"];
    const output = join(folder, "organs.nrrd");
    assertEquals((await predict("regions_ignore", output, ...line)).code, 0);
    assertEquals(await namesIn(folder), ["organs.nii.gz", "organs.nrrd"]);
    const again = await predict("regions_ignore", output, ...line);
    assert(again.stdout.includes("nothing is left to do"), again.stdout);
    await Deno.remove(join(folder, "organs.nii.gz"));
    assertEquals((await predict("regions_ignore", output, ...line)).code, 0);
    assertEquals(await namesIn(folder), ["organs.nii.gz", "organs.nrrd"]);
  }));

Deno.test("formats that can't be had are refused before the work, with what to do", () =>
  inTempFolder(async (folder) => {
    const output = join(folder, "out");
    const refused = async (model: string, line: readonly string[], code: number, ...texts: readonly string[]) => {
      const result = await predict(model, output, ...line);
      assertEquals(result.code, code, result.stderr);
      for (const text of texts) assert(result.stderr.includes(text), result.stderr);
      assertEquals(await namesIn(folder), []);
    };
    const nifti = "regions_ignore";
    await refused(
      nifti,
      ["--output-format", "dicom-seg"],
      1,
      "the images are no DICOM",
      "Name the folder of the DICOM series",
    );
    await refused(nifti, ["--output-format", "nifti", "rtstruct"], 1, "the images are no DICOM");
    await refused(nifti, ["--output-format", "dicom"], 2, "invalid choice: 'dicom'", "'dicom-seg'");
    await refused("grey_png", ["--output-format", "nifti"], 1, "this model's images are pictures");
    const nibabel = "transposed_102_nibabel";
    const measuring = ["--output-format", "nrrd", "--statistics", join(folder, "a.csv")];
    await refused(
      nibabel,
      measuring,
      1,
      "--statistics and --mesh measure what is written",
      "Add one of them to --output-format: nifti",
    );
  }));
