/** Written segmentations: what SimpleITK and nibabel read from them (tests/golden/headers/read_back.json), and all orientations. */
import zlib from "node:zlib";
import { Interrupted, UserError } from "../../core/base/errors.ts";
import type { ImageGeometry } from "../../core/formats/image/image.ts";
import { readCase, readLabels } from "../../core/formats/image/read_image.ts";
import { fileEndings } from "../../core/formats/image/readers.ts";
import { writeLabels } from "../../core/formats/image/write_image.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";
import { HEADERS } from "./headers/cases.ts";
import { writeCase, WRITTEN_CASES } from "./headers/write_cases.ts";

interface ReadBack {
  readonly sha256: string;
  readonly type: string;
  readonly same_voxels: boolean;
  readonly same_spacing: boolean;
  readonly same_itk_geometry: boolean;
  readonly same_affine: boolean;
}

Deno.test("SimpleITK and nibabel read from a written segmentation the labels and the image's geometry", async () => {
  const facts: Record<string, ReadBack> = JSON.parse(await Deno.readTextFile(`${HEADERS}read_back.json`));
  assertEquals(Object.keys(facts).sort(), WRITTEN_CASES.map((written) => written.name).sort());
  const folder = await Deno.makeTempDir();
  for (const written of WRITTEN_CASES) {
    await writeCase(written, `${folder}/${written.name}`);
    const bytes = new Uint8Array(zlib.gunzipSync(await Deno.readFile(`${folder}/${written.name}`)));
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
    const fact = facts[written.name];
    assertEquals(digest, fact.sha256, `${written.name} is no longer the file that SimpleITK and nibabel read`);
    assertEquals(fact.type, written.highest > 255 ? "uint16" : "uint8");
    assert(fact.same_voxels && fact.same_spacing, written.name);
    // Units and the place of a slice in space are not nibabel's: it ignores the one, and ITK drops the other.
    const both = !written.name.startsWith("units") && !written.name.startsWith("dim2");
    if (both || written.reader === "SimpleITKIO") assert(fact.same_itk_geometry, written.name);
    if (both || written.reader !== "SimpleITKIO") assert(fact.same_affine, written.name);
  }
  await Deno.remove(folder, { recursive: true });
});

/** All 48 orientations: each world axis once, either way round. */
function orientations(): number[][][] {
  const orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
  return orders.flatMap((order) =>
    Array.from(
      { length: 8 },
      (_, bits) =>
        [0, 1, 2].map((row) => order.map((axis, column) => axis === row ? (bits >> column & 1 ? -1 : 1) : 0)),
    )
  );
}

Deno.test("NibabelIOWithReorient turns all 48 orientations to RAS and back", async () => {
  const source = new Uint8Array(zlib.gunzipSync(await Deno.readFile(`${HEADERS}nii/base.nii.gz`)));
  const view = new DataView(source.buffer);
  const folder = await Deno.makeTempDir();
  const [image, segmentation] = [`${folder}/image.nii`, `${folder}/segmentation.nii`];
  const ras = new Set<string>();
  for (const rotation of orientations()) {
    const sform = rotation.flatMap((
      row,
      i,
    ) => [...row.map((value, j) => value * [0.8, 0.9, 2.5][j]), [-11.5, 7.25, 30][i]]);
    sform.forEach((value, i) => view.setFloat32(280 + 4 * i, value, true));
    await Deno.writeFile(image, source);
    const stored = await readCase("NibabelIO", [image]);
    const turned = await readCase("NibabelIOWithReorient", [image]);
    const affine = turned.geometry.nibabel?.reorientedAffine;
    assert(affine && [0, 1, 2].every((i) => affine[i][i] > 0), "not RAS");
    ras.add(turned.data.join());
    // Values are distinct enough to serve as labels.
    const data = Int16Array.from(turned.data, (value) => value + 100);
    await writeLabels("NibabelIOWithReorient", segmentation, { data, shape: turned.geometry.shape }, turned.geometry);
    const back = await readLabels("NibabelIO", segmentation);
    assertEquals(back.labels.shape, stored.geometry.shape);
    assertEquals([...back.labels.data], [...stored.data].map((value) => value + 100), JSON.stringify(rotation));
    const written = back.geometry.nibabel?.originalAffine.flat() ?? [];
    const wanted = stored.geometry.nibabel?.originalAffine.flat() ?? [];
    assert(wanted.every((value, i) => Math.abs(value - written[i]) < 1e-5), JSON.stringify(rotation));
  }
  assertEquals(ras.size, 48);
  await Deno.remove(folder, { recursive: true });
});

const GEOMETRY: ImageGeometry = {
  reader: "SimpleITKIO",
  spacing: [1, 1, 1],
  shape: [1, 2, 3],
  sitk: { spacing: [1, 1, 1], origin: [0, 0, 0], direction: [1, 0, 0, 0, 1, 0, 0, 0, 1] },
};

Deno.test("labels up to 255 are written as uint8, higher ones as uint16, never modulo", async () => {
  const file = await Deno.makeTempFile({ suffix: ".nii" });
  for (const [highest, type] of [[255, 2], [256, 512], [65535, 512]]) {
    const data = Uint16Array.from([0, 1, 2, 3, 4, highest]);
    await writeLabels("SimpleITKIO", file, { data, shape: [1, 2, 3] }, GEOMETRY);
    const bytes = await Deno.readFile(file);
    assertEquals(new DataView(bytes.buffer).getInt16(70, true), type);
    assertEquals([...(await readCase("SimpleITKIO", [file])).data], [0, 1, 2, 3, 4, highest]);
  }
  await assertFails(
    () => writeLabels("SimpleITKIO", file, { data: Int16Array.from([0, 0, 0, 0, 0, -3]), shape: [1, 2, 3] }, GEOMETRY),
    RangeError,
    "-3",
  );
  await Deno.remove(file);
});

Deno.test("a volume of several pieces is written and read back, contiguous and reoriented", async () => {
  const folder = await Deno.makeTempDir();
  const file = `${folder}/large.nii.gz`;
  const shape = [61, 180, 200] as const;
  const data = Int16Array.from({ length: shape[0] * shape[1] * shape[2] }, (_, i) => (i * 7919) % 1009);
  const affine = [[0, 0, -2, 5], [1, 0, 0, 6], [0, -1.5, 0, 7], [0, 0, 0, 1]] as const;
  const reorientedAffine = [[2, 0, 0, -393], [0, 1, 0, 6], [0, 0, 1.5, -83], [0, 0, 0, 1]] as const;
  const geometries: ImageGeometry[] = [
    { ...GEOMETRY, shape },
    { reader: "NibabelIO", spacing: [1, 1, 1], shape, nibabel: { originalAffine: affine } },
    {
      reader: "NibabelIOWithReorient",
      spacing: [1.5, 1, 2],
      shape,
      nibabel: { originalAffine: affine, reorientedAffine },
    },
  ];
  for (const geometry of geometries) {
    await writeLabels(geometry.reader, file, { data, shape }, geometry);
    const { labels } = await readLabels(geometry.reader, file);
    assertEquals(labels.shape, shape);
    assert(labels.data.every((label, i) => label === data[i]), geometry.reader);
  }
  await Deno.remove(folder, { recursive: true });
});

Deno.test("an interrupted or impossible write leaves nothing behind", async () => {
  const folder = await Deno.makeTempDir();
  const shape = [200, 200, 200] as const;
  // Noise, so that packing takes much longer than noticing the file.
  const data = Uint8Array.from({ length: 8_000_000 }, (_, i) => Math.imul(i, 2654435761) >>> 24);
  const geometry = { ...GEOMETRY, shape };
  for (const isThere of [() => true, () => [...Deno.readDirSync(folder)].length > 0]) {
    const controller = new AbortController();
    const file = `${folder}/a.nii.gz`;
    const writing = assertFails(
      () => writeLabels("SimpleITKIO", file, { data, shape }, geometry, controller.signal),
      Interrupted,
    );
    while (!isThere()) await new Promise((resolve) => setTimeout(resolve, 1));
    controller.abort();
    await writing;
    assertEquals([...Deno.readDirSync(folder)], []);
  }
  const missing = `${folder}/no/a.nii.gz`;
  await assertFails(() => writeLabels("SimpleITKIO", missing, { data, shape }, geometry), UserError, missing);
  await Deno.remove(folder, { recursive: true });
});

Deno.test("values that are no labels are refused with the first one", async () => {
  const file = `${HEADERS}nii/slope_2.5_-10_float32.nii.gz`;
  await assertFails(() => readLabels("SimpleITKIO", file), UserError, file, "voxel 0", "whole number");
  await assertFails(() => readLabels("SimpleITKIO", `${HEADERS}nii/dim4_3.nii.gz`), UserError, "3 channels");
  await assertFails(() => readLabels("NibabelIO", `${HEADERS}nii/nonfinite_float32.nii.gz`), UserError, "whole number");
});

Deno.test("every reader says which file endings it takes, the usual one first", () => {
  assertEquals(fileEndings("SimpleITKIO").slice(0, 2), [".nii.gz", ".nii"]);
  assertEquals(fileEndings("NaturalImage2DIO")[0], ".png");
});
