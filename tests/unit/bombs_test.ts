/** Small files that ask for much: what a reader builds is bounded by what its file may rightly hold. */
import { crc32, deflateRawSync, gzipSync } from "node:zlib";
import { UserError } from "../../core/base/errors.ts";
import { parseJson, readJsonFile } from "../../core/base/json.ts";
import { readCase } from "../../core/formats/image/read_image.ts";
import { readNpz } from "../../core/formats/archive/npz.ts";
import { npyPreamble } from "../../core/formats/archive/npy_header.ts";
import { openZip } from "../../core/formats/archive/zip.ts";
import { zipDirectory } from "../../core/formats/archive/zip_directory.ts";
import { unpickle } from "../../core/formats/torch/pickle.ts";
import { toPlain } from "../../core/formats/torch/pickle_plain.ts";
import { openCheckpoint } from "../../core/formats/torch/torch_checkpoint.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";

/** Latin-1 letters as bytes. */
function latin1(...parts: string[]): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(parts.join(""), (letter) => letter.charCodeAt(0));
}

function text(value: string): string {
  return `X${String.fromCharCode(value.length, 0, 0, 0)}${value}`;
}

const BOMBS: Readonly<Record<string, Uint8Array>> = {
  "a path that doubles thirty times": latin1(
    "\x80\x02cpathlib\nPosixPath\nq\x00",
    text("A".repeat(64)) + "q\x01" + "0h\x00h\x01h\x01\x86Rq\x01".repeat(30) + ".",
  ),
  "a list of two million that is copied four hundred times": latin1(
    "\x80\x02cbuiltins\nlist\nq\x00](" + "N".repeat(2_000_000) + "eq\x01(" + "h\x00h\x01\x85R".repeat(400) + "t.",
  ),
  "a set of a list, again and again": latin1(
    "\x80\x02cbuiltins\nset\nq\x00](" + "K\x01".repeat(100_000) + "eq\x01(" + "h\x00h\x01\x85R".repeat(4000) + "t.",
  ),
  "a text that becomes bytes, again and again": latin1(
    "\x80\x02c_codecs\nencode\nq\x00X\x00\x00\x10\x00" + "A".repeat(1 << 20) + "q\x01(" +
      "h\x00h\x01\x85R".repeat(4000) + "t.",
  ),
  "sixteen million dicts": new Uint8Array(16 << 20).fill(0x7d),
};

for (const [name, bytes] of Object.entries(BOMBS)) {
  Deno.test(`a pickle with ${name} is stopped`, async () => {
    await assertFails(
      () => unpickle(bytes, { file: "x.pkl", doing: "testing" }),
      UserError,
      "x.pkl",
      "would build more",
    );
  });
}

Deno.test("a list that becomes bytes holds bytes, and is never spelled out", async () => {
  // Forty lists, each of the one before twice, and bytes made of the last.
  const lists = Array.from(
    { length: 40 },
    (_, i) => `](h${String.fromCharCode(i)}h${String.fromCharCode(i)}eq${String.fromCharCode(i + 1)}0`,
  );
  const bytes = latin1("\x80\x02]q\x000" + lists.join("") + "c__builtin__\nbytearray\nh\x28\x85R.");
  await assertFails(() => unpickle(bytes, { file: "x.pkl", doing: "testing" }), UserError, "bytes that are none");
});

Deno.test("a list that holds itself four million times becomes no more than a million plain parts", () => {
  const bytes = latin1("\x80\x02]q\x01(" + "h\x01".repeat(4_000_000) + "e.");
  const { value } = unpickle(bytes, { file: "x.pkl", doing: "testing" });
  assert(Array.isArray(value) && value.length === 4_000_000);
  let parts = 0;
  const count = (part: unknown): void => {
    parts++;
    if (Array.isArray(part)) { for (const one of part) count(one); }
  };
  count(toPlain(value));
  assertEquals(parts, 1_000_000);
});

interface Member {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly deflate?: boolean;
  /** Claimed in the directory. */
  readonly size?: number;
}

/** A zip file. @param sameOffset All entries of the directory are the first one's bytes */
function zip(members: readonly Member[], sameOffset = false): Uint8Array {
  const parts: Uint8Array[] = [];
  let offset = 0;
  const entries = members.map(({ name, bytes, deflate = false, size = bytes.length }) => {
    const packed = deflate ? deflateRawSync(bytes) : bytes;
    const head = new Uint8Array(30 + name.length);
    new DataView(head.buffer).setUint32(0, 0x04034b50, true);
    new DataView(head.buffer).setUint16(26, name.length, true);
    head.set(latin1(name), 30);
    const method: 0 | 8 = deflate ? 8 : 0;
    const entry = { name, method, checksum: crc32(bytes), size, packed: packed.length, offset, end: 0 };
    if (!sameOffset || offset === 0) {
      parts.push(head, packed);
      offset += head.length + packed.length;
    }
    return sameOffset ? { ...entry, offset: 0 } : entry;
  });
  parts.push(zipDirectory(entries, offset));
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

async function inFile(bytes: Uint8Array, name: string, work: (file: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeFile(`${folder}/${name}`, bytes);
    await work(`${folder}/${name}`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const ARRAY = new Uint8Array(npyPreamble({ dtype: "|u1", shape: [20_000_000] }).length + 20_000_000);
ARRAY.set(npyPreamble({ dtype: "|u1", shape: [20_000_000] }));

Deno.test("an npz whose entries overlap is refused before one is unpacked", async () => {
  const members = Array.from({ length: 90 }, (_, i) => ({ name: `a${i}.npy`, bytes: ARRAY, deflate: true }));
  await inFile(zip(members.slice(0, 1)), "a.npz", async (file) => {
    assertEquals((await readNpz(file)).get("a0")?.data.length, 20_000_000);
  });
  await inFile(zip(members, true), "a.npz", async (file) => {
    await assertFails(() => readNpz(file), UserError, file, "overlaps another entry");
  });
});

Deno.test("an entry that is there twice, has two sizes or reaches into the directory is refused", async () => {
  const bytes = latin1("hello");
  const open = (file: string) => () =>
    openZip(file, "testing", { kind: "zip file", remedy: "copy it" })[Symbol.dispose]();
  const cases: [Member[], string][] = [
    [[{ name: "a", bytes }, { name: "a", bytes }], "twice"],
    [[{ name: "a", bytes, size: 4 }], "two sizes"],
  ];
  for (const [members, problem] of cases) {
    await inFile(zip(members), "a.zip", (file) => assertFails(open(file), UserError, file, problem));
  }
  const whole = zip([{ name: "a", bytes }]);
  const packedAt = whole.length - 22 - 47 + 20;
  new DataView(whole.buffer).setUint32(packedAt, 50, true);
  await inFile(whole, "a.zip", (file) => assertFails(open(file), UserError, file, "reaches into it"));
});

Deno.test("only the arrays that are asked for are unpacked", async () => {
  const damaged = { name: "other.npy", bytes: ARRAY.slice(0, 1000), deflate: true, size: 10 };
  await inFile(zip([{ name: "seg.npy", bytes: ARRAY, deflate: true }, damaged]), "a.npz", async (file) => {
    assertEquals([...(await readNpz(file, ["seg"])).keys()], ["seg"]);
    await assertFails(() => readNpz(file), UserError, "other.npy");
  });
});

Deno.test("a checkpoint whose pickle or whose numbers of axes are none of a training's is refused", async () => {
  const pickle = (axes: string) =>
    latin1(
      `\x80\x02}(${text("network_weights")}}${text("trainer_name")}${text("nnUNetTrainer")}${text("init_args")}}`,
      `${text("configuration")}${text("2d")}s${text("inference_allowed_mirroring_axes")}](${axes}eu.`,
    );
  const checkpoint = (data: Uint8Array) => zip([{ name: "archive/data.pkl", bytes: data, deflate: true }]);
  await inFile(checkpoint(pickle("K\x00K\x02")), "a.pth", async (file) => {
    using read = await openCheckpoint(file);
    assertEquals(read.mirrorAxes, [0, 2]);
  });
  for (const axes of ["K\x00".repeat(1_000_000), "K\x00K\x00", "K\x03"]) {
    await inFile(checkpoint(pickle(axes)), "a.pth", (file) => {
      return assertFails(() => openCheckpoint(file), UserError, file, "inference_allowed_mirroring_axes");
    });
  }
  const claimed = { name: "archive/data.pkl", bytes: latin1("N."), deflate: true, size: 300 << 20 };
  await inFile(zip([claimed]), "a.pth", (file) => {
    return assertFails(() => openCheckpoint(file), UserError, file, "data.pkl has");
  });
});

Deno.test("an image with much more packed behind its voxels than they are is refused, with a little more read", async () => {
  const header = new Uint8Array(352 + 2 * 60);
  const view = new DataView(header.buffer);
  view.setInt32(0, 348, true);
  [3, 3, 4, 5].forEach((n, i) => view.setInt16(40 + 2 * i, n, true));
  view.setInt16(70, 4, true);
  [1, 1, 1, 1].forEach((n, i) => view.setFloat32(76 + 4 * i, n, true));
  view.setFloat32(108, 352, true);
  header.set(latin1("n+1"), 344);
  for (const [megabytes, refused] of [[1, false], [100, true]] as const) {
    const rest = gzipSync(new Uint8Array(megabytes << 20));
    const bytes = Uint8Array.from([...gzipSync(header), ...rest]);
    await inFile(bytes, "a.nii.gz", async (file) => {
      const read = () => readCase("SimpleITKIO", [file]);
      if (refused) await assertFails(read, UserError, file, "behind what its header describes");
      else assertEquals((await read()).data.length, 60);
    });
  }
});

Deno.test("a JSON file that is none of nnU-Net's by its size is not read", async () => {
  await inFile(new Uint8Array(0), "a.json", async (file) => {
    await Deno.truncate(file, 2 ** 30);
    await assertFails(() => readJsonFile(file), UserError, file, "1,073,741,824 bytes");
  });
});

Deno.test("weights that say they are much more than the file holds are refused", async () => {
  const tensor = (key: string) =>
    text(key) +
    `ctorch._utils\n_rebuild_tensor_v2\n((${text("storage")}ctorch\nFloatStorage\n${text("0")}${text("cpu")}` +
    `J\x00\x00\x10\x00tQK\x00J\x00\x00\x10\x00\x85K\x01\x85\x89NtR`;
  const pickle = (count: number) =>
    latin1(
      `\x80\x02}(${text("network_weights")}}(`,
      Array.from({ length: count }, (_, i) => tensor(`w${i}`)).join(""),
      `u${text("trainer_name")}${text("nnUNetTrainer")}${text("init_args")}}${text("configuration")}${text("2d")}su.`,
    );
  const file = (count: number) =>
    zip([
      { name: "archive/data.pkl", bytes: pickle(count) },
      { name: "archive/data/0", bytes: new Uint8Array(4 << 20), deflate: true },
    ]);
  await inFile(file(2), "a.pth", async (path) => {
    using read = await openCheckpoint(path);
    assertEquals(read.weights.get("w1")?.read().length, 1 << 20);
  });
  await inFile(file(100), "a.pth", (path) => assertFails(() => openCheckpoint(path), UserError, path, "can't hold"));
});

Deno.test("a JSON text of nothing but empty objects is not spelled out, one of many triples is read", async () => {
  const objects = `[${"{},".repeat(2_000_000)}{}]`;
  await assertFails(() => parseJson(objects, "x.json"), UserError, "x.json", "too many lists and objects");
  const triples = parseJson(`[${"[1.0, 1.0, 1.0], ".repeat(1_200_000)}[]]`, "x.json");
  assert(Array.isArray(triples) && triples.length === 1_200_001);
});
