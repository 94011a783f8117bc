/** What is named like an image and is none, in folders of images and in raw datasets: named, and never waited for. */
import zlib from "node:zlib";
import { UserError } from "../../core/base/errors.ts";
import { join } from "../../core/base/path.ts";
import { type ExpectedInput, listInputCases } from "../../core/dataset/input_cases.ts";
import { readRawDataset } from "../../core/dataset/raw_dataset.ts";
import { readJsonFile } from "../../core/base/json.ts";
import { copyFile } from "../../core/dataset/copy_dataset.ts";
import { statOrNull } from "../../core/base/stat_or_null.ts";
import { openBytes } from "../../core/formats/archive/gzip.ts";
import { readCase } from "../../core/formats/image/read_image.ts";
import { openCheckpoint } from "../../core/formats/torch/torch_checkpoint.ts";
import { readFingerprint } from "../../core/plan/read_fingerprint.ts";
import { inputStates } from "../../core/preprocess/preprocess_dataset_folder.ts";
import { extractFingerprint } from "../../core/preprocess/fingerprint.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";
import { inTempFolder } from "../golden/cli/run_command.ts";
import { IMAGE, makeRawDataset, niftiBytes } from "./raw_dataset_fixture.ts";

const ONE: ExpectedInput = { fileEnding: ".nii.gz", channelNames: ["CT"], severalChannelsPerFile: () => false };
const TWO: ExpectedInput = { ...ONE, channelNames: ["T1", "T2"] };

async function makePipe(path: string): Promise<void> {
  const made = await new Deno.Command("sh", { args: ["-c", `mkfifo "$0"`, path] }).output();
  assertEquals(made.code, 0);
}

/** good, a link to an image, and under the names of images a dangling link, a loop, a folder and a pipe. */
async function fillOddly(folder: string): Promise<void> {
  await Deno.writeTextFile(join(folder, "good_0000.nii.gz"), "");
  await Deno.symlink(join(folder, "good_0000.nii.gz"), join(folder, "link_0000.nii.gz"));
  await Deno.symlink(join(folder, "nowhere"), join(folder, "dangling_0000.nii.gz"));
  await Deno.symlink(join(folder, "loop_0000.nii.gz"), join(folder, "loop_0000.nii.gz"));
  await Deno.mkdir(join(folder, "folder_0000.nii.gz"));
  await Deno.mkdir(join(folder, "results"));
  await makePipe(join(folder, "pipe_0000.nii.gz"));
}

Deno.test("links to nothing and to themselves, folders and pipes among the images are failed cases; the others go on", () =>
  inTempFolder(async (folder) => {
    await fillOddly(folder);
    const { cases, failures } = await listInputCases(folder, ONE);
    assertEquals(cases.map(({ id }) => id), ["good", "link"]);
    const said = failures.map(({ parts }) => [parts.caseId, parts.problem]);
    assertEquals(said, [
      ["dangling", "it is a link to what is not there"],
      ["folder", "it is a folder"],
      ["loop", "it is a link that leads back to itself"],
      ["pipe", "it is a pipe, socket or device, which can't be read as a file"],
    ]);
  }));

Deno.test("a case whose second channel is none fails once, naming it", () =>
  inTempFolder(async (folder) => {
    await Deno.writeTextFile(join(folder, "a_0000.nii.gz"), "");
    await Deno.symlink(join(folder, "nowhere"), join(folder, "a_0001.nii.gz"));
    const { cases, failures } = await listInputCases(folder, TWO);
    assertEquals([cases.length, failures.length], [0, 1]);
    assert(failures[0].message.includes(join(folder, "a_0001.nii.gz")), failures[0].message);
  }));

Deno.test("a pipe is refused wherever a file is read, and not waited for; so is a loop", () =>
  inTempFolder(async (folder) => {
    await fillOddly(folder);
    const pipe = join(folder, "pipe_0000.nii.gz");
    await assertFails(() => openBytes(pipe, true), UserError, "it is a pipe", pipe);
    await assertFails(() => listInputCases(pipe, ONE), UserError, "it is a pipe", pipe);
    const loop = join(folder, "loop_0000.nii.gz");
    await assertFails(() => listInputCases(loop, ONE), UserError, "circle", loop);
    await assertFails(() => openBytes(loop, true), UserError, "circle");
  }));

Deno.test("a folder of DICOM files without endings is recognised, with what to do", () =>
  inTempFolder(async (folder) => {
    const file = new Uint8Array(200);
    file.set(new TextEncoder().encode("DICM"), 128);
    for (const name of ["IM0001", "IM0002"]) await Deno.writeFile(join(folder, name), file);
    await assertFails(
      () => listInputCases(folder, ONE),
      UserError,
      "DICOM files (IM0001, ...)",
      "dcm2niix",
      "CASE_0000.nii.gz",
    );
    await Deno.writeTextFile(join(folder, "IM0000"), "no DICOM");
    await assertFails(() => listInputCases(folder, ONE), UserError, "no file ends with .nii.gz");
  }));

Deno.test("a raw dataset with links to nothing and to themselves and with pipes: each is named, with its case", () =>
  inTempFolder(async (folder) => {
    const raw = join(folder, "raw");
    const options = { clean: true, verify: true, allowGeometryMismatch: false, threads: 1, memory: 1e9 };
    const image = join(raw, "imagesTr/b_0000.nii.gz");
    for (
      const make of [
        () => Deno.symlink(join(folder, "nowhere"), image),
        () => Deno.symlink(image, image),
        () => makePipe(image),
      ]
    ) {
      await makeRawDataset(raw);
      await Deno.remove(image);
      await make();
      const { findings, state } = await extractFingerprint(raw, join(folder, "preprocessed"), options);
      assertEquals(state, "refused");
      assert(findings.some(({ caseId, severity }) => caseId === "b" && severity === "error"), JSON.stringify(findings));
      await Deno.remove(raw, { recursive: true });
    }
  }));

Deno.test("macOS's ._ files in a raw dataset are no cases and no segmentations, and are told of", () =>
  inTempFolder(async (folder) => {
    const raw = join(folder, "raw");
    await makeRawDataset(raw);
    for (const name of ["imagesTr/._a_0000.nii.gz", "imagesTr/._b_0000.nii.gz", "labelsTr/._a.nii.gz"]) {
      await Deno.writeTextFile(join(raw, name), "Mac OS X");
    }
    assertEquals((await readRawDataset(raw)).cases.map(({ id }) => id), ["a", "b", "c"]);
    const warnings: string[] = [];
    const options = { clean: true, verify: true, allowGeometryMismatch: false, threads: 1, memory: 1e9 };
    const onWarning = (text: string) => warnings.push(text);
    const { findings } = await extractFingerprint(raw, join(folder, "preprocessed"), { ...options, onWarning });
    assertEquals(findings, []);
    assertEquals(warnings.filter((text) => text.includes("of macOS in")).length, 2);
    assert(warnings[0].startsWith("2 files of macOS in"), warnings[0]);
  }));

Deno.test({
  name: "a file whose name is not UTF-8 is said to be that, in a folder of images and in a raw dataset",
  // Other systems have no such names.
  ignore: Deno.build.os !== "linux",
  fn: () =>
    inTempFolder(async (folder) => {
      const make = `cd "$0" && : > "$(printf 'a\\377_0000.nii.gz')"`;
      assertEquals((await new Deno.Command("sh", { args: ["-c", make, folder] }).output()).code, 0);
      const { cases: [{ id, files }] } = await listInputCases(folder, ONE);
      const said = [files[0], "is not UTF-8", "Rename it"];
      await assertFails(() => readCase("SimpleITKIO", files), UserError, ...said);
      const label = join(folder, "label.nii.gz");
      await Deno.writeTextFile(label, "");
      await assertFails(() => inputStates({ id, images: files, label }), UserError, ...said);
    }),
});

Deno.test("no file of nnU-Net's that is a pipe is waited for, whatever reads it", () =>
  inTempFolder(async (folder) => {
    const pipe = join(folder, "pipe.json");
    await makePipe(pipe);
    const image = join(folder, "a_0000.nii.gz");
    await Deno.writeTextFile(image, "");
    const readers: readonly (() => unknown)[] = [
      () => readJsonFile(pipe),
      () => readFingerprint(pipe),
      () => openCheckpoint(pipe),
      () => openBytes(pipe, false),
      () => copyFile(pipe, join(folder, "copy"), "converting"),
      () => inputStates({ id: "a", images: [image], label: pipe }),
    ];
    for (const read of readers) await assertFails(async () => void await read(), UserError, "it is a pipe", pipe);
    await Deno.mkdir(join(folder, "folder.json"));
    await assertFails(() => readFingerprint(join(folder, "folder.json")), UserError, "it is a folder");
  }));

Deno.test("images in capitals or of other formats are left out with a word, texts beside them without", () =>
  inTempFolder(async (folder) => {
    for (const name of ["a_0000.nii.gz", "B_0000.NII.GZ", "c_0000.nii", "notes.txt", "d.json"]) {
      await Deno.writeTextFile(join(folder, name), "");
    }
    const { cases, warnings } = await listInputCases(folder, ONE);
    assertEquals(cases.map(({ id }) => id), ["a"]);
    assertEquals(warnings.length, 1, warnings.join("\n"));
    assert(warnings[0].startsWith("2 files in ") && warnings[0].includes("(B_0000.NII.GZ, c_0000.nii)"), warnings[0]);
  }));

Deno.test("a folder of nnU-Net's that is a file, or a link in a circle, is named", () =>
  inTempFolder(async (folder) => {
    const raw = join(folder, "raw");
    await makeRawDataset(raw);
    const [file, loop] = [join(folder, "file"), join(folder, "loop")];
    await Deno.writeTextFile(file, "");
    await Deno.symlink(loop, loop);
    const options = { clean: true, verify: true, allowGeometryMismatch: false, threads: 1, memory: 1e9 };
    const into = (preprocessed: string) => () => extractFingerprint(raw, join(preprocessed, "Dataset001_X"), options);
    await assertFails(into(file), UserError, "a folder is needed", file);
    await assertFails(into(loop), UserError, "circle", loop);
    assertEquals(await statOrNull(join(file, "sub"), "looking"), null);
    await assertFails(() => statOrNull(loop, "looking"), UserError, "circle");
  }));

Deno.test("an sform that is not finite is told of where the qform stands in for it", () =>
  inTempFolder(async (folder) => {
    const path = join(folder, "a_0000.nii.gz");
    const bytes = zlib.gunzipSync(niftiBytes(IMAGE));
    bytes.writeFloatLE(NaN, 280);
    await Deno.writeFile(path, zlib.gzipSync(bytes));
    const { warnings } = await readCase("SimpleITKIO", [path]);
    assert(warnings.some((text) => text.includes("the sform is not finite; the qform is used")), warnings.join());
  }));

Deno.test("a file that is nothing but a channel's number is no case", () =>
  inTempFolder(async (folder) => {
    for (const name of ["_0000.nii.gz", "a_0000.nii.gz"]) await Deno.writeTextFile(join(folder, name), "");
    const { cases, failures } = await listInputCases(folder, ONE);
    assertEquals(cases.map(({ id }) => id), ["a"]);
    assertEquals(failures.map(({ parts }) => parts.file), [join(folder, "_0000.nii.gz")]);
  }));
