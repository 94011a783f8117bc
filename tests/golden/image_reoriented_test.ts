/** SimpleITKIOWithReorient against what nnU-Net 2.8.1's reads and writes with SimpleITK (reoriented/make_reoriented.py). */
import zlib from "node:zlib";
import { UserError } from "../../core/base/errors.ts";
import { voxelCount } from "../../core/base/shape.ts";
import type { SitkGeometry } from "../../core/formats/image/image.ts";
import { readCase } from "../../core/formats/image/read_image.ts";
import { writeLabels } from "../../core/formats/image/write_image.ts";
import { readPickledProperties } from "../../core/formats/preprocessed/pickled_properties.ts";
import { pickleProperties } from "../../core/formats/torch/pickle_properties.ts";
import { chooseReader } from "../../core/dataset/choose_reader.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";
import { HEADERS, labelsFor, REFUSED, sha } from "./headers/cases.ts";

type Outcome = { readonly error: string; readonly sitk?: undefined } | {
  readonly error?: undefined;
  readonly shape: readonly number[];
  readonly spacing: readonly number[];
  readonly sitk: Omit<SitkGeometry, "originalOrientation"> & { readonly original_orientation: string };
  readonly sha: string;
  /** The header's first bytes as hex digits, or their SHA-256. */
  readonly written: { readonly header: string; readonly sha: string };
};

const GOLDEN: { readonly turned: (Outcome & { readonly file: string })[]; readonly headers: Record<string, Outcome> } =
  JSON.parse(await Deno.readTextFile(new URL("./reoriented/reoriented.json", import.meta.url)));
const READER = "SimpleITKIOWithReorient";
/** Read upstream, and refused here for the reasons for which SimpleITKIO's are. */
const isRefused = (name: string) => REFUSED[name.replace(/\..*/, "")]?.SimpleITKIO !== undefined;

/** The file's header and voxels, of a segmentation written for what was read. */
async function readAndWrite(file: string, expected: Outcome & { error?: undefined }, target: string) {
  const { data, geometry } = await readCase(READER, [file], { nonFinite: "asUpstream" });
  assertEquals([1, ...geometry.shape], expected.shape, file);
  const { original_orientation: originalOrientation, ...place } = expected.sitk;
  // The sign of a zero is left out: ITK's follows from how it multiplies matrices.
  const direction = place.direction.map((cosine) => cosine + 0);
  assertEquals(geometry.sitk, { ...place, direction, originalOrientation }, file);
  assertEquals(geometry.spacing, expected.spacing as unknown as typeof geometry.spacing, file);
  assertEquals(await sha(Float32Array.from(data)), expected.sha, `voxels of ${file}`);
  await writeLabels(READER, target, { data: labelsFor(voxelCount(geometry.shape)), shape: geometry.shape }, geometry);
  const written = zlib.gunzipSync(await Deno.readFile(target));
  assertEquals(await sha(Uint8Array.from(written.subarray(352))), expected.written.sha, `voxels for ${file}`);
  return Uint8Array.from(written.subarray(0, 348));
}

/** Quaternion, offset and sform are float32 of iterations whose last bit may differ; all else is equal. */
function assertSameHeader(actual: Uint8Array<ArrayBuffer>, expected: Uint8Array<ArrayBuffer>): void {
  const [floats, end] = [256, 328];
  const rest = (header: Uint8Array) => [...header.subarray(0, floats), ...header.subarray(end)];
  assertEquals(rest(actual), rest(expected));
  const numbers = (header: Uint8Array<ArrayBuffer>) => new Float32Array(header.slice(floats, end).buffer);
  const [a, b] = [numbers(actual), numbers(expected)];
  for (const [i, value] of b.entries()) assert(Math.abs(a[i] - value) <= 1e-6, `${floats + 4 * i}: ${a[i]}, ${value}`);
}

async function inFolder(run: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await run(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test(`${GOLDEN.turned.length} orientations, oblique ones too, are turned to RAS and back as SimpleITK does`, () =>
  inFolder(async (folder) => {
    const file = `${folder}/image.nii`;
    const voxels = new Uint8Array(Int16Array.from({ length: 210 }, (_, i) => i).buffer);
    for (const outcome of GOLDEN.turned) {
      assert(outcome.error === undefined, "upstream reads all of them");
      await Deno.writeFile(file, new Uint8Array([...Uint8Array.fromHex(outcome.file), ...voxels]));
      const header = await readAndWrite(file, outcome, `${folder}/seg.nii.gz`);
      assertSameHeader(header, Uint8Array.fromHex(outcome.written.header.slice(0, 696)));
    }
  }));

Deno.test("headers that SimpleITK reads are turned as it does, and others are refused", () =>
  inFolder(async (folder) => {
    let count = 0;
    for (const [name, outcome] of Object.entries(GOLDEN.headers)) {
      const file = `${HEADERS}nii/${name}`;
      // Of complex numbers the real parts are read, with a warning, as with the other readers.
      if (name.startsWith("type_complex")) continue;
      if (outcome.error !== undefined || isRefused(name)) {
        const read = await readCase(READER, [file]).catch((error) => error);
        assert(read instanceof UserError, `${name} is read, and upstream says: ${outcome.error}`);
        continue;
      }
      const header = await readAndWrite(file, outcome, `${folder}/seg.nii.gz`);
      assertEquals(await sha(header), outcome.written.header, `header for ${name}`);
      count++;
    }
    assert(count > 100, `only ${count} files were read`);
  }));

Deno.test("the reader is taken where dataset.json names it; flat images and several channels in a file are refused", async () => {
  const json = { file_ending: ".nii.gz", overwrite_image_reader_writer: READER };
  assertEquals((await chooseReader(json, "dataset.json", `${HEADERS}nii/base.nii.gz`)).reader, READER);
  for (const [name, what] of [["dim2", "it is 2-D"], ["dim4_3", "it is 4-D"]]) {
    await assertFails(() => readCase(READER, [`${HEADERS}nii/${name}.nii.gz`]), UserError, what, "3-D images only");
  }
});

Deno.test("the orientation goes with a case's properties into <case>.pkl under upstream's name, and comes back", () =>
  inFolder(async (folder) => {
    const { geometry } = await readCase(READER, [`${HEADERS}nii/orient_PIR.nii.gz`]);
    const { shape } = geometry;
    const boundingBox = shape.map((size) => [0, size] as const);
    const properties = { geometry, shapeBeforeCropping: shape, boundingBox, shapeAfterCropping: shape };
    const file = `${folder}/a.pkl`;
    await Deno.writeFile(file, pickleProperties(properties));
    const read = await readPickledProperties(file, "testing", "none");
    assertEquals(read.properties.geometry, { sitk: geometry.sitk });
    const stuff = read.members.get("sitk_stuff") as ReadonlyMap<unknown, unknown>;
    assertEquals([...stuff.keys()], ["spacing", "origin", "direction", "original_orientation"]);
    await Deno.writeFile(
      file,
      pickleProperties({
        ...properties,
        geometry: { ...geometry, sitk: geometry.sitk && { ...geometry.sitk, originalOrientation: "RLS" } },
      }),
    );
    await assertFails(() => readPickledProperties(file, "testing", "none"), UserError, "three letters like RAS");
  }));
