import { inflateRawSync } from "node:zlib";
import { UserError } from "../../core/base/errors.ts";
import { readNpz, writeNpz } from "../../core/formats/archive/npz.ts";
import { readPreviousStage } from "../../core/preprocess/predicted_previous_stage.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";

async function* chunks(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield await Promise.resolve(bytes.subarray(at, at + size));
}

async function inFolder(test: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("an array written in chunks of any size reads back the same", () =>
  inFolder(async (folder) => {
    const values = Float32Array.from({ length: 60_000 }, (_, i) => Math.sin(i) * (i % 97));
    for (const size of [7, 4096, 10_000_000]) {
      const header = { dtype: "<f4", shape: [3, 100, 200] };
      await writeNpz(`${folder}/a.npz`, "probabilities", header, chunks(new Uint8Array(values.buffer), size));
      const arrays = await readNpz(`${folder}/a.npz`);
      assertEquals([...arrays.keys()], ["probabilities"]);
      const array = arrays.get("probabilities");
      assertEquals([array?.dtype, array?.shape], ["<f4", [3, 100, 200]]);
      assertEquals(array?.data, values);
    }
    assertEquals(Array.from(Deno.readDirSync(folder), ({ name }) => name), ["a.npz"]);
  }));

Deno.test("the same array gives the same bytes, whenever its end is known", () =>
  inFolder(async (folder) => {
    const values = Float32Array.from({ length: 6000 }, (_, i) => Math.abs(Math.sin(i * i)) ** 3);
    const bytes = new Uint8Array(values.buffer);
    // With the last piece, or some time after it.
    async function* source(wait: number): AsyncGenerator<Uint8Array> {
      if (wait) await new Promise((resolve) => setTimeout(resolve, wait));
      yield bytes;
      if (wait) await new Promise((resolve) => setTimeout(resolve, wait));
    }
    const written: Uint8Array[] = [];
    for (const wait of [0, 20]) {
      await writeNpz(`${folder}/a.npz`, "probabilities", { dtype: "<f4", shape: [6000] }, source(wait));
      written.push(await Deno.readFile(`${folder}/a.npz`));
    }
    assertEquals(written[1], written[0]);
  }));

Deno.test("the local header has sizes and checksum, so that the file can be read from its start too", () =>
  inFolder(async (folder) => {
    await writeNpz(`${folder}/a.npz`, "seg", { dtype: "|u1", shape: [5] }, chunks(Uint8Array.of(1, 2, 3, 4, 5), 2));
    const bytes = Deno.readFileSync(`${folder}/a.npz`);
    const view = new DataView(bytes.buffer);
    const dataAt = 30 + view.getUint16(26, true) + view.getUint16(28, true);
    const packed = Number(view.getBigUint64(dataAt - 8, true));
    const unpacked = inflateRawSync(bytes.subarray(dataAt, dataAt + packed));
    assertEquals(unpacked.length, Number(view.getBigUint64(dataAt - 16, true)));
    assertEquals(Array.from(unpacked.subarray(-5)), [1, 2, 3, 4, 5]);
    const preamble = new TextDecoder("latin1").decode(unpacked.subarray(1, unpacked.length - 5));
    assert(preamble.startsWith("NUMPY\x01\x00") || preamble.startsWith("NUMPY"));
    assert(preamble.includes("{'descr': '|u1', 'fortran_order': False, 'shape': (5,), }"));
    assertEquals((unpacked.length - 5) % 64, 0);
  }));

Deno.test("too few or too many bytes are a defect, and leave no file", () =>
  inFolder(async (folder) => {
    const write = (bytes: number) => () =>
      writeNpz(`${folder}/a.npz`, "x", { dtype: "<f4", shape: [10] }, chunks(new Uint8Array(bytes), 8));
    await assertFails(write(36), RangeError, "were promised");
    await assertFails(write(44), RangeError, "more than");
    assertEquals(Array.from(Deno.readDirSync(folder)), []);
  }));

Deno.test("a source that fails ends the writing with its own error", () =>
  inFolder(async (folder) => {
    async function* failing(): AsyncGenerator<Uint8Array> {
      yield await Promise.resolve(new Uint8Array(4));
      throw new UserError({ doing: "testing", problem: "the source broke" });
    }
    const writing = () => writeNpz(`${folder}/a.npz`, "x", { dtype: "<f4", shape: [10] }, failing());
    await assertFails(writing, UserError, "the source broke");
    assertEquals(Array.from(Deno.readDirSync(folder)), []);
  }));

Deno.test("a damaged npz is refused", () =>
  inFolder(async (folder) => {
    const path = `${folder}/a.npz`;
    await writeNpz(path, "x", { dtype: "<f4", shape: [1000] }, chunks(new Uint8Array(4000).fill(3), 1000));
    const bytes = Deno.readFileSync(path);
    for (const change of [(b: Uint8Array) => (b[70] ^= 4, b), (b: Uint8Array) => b.subarray(0, b.length - 5)]) {
      Deno.writeFileSync(path, change(bytes.slice()));
      await assertFails(() => readNpz(path), UserError, "a.npz");
    }
  }));

Deno.test("a previous stage's prediction is of labels: numbers of 8 or 16 bits, none negative, on the case's grid", () =>
  inFolder(async (folder) => {
    const path = `${folder}/a.npz`;
    const write = async (dtype: string, data: ArrayBufferView, name = "seg") => {
      const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      await writeNpz(path, name, { dtype, shape: [1, 2, 2] }, chunks(bytes, 1000));
    };
    for (
      const [dtype, data] of [["|u1", Uint8Array.of(0, 1, 2, 255)], ["<u2", Uint16Array.of(0, 1, 2, 300)]] as const
    ) {
      await write(dtype, data);
      assertEquals([...await readPreviousStage(folder, "a", [1, 2, 2])], [...data]);
      await assertFails(() => readPreviousStage(folder, "a", [2, 2, 1]), UserError, "a.npz", "1 x 2 x 2 voxels");
    }
    const wrong = [["<f4", Float32Array.of(0, 1, NaN, 3)], ["|i1", Int8Array.of(0, -1, 0, 0)], [
      "<u2",
      Uint16Array.of(0, 40000, 0, 0),
    ]] as const;
    for (const [dtype, data] of wrong) {
      await write(dtype, data);
      await assertFails(() => readPreviousStage(folder, "a", [1, 2, 2]), UserError, "a.npz", "label");
    }
    await write("|u1", new Uint8Array(4), "other");
    await assertFails(() => readPreviousStage(folder, "a", [1, 2, 2]), UserError, "a.npz", "no array seg");
  }));
