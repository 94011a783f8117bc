/** PNG files of every kind (tests/golden/png/make_pngs.py says how they were made), damaged ones, and ones that unpack without end. */
import zlib from "node:zlib";
import { UserError } from "../../core/base/errors.ts";
import { fromFileUrl, join } from "../../core/base/path.ts";
import { probeImage, readCase } from "../../core/formats/image/read_image.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";
import { inTempFolder } from "./cli/run_command.ts";

const PNGS = fromFileUrl(new URL("./png/", import.meta.url));
const expected: Record<string, { readonly shape: number[]; readonly values: number[] } | null> = JSON.parse(
  Deno.readTextFileSync(`${PNGS}expected.json`),
);

const read = async (file: string) => await readCase("NaturalImage2DIO", [file]);

function chunk(type: string, data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(data.length + 12);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  bytes.set(new TextEncoder().encode(type), 4);
  bytes.set(data, 8);
  view.setUint32(data.length + 8, zlib.crc32(bytes.subarray(4, data.length + 8)));
  return bytes;
}

function png(header: { size: [number, number]; depth?: number; colour?: number }, ...chunks: Uint8Array[]): Uint8Array {
  const { size, depth = 8, colour = 0 } = header;
  const ihdr = new Uint8Array(13);
  size.forEach((value, i) => new DataView(ihdr.buffer).setUint32(4 * i, value));
  ihdr.set([depth, colour], 8);
  const signature = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);
  return join8([signature, chunk("IHDR", ihdr), ...chunks, chunk("IEND", new Uint8Array(0))]);
}

function join8(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** A 16 x 16 picture's data, and then `mebibytes` MiB of zeros: about a thousandth of that, as a zlib stream. */
function endlessStream(mebibytes: number): Uint8Array {
  const flush = { level: 9, finishFlush: zlib.constants.Z_FULL_FLUSH };
  const picture = zlib.deflateSync(new Uint8Array(16 * 17), flush);
  const zeros = zlib.deflateRawSync(new Uint8Array(1 << 20), flush);
  return join8([picture, ...new Array<Uint8Array>(mebibytes).fill(zeros), zlib.deflateRawSync(new Uint8Array(0))]);
}

Deno.test("pixels of every kind, filter and pass are NaturalImage2DIO's", async () => {
  let count = 0;
  for (const [name, facts] of Object.entries(expected)) {
    if (!facts) {
      await assertFails(() => read(PNGS + name), UserError, name);
      continue;
    }
    const image = await read(PNGS + name);
    assertEquals([image.channels, ...image.geometry.shape], facts.shape, name);
    assertEquals([...image.data], facts.values, name);
    count++;
  }
  assert(count > 30, `only ${count} pictures were compared`);
});

Deno.test("a picture's header alone says its size, channels and type", async () => {
  const { channels, geometry, storedType } = await probeImage("NaturalImage2DIO", `${PNGS}rgba16_interlaced.png`);
  assertEquals([channels, ...geometry.shape], [4, 1, 11, 13]);
  assertEquals(storedType, "uint16");
});

Deno.test("a PNG that is cut anywhere, or has any byte changed, is refused", () =>
  inTempFolder(async (folder) => {
    const file = join(folder, "x.png");
    for (const name of ["two_columns_interlaced.png", "palette4.png"]) {
      const bytes = await Deno.readFile(PNGS + name);
      for (let at = 0; at < bytes.length; at++) {
        await Deno.writeFile(file, bytes.subarray(0, at));
        await assertFails(() => read(file), UserError, file);
        const changed = bytes.slice();
        changed[at] ^= 1 << (at % 8);
        await Deno.writeFile(file, changed);
        await assertFails(() => read(file), UserError, file);
      }
    }
  }));

Deno.test("a PNG whose data go on for 1.5 GB behind its pixels is refused before they are unpacked", () =>
  inTempFolder(async (folder) => {
    const file = join(folder, "bomb.png");
    const stream = endlessStream(1500);
    await Deno.writeFile(file, png({ size: [16, 16] }, chunk("IDAT", stream)));
    const before = Deno.memoryUsage().rss;
    await assertFails(() => read(file), UserError, file, "16 x 16 pixels", "damaged");
    const taken = Deno.memoryUsage().rss - before;
    assert(taken < 200e6, `${taken} bytes were taken`);
  }));

Deno.test("a PNG whose colour profile unpacks to 1.5 GB is read without it", () =>
  inTempFolder(async (folder) => {
    const file = join(folder, "profile.png");
    const pixels = Uint8Array.from({ length: 16 * 17 }, (_, i) => i % 17 === 0 ? 0 : i % 200);
    const profile = join8([new TextEncoder().encode("name\0\0"), endlessStream(1500)]);
    await Deno.writeFile(
      file,
      png({ size: [16, 16] }, chunk("iCCP", profile), chunk("IDAT", zlib.deflateSync(pixels))),
    );
    const before = Deno.memoryUsage().rss;
    assertEquals([...(await read(file)).data], [...pixels].filter((_, i) => i % 17 !== 0));
    const taken = Deno.memoryUsage().rss - before;
    assert(taken < 200e6, `${taken} bytes were taken`);
  }));

Deno.test("headers that claim what is not there or no PNG may have are refused before memory is taken", () =>
  inTempFolder(async (folder) => {
    const file = join(folder, "x.png");
    const data = chunk("IDAT", zlib.deflateSync(new Uint8Array(16 * 17)));
    const header = Uint8Array.of(0, 0, 0, 16, 0, 0, 0, 16, 8, 0, 0, 0, 0);
    const refused: readonly (readonly [Uint8Array, string])[] = [
      [png({ size: [2 ** 31 - 1, 2 ** 31 - 1] }, data), "cut short"],
      [png({ size: [16, 0] }, data), "16 x 0"],
      [png({ size: [16, 17] }, data), "cut short"],
      [png({ size: [16, 16], colour: 3 }, data), "no palette"],
      [png({ size: [16, 16], colour: 3 }, chunk("PLTE", new Uint8Array(770)), data), "palette of 770 bytes"],
      [png({ size: [16, 16], colour: 3, depth: 16 }, data), "16 bits"],
      [png({ size: [16, 16], colour: 5 }, data), "colour type 5"],
      [png({ size: [16, 16] }, chunk("IHDR", header), data), "second header"],
      [png({ size: [16, 16] }, data, chunk("IHDR", header)), "second header"],
      [png({ size: [16, 16], depth: 3 }, data), "3 bits"],
      [png({ size: [16, 16] }), "cut short"],
      [png({ size: [16, 16] }, chunk("IDAT", zlib.deflateSync(new Uint8Array(16 * 17).fill(9)))), "row filter 9"],
    ];
    for (const [bytes, word] of refused) {
      await Deno.writeFile(file, bytes);
      await assertFails(() => read(file), UserError, file, word);
    }
  }));

Deno.test("what follows the data's end inside a PNG is passed over, its checksums are not", () =>
  inTempFolder(async (folder) => {
    const file = join(folder, "x.png");
    const data = zlib.deflateSync(new Uint8Array(16 * 17));
    const more = chunk("IDAT", new Uint8Array(3 << 20).fill(1));
    await Deno.writeFile(file, png({ size: [16, 16] }, chunk("IDAT", join8([data, Uint8Array.of(1, 2, 3)])), more));
    assertEquals((await read(file)).data.length, 256);
    more[more.length - 1] ^= 1;
    await Deno.writeFile(file, png({ size: [16, 16] }, chunk("IDAT", data), more));
    await assertFails(() => read(file), UserError, file, "CRC mismatch for chunk IDAT");
  }));
