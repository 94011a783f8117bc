/** Random header geometries, several files of a case, and pictures, against SimpleITK, nibabel and skimage (tests/golden/headers). */
import { UserError } from "../../core/base/errors.ts";
import {
  interpretAsNibabel,
  isRas,
  linearPart,
  orientationOf,
  reorientedAffine,
  reorientedSize,
} from "../../core/formats/image/nifti/nibabel_geometry.ts";
import { type NiftiHeader, parseNiftiHeader } from "../../core/formats/image/nifti/header.ts";
import { columnLengths } from "../../core/formats/image/nifti/matrix.ts";
import { encodeRgbPng } from "../../core/formats/image/png/encode.ts";
import { readCase, readLabels } from "../../core/formats/image/read_image.ts";
import { interpretAsItk } from "../../core/formats/image/nifti/sitk_geometry.ts";
import { writeLabels } from "../../core/formats/image/write_image.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";
import { agree, HEADERS, NIFTI_READERS, readExpected, sha } from "./headers/cases.ts";

const expected = readExpected();

interface RandomHeader {
  /** Bytes 40..123 and 252..327 of the header, in hex. */
  readonly dim_to_units: string;
  readonly forms: string;
  /** Spacing, origin, direction; null: refused. */
  readonly sitk: [number[], number[], number[]] | null;
  /** Affine, reoriented affine (12 numbers each), zooms and shape after reorientation; null: not 3-D. Not there: a tie. */
  readonly nibabel?: [number[], number[], number[], number[]] | null;
}

function headerOf(row: RandomHeader): NiftiHeader {
  const bytes = new Uint8Array(352);
  bytes.set([0x5c, 1], 0);
  bytes.set(Uint8Array.fromHex(row.dim_to_units), 40);
  bytes.set(Uint8Array.fromHex(row.forms), 252);
  bytes.set(new TextEncoder().encode("n+1"), 344);
  const header = parseNiftiHeader(bytes);
  assert(header);
  return header;
}

const randomHeaders: RandomHeader[] = JSON.parse(Deno.readTextFileSync(`${HEADERS}random_headers.json`));

Deno.test("random headers give SimpleITK's spacing, origin and direction, or are refused as there", () => {
  for (const [i, row] of randomHeaders.entries()) {
    const image = interpretAsItk(headerOf(row), "file");
    assertEquals("problem" in image, row.sitk === null, `header ${i}`);
    if ("problem" in image || !row.sitk) continue;
    assert(agree([...image.geometry.spacing], row.sitk[0]), `header ${i}: spacing`);
    assert(agree([...image.geometry.origin], row.sitk[1]), `header ${i}: origin`);
    assert(
      agree([...image.geometry.direction], row.sitk[2], 2e-15),
      `header ${i}: direction ${image.geometry.direction}`,
    );
  }
});

Deno.test("random headers give nibabel's affine, and the same after reorientation", () => {
  let count = 0;
  for (const [i, row] of randomHeaders.entries()) {
    const image = interpretAsNibabel(headerOf(row));
    if (row.nibabel === undefined) continue;
    assertEquals("problem" in image, row.nibabel === null, `header ${i}`);
    if ("problem" in image || !row.nibabel) continue;
    const [affine, reoriented, zooms, shape] = row.nibabel;
    const orientation = orientationOf(image.affine);
    const ras = isRas(orientation);
    const own = ras ? image.affine : reorientedAffine(image.affine, image.size, orientation);
    const ownZooms = ras ? image.zooms : columnLengths(linearPart(own)).map(Math.fround);
    assert(agree(image.affine.slice(0, 3).flat(), affine, 1e-14), `header ${i}: affine`);
    assert(agree(own.slice(0, 3).flat(), reoriented, 1e-13), `header ${i}: reoriented ${own}`);
    assertEquals([...ownZooms], zooms, `header ${i}: zooms`);
    assertEquals(reorientedSize(image.size, orientation), shape as [number, number, number], `header ${i}: shape`);
    count++;
  }
  assert(count > 50, `only ${count} headers were compared`);
});

/** Pairs that upstream reads with at most a printed warning; their grids are more than a voxel apart. */
const APART = [
  "base+disagree_origin_q1s1",
  "base+disagree_rotation_q1s1",
  "base+orient_PIR",
  "base+none",
  "base+s_only_pixdim_differs",
];

Deno.test("two files of a case are stacked if they lie on one grid, and refused with both names if not", async () => {
  for (const [pair, facts] of Object.entries(expected.two_files)) {
    const files = pair.split("+").map((name) => HEADERS + expected.cases[name].file);
    for (const reader of NIFTI_READERS) {
      const fact = facts[reader];
      let outcome: string;
      try {
        const image = await readCase(reader, files);
        outcome = await sha(new Float32Array(image.data));
        assertEquals([image.channels, ...image.geometry.shape], fact.shape, pair);
      } catch (error) {
        assert(error instanceof UserError, String(error));
        outcome = "refused";
        const own = await Promise.allSettled(files.map((file) => readCase(reader, [file])));
        const together = own.every((result) => result.status === "fulfilled");
        if (together) assert(files.every((file) => error.message.includes(file)), error.message);
      }
      if (fact.error) assertEquals(outcome, "refused", `${pair}, ${reader}`);
      else if (outcome === "refused") assert(APART.includes(pair), `${pair}, ${reader} is refused`);
      else assertEquals(outcome, fact.sha, `${pair}, ${reader}`);
    }
  }
});

/** Pictures that pillow reads and that are refused: damaged. */
const REFUSED_PICTURES = ["no_iend", "idat_crc_wrong"];

Deno.test("every kind of PNG gives the channels and values that NaturalImage2DIO gives", async () => {
  for (const [name, facts] of Object.entries(expected.png)) {
    const file = `${HEADERS}png/${name}.png`;
    if (facts.error || REFUSED_PICTURES.includes(name)) {
      await assertFails(() => readCase("NaturalImage2DIO", [file]), UserError, file);
      continue;
    }
    const image = await readCase("NaturalImage2DIO", [file]);
    assertEquals([image.channels, ...image.geometry.shape], [...facts.shape], name);
    assertEquals(await sha(new Float32Array(image.data)), facts.sha, name);
    assertEquals([...image.geometry.spacing], [999, 1, 1]);
    if (facts.values) assertEquals([...image.data], facts.values.flat(), name);
  }
});

Deno.test("an RGB picture may be followed by others of the same kind only", async () => {
  const png = (name: string) => `${HEADERS}png/${name}.png`;
  const six = await readCase("NaturalImage2DIO", [png("rgb8"), png("rgb8_interlaced")]);
  assertEquals(six.channels, 6);
  assertEquals(six.data.slice(0, 189), six.data.slice(189));
  await assertFails(
    () => readCase("NaturalImage2DIO", [png("rgb8"), png("grey8")]),
    UserError,
    "rgb8.png",
    "grey8.png",
  );
  await assertFails(() => readCase("NaturalImage2DIO", [png("grey8"), png("grey8_width3")]), UserError, "1 x 4 x 3");
});

Deno.test("label pictures are written as skimage writes them: 8-bit grey, not interlaced; 16-bit above 255", async () => {
  const facts = expected.png_written.labels;
  const geometry = { reader: "NaturalImage2DIO", spacing: [999, 1, 1], shape: [1, 7, 9] } as const;
  const file = await Deno.makeTempFile({ suffix: ".png" });
  await writeLabels("NaturalImage2DIO", file, { data: Uint8Array.from(facts.values), shape: [1, 7, 9] }, geometry);
  assertEquals([...(await Deno.readFile(file)).subarray(16, 29)], facts.bytes25);
  assertEquals([...(await readLabels("NaturalImage2DIO", file)).labels.data], facts.values);
  // Upstream writes these modulo 256.
  const large = Uint16Array.from({ length: 63 }, (_, i) => i * 9);
  await writeLabels("NaturalImage2DIO", file, { data: large, shape: [1, 7, 9] }, geometry);
  assertEquals([...(await readLabels("NaturalImage2DIO", file)).labels.data], [...large]);
  await Deno.remove(file);
});

Deno.test("label maps that skimage wrote are read back as labels, palettes are refused", async () => {
  for (const name of ["labels", "wrap", "bool"]) {
    const { labels } = await readLabels("NaturalImage2DIO", `${HEADERS}png/written_${name}.png`);
    assertEquals([...labels.data], expected.png_written[name].values);
  }
  await assertFails(
    () => readLabels("NaturalImage2DIO", `${HEADERS}png/palette4.png`),
    UserError,
    "3 channels",
    "grey",
  );
});

Deno.test("an RGB picture that was encoded is decoded to the same bytes", async () => {
  const rgb = Uint8Array.from({ length: 5 * 4 * 3 }, (_, i) => i * 37 % 256);
  const file = await Deno.makeTempFile({ suffix: ".png" });
  await Deno.writeFile(file, encodeRgbPng(5, 4, rgb));
  const image = await readCase("NaturalImage2DIO", [file]);
  assertEquals([image.channels, ...image.geometry.shape], [3, 1, 4, 5]);
  assertEquals(Array.from(rgb, (_, i) => image.data[(i % 3) * 20 + Math.floor(i / 3)]), [...rgb]);
  await Deno.remove(file);
});
