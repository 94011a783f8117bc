/** .b2nd files against what blosc2 reads from them, and preprocessed cases of nnU-Net 2.8.1 (tests/golden/b2nd). */
import { UserError } from "../../core/base/errors.ts";
import { createRandomState } from "../../core/base/numpy_random.ts";
import { fromFileUrl, join } from "../../core/base/path.ts";
import { type Vec3, voxelCount } from "../../core/base/shape.ts";
import { readDatasetJson } from "../../core/dataset/read_dataset_json.ts";
import { b2ndArray, type B2ndData, type B2ndFile, openB2nd } from "../../core/formats/blosc2/b2nd_file.ts";
import { writeB2nd } from "../../core/formats/blosc2/b2nd_writer.ts";
import { b2ndTiles } from "../../core/formats/preprocessed/b2nd_tiles.ts";
import { openNpzCase } from "../../core/formats/preprocessed/npy_case_reader.ts";
import type { StoredCase } from "../../core/formats/preprocessed/training_data.ts";
import { preprocessDataset } from "../../core/preprocess/preprocess_dataset.ts";
import { classKeys } from "../../core/preprocess/class_locations.ts";
import { keyDifferences } from "../../core/preprocess/data_setting.ts";
import { readPreviousStage } from "../../core/preprocess/predicted_previous_stage.ts";
import { listPreprocessedCases, openPreprocessedCase } from "../../core/preprocess/training_case_reader.ts";
import { assert, assertClose, assertEquals, assertFails } from "../assert.ts";

const GOLDEN = fromFileUrl(new URL("./b2nd", import.meta.url));
const UPSTREAM_2_5 = fromFileUrl(new URL("./preprocess_dataset", import.meta.url));

interface Entry {
  readonly name: string;
  readonly at: number;
  readonly bytes: number;
  readonly refused?: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly sha256: string;
}

interface ArrayEntry {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly sha256: string;
}

interface CaseEntry {
  readonly data: ArrayEntry;
  readonly seg: ArrayEntry;
  readonly locations: readonly {
    readonly labels: readonly number[];
    readonly count: number;
    readonly voxels: readonly number[];
  }[];
}

const { files, cases }: {
  readonly files: readonly Entry[];
  readonly cases: Readonly<Record<string, CaseEntry>>;
} = JSON.parse(Deno.readTextFileSync(join(GOLDEN, "expected.json")));

/** Calls `use` with each file of the golden ones, written to a folder. */
async function withFiles(entries: readonly Entry[], use: (path: string, entry: Entry) => Promise<void>): Promise<void> {
  const all = await Deno.readFile(join(GOLDEN, "files.bin"));
  const folder = await Deno.makeTempDir();
  const path = join(folder, "one.b2nd");
  try {
    for (const entry of entries) {
      await Deno.writeFile(path, all.subarray(entry.at, entry.at + entry.bytes));
      await use(path, entry);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const open = (path: string): B2ndFile => openB2nd(path, "reading the array", "make it anew");

function readWhole({ header: { dtype, shape }, readBox }: B2ndFile): B2ndData {
  const data = b2ndArray(dtype, shape.reduce((all, one) => all * one, 1));
  readBox(shape.map(() => 0), shape, data);
  return data;
}

async function sha256(data: B2ndData): Promise<string> {
  const bytes = new Uint8Array(data.slice().buffer);
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}

Deno.test("every codec, filter, split, type and special chunk gives the values that blosc2 reads", async () => {
  const read = files.filter(({ refused }) => refused === undefined);
  assert(read.length > 120);
  await withFiles(read, async (path, entry) => {
    using file = open(path);
    assertEquals([file.header.dtype, file.header.shape], [entry.dtype, entry.shape], entry.name);
    assertEquals(await sha256(readWhole(file)), entry.sha256, entry.name);
  });
});

Deno.test("boxes inside, over every border and outside are cut from the array", async () => {
  const some = files.filter(({ shape }, i) => shape?.length === 4 && i % 9 === 0);
  assert(some.length > 10);
  await withFiles(some, (path, { name, shape: [channels, depth, height, width] }) => {
    using file = open(path);
    const whole = readWhole(file);
    const boxes: readonly (readonly [Vec3, Vec3])[] = [
      [[depth >> 1, height >> 1, 3], [1, 2, 3]],
      [[-2, -3, -4], [5, 6, 7]],
      [[depth - 2, height - 1, width - 5], [4, 3, 9]],
      [[-1, -1, -1], [depth + 2, height + 2, width + 2]],
      [[0, 0, width + 3], [1, 2, 3]],
    ];
    for (const [[z0, y0, x0], [dz, dy, dx]] of boxes) {
      const into = b2ndArray(file.header.dtype, channels * dz * dy * dx).fill(77);
      file.readBox([0, z0, y0, x0], [channels, dz, dy, dx], into);
      const expected = into.map((_, i) => {
        const [c, z] = [Math.floor(i / (dx * dy * dz)), Math.floor(i / (dx * dy)) % dz + z0];
        const [y, x] = [Math.floor(i / dx) % dy + y0, i % dx + x0];
        const isInside = z >= 0 && z < depth && y >= 0 && y < height && x >= 0 && x < width;
        return isInside ? whole[((c * depth + z) * height + y) * width + x] : 77;
      });
      assertEquals(into, expected, `${name}: ${[dz, dy, dx]} at ${[z0, y0, x0]}`);
    }
    return Promise.resolve();
  });
});

Deno.test("types, filters and codecs that no preprocessed case has are refused by name", async () => {
  const refused = files.filter((entry) => entry.refused !== undefined);
  assert(refused.length >= 9);
  await withFiles(refused, async (path, { refused: text = "" }) => {
    await assertFails(
      () => {
        using file = open(path);
        readWhole(file);
      },
      UserError,
      text,
    );
  });
});

for (const [name, entry] of Object.entries(cases)) {
  Deno.test(`${name} of nnU-Net 2.8.1 is read as it reads it, and holds what that of 2.5.1 does`, async () => {
    const [dataset, id] = name.split("/");
    const folder = join(GOLDEN, "preprocessed", dataset);
    assert((await listPreprocessedCases(folder)).includes(id));
    using found = await openPreprocessedCase(folder, id);
    const { grid, channels } = found;
    const box = await found.readBox([0, 0, 0], grid);
    assertEquals([channels, ...grid], entry.data.shape);
    assertEquals(await sha256(box.image), entry.data.sha256);
    assertEquals(await sha256(box.segmentation), entry.seg.sha256);
    assertEquals(
      found.classLocations.map(({ key, voxels }) => ({
        labels: key.labels,
        count: voxels.length,
        voxels: Array.from(voxels.subarray(0, 50)),
      })),
      entry.locations.map(({ labels, count, voxels }) => ({ labels, count, voxels })),
    );
    const { labels, json } = await readDatasetJson(join(UPSTREAM_2_5, "expected", dataset, "dataset.json"));
    assertEquals(keyDifferences(found.classLocations.map(({ key }) => key), classKeys(labels, json)), []);

    using earlier = await openNpzCase(join(UPSTREAM_2_5, "expected", dataset, "nnUNetPlans_3d_fullres", id));
    const { geometry: _, ...properties } = found.properties;
    const { geometry: _none, ...earlierProperties } = earlier.properties;
    assertEquals(properties, earlierProperties);
    const other = await earlier.readBox([0, 0, 0], grid);
    assertClose(box.image, other.image, 1e-4);
    assertEquals(Array.from(box.segmentation), Array.from(other.segmentation));
  });
}

for (const [dataset, ids] of [["Dataset811_Thick", ["c0", "c1"]], ["Dataset812_Regions", ["r0", "r1"]]] as const) {
  Deno.test(`${dataset} as b2nd is what nnU-Net 2.8.1 writes, but for codec and lengths`, async () => {
    const target = await Deno.makeTempDir();
    for (const name of ["nnUNetPlans.json", "dataset.json"]) {
      await Deno.copyFile(join(UPSTREAM_2_5, "expected", dataset, name), join(target, name));
    }
    const outcome = await preprocessDataset(join(UPSTREAM_2_5, "raw", dataset), target, {
      plansName: "nnUNetPlans",
      configurations: ["3d_fullres"],
      format: "b2nd",
      threads: 1,
      nan: "refuse",
      allowGeometryMismatch: false,
      redo: false,
    });
    assertEquals(outcome.failures, []);
    const folder = join(target, "nnUNetPlans_3d_fullres");
    for (const id of ids) {
      for (const name of [`${id}.b2nd`, `${id}_seg.b2nd`]) {
        const [ours, theirs] = [folder, join(GOLDEN, "preprocessed", dataset)].map((from) =>
          withoutCodec(Deno.readFileSync(join(from, name)))
        );
        assertEquals(ours, theirs, name);
      }
      using found = await openPreprocessedCase(folder, id);
      using expected = await openPreprocessedCase(join(GOLDEN, "preprocessed", dataset), id);
      // The voxels drawn of a region come in another order; all are there of classes as small as these.
      const plain = ({ classLocations }: StoredCase) =>
        classLocations.map(({ key, voxels }) => [key.labels, voxels.toSorted()]);
      assertEquals(plain(found), plain(expected), id);
      const [a, b] = await Promise.all([found, expected].map((one) => one.readBox([0, 0, 0], one.grid)));
      assertClose(a.image, b.image, 1e-4, id);
      assertEquals(a.segmentation, b.segmentation, id);
    }
    await Deno.remove(target, { recursive: true });
  });
}

/** The header without what depends on codec, filter, threads and packed lengths, and the trailer. */
function withoutCodec(bytes: Uint8Array): readonly Uint8Array[] {
  const view = new DataView(bytes.buffer);
  const header = bytes.slice(0, view.getInt32(11));
  for (const [at, length] of [[16, 8], [27, 2], [39, 8], [63, 5], [70, 17]]) header.fill(0, at, at + length);
  return [header, bytes.slice(-35)];
}

Deno.test("every type is written as blosc2's files are read: partial chunks, zeros, noise, one to five dimensions", async () => {
  const folder = await Deno.makeTempDir();
  const random = createRandomState(1);
  for (const [dtype, wide] of [["<f4", 1e9], ["<i2", 65536], ["<u2", 65536], ["|i1", 256], ["|u1", 256]] as const) {
    for (
      const [shape, chunk, block] of [
        [[37], [10], [3]],
        [[2, 9, 19, 23], [1, 6, 19, 14], [1, 4, 8, 8]],
        [[5, 7, 3, 2, 4], [3, 3, 3, 1, 3], [2, 2, 2, 1, 2]],
      ]
    ) {
      const data = b2ndArray(dtype, shape.reduce((all, one) => all * one, 1));
      // Zeros, then noise, then few values.
      for (let i = data.length >> 2; i < data.length; i++) {
        data[i] = i < data.length >> 1 ? random.randint(wide) : random.randint(3);
      }
      const path = join(folder, "one.b2nd");
      await writeB2nd(path, { dtype, shape, chunk, block }, data, { doing: "writing" });
      using file = open(path);
      assertEquals(file.header, { dtype, shape, chunk, block });
      assertEquals(readWhole(file), data, `${dtype} ${shape}`);
    }
  }
  await Deno.remove(folder, { recursive: true });
});

Deno.test("damaged cases are refused, naming the file and what to do", async () => {
  const source = join(GOLDEN, "preprocessed", "Dataset811_Thick");
  const folder = await Deno.makeTempDir();
  const names = ["c0.b2nd", "c0_seg.b2nd", "c0.pkl"];
  const whole = new Map(names.map((name) => [name, Deno.readFileSync(join(source, name))]));
  const restore = () => whole.forEach((bytes, name) => Deno.writeFileSync(join(folder, name), bytes));
  const read = async () => {
    using stored = await openPreprocessedCase(folder, "c0");
    await stored.readBox([0, 0, 0], stored.grid);
  };
  const refused = async (
    name: string,
    change: (bytes: Uint8Array, view: DataView) => Uint8Array | void,
    text: string,
  ) => {
    restore();
    const bytes = (whole.get(name) ?? new Uint8Array(0)).slice();
    await Deno.writeFile(join(folder, name), change(bytes, new DataView(bytes.buffer)) ?? bytes);
    await assertFails(read, UserError, name, text, "un preprocess again");
  };
  restore();
  await read();
  for (const name of ["c0.b2nd", "c0_seg.b2nd"]) {
    await refused(name, () => new Uint8Array(0), "cut off");
    await refused(name, (bytes) => bytes.subarray(0, 80), "cut off");
    await refused(name, (bytes) => bytes.subarray(0, bytes.length - 1), "cut off");
    await refused(name, (bytes) => bytes.fill(0, 2, 4), "no blosc2 frame");
    await refused(name, (_, view) => view.setInt32(11, 2 ** 30), "its header has");
    await refused(name, (_, view) => view.setBigInt64(39, 2n ** 40n), "its chunks have");
    await refused(name, (_, view) => view.setInt32(53, 1), "a block, a chunk and all chunks");
    await refused(name, (_, view) => view.setUint8(25, 0x52), "variable length");
    await refused(name, (_, view) => view.setUint8(26, 1), "sparse");
    const header = new DataView(whole.get(name)?.buffer ?? new ArrayBuffer(0)).getInt32(11);
    await refused(name, (_, view) => view.setInt32(header + 12, 2 ** 30, true), "outside the file");
    await refused(
      name,
      (_, view) => view.setInt32(header + 4, view.getInt32(header + 4, true) - 4, true),
      "are needed",
    );
    await refused(name, (_, view) => view.setInt32(header + 32, -1, true), "places of a chunk's blocks");
    await refused(name, (bytes) => bytes.fill(255, header + 32 + 16, header + 32 + 40), "");
  }
  restore();
  await Deno.remove(join(folder, "c0_seg.b2nd"));
  await assertFails(read, UserError, "c0_seg.b2nd");
  await Deno.writeFile(join(folder, "c0_seg.b2nd"), await Deno.readFile(join(source, "c1_seg.b2nd")));
  await assertFails(read, UserError, "c0.b2nd", "data is 2 x 5 x 12 x 13, seg 1 x 5 x 14 x 17");
  await Deno.writeFile(join(folder, "c0_seg.b2nd"), await Deno.readFile(join(source, "c0.b2nd")));
  await assertFails(read, UserError, "c0.b2nd", "seg 2 x 5");
  await Deno.remove(folder, { recursive: true });
});

Deno.test("a block that zstd packed here and that is damaged is found by its checksum", async () => {
  const folder = await Deno.makeTempDir();
  const path = join(folder, "one.b2nd");
  const random = createRandomState(2);
  const data = Uint8Array.from({ length: 4096 }, () => random.randint(20));
  await writeB2nd(path, { dtype: "|u1", shape: [4096], chunk: [4096], block: [1024] }, data, { doing: "writing" });
  const bytes = await Deno.readFile(path);
  bytes[bytes.length >> 1] ^= 1;
  await Deno.writeFile(path, bytes);
  await assertFails(
    () => {
      using file = open(path);
      readWhole(file);
    },
    UserError,
    "damaged (zstd)",
  );
  await Deno.remove(folder, { recursive: true });
});

Deno.test("blocks and chunks are those that nnU-Net 2.8.1 chooses", () => {
  const tiles: readonly {
    readonly image: Vec3;
    readonly patch: Vec3;
    readonly dimensions: 2 | 3;
    readonly bytes: number;
    readonly block: Vec3;
    readonly chunk: Vec3;
  }[] = JSON.parse(Deno.readTextFileSync(join(GOLDEN, "tiles.json")));
  for (const one of tiles) {
    const { image, patch, dimensions, bytes, block, chunk } = one;
    assertEquals(b2ndTiles(image, patch, dimensions, bytes), { chunk, block }, JSON.stringify(one));
  }
});

Deno.test("a previous stage's prediction may be a .b2nd file of nnU-Net 2.6 and later", async () => {
  const three = files.filter(({ shape, dtype }) => shape?.length === 3 && dtype === "|u1");
  assert(three.length > 0);
  await withFiles(three, async (path, { shape: [z, y, x], sha256: expected }) => {
    const folder = path.slice(0, -"/one.b2nd".length);
    const labels = await readPreviousStage(folder, "one", [z, y, x]);
    assertEquals(await sha256(Uint8Array.from(labels)), expected);
    assertEquals(labels.length, voxelCount([z, y, x]));
    await assertFails(() => readPreviousStage(folder, "one", [z, y, x + 1]), UserError, "the preprocessed case");
  });
});
