/** The registry of readers and formats: what belongs to which, and that an image's headers say what reading it gives. */
import { UserError } from "../../core/base/errors.ts";
import type { ReaderName } from "../../core/formats/image/image.ts";
import { bytesToRead } from "../../core/formats/image/image_format.ts";
import { mayHoldSeveralChannels, probeImage, readCase } from "../../core/formats/image/read_image.ts";
import {
  filesOfImage,
  formatOf,
  imageEnding,
  READER_NAMES,
  READERS,
  supportedEndings,
} from "../../core/formats/image/readers.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";
import { HEADERS, NIFTI_READERS, readExpected } from "./headers/cases.ts";

const { cases, png } = readExpected();

Deno.test("readers are tried in upstream's order, with upstream's endings", () => {
  assertEquals(READERS.map(({ name, upstreamEndings }) => [name, ...upstreamEndings].join(" ")), [
    "NaturalImage2DIO .png .bmp .tif",
    "SimpleITKIO .nii.gz .nrrd .mha .gipl",
    "Tiff3DIO .tif .tiff",
    "NibabelIO .nii .nii.gz",
    "NibabelIOWithReorient .nii .nii.gz",
    "SimpleITKIOWithReorient .nii.gz .nrrd .mha .gipl",
  ]);
  assertEquals(READERS.filter(({ onlyByName }) => onlyByName).map(({ name }) => name), ["SimpleITKIOWithReorient"]);
  assertEquals([...READER_NAMES], [
    "SimpleITKIO",
    "Tiff3DIO",
    "NibabelIO",
    "NibabelIOWithReorient",
    "SimpleITKIOWithReorient",
    "NaturalImage2DIO",
  ]);
  assertEquals(supportedEndings().slice(0, 2), [".nii.gz", ".nii"], "the usual one first");
  for (const { name, formats, upstreamEndings } of READERS) {
    for (const { endings } of formats) assert(upstreamEndings.includes(endings[0]), `${name}: ${endings[0]}`);
  }
});

Deno.test("the headers of every image say the grid, the channels and the size that reading it gives", async () => {
  const files: [ReaderName, string][] = [
    ...NIFTI_READERS.flatMap((reader) =>
      Object.values(cases).map(({ file }) => [reader, HEADERS + file] as [ReaderName, string])
    ),
    ...Object.keys(png).map((name) => ["NaturalImage2DIO", `${HEADERS}png/${name}.png`] as [ReaderName, string]),
  ];
  let read = 0;
  for (const [reader, file] of files) {
    const image = await readCase(reader, [file]).catch(() => null);
    const probe = await probeImage(reader, file).catch(() => null);
    if (!image) continue;
    assert(probe, `${reader}, ${file}: no probe`);
    assertEquals([probe.channels, probe.geometry], [image.channels, image.geometry], `${reader}, ${file}`);
    assertEquals(bytesToRead(probe) - probe.bufferBytes, image.data.byteLength, `${reader}, ${file}`);
    assert(/^u?int\d+$|^float\d+$|^complex\d+$/.test(probe.storedType), `${reader}, ${file}: ${probe.storedType}`);
    read++;
  }
  assert(read > 150, `only ${read} images were compared`);
});

Deno.test("a file's format follows from the reader and the name; readers that look into files take any name", async () => {
  assertEquals(formatOf("SimpleITKIO", "A.NII.GZ").name, "NIfTI");
  assertEquals(formatOf("NibabelIO", "a.img").name, "NIfTI");
  assertEquals(formatOf("NaturalImage2DIO", "a.PNG").name, "PNG");
  await assertFails(
    () => formatOf("NaturalImage2DIO", "a.jpg"),
    UserError,
    "a.jpg",
    "only PNG, BMP, TIFF",
    "Convert the pictures",
  );
});

Deno.test("the files of an image in two files are both named, by either name", async () => {
  assertEquals([...await filesOfImage("x/a.img")].sort(), ["x/a.hdr", "x/a.img"]);
  assertEquals([...await filesOfImage("x/a.HDR.gz")].sort(), ["x/a.HDR.gz", "x/a.IMG.gz"]);
  assertEquals([...await filesOfImage("x/a.nii.gz")], ["x/a.nii.gz"]);
});

Deno.test("an ending is the longest that an image's name may have, as it is written", () => {
  assertEquals(["a.b.nii.gz", "a.NII", "a.ome.tiff", "a.img.gz", "a.dcm"].map(imageEnding), [
    ".nii.gz",
    ".NII",
    ".ome.tiff",
    ".img.gz",
    ".dcm",
  ]);
  assertEquals(["a.gz", "a.txt", "nii", "a"].map(imageEnding), [undefined, undefined, undefined, undefined]);
});

Deno.test("several channels are looked for where a file may hold them, and left to reading where it can't be read", async () => {
  const file = (name: string) => HEADERS + cases[name].file;
  assert(!(await mayHoldSeveralChannels("SimpleITKIO", file("base"))));
  assert(!(await mayHoldSeveralChannels("NibabelIO", "not there.nii.gz")));
  assert(await mayHoldSeveralChannels("SimpleITKIO", "not there.nii.gz"));
  assert(await mayHoldSeveralChannels("NaturalImage2DIO", `${HEADERS}png/grey8.png`));
  const several = Object.values(cases).filter(({ SimpleITKIO }) => SimpleITKIO.shape?.[0] === 3);
  assert(several.length > 0);
  for (const one of several) assert(await mayHoldSeveralChannels("SimpleITKIO", HEADERS + one.file), one.file);
});
