/** Preprocessing whole datasets, against what nnU-Net 2.5.1 makes of them (tests/golden/preprocess_dataset). */
import { Interrupted, UserError } from "../../core/base/errors.ts";
import { fromFileUrl, join } from "../../core/base/path.ts";
import { voxelCount } from "../../core/base/shape.ts";
import { openNpzCase } from "../../core/formats/preprocessed/npy_case_reader.ts";
import { readNpz } from "../../core/formats/archive/npz.ts";
import { unpickle } from "../../core/formats/torch/pickle.ts";
import { isNumpyArray } from "../../core/formats/torch/pickle_globals.ts";
import type { StoredCase } from "../../core/formats/preprocessed/training_data.ts";
import { classKeys, sampleClassLocations } from "../../core/preprocess/class_locations.ts";
import { keyDifferences } from "../../core/preprocess/data_setting.ts";
import { readDatasetJson } from "../../core/dataset/read_dataset_json.ts";
import { preprocessDataset, type PreprocessDatasetOptions } from "../../core/preprocess/preprocess_dataset.ts";
import type { DataFormat } from "../../core/preprocess/preprocess_worker_job.ts";
import { listPreprocessedCases, openPreprocessedCase } from "../../core/preprocess/training_case_reader.ts";
import { assert, assertClose, assertEquals, assertFails } from "../assert.ts";
import { editNifti, withVoxelsTimes } from "./cli/edit_nifti.ts";
import { namesIn } from "./cli/run_command.ts";

const GOLDEN = fromFileUrl(new URL("./preprocess_dataset", import.meta.url));
const RAW = join(GOLDEN, "raw");
const EXPECTED = join(GOLDEN, "expected");
/** Dataset, and the cases of each configuration. */
const DATASETS: readonly (readonly [dataset: string, configurations: readonly string[], cases: readonly string[]])[] = [
  ["Dataset811_Thick", ["2d", "3d_fullres"], ["c0", "c1", "c2"]],
  ["Dataset812_Regions", ["2d", "3d_fullres"], ["r0", "r1"]],
  ["Dataset813_Pictures", ["2d"], ["p0", "p1"]],
];
const FORMATS: readonly DataFormat[] = ["bricks", "npz", "npy"];

/** A folder with a dataset's plans and dataset.json, as planning leaves it. */
async function planned(dataset: string): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await Deno.makeTempDir();
  for (const name of ["nnUNetPlans.json", "dataset.json"]) {
    await Deno.copyFile(join(EXPECTED, dataset, name), join(path, name));
  }
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }) };
}

/** A copy of a raw dataset that may be changed. */
async function rawCopy(dataset: string): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await Deno.makeTempDir();
  for (const folder of ["imagesTr", "labelsTr"]) {
    await Deno.mkdir(join(path, folder));
    for await (const { name } of Deno.readDir(join(RAW, dataset, folder))) {
      await Deno.copyFile(join(RAW, dataset, folder, name), join(path, folder, name));
    }
  }
  await Deno.copyFile(join(RAW, dataset, "dataset.json"), join(path, "dataset.json"));
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }) };
}

const options = (more: Partial<PreprocessDatasetOptions> = {}): PreprocessDatasetOptions => ({
  plansName: "nnUNetPlans",
  configurations: ["2d", "3d_fullres"],
  format: "bricks",
  threads: 1,
  nan: "refuse",
  allowGeometryMismatch: false,
  redo: false,
  ...more,
});

/** Whole case and boxes over its border are the same as upstream's arrays. */
async function compareWithUpstream(found: StoredCase, expected: StoredCase, what: string): Promise<void> {
  assertEquals(found.grid, expected.grid, `${what}: grid`);
  assertEquals(found.channels, expected.channels, `${what}: channels`);
  // The reader's geometry is left out of the fixtures' pickles.
  const { geometry: _, ...foundProperties } = found.properties;
  const { geometry: _none, ...expectedProperties } = expected.properties;
  assertEquals(foundProperties, expectedProperties, `${what}: properties`);
  const [z, y, x] = found.grid;
  for (const [origin, size] of [[[0, 0, 0], [z, y, x]], [[-1, 3, y >> 1], [z + 1, y, x - 3]]] as const) {
    const a = await found.readBox(origin, size);
    const b = await expected.readBox(origin, size);
    const voxels = voxelCount(size);
    for (let c = 0; c < found.channels; c++) {
      const [from, to] = [c * voxels, (c + 1) * voxels];
      assertClose(a.image.subarray(from, to), b.image.subarray(from, to), 1e-4, `${what}: channel ${c}`);
    }
    assertEquals(a.segmentation, b.segmentation, `${what}: segmentation`);
  }
  const plain = ({ classLocations }: StoredCase) =>
    classLocations.map(({ key, voxels }) => [key.labels, Array.from(voxels)]);
  // Python's dict keeps the last of equal keys, in the first one's place.
  assertEquals(
    new Map(plain(found).map((one) => [String(one[0]), one])),
    new Map(plain(expected).map((one) => [String(one[0]), one])),
  );
}

for (const [dataset, configurations, cases] of DATASETS) {
  for (const format of FORMATS) {
    Deno.test(`${dataset} becomes the same data as upstream's, as ${format}`, async () => {
      await using target = await planned(dataset);
      const outcome = await preprocessDataset(join(RAW, dataset), target.path, options({ configurations, format }));
      assertEquals(outcome.failures, []);
      for (const configuration of configurations) {
        const folder = join(target.path, `nnUNetPlans_${configuration}`);
        assertEquals(await listPreprocessedCases(folder), [...cases]);
        for (const id of cases) {
          using found = await openPreprocessedCase(folder, id);
          using expected = await openNpzCase(join(EXPECTED, dataset, `nnUNetPlans_${configuration}`, id));
          await compareWithUpstream(found, expected, `${configuration} ${id}`);
        }
      }
    });
  }
}

Deno.test("npz and pkl hold what upstream's hold: names, types, keys and order", async () => {
  for (const [dataset, configurations, cases] of DATASETS) {
    await using target = await planned(dataset);
    await preprocessDataset(join(RAW, dataset), target.path, options({ configurations, format: "npz" }));
    for (const configuration of configurations) {
      for (const id of cases) {
        const name = join(`nnUNetPlans_${configuration}`, id);
        const [ours, theirs] = [join(target.path, name), join(EXPECTED, dataset, name)];
        const types = async (stem: string) =>
          Array.from(await readNpz(`${stem}.npz`), ([key, { dtype, shape }]) => ({ key, dtype, shape }));
        assertEquals(await types(ours), await types(theirs), name);
        const pickled = (stem: string) =>
          plainPickle(unpickle(Deno.readFileSync(`${stem}.pkl`), { file: stem, doing: "reading" }).value);
        assertEquals(pickled(ours), pickled(theirs), name);
      }
    }
  }
});

/** Maps as pairs, arrays by type, shape and elements in C order. */
function plainPickle(value: unknown): unknown {
  if (value instanceof Map) return Array.from(value, ([key, item]) => [key, plainPickle(item)]);
  if (typeof value === "number") return value + 0; // -0 is 0 in Python, too
  if (!isNumpyArray(value)) return Array.isArray(value) ? value.map(plainPickle) : value;
  const { data, shape, fortranOrder, type } = value;
  const bytes = data instanceof Uint8Array ? data.slice() : new Uint8Array(0);
  const stored: ArrayLike<number | bigint> = type?.code === "f8"
    ? new Float64Array(bytes.buffer)
    : new BigInt64Array(bytes.buffer);
  const [rows, columns] = shape;
  const elements = Array.from(
    stored,
    (_, i) => Number(stored[fortranOrder ? (i % columns) * rows + Math.floor(i / columns) : i]),
  );
  return { type: type?.code, shape, elements };
}

Deno.test("the classes that upstream's data were made for are those of its dataset.json, and others are told apart", async () => {
  for (const [dataset, configurations, cases] of DATASETS) {
    const { labels, json } = await readDatasetJson(join(EXPECTED, dataset, "dataset.json"));
    for (const [configuration, id] of configurations.flatMap((one) => cases.map((id) => [one, id]))) {
      using stored = await openNpzCase(join(EXPECTED, dataset, `nnUNetPlans_${configuration}`, id));
      const keys = stored.classLocations.map(({ key }) => key);
      assertEquals(keyDifferences(keys, classKeys(labels, json)), [], `${dataset} ${configuration} ${id}`);
      const ignoring = { ...labels, ignoreLabel: labels.ignoreLabel === undefined ? 9 : undefined };
      assertEquals(keyDifferences(keys, classKeys(ignoring, json)).length, 1);
    }
  }
});

Deno.test("of large classes the same voxels are drawn as upstream draws", async () => {
  const { shape, classes } = JSON.parse(await Deno.readTextFile(join(EXPECTED, "class_locations.json")));
  const count = shape.reduce((product: number, n: number) => product * n, 1);
  const segmentation = Int8Array.from(
    { length: count },
    (_, i) => (i * 7919) % 65536 < 3000 ? 2 : i % 83 === 0 ? 3 : 1,
  );
  const keys = classes.map(({ labels }: { labels: number[] }) => ({ kind: "region" as const, labels }));
  const found = sampleClassLocations(segmentation, keys);
  for (const [i, { count, sha256 }] of classes.entries()) {
    assertEquals(found[i].voxels.length, count);
    const digest = new Uint8Array(
      await crypto.subtle.digest("SHA-256", new Uint8Array(found[i].voxels.buffer as ArrayBuffer)),
    );
    assertEquals(digest.toHex(), sha256);
  }
});

Deno.test("several threads under a tight memory limit make the same files", async () => {
  const dataset = "Dataset811_Thick";
  await using one = await planned(dataset);
  await using many = await planned(dataset);
  await preprocessDataset(join(RAW, dataset), one.path, options());
  await preprocessDataset(
    join(RAW, dataset),
    many.path,
    options({ threads: 3, maxMemory: Deno.memoryUsage().rss + 200 * 2 ** 20 }),
  );
  for (const name of ["nnUNetPlans_2d/c1.bricks", "nnUNetPlans_3d_fullres/c2.bricks"]) {
    assertEquals(await Deno.readFile(join(many.path, name)), await Deno.readFile(join(one.path, name)), name);
  }
});

Deno.test("a case that fails does not stop the others, keeps the old folder, and is made up for later", async () => {
  const dataset = "Dataset811_Thick";
  await using raw = await rawCopy(dataset);
  await using target = await planned(dataset);
  const folder = join(target.path, "nnUNetPlans_3d_fullres");
  await Deno.mkdir(folder);
  await Deno.writeTextFile(join(folder, "old.npz"), "from before");
  await Deno.writeTextFile(join(folder, "old.pkl"), "from before");
  const broken = join(raw.path, "imagesTr", "c1_0001.nii.gz");
  const whole = await Deno.readFile(broken);
  await Deno.writeFile(broken, whole.subarray(0, 500));

  const first = await preprocessDataset(raw.path, target.path, options());
  assertEquals(first.failures.map(({ parts }) => parts.caseId), ["c1"]);
  assertEquals(first.failures[0].parts.file, broken);
  assertEquals(first.configurations.map(({ state }) => state), ["incomplete", "incomplete"]);
  assertEquals(await Deno.readTextFile(join(folder, "old.npz")), "from before");

  await Deno.writeFile(broken, whole);
  const made: number[] = [];
  const second = await preprocessDataset(raw.path, target.path, options({ onCase: (_, of) => made.push(of) }));
  assertEquals(second.failures, []);
  assertEquals(made, [1], "only the case that failed is made");
  assertEquals(second.configurations.map(({ state, reused }) => [state, reused]), [["written", 2], ["written", 2]]);
  const names = (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name).sort();
  assertEquals(names, ["c0.bricks", "c1.bricks", "c2.bricks", "preprocessed.jsonl"]);
  const hidden = (await Array.fromAsync(Deno.readDir(target.path))).filter(({ name }) => name.startsWith("."));
  assertEquals(hidden, []);
});

Deno.test("a case whose voxels are a million times too large fails by its name and its images' files", async () => {
  const dataset = "Dataset811_Thick";
  await using raw = await rawCopy(dataset);
  await using target = await planned(dataset);
  const images = ["c1_0000.nii.gz", "c1_0001.nii.gz"].map((name) => join(raw.path, "imagesTr", name));
  for (const file of [...images, join(raw.path, "labelsTr", "c1.nii.gz")]) {
    await editNifti(file, file, withVoxelsTimes(1e6));
  }
  const { failures } = await preprocessDataset(raw.path, target.path, options({ configurations: ["3d_fullres"] }));
  assertEquals(failures.map(({ parts: { caseId, file } }) => [caseId, file]), [["c1", images.join(", ")]]);
  assert(failures[0].message.includes("more than can be worked on"), failures[0].message);
});

Deno.test("labels that dataset.json does not declare fail their case by name; where there are regions they are background, with a word", async () => {
  const edit = async (file: string, labels: object) =>
    await Deno.writeTextFile(file, JSON.stringify({ ...JSON.parse(await Deno.readTextFile(file)), ...labels }));
  await using target = await planned("Dataset811_Thick");
  const json = join(target.path, "dataset.json");
  await edit(json, { labels: { background: 0, a: 1 } });
  const { failures } = await preprocessDataset(join(RAW, "Dataset811_Thick"), target.path, options());
  assertEquals(failures.map(({ parts }) => parts.caseId), ["c0", "c2"], "c1 has no label 2");
  assert(
    failures.every(({ message }) => message.includes(`it has labels that ${json} does not have: 2`)),
    failures[0].message,
  );

  await using regions = await planned("Dataset812_Regions");
  await edit(join(regions.path, "dataset.json"), {
    labels: { background: 0, whole: [1, 2], core: [2] },
    regions_class_order: [1, 2],
  });
  const made = await preprocessDataset(join(RAW, "Dataset812_Regions"), regions.path, options());
  assertEquals(made.failures, []);
  assert(
    made.warnings.some((text) => text.includes("does not have: 3") && text.includes("background")),
    made.warnings.join(),
  );
});

Deno.test("a configuration's data don't replace those of one that isn't asked for", async () => {
  const dataset = "Dataset812_Regions";
  await using target = await planned(dataset);
  const file = join(target.path, "nnUNetPlans.json");
  const plans = JSON.parse(await Deno.readTextFile(file));
  plans.configurations["2d"].data_identifier = "nnUNetPlans_3d_fullres";
  await Deno.writeTextFile(file, JSON.stringify(plans));
  await assertFails(
    () => preprocessDataset(join(RAW, dataset), target.path, options({ configurations: ["2d"] })),
    UserError,
    "3d_fullres and 2d have the data_identifier nnUNetPlans_3d_fullres, and need different data",
  );
});

Deno.test("a rerun makes only what has changed: nothing, one case's files, or all where a setting differs", async () => {
  const dataset = "Dataset812_Regions";
  await using raw = await rawCopy(dataset);
  await using target = await planned(dataset);
  const run = async (more: Partial<PreprocessDatasetOptions> = {}) => {
    let count = 0;
    const outcome = await preprocessDataset(raw.path, target.path, options({ onCase: () => count++, ...more }));
    return [count, ...outcome.configurations.map(({ state }) => state)];
  };
  assertEquals(await run(), [2, "written", "written"]);
  assertEquals(await run(), [0, "kept", "kept"]);
  await Deno.utime(join(raw.path, "labelsTr", "r1.nii.gz"), 1e9, 1e9);
  assertEquals(await run(), [1, "written", "written"]);
  assertEquals(await run({ format: "npz" }), [2, "written", "written"]);
  assertEquals(await run({ format: "npz", redo: true }), [2, "written", "written"]);
  await Deno.remove(join(target.path, "nnUNetPlans_2d", "r0.npz"));
  assertEquals(await run({ format: "npz" }), [1, "written", "kept"]);
});

Deno.test("a stopped run leaves the old folder, and the next one continues it", async () => {
  const dataset = "Dataset811_Thick";
  await using target = await planned(dataset);
  const controller = new AbortController();
  const stopped = preprocessDataset(
    join(RAW, dataset),
    target.path,
    options({ signal: controller.signal, onCase: () => controller.abort() }),
  );
  const error = await stopped.then(() => null, (reason) => reason);
  assert(error instanceof Interrupted);
  assert(!(await Deno.stat(join(target.path, "nnUNetPlans_2d")).then(() => true, () => false)));
  let made = 0;
  await preprocessDataset(join(RAW, dataset), target.path, options({ onCase: () => made++ }));
  assertEquals(made, 2);
});

Deno.test("cases that have left the dataset, and what was half-written, are in no folder", async () => {
  await using raw = await rawCopy("Dataset811_Thick");
  await using target = await planned("Dataset811_Thick");
  const folder = join(target.path, "nnUNetPlans_2d");
  const remove = async (id: string) => {
    for (const name of [`imagesTr/${id}_0000`, `imagesTr/${id}_0001`, `labelsTr/${id}`]) {
      await Deno.remove(join(raw.path, `${name}.nii.gz`));
    }
  };
  const run = (more: Partial<PreprocessDatasetOptions>) =>
    preprocessDataset(raw.path, target.path, options({ configurations: ["2d"], ...more }));
  const controller = new AbortController();
  const stopped = run({ signal: controller.signal, onCase: (done) => done === 2 && controller.abort() });
  await assertFails(() => stopped, Interrupted);
  await Deno.writeTextFile(join(target.path, ".nnUNetPlans_2d.partial", ".c2.npz.1-a.tmp"), "half");
  await remove("c1");
  assertEquals((await run({})).configurations.map(({ state, reused }) => [state, reused]), [["written", 1]]);
  assertEquals(await namesIn(folder), ["c0.bricks", "c2.bricks", "preprocessed.jsonl"]);
  await remove("c2");
  assertEquals((await run({})).configurations.map(({ state, reused }) => [state, reused]), [["written", 1]]);
  assertEquals(await namesIn(folder), ["c0.bricks", "preprocessed.jsonl"]);
});

Deno.test("the ground truth is copied, and copied again only when it is newer", async () => {
  const dataset = "Dataset812_Regions";
  await using raw = await rawCopy(dataset);
  await using target = await planned(dataset);
  await preprocessDataset(raw.path, target.path, options());
  const copy = join(target.path, "gt_segmentations", "r0.nii.gz");
  const source = join(raw.path, "labelsTr", "r0.nii.gz");
  assertEquals(await Deno.readFile(copy), await Deno.readFile(source));
  const { size } = await Deno.stat(copy);
  await Deno.writeFile(copy, new Uint8Array(size));
  await preprocessDataset(raw.path, target.path, options());
  assertEquals((await Deno.readFile(copy)).some((byte) => byte !== 0), false, "the copy is newer: it stays");
  await Deno.utime(copy, 1e9, 1e9);
  await preprocessDataset(raw.path, target.path, options());
  assertEquals(await Deno.readFile(copy), await Deno.readFile(source));
});

Deno.test("bricks with a flipped bit, cut off, or of another kind are refused by name", async () => {
  const dataset = "Dataset813_Pictures";
  await using target = await planned(dataset);
  await preprocessDataset(join(RAW, dataset), target.path, options());
  const folder = join(target.path, "nnUNetPlans_2d");
  const file = join(folder, "p0.bricks");
  const whole = await Deno.readFile(file);
  const spoil = async (bytes: Uint8Array, part: string) => {
    await Deno.writeFile(file, bytes);
    const open = async () => {
      using one = await openPreprocessedCase(folder, "p0");
      await one.readBox([0, 0, 0], one.grid);
    };
    const error = await open().then(() => null, (reason) => reason);
    assert(error instanceof UserError && error.message.includes(part) && error.parts.file === file, String(error));
  };
  const flipped = (at: number) => whole.map((byte, i) => (i === at ? byte ^ 4 : byte));
  await spoil(flipped(40), "header");
  await spoil(flipped(whole.length >> 1), "damaged");
  await spoil(flipped(whole.length - 6), "checksums");
  await spoil(whole.subarray(0, whole.length - 1), "bytes");
  await spoil(flipped(0), "no file of bricks");
});
