/** Which DICOM series make which case, and predictions from them: those of SimpleITK's NIfTI files of the same series. */
import { UserError } from "../../core/base/errors.ts";
import { ensureFolder } from "../../core/base/files.ts";
import { join } from "../../core/base/path.ts";
import { listInputCases } from "../../core/dataset/input_cases.ts";
import { openImageFolder } from "../../core/dataset/image_folder.ts";
import { parseSeriesPath, seriesPath } from "../../core/formats/dicom/series.ts";
import { readLabels } from "../../core/formats/image/read_image.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";
import { GOLDEN, inTempFolder, namesIn, runCommand } from "./cli/run_command.ts";
import { asOther, expectedSeries, OTHER, packedSeries, UID, unpackSeries } from "./dicom/cases.ts";

const packed = await packedSeries();

const put = async (name: string, folder: string) => await unpackSeries(packed[name], folder);

const putOther = async (name: string, folder: string) => await unpackSeries(asOther(packed[name]), folder);

const list = async (input: string, channels: number, series: readonly string[] = []) =>
  await listInputCases(input, {
    fileEnding: ".nii.gz",
    channelNames: ["T1", "T2", "T3"].slice(0, channels),
    severalChannelsPerFile: () => false,
    series,
  });

/** "case: folder uid, folder uid", without the input's own folder. */
const summary = async (input: string, channels: number, series: readonly string[] = []) => {
  const { cases, failures } = await list(input, channels, series);
  assertEquals(failures.map(({ message }) => message), []);
  return cases.map(({ id, files }) => {
    const places = files.map((file) => parseSeriesPath(file));
    return `${id}: ${places.map((one) => `${one?.folder.slice(input.length) || "."} ${one?.uid}`).join(", ")}`;
  });
};

Deno.test("the folder of one study is one case, named after it, whatever lies how deep", () =>
  inTempFolder(async (folder) => {
    const study = join(folder, "study");
    await put("axial", join(study, "a/b"));
    await put("with_a_text", study);
    assertEquals(await summary(study, 1), [`study: . ${UID}`]);
  }));

Deno.test("a folder for each case; the channel's number is taken off where all have it", () =>
  inTempFolder(async (folder) => {
    for (const name of ["p_0001", "p_0007"]) await put("axial", join(folder, "named", name, "DICOM"));
    assertEquals(await summary(join(folder, "named"), 1), [`p_0001: /p_0001 ${UID}`, `p_0007: /p_0007 ${UID}`]);
    for (const name of ["a_0000", "b_0000"]) await put("axial", join(folder, "numbered", name));
    assertEquals(await summary(join(folder, "numbered"), 1), [`a: /a_0000 ${UID}`, `b: /b_0000 ${UID}`]);
  }));

Deno.test("links to folders are followed, and those that lead in a circle end", () =>
  inTempFolder(async (folder) => {
    await put("axial", join(folder, "archive/a"));
    await ensureFolder(join(folder, "cases"), "making a folder");
    await Deno.symlink(join(folder, "archive/a"), join(folder, "cases/linked"));
    await Deno.symlink(join(folder, "archive"), join(folder, "archive/a/circle"));
    const { cases, failures } = await list(join(folder, "cases"), 1);
    assertEquals([cases.map(({ id }) => id), failures], [["linked"], []]);
  }));

Deno.test("channels are folders CASE_0000, CASE_0001, or series of a study in the order of --series", () =>
  inTempFolder(async (folder) => {
    const cases = join(folder, "cases");
    for (const name of ["a_0000", "a_0001"]) await put("axial", join(cases, name));
    assertEquals(await summary(cases, 2), [`a: /a_0000 ${UID}, /a_0001 ${UID}`]);
    const { failures } = await list(cases, 3);
    assert(failures[0].message.includes("missing channel"), failures[0].message);
    assert(failures[0].message.includes("a_0002"), failures[0].message);
    const study = join(folder, "study");
    await put("axial", join(study, "x"));
    await putOther("axial", join(study, "y"));
    await Deno.writeFile(join(study, "DICOMDIR"), await Deno.readFile(join(study, "x/IM0001.dcm")));
    await Deno.remove(join(study, "x/IM0001.dcm"));
    assertEquals(await summary(study, 2, [OTHER, UID]), [`study: . ${OTHER}, . ${UID}`]);
    const unnamed = await list(study, 2);
    assert(unnamed.failures[0].message.includes("the folder holds 2 series"), unnamed.failures[0].message);
    const pair = `${join(study, "y")},${join(study, "x")}`;
    assertEquals((await list(pair, 2)).cases.map(({ id, files }) => [id, files.length]), [["y", 2]]);
  }));

Deno.test("two series with no choice are listed; --series chooses, and what it names has to be there", () =>
  inTempFolder(async (folder) => {
    await put("axial", folder);
    await putOther("oblique_0", join(folder, "more"));
    const { failures: [failure] } = await list(folder, 1);
    assert(failure instanceof UserError);
    for (const part of [UID, OTHER, "of 5 slices", "CT, series 1", "--series UID"]) {
      assert(failure.message.includes(part), `${part}: ${failure.message}`);
    }
    const { cases } = await list(folder, 1, [OTHER]);
    assertEquals(parseSeriesPath(cases[0].files[0])?.uid, OTHER);
    await assertFails(() => list(folder, 1, ["1.2.3"]), UserError, "no series 1.2.3", UID, OTHER);
    const { cases: [one] } = await list(join(folder, "more", "IM0002.dcm"), 1);
    assertEquals(parseSeriesPath(one.files[0]), { folder: join(folder, "more"), uid: OTHER });
  }));

Deno.test("beside segmentations a series with a damaged file is no image, and the file is named", () =>
  inTempFolder(async (folder) => {
    await put("axial", join(folder, "a"));
    const images = await openImageFolder(folder, "SimpleITKIO", "looking for the images");
    assertEquals(await images.imagesOf("a"), [seriesPath(join(folder, "a"), UID)]);
    const names = (await namesIn(join(folder, "a"))).map((name) => join(folder, "a", name));
    // One slice, then all of them.
    for (const damaged of [names.slice(1, 2), names]) {
      for (const file of damaged) await Deno.writeFile(file, (await Deno.readFile(file)).subarray(0, 400));
      await assertFails(() => images.imagesOf("a"), UserError, `(case a, ${damaged[0]})`);
    }
  }));

Deno.test("what is left out of a folder is named", () =>
  inTempFolder(async (folder) => {
    await put("with_a_report", join(folder, "in/report"));
    await put("with_a_text", join(folder, "in/text"));
    await ensureFolder(join(folder, "in/none"), "making a folder");
    await Deno.writeTextFile(join(folder, "in/none/a.txt"), "no DICOM");
    const { warnings, failures } = await list(join(folder, "in"), 1);
    assertEquals(failures, []);
    for (const part of ["SR.dcm (a structured report)", "notes.txt", "without DICOM left out: none"]) {
      assert(warnings.some((one) => one.includes(part)), `${part}: ${warnings}`);
    }
  }));

Deno.test("predictions from series are those from SimpleITK's NIfTI files of them", () =>
  inTempFolder(async (folder) => {
    const names = Object.keys(expectedSeries).filter((name) => expectedSeries[name].nifti !== undefined).slice(0, 4);
    for (const name of names) {
      const nifti = Uint8Array.fromBase64(expectedSeries[name].nifti ?? "");
      await ensureFolder(join(folder, "nifti"), "making a folder");
      await Deno.writeFile(join(folder, `nifti/${name}_0000.nii.gz`), nifti);
      await put(name, join(folder, "dicom", `${name}_0000`));
    }
    const model = ["-m", join(GOLDEN, "models/iso_ct_two_folds"), "-f", "0", "-device", "cpu"];
    for (const kind of ["nifti", "dicom"]) {
      const line = ["-i", join(folder, kind), "-o", join(folder, `from_${kind}`), ...model];
      const { code, stderr } = await runCommand(["predict_from_modelfolder", ...line]);
      assertEquals(code, 0, stderr);
    }
    assertEquals(await namesIn(join(folder, "from_dicom")), await namesIn(join(folder, "from_nifti")));
    for (const name of names) {
      const files = ["dicom", "nifti"].map((kind) => join(folder, `from_${kind}`, `${name}.nii.gz`));
      const [ours, theirs] = await Promise.all(files.map((file) => readLabels("SimpleITKIO", file)));
      assertEquals(ours.labels.data, theirs.labels.data, name);
      assertEquals(JSON.stringify(ours.geometry), JSON.stringify(theirs.geometry), name); // which has one zero only
    }
  }));
