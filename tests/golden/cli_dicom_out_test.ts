/** DICOM in, DICOM out through the command line: a series made of a golden image gives upstream's segmentation, as NIfTI and as DICOM objects. */
import { join } from "../../core/base/path.ts";
import { readDicomFile } from "../../core/formats/dicom/read_dicom_file.ts";
import { writeDicomFile } from "../../core/formats/dicom/write_file.ts";
import { gridToPatient } from "../../core/formats/image/image_grid.ts";
import { inverse } from "../../core/formats/image/nifti/matrix.ts";
import { readCase, readLabels } from "../../core/formats/image/read_image.ts";
import { assert, assertEquals } from "../assert.ts";
import { assertSameSegmentation } from "./cli/compare_labels.ts";
import { assertRefused, FAST, ONE, predict } from "./cli/predict_command.ts";
import { copyFolder, GOLDEN, inTempFolder, namesIn, runCommand } from "./cli/run_command.ts";

const CASE = "test_000";
const FILES = [".nii.gz", "_rtstruct.dcm", "_seg.dcm"];
const FORMATS = ["--output-format", "dicom-seg", "rtstruct", "nifti"];
const CT = "1.2.840.10008.5.1.4.1.1.2";

/** The CT image of whole numbers as a series of one file a slice. @param leaveOut An attribute that the files lack */
async function writeSeries(folder: string, leaveOut?: "StudyInstanceUID"): Promise<void> {
  await Deno.mkdir(folder, { recursive: true });
  const { data, geometry } = await readCase("SimpleITKIO", [join(ONE.images, `${CASE}_0000.nii.gz`)]);
  const { shape: [slices, rows, columns], spacing: [, rowSpacing, columnSpacing] } = geometry;
  const grid = gridToPatient(geometry);
  const direction = (axis: number, length: number) => grid.map((row) => row[axis] / length);
  for (let k = 0; k < slices; k++) {
    const pixels = Int16Array.from(data.subarray(k * rows * columns, (k + 1) * rows * columns));
    await writeDicomFile(join(folder, `${slices - k}.dcm`), {
      sopClass: CT,
      sopInstance: `1.2.3.${k + 1}`,
      attributes: {
        PatientName: "Test^Patient",
        PatientID: "7",
        ...(leaveOut !== "StudyInstanceUID" && { StudyInstanceUID: "1.2.4" }),
        SeriesInstanceUID: "1.2.5",
        FrameOfReferenceUID: "1.2.6",
        Modality: "CT",
        ImagePositionPatient: grid.map((row) => row[3] + k * row[2]),
        ImageOrientationPatient: [...direction(0, columnSpacing), ...direction(1, rowSpacing)],
        PixelSpacing: [rowSpacing, columnSpacing],
        Rows: rows,
        Columns: columns,
        SamplesPerPixel: 1,
        PhotometricInterpretation: "MONOCHROME2",
        BitsAllocated: 16,
        BitsStored: 16,
        HighBit: 15,
        PixelRepresentation: 1,
        RescaleSlope: 1,
        RescaleIntercept: 0,
      },
      encoding: "explicit",
      pixels: { bytes: pixels.byteLength, pieces: [new Uint8Array(pixels.buffer)] },
    });
  }
}

/** That the segments have the NIfTI file's labels at every voxel. */
async function assertSameVoxels(seg: string, nifti: string): Promise<void> {
  const { labels: { data, shape: [, ny, nx] }, geometry } = await readLabels("SimpleITKIO", nifti);
  const grid = gridToPatient(geometry);
  const toVoxel = inverse(grid.map(([x, y, z]) => [x, y, z] as const));
  const object = await readDicomFile(seg, "reading");
  assert(object?.pixels);
  const { dataset, pixels: { offset } } = object;
  const bits = Deno.readFileSync(seg).subarray(offset);
  const [shared] = dataset.items("SharedFunctionalGroupsSequence");
  const cosines = shared.items("PlaneOrientationSequence")[0].numbers("ImageOrientationPatient");
  const [down, across] = shared.items("PixelMeasuresSequence")[0].numbers("PixelSpacing");
  const labelOf = dataset.items("SegmentSequence").map((one) =>
    Number(/^label (\d+):/.exec(one.text("SegmentDescription") ?? "")?.[1])
  );
  const [rows, columns] = [dataset.number("Rows") ?? 0, dataset.number("Columns") ?? 0];
  const found = new Int16Array(data.length);
  dataset.items("PerFrameFunctionalGroupsSequence").forEach((group, frame) => {
    const position = group.items("PlanePositionSequence")[0].numbers("ImagePositionPatient");
    const segment = group.items("SegmentIdentificationSequence")[0].number("ReferencedSegmentNumber") ?? 0;
    for (let i = 0; i < rows * columns; i++) {
      const bit = frame * rows * columns + i;
      if ((bits[bit >> 3] >> (bit & 7) & 1) === 0) continue;
      const [row, column] = [Math.floor(i / columns), i % columns];
      const place = position.map((value, axis) =>
        value + column * across * cosines[axis] + row * down * cosines[3 + axis] - grid[axis][3]
      );
      const [x, y, z] = toVoxel.map((line) =>
        Math.round(line.reduce((sum, value, axis) => sum + value * place[axis], 0))
      );
      found[(z * ny + y) * nx + x] = labelOf[segment - 1];
    }
  });
  assert(data.some((label) => label > 0));
  assertEquals(found, data);
}

Deno.test("a series gives upstream's segmentation of its image, and DICOM objects of the same voxels", () =>
  inTempFolder(async (folder) => {
    const [series, out] = [join(folder, CASE), join(folder, "out")];
    await writeSeries(series);
    const line = ["-m", ONE.model, "-i", series, "-o", out, "-f", "0", "1", ...FORMATS, "--log", "json"];
    const { code, stdout, stderr } = await runCommand(["predict_from_modelfolder", ...line]);
    assertEquals(code, 0, stderr);
    assert(stderr.includes("say of L1, L2 only that it is tissue"), stderr);
    assertEquals(
      (await namesIn(out)).filter((name) => name.startsWith(CASE)),
      FILES.map((ending) => `${CASE}${ending}`),
    );
    const nifti = join(out, `${CASE}.nii.gz`);
    await assertSameSegmentation("SimpleITKIO", nifti, join(GOLDEN, "expected/iso_ct_two_folds", `${CASE}.nii.gz`));
    await assertSameVoxels(join(out, `${CASE}_seg.dcm`), nifti);
    const done = stdout.split("\n").filter(Boolean).map((one) => JSON.parse(one)).find(({ event }) =>
      event === "case_done"
    );
    assertEquals(done.outputs.length, 3);
    assertEquals(done.output, nifti);
  }));

Deno.test("predict --best writes DICOM objects of its result, one file by name, with the user's codes", () =>
  inTempFolder(async (folder) => {
    const [series, codes, out] = [join(folder, CASE), join(folder, "codes.json"), join(folder, "out")];
    await writeSeries(series);
    await Deno.mkdir(out);
    const type = { scheme: "SCT", code: "10200004", meaning: "Liver" };
    await Deno.writeTextFile(codes, JSON.stringify({ L1: { type, colour: [1, 2, 3] } }));
    const results = join(folder, "results");
    const model = "nnUNetTrainer__nnUNetPlans__3d_fullres";
    await copyFolder(ONE.model, join(results, "Dataset001_Best", model));
    const postprocessing = join(results, "Dataset001_Best", model, "postprocessing.json");
    await Deno.writeTextFile(postprocessing, JSON.stringify({ postprocessing_fns: [], postprocessing_kwargs: [] }));
    const chosen = { configuration: "3d_fullres", trainer: "nnUNetTrainer", plans_identifier: "nnUNetPlans" };
    await Deno.writeTextFile(
      join(results, "Dataset001_Best", "inference_information.json"),
      JSON.stringify({
        folds: [0],
        dataset_name_or_id: "Dataset001_Best",
        best_model_or_ensemble: { postprocessing_file: postprocessing, selected_model_or_models: [chosen] },
      }),
    );
    const env = { nnUNet_results: results };
    const best = ["predict", "--best", "-d", "1", "-i", series, ...FAST.slice(0, 3), "--segment-codes", codes];
    const first = await runCommand([...best, "-o", out, ...FORMATS], { env });
    assertEquals(first.code, 0, first.stderr);
    assertEquals(
      (await namesIn(out)).filter((name) => name.startsWith(CASE)),
      FILES.map((ending) => `${CASE}${ending}`),
    );
    await assertSameVoxels(join(out, `${CASE}_seg.dcm`), join(out, `${CASE}.nii.gz`));
    const object = await readDicomFile(join(out, `${CASE}_seg.dcm`), "reading");
    const [segment] = object?.dataset.items("SegmentSequence") ?? [];
    assertEquals(segment.items("SegmentedPropertyTypeCodeSequence")[0].text("CodeMeaning"), "Liver");
    const named = await runCommand([...best, "-o", join(folder, "organs.dcm"), "--output-format", "dicom-seg"], {
      env,
    });
    assertEquals(named.code, 0, named.stderr);
    assertEquals(await Deno.readFile(join(folder, "organs.dcm")), await Deno.readFile(join(out, `${CASE}_seg.dcm`)));
  }));

Deno.test("no slice of the images is overwritten", () =>
  inTempFolder(async (folder) => {
    const series = join(folder, CASE);
    await writeSeries(series);
    const before = await Deno.readFile(join(series, "1.dcm"));
    const result = await predict(ONE.model, series, join(series, "1.dcm"), "--output-format", "dicom-seg");
    assertRefused(result, "1.dcm", "the result would overwrite a file of the images' folder");
    assertEquals(await Deno.readFile(join(series, "1.dcm")), before);
    const two = await predict(ONE.model, series, join(folder, "organs.dcm"), ...FORMATS);
    assertRefused(two, "-o ends with .dcm; --output-format dicom-seg writes _seg.dcm");
  }));

Deno.test("what DICOM objects can't be made with is refused before the network runs", () =>
  inTempFolder(async (folder) => {
    const [series, codes, out] = [join(folder, CASE), join(folder, "codes.json"), join(folder, "out")];
    await writeSeries(series, "StudyInstanceUID");
    const line = ["--output-format", "dicom-seg", "--segment-codes", codes];
    assertRefused(
      await predict(ONE.model, series, out, ...line.slice(0, 2)),
      `case ${CASE}`,
      "it has no StudyInstanceUID",
    );
    assertEquals((await namesIn(out)).filter((name) => name.startsWith(CASE)), []);
    assertRefused(await predict(ONE.model, series, out, ...line), "codes.json", "no such file");
    await Deno.writeTextFile(codes, '{"L3": {"colour": [0, 0, 0]}}');
    assertRefused(
      await predict(ONE.model, series, out, ...line),
      'the model has no class "L3"; it has L1, L2',
    );
    await Deno.writeTextFile(codes, '{"L1": {"colour": [0, 0, 256]}}');
    assertRefused(await predict(ONE.model, series, out, ...line), "codes.json", "L1.colour");
  }));
