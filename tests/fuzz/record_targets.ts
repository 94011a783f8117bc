/** Readers of JSON: records of earlier runs, dataset.json, plans, fingerprint, splits. */
import { openGpuRecord } from "../../cli/engines/gpu_record.ts";
import { reformatJson } from "../../core/base/json.ts";
import { join } from "../../core/base/path.ts";
import { convertDatasetJson } from "../../core/dataset/convert_json.ts";
import { rememberCheck, rememberedCheck } from "../../core/dataset/integrity_record.ts";
import { readRawDataset } from "../../core/dataset/raw_dataset.ts";
import { readDatasetJson } from "../../core/dataset/read_dataset_json.ts";
import { readFingerprint } from "../../core/plan/read_fingerprint.ts";
import { readPlans, resolveConfiguration } from "../../core/plan/read_plans.ts";
import { movePlans } from "../../core/plan/move_plans.ts";
import { planDataset } from "../../core/plan/plan_dataset.ts";
import { PLANNERS } from "../../core/plan/planners.ts";
import { openDataFolder } from "../../core/preprocess/preprocess_dataset_folder.ts";
import { chooseSplit } from "../../core/train/splits.ts";
import { makeRawDataset } from "../unit/raw_dataset_fixture.ts";
import { filesIn, golden, MODEL, type Target, text } from "./target.ts";

const RECORD_FOLDER = "nnUNetPlans_2d";
const INPUTS = new Map(
  ["a", "b"].map((id) => [id, [[`/data/${id}.nii.gz`, 100, 5], [`/data/l_${id}.nii.gz`, 10, 5]] as const]),
);
const STATES = { "/data/a.nii.gz": [100, 5], "/data/dataset.json": [10, 6] } as const;
const GPU = { adapter: "Made GPU 9000", driver: "libmade.so.1", kernels: "k1" };

export const recordTargets: readonly Target[] = [
  {
    name: "preprocessed_record",
    seeds: () => {
      const lines = [JSON.stringify({ setting: "s" })].concat(
        Array.from(INPUTS, ([id, inputs]) => JSON.stringify({ id, inputs, files: [[`${id}.bricks`, 3]] })),
      );
      const record = new TextEncoder().encode(`${lines.join("\n")}\n`);
      return Promise.resolve([{ "preprocessed.jsonl": record, "a.bricks": new Uint8Array(3) }]);
    },
    async read(folder, attempt) {
      for (const name of [RECORD_FOLDER, `.${RECORD_FOLDER}.partial`]) {
        await Deno.mkdir(join(folder, name));
        for await (const file of Deno.readDir(folder)) {
          if (file.isFile) await Deno.copyFile(join(folder, file.name), join(folder, name, file.name));
        }
      }
      await attempt(async () => {
        using data = await openDataFolder(folder, RECORD_FOLDER, { setting: "s", inputs: INPUTS, redo: false });
        if (!data.complete) data.finish();
      });
    },
  },
  {
    name: "integrity_record",
    async seeds(folder) {
      const finding = { severity: "warning", kind: "geometry", caseId: "a", found: "x", needed: "y" } as const;
      await rememberCheck(folder, STATES, false, [finding]);
      return [await filesIn(folder)];
    },
    read: (folder, attempt) => attempt(() => rememberedCheck(folder, STATES, false)),
  },
  {
    name: "splits",
    seeds: () =>
      Promise.resolve([{
        "splits_final.json": text([{ train: ["a", "b"], val: ["c"] }, { train: ["c"], val: ["a"] }]),
      }]),
    async read(folder, attempt) {
      for (const fold of [0, 1, 2]) await attempt(() => chooseSplit(folder, ["a", "b", "c"], fold));
    },
  },
  {
    name: "gpu_record",
    async seeds(folder) {
      const record = await openGpuRecord(GPU, folder);
      await record.add({
        selfTest: { passed: true, when: "now" },
        precision: { m: { precision: "f16", why: "so" } },
        convolutions: { a: { candidate: "direct 8x32x16", milliseconds: 1.5 } },
      });
      return [await filesIn(folder)];
    },
    read: (folder, attempt) =>
      attempt(async () => {
        const record = await openGpuRecord(GPU, folder);
        await record.add({ precision: {} });
      }),
  },
];

const DATASETS: readonly unknown[] = [
  { modality: { "0": "CT" }, labels: { "0": "background", "1": "a" }, numTraining: 2, file_ending: ".nii.gz" },
  { channel_names: { "0": "CT" }, labels: { background: 0, a: 1, b: 2 }, numTraining: 2, file_ending: ".nii.gz" },
  {
    channel_names: { "0": "MR", "1": "T2" },
    labels: { background: 0, whole: [1, 2], core: 2, ignore: 3 },
    regions_class_order: [1, 2],
    numTraining: 1,
    file_ending: ".png",
    name: "x",
    dataset: { a: { images: ["imagesTr/a_0000.png"], label: "labelsTr/a.png" } },
  },
];

const FINGERPRINT = {
  spacings: [[1, 1, 1], [2, 1, 1]],
  shapes_after_crop: [[10, 20, 30], [11, 21, 31]],
  median_relative_size_after_cropping: 1,
  foreground_intensity_properties_per_channel: {
    "0": { mean: 1, median: 1, std: 2, min: 0, max: 3, percentile_00_5: 0, percentile_99_5: 3 },
  },
};

export const jsonTargets: readonly Target[] = [
  {
    name: "dataset_json",
    seeds: () => Promise.resolve(DATASETS.map((json) => ({ "dataset.json": text(json) }))),
    async read(folder, attempt) {
      const file = join(folder, "dataset.json");
      await attempt(() => readDatasetJson(file));
      await Deno.mkdir(join(folder, "imagesTr"));
      await Deno.writeFile(join(folder, "imagesTr", "a_0000.nii.gz"), new Uint8Array(1));
      await attempt(() => readRawDataset(folder));
      const content = new TextDecoder().decode(await Deno.readFile(file));
      await attempt(() => convertDatasetJson(content, file, ["training", "test"], "converting"));
      await attempt(() => reformatJson(content, file));
    },
  },
  {
    name: "plans",
    seeds: () =>
      Promise.resolve(
        ["slices_2d", "resenc_2d", "old_plans", "aniso"].map((name) => ({
          "plans.json": golden(`models/models/${name}/plans.json`),
        })),
      ),
    async read(folder, attempt) {
      await attempt(async () => {
        const plans = await readPlans(join(folder, "plans.json"));
        for (const name of [...plans.configurationNames, "2d"]) await attempt(() => resolveConfiguration(plans, name));
      });
    },
  },
  {
    name: "fingerprint",
    seeds: () =>
      Promise.resolve([{
        "dataset_fingerprint.json": text(FINGERPRINT),
      }]),
    read: (folder, attempt) => attempt(() => readFingerprint(join(folder, "dataset_fingerprint.json"))),
  },
];

const DATASET = "Dataset001_Tiny";

/** The raw dataset's folder and that of its preprocessed data, with the files of `folder` where they belong. */
async function placeDataset(folder: string): Promise<{ raw: string; preprocessed: string }> {
  const [raw, preprocessed] = ["raw", "preprocessed"].map((part) => join(folder, part, DATASET));
  await makeRawDataset(raw);
  await Deno.mkdir(preprocessed, { recursive: true });
  await Deno.rename(join(folder, "dataset.json"), join(raw, "dataset.json"));
  for await (const { name, isFile } of Deno.readDir(folder)) {
    if (isFile) await Deno.rename(join(folder, name), join(preprocessed, name));
  }
  return { raw, preprocessed };
}

export const planningTargets: readonly Target[] = [
  {
    name: "planning",
    seeds: () =>
      Promise.resolve([{
        "dataset.json": text(DATASETS[1]),
        "dataset_fingerprint.json": text(FINGERPRINT),
        "splits_final.json": text([{ train: ["a", "b"], val: ["c"] }]),
        "nnUNetPlans.json": golden(`${MODEL}/plans.json`),
      }]),
    async read(folder, attempt) {
      const { raw, preprocessed } = await placeDataset(folder);
      await Deno.copyFile(join(preprocessed, "splits_final.json"), join(raw, "splits_final.json"));
      await attempt(() => planDataset(raw, preprocessed, { planner: PLANNERS[0] }));
    },
  },
  {
    name: "move_plans",
    seeds: () => Promise.resolve([{ "dataset.json": text(DATASETS[1]), "a.json": golden(`${MODEL}/plans.json`) }]),
    async read(folder, attempt) {
      await placeDataset(folder);
      const request = { preprocessed: join(folder, "preprocessed"), raw: join(folder, "raw") };
      const names = { source: DATASET, target: DATASET, sourcePlans: "a", targetPlans: "b" };
      await attempt(() => movePlans({ ...request, ...names }));
    },
  },
];
