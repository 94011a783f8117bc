/** What planning does to files that are there: custom configurations, hand-edited plans, splits. */
import { UserError } from "../../core/base/errors.ts";
import { fromFileUrl, join } from "../../core/base/path.ts";
import { convertMsdDataset } from "../../core/dataset/convert_msd.ts";
import { convertV1Dataset } from "../../core/dataset/convert_v1.ts";
import { channelNameWarnings, explainPlans } from "../../core/plan/explain.ts";
import { planDataset } from "../../core/plan/plan_dataset.ts";
import { planExperiment } from "../../core/plan/plan_experiment.ts";
import { PLANNERS } from "../../core/plan/planners.ts";
import { readPlans, resolveConfiguration } from "../../core/plan/read_plans.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";
import { copyFolder, inTempFolder, namesIn } from "../golden/cli/run_command.ts";

const GOLDEN = fromFileUrl(new URL("../golden/planning/", import.meta.url));
const [PLANNER] = PLANNERS;

async function inPlannedFolder(name: string, test: (raw: string, folder: string) => Promise<void>): Promise<void> {
  await inTempFolder(async (folder) => {
    const raw = join(folder, "raw", name);
    const preprocessed = join(folder, "preprocessed");
    await copyFolder(join(GOLDEN, "raw", name), raw);
    await Deno.mkdir(preprocessed);
    const fingerprint = "dataset_fingerprint.json";
    await Deno.copyFile(join(GOLDEN, "expected", name, fingerprint), join(preprocessed, fingerprint));
    await test(raw, preprocessed);
  });
}

async function editJson<T>(path: string, edit: (json: T) => void): Promise<void> {
  const json = JSON.parse(await Deno.readTextFile(path));
  edit(json);
  await Deno.writeTextFile(path, JSON.stringify(json));
}

Deno.test("custom configurations are kept when a dataset is planned again, and work", async () => {
  await inPlannedFolder("Dataset801_Aniso", async (raw, folder) => {
    const { file } = await planDataset(raw, folder, { planner: PLANNER });
    await editJson(file, ({ configurations }: { configurations: Record<string, unknown> }) => {
      configurations["3d_big_batch"] = { inherits_from: "3d_fullres", batch_size: 17 };
    });
    const warnings: string[] = [];
    const again = await planDataset(raw, folder, { planner: PLANNER, onWarning: (text) => warnings.push(text) });
    assertEquals(again.kept, ["3d_big_batch"]);
    assertEquals(warnings, []);
    const plans = await readPlans(file);
    const custom = resolveConfiguration(plans, "3d_big_batch");
    assertEquals(custom.batchSize, 17);
    assertEquals(custom.patchSize, resolveConfiguration(plans, "3d_fullres").patchSize);
  });
});

Deno.test("a planned configuration that was edited by hand is planned anew, and the edited plans are kept beside", async () => {
  await inPlannedFolder("Dataset801_Aniso", async (raw, folder) => {
    const { file } = await planDataset(raw, folder, { planner: PLANNER });
    const original = await Deno.readTextFile(file);
    await editJson(file, ({ configurations }: { configurations: Record<string, { batch_size: number }> }) => {
      configurations["3d_fullres"].batch_size = 99;
    });
    const edited = await Deno.readTextFile(file);
    const warnings: string[] = [];
    await planDataset(raw, folder, { planner: PLANNER, onWarning: (text) => warnings.push(text) });
    assertEquals(await Deno.readTextFile(file), original);
    assertEquals(await Deno.readTextFile(join(folder, "nnUNetPlans.before.json")), edited);
    assert(warnings.length === 1 && warnings[0].startsWith("3d_fullres in "), warnings.join("\n"));
  });
});

Deno.test("splits are copied once, more folds may follow, and others are refused", async () => {
  await inPlannedFolder("Dataset803_Pictures", async (raw, folder) => {
    const splits = join(folder, "splits_final.json");
    await planDataset(raw, folder, { planner: PLANNER });
    const [first, second] = JSON.parse(await Deno.readTextFile(splits));
    await Deno.writeTextFile(splits, JSON.stringify([first, second, first]));
    await planDataset(raw, folder, { planner: PLANNER });
    assertEquals(JSON.parse(await Deno.readTextFile(splits)).length, 3);
    await Deno.writeTextFile(splits, JSON.stringify([first, first]));
    await assertFails(
      () => planDataset(raw, folder, { planner: PLANNER }),
      UserError,
      "fold 1 has other cases",
      splits,
    );
    await Deno.writeTextFile(splits, JSON.stringify([first]));
    await assertFails(() => planDataset(raw, folder, { planner: PLANNER }), UserError, "it has 1 fold,");
    await Deno.writeTextFile(splits, "{}");
    await assertFails(() => planDataset(raw, folder, { planner: PLANNER }), UserError, "it is no list of folds");
  });
});

Deno.test("planning without a fingerprint names the command that makes it", async () => {
  await inPlannedFolder("Dataset803_Pictures", async (raw, folder) => {
    await Deno.remove(join(folder, "dataset_fingerprint.json"));
    await assertFails(() => planDataset(raw, folder, { planner: PLANNER }), UserError, "nnunet extract_fingerprint");
    assertEquals(await namesIn(folder), []);
  });
});

Deno.test("every golden plan is explained: what is said of patch, batch and spacing is what was planned", async () => {
  const goldens: {
    dataset: { channel_names: Record<string, string>; labels: Record<string, unknown>; numTraining: number };
    fingerprint: { spacings: number[][]; shapes_after_crop: number[][]; median_relative_size_after_cropping: number };
  }[] = JSON.parse(await Deno.readTextFile(join(GOLDEN, "../plans/plans.json")));
  for (const { dataset, fingerprint } of goldens) {
    for (const planner of PLANNERS) {
      const request = {
        planner,
        fingerprint: {
          spacings: fingerprint.spacings,
          shapesAfterCrop: fingerprint.shapes_after_crop,
          medianRelativeSizeAfterCropping: fingerprint.median_relative_size_after_cropping,
          intensityProperties: {},
        },
        datasetName: "Dataset001_X",
        channelNames: Object.values(dataset.channel_names),
        labelCount: Object.keys(dataset.labels).length,
        trainingCases: dataset.numTraining,
        reader: "SimpleITKIO",
      };
      const plans = planExperiment(request);
      const explained = new Map(explainPlans(request, plans).map(({ title, lines }) => [title, lines.join("\n")]));
      for (const [name, one] of Object.entries(plans.configurations as Record<string, Record<string, number[]>>)) {
        if (!one.patch_size) continue;
        const text = explained.get(name) ?? "";
        assert(text.includes(one.patch_size.join(" x ")), `${name}: ${text}`);
        assert(text.includes(`batch: ${one.batch_size} patches`), `${name}: ${text}`);
        assert(!/undefined|NaN|Infinity/.test(text), text);
      }
      assert(
        explained.get("Configurations")?.includes("3d_lowres") === true ||
          !("3d_fullres" in (plans.configurations as object)),
      );
    }
  }
});

Deno.test("channel names that mean CT and are not normalised so are warned about", () => {
  const warned = (name: string) => channelNameWarnings([name]).length === 1;
  assertEquals(["CT_portal", "ct contrast", "low-dose CT", "PETCT"].map(warned), [true, true, true, true]);
  assertEquals(["CT", "ct", "Ct", "T1", "reflectance", "PET"].map(warned), [false, false, false, false, false, false]);
});

Deno.test("converters refuse a dataset.json of which they would make one that is refused when it is used", async () => {
  await inTempFolder(async (folder) => {
    const [task, old] = ["Task07_Mini", "Task555_Old"].map((name) => join(folder, "tasks", name));
    await copyFolder(join(GOLDEN, "tasks"), join(folder, "tasks"));
    const raw = join(folder, "raw");
    await Deno.mkdir(raw);
    const edits: readonly (readonly [Record<string, unknown>, string])[] = [
      [{ labels: {} }, "labels.background"],
      [{ labels: { "0": "background", "2": "tumour" } }, "consecutive"],
      [{ modality: { "0": ["CT"] } }, "channel_names"],
      [{ modality: {} }, "names no channel"],
    ];
    for (const [edit, part] of edits) {
      for (const source of [task, old]) {
        const file = join(source, "dataset.json");
        const before = await Deno.readTextFile(file);
        await Deno.writeTextFile(file, JSON.stringify({ ...JSON.parse(before), ...edit }));
        const convert = () =>
          source === old
            ? convertV1Dataset(old, "Dataset555_Old", { raw })
            : convertMsdDataset({ source, folders: { raw }, parallel: 1 });
        await assertFails(convert, UserError, file, part);
        await Deno.writeTextFile(file, before);
      }
    }
    assertEquals(await namesIn(raw), []);
  });
});

Deno.test("converters write nothing where something is wrong, and overwrite nothing", async () => {
  await inTempFolder(async (folder) => {
    const [task, old] = ["Task07_Mini", "Task555_Old"].map((name) => join(folder, "tasks", name));
    await copyFolder(join(GOLDEN, "tasks"), join(folder, "tasks"));
    const raw = join(folder, "raw");
    const msd = (source: string, id?: number) => convertMsdDataset({ source, folders: { raw }, parallel: 2, id });
    await Deno.mkdir(join(raw, "Dataset007_Taken"), { recursive: true });
    await assertFails(() => msd(task), UserError, "the dataset id 7 is taken there (nnUNet_raw)", "-overwrite_id");
    await assertFails(() => msd(join(folder, "tasks")), UserError, "TaskNN_Name");
    const image = join(task, "imagesTr", "a.nii.gz");
    await Deno.writeFile(image, (await Deno.readFile(image)).slice(0, -100));
    await assertFails(() => msd(task, 8), UserError, image, "cut short");
    assertEquals(await namesIn(raw), ["Dataset007_Taken"]);

    await convertV1Dataset(old, "Dataset555_Old", { raw });
    await assertFails(() => convertV1Dataset(old, "Dataset555_Old", { raw }), UserError, "nothing is overwritten");
    await assertFails(() => convertV1Dataset(old, "Old", { raw }), UserError, "DatasetXXX_Name");
    await Deno.remove(join(old, "labelsTr"), { recursive: true });
    await assertFails(() => convertV1Dataset(old, "Dataset556_Old", { raw }), UserError, join(old, "labelsTr"));
    await assertFails(() => convertV1Dataset(old, "Dataset556_Old", {}), UserError, "nnUNet_raw is not set");
    assertEquals(await namesIn(raw), ["Dataset007_Taken", "Dataset555_Old"]);
  });
});
