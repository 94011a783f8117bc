/** BMP files of every kind (tests/golden/bmp/make_bmps.py says how they were made), damaged ones, and what is written. */
import { UserError } from "../../core/base/errors.ts";
import { join } from "../../core/base/path.ts";
import { probeImage, readCase, readLabels } from "../../core/formats/image/read_image.ts";
import { writeLabels } from "../../core/formats/image/write_image.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";
import { readBmps, REFUSED } from "./bmp/bmps.ts";
import { inTempFolder } from "./cli/run_command.ts";

const CASES = readBmps();
const read = async (file: string) => await readCase("NaturalImage2DIO", [file]);

Deno.test("pixels of every kind of BMP are NaturalImage2DIO's; what it can't read is refused", () =>
  inTempFolder(async (folder) => {
    const file = join(folder, "x_0000.bmp");
    let count = 0;
    for (const [name, { file: bytes, expected }] of CASES) {
      await Deno.writeFile(file, bytes);
      if (!expected || name in REFUSED) {
        await assertFails(() => read(file), UserError, file);
        continue;
      }
      const image = await read(file);
      assertEquals([image.channels, ...image.geometry.shape], [...expected.shape], name);
      assertEquals([...image.data], [...expected.voxels], name);
      const probe = await probeImage("NaturalImage2DIO", file);
      assertEquals([probe.channels, probe.geometry], [image.channels, image.geometry], name);
      count++;
    }
    assert(count > 200, `only ${count} pictures were compared`);
  }));

Deno.test("a BMP that is refused is refused with a reason", () =>
  inTempFolder(async (folder) => {
    const file = join(folder, "x_0000.bmp");
    const problems = [
      ["text", "not a BMP file"],
      ["empty", "cut short"],
      ["header_cut", "ends within its header"],
      ["bits_2", "2 bits a pixel"],
      ["header_size", "its header has 41 bytes"],
      ["no_width", "0 x 5 pixels"],
      ["very_wide", "can't hold"],
      ["offset_behind", "can't hold"],
      ["compression_4", "JPEG"],
      ["too_many_colours", "70,000 colours"],
      ["masks_32_8_40", "colours lie"],
      ["runs_8_ends_early", "ends before its pixels do"],
      ["black_and_white_of_8_bits", "misreads"],
    ];
    for (const [name, words] of problems) {
      await Deno.writeFile(file, CASES.get(name)?.file ?? new Uint8Array(0));
      await assertFails(() => read(file), UserError, file, words);
    }
  }));

Deno.test("a BMP that is cut anywhere is refused, or loses nothing that is read", () =>
  inTempFolder(async (folder) => {
    const file = join(folder, "x_0000.bmp");
    for (const name of ["direct_24_40", "runs_8_plain", "index_4_colours_124", "masks_16_1_40"]) {
      const whole = CASES.get(name);
      assert(whole?.expected, name);
      for (let length = 0; length < whole.file.length; length++) {
        await Deno.writeFile(file, whole.file.subarray(0, length));
        const cut = await read(file).catch((error) => {
          assert(error instanceof UserError, `${name} cut to ${length}: ${error}`);
          return null;
        });
        if (cut) assertEquals([...cut.data], [...whole.expected.voxels], `${name} cut to ${length}`);
      }
    }
  }));

Deno.test("segmentations are written as pillow writes grey pictures, and read back; labels above 255 are refused", () =>
  inTempFolder(async (folder) => {
    const file = join(folder, "labels.bmp");
    for (const width of [1, 2, 3, 4, 5, 13]) {
      const golden = CASES.get(`pillow_l_${width}`);
      assert(golden?.expected);
      const data = Uint8Array.from(golden.expected.voxels);
      const geometry = { reader: "NaturalImage2DIO", spacing: [999, 1, 1], shape: [1, 5, width] } as const;
      await writeLabels("NaturalImage2DIO", file, { data, shape: [1, 5, width] }, geometry);
      assertEquals([...await Deno.readFile(file)], [...golden.file], `${width} pixels wide`);
      assertEquals([...(await readLabels("NaturalImage2DIO", file)).labels.data], [...data]);
    }
    const wide = { data: Uint16Array.of(256), shape: [1, 1, 1] } as const;
    const geometry = { reader: "NaturalImage2DIO", spacing: [999, 1, 1], shape: [1, 1, 1] } as const;
    await assertFails(
      () => writeLabels("NaturalImage2DIO", file, wide, geometry),
      UserError,
      file,
      "above 255",
      ".png or .tif",
    );
  }));
