/** Zips of models that come from anywhere: made byte by byte, installed or refused, with nothing left behind. */
import { crc32, deflateRawSync } from "node:zlib";
import { UserError } from "../../core/base/errors.ts";
import { dirname, join } from "../../core/base/path.ts";
import { startJobThread } from "../../core/base/worker_thread.ts";
import { type Checksum, CHECKSUMS_FILE, findDifferences, readChecksums } from "../../core/share/checksums.ts";
import { installZip } from "../../core/share/install_zip.ts";
import { openModelZip, unpackEntry, type UnpackJob } from "../../core/share/unpack_entry.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";
import { inTempFolder, namesIn } from "../golden/cli/run_command.ts";

const MODEL = "Dataset900_Shared/nnUNetTrainer__nnUNetPlans__2d";
const bytesOf = (text: string) => new TextEncoder().encode(text);

interface Member {
  readonly name: string | Uint8Array;
  readonly bytes?: Uint8Array;
  readonly method?: number;
  readonly flags?: number;
  /** Unix's mode in the upper half. */
  readonly attributes?: number;
  /** What the lists say instead of the truth. */
  readonly localName?: string;
  readonly size?: number;
  readonly checksum?: number;
  readonly packed?: Uint8Array;
  /** Says all sizes in a zip64 field. */
  readonly zip64?: boolean;
}

/** A zip file, byte by byte. @param entryCount What its end says */
function zipOf(members: readonly Member[], entryCount = members.length): Uint8Array {
  const parts: Uint8Array[] = [];
  const central: Uint8Array[] = [];
  let offset = 0;
  for (const member of members) {
    const { bytes = bytesOf("content"), method = 0, flags = 0x800, attributes = 0o100644 << 16 >>> 0 } = member;
    const name = typeof member.name === "string" ? bytesOf(member.name) : member.name;
    const localName = member.localName === undefined ? name : bytesOf(member.localName);
    const packed = member.packed ?? (method === 8 ? deflateRawSync(bytes) : bytes);
    const { size = bytes.length, checksum = crc32(bytes), zip64 = false } = member;
    const local = new Uint8Array(30);
    const view = new DataView(local.buffer);
    view.setUint32(0, 0x04034b50, true);
    view.setUint16(6, flags, true);
    view.setUint16(8, method, true);
    view.setUint32(14, checksum, true);
    view.setUint32(18, packed.length, true);
    view.setUint32(22, size, true);
    view.setUint16(26, localName.length, true);
    const extra = new Uint8Array(zip64 ? 28 : 0);
    const listed = new Uint8Array(46);
    const list = new DataView(listed.buffer);
    list.setUint32(0, 0x02014b50, true);
    list.setUint16(4, 0x0314, true);
    list.setUint16(8, flags, true);
    list.setUint16(10, method, true);
    list.setUint32(16, checksum, true);
    list.setUint32(20, zip64 ? 0xffffffff : packed.length, true);
    list.setUint32(24, zip64 ? 0xffffffff : size, true);
    list.setUint16(28, name.length, true);
    list.setUint16(30, extra.length, true);
    list.setUint32(38, attributes, true);
    list.setUint32(42, zip64 ? 0xffffffff : offset, true);
    if (zip64) {
      const wide = new DataView(extra.buffer);
      wide.setUint16(0, 1, true);
      wide.setUint16(2, 24, true);
      [size, packed.length, offset].forEach((number, i) => wide.setBigUint64(4 + 8 * i, BigInt(number), true));
    }
    parts.push(local, localName, packed);
    central.push(listed, name, extra);
    offset += 30 + localName.length + packed.length;
  }
  const end = new Uint8Array(22);
  const view = new DataView(end.buffer);
  view.setUint32(0, 0x06054b50, true);
  view.setUint16(8, entryCount, true);
  view.setUint16(10, entryCount, true);
  view.setUint32(12, central.reduce((sum, part) => sum + part.length, 0), true);
  view.setUint32(16, offset, true);
  return Uint8Array.from([...parts, ...central, end].flatMap((part) => [...part]));
}

/** A model's files as TotalSegmentator's releases have them: no validation, no logs. */
const WHOLE: readonly Member[] = [
  { name: `${MODEL}/` },
  { name: `${MODEL}/plans.json`, bytes: bytesOf("{}"), method: 8 },
  { name: `${MODEL}/dataset.json`, bytes: bytesOf("{}") },
  { name: `${MODEL}/fold_0/checkpoint_final.pth`, bytes: new Uint8Array(3_000_000).fill(7), method: 8 },
].map((member) => member.name.endsWith("/") ? { ...member, bytes: new Uint8Array(0) } : member);

interface Place {
  readonly zip: string;
  readonly results: string;
}

async function withZip(bytes: Uint8Array, test: (place: Place) => Promise<void>): Promise<void> {
  await inTempFolder(async (folder) => {
    const zip = join(folder, "models.zip");
    await Deno.writeFile(zip, bytes);
    await test({ zip, results: join(folder, "results") });
  });
}

/** All files below a folder, hidden ones too. */
async function filesBelow(folder: string, prefix = ""): Promise<string[]> {
  const files: string[] = [];
  for (const name of await namesIn(folder)) {
    if ((await Deno.stat(join(folder, name))).isDirectory) {
      files.push(...await filesBelow(join(folder, name), `${prefix}${name}/`));
    } else files.push(`${prefix}${name}`);
  }
  return files;
}

const install = ({ zip, results }: Place, force = false) => installZip({ zip, results, force });

const HOSTILE: Readonly<Record<string, readonly [Member, string]>> = {
  "a path above the results folder": [{ name: `${MODEL}/../../../evil` }, "leads out"],
  "a path that begins above": [{ name: "../evil" }, "leads out"],
  "an absolute path": [{ name: `/${MODEL}/evil` }, "absolute"],
  "a drive": [{ name: `C:/${MODEL}/evil` }, "a drive"],
  "backslashes": [{ name: `${MODEL}\\..\\evil` }, "not a path"],
  "a NUL in its name": [{ name: `${MODEL}/evil\0.json` }, "control characters"],
  "a component that is empty": [{ name: `${MODEL}//evil` }, "not an empty text"],
  "a component that is a dot": [{ name: `${MODEL}/./evil` }, '"."'],
  "a name of 300 bytes": [{ name: `${MODEL}/${"x".repeat(300)}` }, "255 bytes"],
  "a path of 2000 bytes": [{ name: `${MODEL}/${"x".repeat(99)}/${"y/".repeat(1000)}z` }, "1,024 bytes"],
  "twenty folders": [{ name: `${MODEL}/${"y/".repeat(20)}z` }, "folders deep"],
  "a name that is not UTF-8": [{ name: Uint8Array.from([...bytesOf(`${MODEL}/`), 0xff, 0xfe]) }, "not UTF-8"],
  "a symbolic link": [{ name: `${MODEL}/link`, attributes: 0o120777 << 16 >>> 0 }, "it is a link"],
  "a device": [{ name: `${MODEL}/null`, attributes: 0o020666 << 16 >>> 0 }, "it is a device"],
  "a Windows junction": [{ name: `${MODEL}/link`, attributes: 0x400 }, "it is a link"],
  "a folder with bytes": [{ name: `${MODEL}/folder/` }, "has bytes"],
  "an encrypted entry": [{ name: `${MODEL}/secret`, flags: 1 }, "encrypted"],
  "an entry packed by LZMA": [{ name: `${MODEL}/a`, method: 14, packed: bytesOf("content") }, "LZMA (method 14)"],
  "an entry packed by method 77": [{ name: `${MODEL}/a`, method: 77, packed: bytesOf("content") }, "method 77"],
  "upper case for lower": [{ name: `${MODEL}/PLANS.json` }, "some disks take it for"],
  "a folder in upper case": [
    { name: `${MODEL.toUpperCase().replace("DATASET", "Dataset")}/a` },
    "some disks take it for",
  ],
  "a folder that is a file": [{ name: `${MODEL}/fold_0` }, "is a file and a folder"],
  "a file as a folder": [{ name: `${MODEL}/plans.json/a` }, "is a file and a folder"],
  "a model of nnU-Net v1": [{ name: "Task004_Hippocampus/nnUNetTrainerV2__nnUNetPlansv2.1/plans.pkl" }, "nnU-Net v1"],
  "a model without its dataset": [{ name: "nnUNetTrainer__nnUNetPlans__2d/plans.json" }, "no dataset's folder"],
  "a folder of something else": [{ name: "Dataset900_Shared/scripts/run.sh" }, "no model's folder"],
  "a bomb": [{ name: `${MODEL}/bomb`, bytes: new Uint8Array(80 << 20), method: 8 }, "more than 100 times"],
};

for (const [what, [member, problem]] of Object.entries(HOSTILE)) {
  Deno.test(`a zip with ${what} is refused by name, and nothing is written`, async () => {
    await withZip(zipOf([...WHOLE, member]), async (place) => {
      await assertFails(() => install(place), UserError, place.zip, problem);
      await assertFails(() => install(place, true), UserError, place.zip, problem);
      assertEquals(await namesIn(place.results), []);
    });
  });
}

Deno.test("two spellings of one letter are one name to some disks", async () => {
  const members = [{ name: `${MODEL}/fol\u00e9.txt` }, { name: `${MODEL}/fole\u0301.txt` }];
  await withZip(zipOf([...WHOLE, ...members]), async (place) => {
    await assertFails(() => install(place), UserError, "some disks take it for");
  });
});

const DAMAGED: Readonly<Record<string, readonly [Uint8Array, string]>> = {
  "a checksum that is wrong": [zipOf([...WHOLE, { name: `${MODEL}/a`, checksum: 1 }]), "checksum"],
  "a packed checksum that is wrong": [zipOf([...WHOLE, { name: `${MODEL}/a`, method: 8, checksum: 0 }]), "checksum"],
  "fewer bytes than promised": [zipOf([...WHOLE, { name: `${MODEL}/a`, method: 8, size: 9 }]), "7 of 9 bytes"],
  "more bytes than promised": [zipOf([...WHOLE, { name: `${MODEL}/a`, method: 8, size: 3 }]), "more than 3 bytes"],
  "packed bytes that are none": [
    zipOf([...WHOLE, { name: `${MODEL}/a`, method: 8, packed: bytesOf("\xff\xff\xff\xff") }]),
    "can't be unpacked",
  ],
  "packed bytes that are cut": [
    zipOf([...WHOLE, { name: `${MODEL}/a`, method: 8, packed: deflateRawSync(bytesOf("content")).subarray(0, 4) }]),
    "end too early",
  ],
  "bytes behind the packed ones": [
    zipOf([...WHOLE, {
      name: `${MODEL}/a`,
      method: 8,
      packed: Uint8Array.from([...deflateRawSync(bytesOf("content")), 1, 2, 3]),
    }]),
    "left over",
  ],
  "another name before the bytes": [
    zipOf([...WHOLE, { name: `${MODEL}/a`, localName: `${MODEL}/b` }]),
    "says something else",
  ],
  "a name twice": [zipOf([...WHOLE, { name: `${MODEL}/plans.json` }]), "twice"],
  "an entry that is not counted": [zipOf([...WHOLE, { name: `${MODEL}/a` }], WHOLE.length), "more stands in it"],
  "its end cut off": [zipOf(WHOLE).subarray(0, -30), "cut off"],
  "no bytes": [new Uint8Array(0), "empty"],
  "a text": [bytesOf("this is no zip"), "something else"],
  "no model": [zipOf([{ name: "Dataset900_Shared/inference_information.json" }]), "no model is in it"],
};

for (const [what, [bytes, problem]] of Object.entries(DAMAGED)) {
  Deno.test(`a zip with ${what} is refused, and nothing is left of it`, async () => {
    await withZip(bytes, async (place) => {
      await assertFails(() => install(place), UserError, place.zip, problem);
      assertEquals(await filesBelow(place.results), []);
    });
  });
}

Deno.test("a model without validation and logs is installed, with its checksums and nothing hidden", async () => {
  await withZip(zipOf([...WHOLE, { name: "README.md" }, { name: "__MACOSX/._a" }]), async (place) => {
    const { models, files, warnings } = await install(place);
    assertEquals([models, files], [[MODEL], 3]);
    assertEquals(warnings, ["not installed, as it belongs to no dataset: README.md"]);
    const names = ["dataset.json", "fold_0/checkpoint_final.pth", CHECKSUMS_FILE, "plans.json"];
    assertEquals(await filesBelow(place.results), names.map((name) => `${MODEL}/${name}`));
    const folder = join(place.results, MODEL);
    const checksums = await readChecksums(folder);
    assert(checksums);
    assertEquals([...checksums.keys()].sort(), ["dataset.json", "fold_0/checkpoint_final.pth", "plans.json"]);
    assertEquals(await findDifferences(folder, checksums, { whole: true }), []);
    const weights = join(folder, "fold_0/checkpoint_final.pth");
    const bytes = await Deno.readFile(weights);
    bytes[5] ^= 1;
    await Deno.writeFile(weights, bytes);
    await Deno.remove(join(folder, "plans.json"));
    assertEquals(await findDifferences(folder, checksums, { whole: false }), [{ file: "plans.json", what: "missing" }]);
    assertEquals(await findDifferences(folder, checksums, { whole: true }), [
      { file: "fold_0/checkpoint_final.pth", what: "changed" },
      { file: "plans.json", what: "missing" },
    ]);
  });
});

Deno.test("sizes in zip64 fields are read", async () => {
  const members = WHOLE.map((member) => ({ ...member, zip64: true }));
  await withZip(zipOf(members), async (place) => assertEquals((await install(place)).files, 3));
});

Deno.test("what is there is left as it is: the same is no error, what differs is listed, and --force replaces it", async () => {
  await withZip(zipOf(WHOLE), async (place) => {
    const folder = join(place.results, MODEL);
    await install(place);
    const before = await Deno.stat(join(folder, "plans.json"));
    assertEquals((await install(place)).files, 0);
    assertEquals((await Deno.stat(join(folder, "plans.json"))).mtime, before.mtime);

    await Deno.writeTextFile(join(folder, "plans.json"), "[]");
    await Deno.remove(join(folder, "dataset.json"));
    await Deno.mkdir(join(folder, "fold_1"));
    await Deno.writeTextFile(join(folder, "fold_1/checkpoint_final.pth"), "mine");
    await assertFails(() => install(place), UserError, `${MODEL}/plans.json`, "--force");
    assertEquals(await namesIn(folder), ["fold_0", "fold_1", CHECKSUMS_FILE, "plans.json"]);
    const { files, warnings } = await install(place, true);
    assertEquals([files, await Deno.readTextFile(join(folder, "plans.json"))], [2, "{}"]);
    assertEquals(warnings, [`${MODEL}: was there before and is not in the zip: fold_1/checkpoint_final.pth`]);
    assertEquals(await namesIn(place.results), ["Dataset900_Shared"]);
  });
});

Deno.test("a model that Python installed gets its checksums when the same zip is installed again", async () => {
  await withZip(zipOf(WHOLE), async (place) => {
    await install(place);
    await Deno.remove(join(place.results, MODEL, CHECKSUMS_FILE));
    assertEquals((await install(place)).files, 0);
    assertEquals((await readChecksums(join(place.results, MODEL)))?.size, 3);
  });
});

Deno.test("a folder where a file goes, or a file where a folder goes, is refused before anything is written", async () => {
  await withZip(zipOf(WHOLE), async (place) => {
    await Deno.mkdir(join(place.results, MODEL, "plans.json"), { recursive: true });
    await assertFails(() => install(place, true), UserError, "plans.json", "a folder has the name");
    await Deno.remove(join(place.results, MODEL), { recursive: true });
    await Deno.writeTextFile(join(place.results, MODEL), "");
    await assertFails(() => install(place, true), UserError, MODEL, "a file has the name");
    assertEquals(await filesBelow(place.results), [MODEL]);
  });
});

Deno.test("threads unpack the files of a large zip as the calling thread does those of a small one", async () => {
  await withZip(zipOf([...WHOLE, { name: `${MODEL}/bad.txt`, checksum: 1 }]), async ({ zip: file }) => {
    using thread = startJobThread<string, UnpackJob, Checksum>({
      does: "unpacks",
      startWorker: () => new Worker(new URL("../../core/share/unpack_worker.ts", import.meta.url), { type: "module" }),
      setting: file,
    });
    using zip = openModelZip(file);
    for (const entry of zip.entries.values()) {
      const [here, there] = await Promise.all(["here", "there"].map(() => Deno.makeTempFile({ dir: dirname(file) })));
      if (entry.name.endsWith("bad.txt")) {
        await assertFails(() => thread.run({ entry, target: there, total: 1 }), UserError, file, "bad.txt", "CRC-32");
        continue;
      }
      assertEquals(
        await thread.run({ entry, target: there, total: 1 }),
        await unpackEntry(zip, { entry, target: here, total: 1 }),
      );
      assertEquals([(await Deno.readFile(there)).length, await Deno.readFile(there)], [
        entry.size,
        await Deno.readFile(here),
      ]);
    }
  });
});

Deno.test("an installation that is stopped leaves nothing, and the next one removes what a killed one left", async () => {
  await withZip(zipOf(WHOLE), async (place) => {
    const stop = new AbortController();
    await assertFails(
      () => installZip({ ...place, force: false, signal: stop.signal, onProgress: () => stop.abort() }),
      Error,
      "nothing was installed",
    );
    assertEquals(await namesIn(place.results), []);
    await Deno.mkdir(join(place.results, ".nnunet-install.partial", "Dataset900_Shared"), { recursive: true });
    await install(place);
    assertEquals(await namesIn(place.results), ["Dataset900_Shared"]);
  });
});

Deno.test("a damaged record of checksums, or one that names files elsewhere, is refused by name", async () => {
  await inTempFolder(async (folder) => {
    const file = join(folder, CHECKSUMS_FILE);
    const entry = { bytes: 1, sha256: "0".repeat(64) };
    for (const name of ["../plans.json", "/etc/passwd", "a//b", ""]) {
      await Deno.writeTextFile(file, JSON.stringify({ installed_from: "a.zip", files: [{ file: name, ...entry }] }));
      await assertFails(() => readChecksums(folder), UserError, file, "files[0].file");
    }
    await Deno.writeTextFile(file, "{");
    await assertFails(() => readChecksums(folder), UserError, file);
  });
});
