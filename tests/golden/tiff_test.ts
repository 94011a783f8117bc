/**
 * TIFF files of every kind (tests/golden/tiff/make_tiffs.py says how they were made), damaged ones, ones that claim too much, and what
 * is written.
 */
import zlib from "node:zlib";
import { UserError } from "../../core/base/errors.ts";
import { join } from "../../core/base/path.ts";
import type { ReaderName } from "../../core/formats/image/image.ts";
import { probeImage, readCase, readLabels } from "../../core/formats/image/read_image.ts";
import { writeLabels } from "../../core/formats/image/write_image.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";
import { inTempFolder } from "./cli/run_command.ts";
import { READ_ANYWAY, readTiffs, REFUSED } from "./tiff/tiffs.ts";

const CASES = readTiffs();
const READERS = ["Tiff3DIO", "NaturalImage2DIO"] as const;

function caseOf(name: string) {
  const found = CASES.get(name);
  assert(found, name);
  return found;
}

async function withFile(folder: string, name: string, bytes: Uint8Array): Promise<string> {
  const file = join(folder, name);
  await Deno.writeFile(file, bytes);
  return file;
}

for (const reader of READERS) {
  Deno.test(`voxels of every kind of TIFF are ${reader}'s, bit by bit; what it can't read is refused`, () =>
    inTempFolder(async (folder) => {
      let count = 0;
      for (const [name, one] of CASES) {
        const file = await withFile(folder, `x_0000${one.ending}`, one.file);
        const expected = one[reader];
        if (!expected && name in READ_ANYWAY) continue;
        if (!expected || name in REFUSED) {
          await assertFails(() => readCase(reader, [file]), UserError, file);
          continue;
        }
        const image = await readCase(reader, [file]);
        assertEquals([image.channels, ...image.geometry.shape], [...expected.shape], name);
        const bits = ({ buffer }: Float32Array) => [...new Uint32Array(buffer)];
        if (expected.voxels.some(Number.isNaN)) assertEquals([...image.data], [...expected.voxels], name);
        else assertEquals(bits(image.data), bits(expected.voxels), name);
        const probe = await probeImage(reader, file);
        assertEquals([probe.channels, probe.geometry], [image.channels, image.geometry], name);
        count++;
      }
      assert(count > 150, `only ${count} images were compared`);
    }));
}

Deno.test("a TIFF that is refused is refused with a reason", () =>
  inTempFolder(async (folder) => {
    const problems: readonly (readonly [string, string])[] = [
      ["picture_jpeg", "JPEG (compression 7)"],
      ["picture_lzma", "LZMA (compression 34925)"],
      ["compression_unknown", "method 4711"],
      ["compression_fax", "CCITT fax, group 4"],
      ["lzw_old", "LZW of before 1988"],
      ["picture_complex64", "complex numbers of 64 bits"],
      ["formats_differ", "different formats (1, 2)"],
      ["bits_5_6_5", "different bits (5, 6)"],
      ["ycbcr", "YCbCr"],
      ["lsm", "Zeiss LSM"],
      ["svs", "Aperio SVS"],
      ["ome_uuid_is_other", "other.ome.tif"],
      ["ome_planes_missing", "7 planes, and 5 are there"],
      ["pages_10_one_other", "not like the others"],
      ["shape_2x5x7x6", "2 x 5 x 7 x 6"],
      ["volume_uint8_le", "Tiff3DIO as overwrite_image_reader_writer"],
      ["empty", "the file is empty"],
      ["text", "not a TIFF file"],
      ["cut", "cut short"],
      ["strip_missing", "1 strips of 2"],
    ];
    for (const [name, words] of problems) {
      const file = await withFile(folder, "x_0000.tif", caseOf(name).file);
      await assertFails(() => readCase("NaturalImage2DIO", [file]), UserError, file, words);
    }
  }));

Deno.test("what is unusual in a TIFF is said: pages left out, an orientation, colours taken for an axis", () =>
  inTempFolder(async (folder) => {
    const warnings = async (reader: ReaderName, name: string) => {
      const file = await withFile(folder, "x_0000.tif", caseOf(name).file);
      await Deno.writeTextFile(join(folder, "x.json"), '{"spacing": [1, 1, 1]}');
      return (await readCase(reader, [file])).warnings.map((text) => text.replace(file, "FILE"));
    };
    assertEquals(await warnings("Tiff3DIO", "volume_uint8_le"), []);
    assert((await warnings("Tiff3DIO", "pages_one_other"))[0].startsWith("FILE: 1 of its 6 pages"));
    assert((await warnings("NaturalImage2DIO", "orientation_6"))[0].includes("orientation (field 274) is 6"));
    assert((await warnings("Tiff3DIO", "picture_rgb_uint8"))[0].includes("3 samples"));
    assertEquals(await warnings("Tiff3DIO", "pyramid_shaped"), []);
  }));

Deno.test("voxel sizes are those of the JSON file beside, without the channel's number; none is 1 and a warning", () =>
  inTempFolder(async (folder) => {
    const bytes = caseOf("volume_uint8_le").file;
    const channel = await withFile(folder, "a.b_0001.tif", bytes);
    const labels = await withFile(folder, "a.b.tif", bytes);
    const odd = await withFile(folder, "c_0003.tif", bytes);
    const bare = await readCase("Tiff3DIO", [channel]);
    assertEquals(bare.geometry.spacing, [1, 1, 1]);
    assert(bare.warnings[0].includes(join(folder, "a.b.json")));
    await Deno.writeTextFile(join(folder, "a.b.json"), '{"spacing": [3, 0.5, 0.25], "unit": "mm"}');
    await Deno.writeTextFile(join(folder, "c.json"), '{"spacing": [9, 9, 9]}');
    await Deno.writeTextFile(join(folder, "c_0003.json"), '{"spacing": [2, 2, 2]}');
    const { geometry, warnings } = await readCase("Tiff3DIO", [channel]);
    assertEquals([geometry.spacing, warnings], [[3, 0.5, 0.25], []]);
    assertEquals((await readLabels("Tiff3DIO", labels)).geometry.spacing, [3, 0.5, 0.25]);
    assertEquals((await readCase("Tiff3DIO", [odd])).geometry.spacing, [9, 9, 9]);
    assertEquals(
      (await readLabels("Tiff3DIO", odd)).geometry.spacing,
      [2, 2, 2],
      "a segmentation of a case named c_0003",
    );
  }));

Deno.test("a JSON file of voxel sizes that has none is refused by its name", () =>
  inTempFolder(async (folder) => {
    const file = await withFile(folder, "a_0000.tif", caseOf("volume_uint8_le").file);
    const json = join(folder, "a.json");
    const texts = [
      "",
      "[]",
      "{}",
      '{"spacing": 1}',
      '{"spacing": [1, 2]}',
      '{"spacing": [1, 2, 0]}',
      '{"spacing": [1, 2, "3"]}',
    ];
    for (const text of [...texts, '{"spacing": [1, 2, -1]}', '{"spacing": [1, 2, null]}']) {
      await Deno.writeTextFile(json, text);
      await assertFails(() => readCase("Tiff3DIO", [file]), UserError, json);
    }
    await Deno.remove(json);
    await Deno.mkdir(json);
    assertEquals((await readCase("Tiff3DIO", [file])).geometry.spacing, [1, 1, 1], "a folder is no file");
  }));

Deno.test("a TIFF that is cut anywhere is refused, or loses nothing that is read", () =>
  inTempFolder(async (folder) => {
    for (
      const name of ["picture_zlib_uint8_predictor2", "shape_5x1x6_plain", "ome_all_pages", "picture_rgb_tiles_planar"]
    ) {
      const { file: bytes } = caseOf(name);
      for (const reader of READERS) {
        const whole = await readCase(reader, [await withFile(folder, "x_0000.tif", bytes)]).catch(() => null);
        for (let length = 0; length < bytes.length; length += 1 + Math.floor(bytes.length / 700)) {
          const file = await withFile(folder, "x_0000.tif", bytes.subarray(0, length));
          const cut = await readCase(reader, [file]).catch((error) => {
            assert(error instanceof UserError, `${name} cut to ${length}: ${error}`);
            return null;
          });
          if (cut) assertEquals([...cut.data], [...whole?.data ?? []], `${name} cut to ${length}`);
        }
      }
    }
  }));

/** A little-endian page of 16-bit fields and longs: code, value. */
function page(fields: readonly (readonly [code: number, value: number])[], data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(8 + data.length + 2 + 12 * fields.length + 4);
  const view = new DataView(bytes.buffer);
  bytes.set([0x49, 0x49, 42]);
  view.setUint32(4, 8 + data.length, true);
  bytes.set(data, 8);
  let at = 8 + data.length;
  view.setUint16(at, fields.length, true);
  at += 2;
  for (const [code, value] of fields) {
    view.setUint16(at, code, true);
    view.setUint16(at + 2, 4, true);
    view.setUint32(at + 4, 1, true);
    view.setUint32(at + 8, value, true);
    at += 12;
  }
  return bytes;
}

Deno.test("sizes that the file can't hold, rows without end and pages in a circle are refused before memory is taken", () =>
  inTempFolder(async (folder) => {
    const zeros = zlib.deflateSync(new Uint8Array(1 << 20));
    const fields = (width: number, length: number, compression: number, ...more: (readonly [number, number])[]) =>
      [[256, width], [257, length], [258, 8], [259, compression], [273, 8], [279, zeros.length], ...more] as const;
    const circle = page(fields(4, 4, 1), zeros);
    new DataView(circle.buffer).setUint32(circle.length - 4, new DataView(circle.buffer).getUint32(4, true), true);
    const refused: readonly (readonly [Uint8Array, string])[] = [
      [page(fields(2 ** 31, 2 ** 31, 8), zeros), "can't hold"],
      [page(fields(2 ** 31, 1, 1), zeros), "can't hold"],
      [page(fields(2 ** 32 - 1, 2, 32773), zeros), "can't hold"],
      [page(fields(16, 16, 8), zeros), "unpacks to more than its pixels"],
      [page(fields(16, 16, 8, [322, 2 ** 31], [323, 2 ** 31]), zeros), "can't hold its strips or tiles"],
      [page(fields(0, 16, 1), zeros), "its width is 0"],
      [page(fields(16, 16, 1, [277, 0]), zeros), "number of samples is 0"],
      [page(fields(16, 16, 1, [278, 0]), zeros), "number of rows of a strip is 0"],
      [page(fields(4, 4, 1).filter(([code]) => code !== 273), zeros), "does not say where"],
      [circle, "circle"],
    ];
    for (const [bytes, words] of refused) {
      const file = await withFile(folder, "x_0000.tif", bytes);
      const before = Deno.memoryUsage().rss;
      await assertFails(() => readCase("NaturalImage2DIO", [file]), UserError, file, words);
      const taken = Deno.memoryUsage().rss - before;
      assert(taken < 200e6, `${words}: ${taken} bytes were taken`);
    }
  }));

Deno.test("a picture in one deflated strip of many megabytes is unpacked piece by piece", () =>
  inTempFolder(async (folder) => {
    const [width, length] = [4000, 3000];
    const pixels = Uint8Array.from({ length: width * length }, (_, i) => (i * 7919) >> 5);
    for (const flip of [false, true]) {
      const data = zlib.deflateSync(pixels, { level: 1 });
      if (flip) data[data.length - 1] ^= 1; // of the checksum
      const fields = [[256, width], [257, length], [258, 8], [259, 8], [273, 8], [279, data.length]] as const;
      const file = await withFile(folder, "x_0000.tif", page(fields, data));
      if (flip) await assertFails(() => readCase("NaturalImage2DIO", [file]), UserError, file, "damaged");
      else {
        const { data: voxels } = await readCase("NaturalImage2DIO", [file]);
        assert(voxels.every((value, i) => value === pixels[i]));
      }
    }
  }));

Deno.test("segmentations are written with their voxel sizes beside and read back", () =>
  inTempFolder(async (folder) => {
    const data = Uint16Array.from({ length: 2 * 300 * 500 }, (_, i) => (i * 31 >> 7) % 300);
    const geometry = { reader: "Tiff3DIO", spacing: [3, 0.5, 0.25], shape: [2, 300, 500] } as const;
    for (const [labels, name] of [[data, "wide"], [data.map((label) => label % 256), "narrow"]] as const) {
      const file = join(folder, `${name}.tif`);
      await writeLabels("Tiff3DIO", file, { data: labels, shape: [2, 300, 500] }, geometry);
      assertEquals(
        await Deno.readTextFile(join(folder, `${name}.json`)),
        '{\n    "spacing": [\n        3.0,\n        0.5,\n        0.25\n    ]\n}',
      );
      const read = await readLabels("Tiff3DIO", file);
      assertEquals(read.geometry, geometry);
      assert(read.labels.data.every((label, i) => label === labels[i]), name);
      assertEquals((await probeImage("Tiff3DIO", file)).storedType, name === "wide" ? "uint16" : "uint8");
    }
    const picture = { reader: "NaturalImage2DIO", spacing: [999, 1, 1], shape: [1, 3, 4] } as const;
    const file = join(folder, "picture.tif");
    await writeLabels("NaturalImage2DIO", file, {
      data: Uint8Array.from({ length: 12 }, (_, i) => i),
      shape: [1, 3, 4],
    }, picture);
    assertEquals(
      [...(await readLabels("NaturalImage2DIO", file)).labels.data],
      Array.from({ length: 12 }, (_, i) => i),
    );
    await assertFails(
      () =>
        writeLabels("Tiff3DIO", join(folder, "dataset.tif"), { data: new Uint8Array(1), shape: [1, 1, 1] }, {
          ...geometry,
          shape: [1, 1, 1],
        }),
      UserError,
      "dataset.json",
      "another name",
    );
  }));
