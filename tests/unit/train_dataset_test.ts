/** What a training is refused for before or while it starts: folders, folds, labels and data that do not belong together. */
import { UserError } from "../../core/base/errors.ts";
import { takeLock } from "../../core/base/folder_lock.ts";
import { dirname, join } from "../../core/base/path.ts";
import { readDatasetJson } from "../../core/dataset/read_dataset_json.ts";
import { readPlans, resolveConfiguration } from "../../core/plan/read_plans.ts";
import { classKeys } from "../../core/preprocess/class_locations.ts";
import { settingText } from "../../core/preprocess/data_setting.ts";
import { trainModel } from "../../core/train/train_model.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";
import { namesIn } from "../golden/cli/run_command.ts";
import { DATASET_JSON, inFolder, listening, makePreprocessed, trainRequest } from "./train_fixture.ts";

Deno.test("what is not there or does not fit is said before anything is computed", () =>
  inFolder(async (folder) => {
    const openEngine = () => Promise.reject(new Error("the engine was opened"));
    const few = await makePreprocessed(join(folder, "few"), { cases: ["a", "b"] });
    const request = (changes: Partial<Parameters<typeof trainRequest>[1]> = {}) =>
      trainRequest(few, { openEngine, ...changes });
    await assertFails(() => trainModel(request(), listening()), UserError, "there are 2 cases", 'the fold "all"');

    const absent = { ...few, preprocessed: join(folder, "nowhere") };
    await assertFails(
      () => trainModel(trainRequest(absent, { openEngine }), listening()),
      UserError,
      "not preprocessed",
      "nnunet plan_and_preprocess -d Dataset001_Spheres",
    );
    const task = request().task;
    await assertFails(
      () => trainModel(request({ task: { ...task, plansName: "other" } }), listening()),
      UserError,
      "no plans of that name",
      "There: nnUNetPlans",
    );
    await assertFails(
      () => trainModel(request({ task: { ...task, configurationName: "3d_fullres" } }), listening()),
      UserError,
      "tiny",
    );
    const json = JSON.stringify([{ train: ["a", "z"], val: ["b"] }]);
    await Deno.writeTextFile(join(few.preprocessed, "splits_final.json"), json);
    await assertFails(() => trainModel(request(), listening()), UserError, "splits_final.json", "not preprocessed: z");
    const channels = { channel_names: { "0": "a", "1": "b" }, labels: { background: 0, x: 1 }, file_ending: ".png" };
    const wrong = await makePreprocessed(join(folder, "wrong"), { datasetJson: { ...channels, numTraining: 6 } });
    await assertFails(
      () => trainModel(trainRequest(wrong, { openEngine }), listening()),
      UserError,
      "names 2 channels",
    );
    await assertFails(
      () => trainModel(request({ useBest: true, checkpointing: false }), listening()),
      UserError,
      "--val_best",
    );
  }));

Deno.test("a fold that the split does not have is trained only where a random one is asked for, with a loud line", () =>
  inFolder(async (folder) => {
    const folders = await makePreprocessed(folder);
    const changes = { epochs: 1, iterations: 1, name: "test" };
    const { task } = trainRequest(folders);
    const request = (randomSplit: boolean) =>
      trainRequest(folders, { changes, task: { ...task, fold: 9, randomSplit } });
    const said = ["there is no fold 9", "0 to 4", 'the fold "all"', "--random-split"];
    await assertFails(() => trainModel(request(false), listening()), UserError, ...said);
    const hooks = listening();
    await trainModel(request(true), hooks);
    assert(hooks.warnings.some((text) => text.startsWith("FOLD 9 IS NONE OF THE 5 FOLDS")), hooks.warnings.join("\n"));
  }));

Deno.test("data that were preprocessed with other labels or plans are refused, naming what differs and the command", () =>
  inFolder(async (folder) => {
    const folders = await makePreprocessed(folder);
    const [plansFile, datasetFile] = ["nnUNetPlans.json", "dataset.json"].map((name) =>
      join(folders.preprocessed, name)
    );
    const plans = await readPlans(plansFile);
    const { labels, json } = await readDatasetJson(datasetFile);
    const setting = settingText(plans, resolveConfiguration(plans, "tiny"), classKeys(labels, json), {
      format: "bricks",
      nan: "refuse",
    });
    const record = join(folders.preprocessed, "nnUNetPlans_tiny", "preprocessed.jsonl");
    await Deno.writeTextFile(record, `${JSON.stringify({ setting })}\n`);
    const request = trainRequest(folders, { changes: { epochs: 1, iterations: 1, name: "test" } });
    const command = "nnunet preprocess -d Dataset001_Spheres -plans_name nnUNetPlans -c tiny";
    const edits: readonly (readonly [object, string])[] = [
      [
        { labels: { background: 0, whole: [1, 2], core: 2 }, regions_class_order: [1, 2] },
        "had labels and has regions now",
      ],
      [{ labels: { background: 0, shell: 1, core: 2, ignore: 3 } }, "has an ignore label now"],
      [{ labels: { background: 0, shell: 1, core: 2, third: 3, fourth: 4 } }, "has the label 3, label 4 now"],
      [{ labels: { background: 0, shell: 1 } }, "had the label 2"],
    ];
    for (const [edit, difference] of edits) {
      await Deno.writeTextFile(datasetFile, JSON.stringify({ ...DATASET_JSON, ...edit }));
      await assertFails(() => trainModel(request, listening()), UserError, "nnUNetPlans_tiny", difference, command);
    }
    // Other names of the same labels change nothing.
    const renamed = { ...DATASET_JSON, labels: { background: 0, one: 1, two: 2 } };
    await Deno.writeTextFile(datasetFile, JSON.stringify(renamed));
    await trainModel(request, listening());
    const text = await Deno.readTextFile(plansFile);
    const changed = JSON.parse(text);
    changed.configurations.tiny.spacing = [2, 1, 1];
    await Deno.writeTextFile(plansFile, JSON.stringify(changed));
    const differing = "the plans' spacing was [1,1,1] and is [2,1,1]";
    await assertFails(() => trainModel(request, listening()), UserError, differing, command);
  }));

Deno.test("Python's data, which have no record, are refused by the classes that their cases were made for", () =>
  inFolder(async (folder) => {
    const datasetJson = { ...DATASET_JSON, labels: { background: 0, shell: 1, core: 2, ignore: 3 } };
    const folders = await makePreprocessed(folder, { format: "npz", datasetJson });
    const request = trainRequest(folders, { changes: { epochs: 1, iterations: 1, name: "test" } });
    const parts = ["case ", "has an ignore label now", "nnunet preprocess -d Dataset001_Spheres"];
    await assertFails(() => trainModel(request, listening()), UserError, ...parts);
  }));

Deno.test("a label that dataset.json does not declare is said with its case, where data have no record of what they were made of", () =>
  inFolder(async (folder) => {
    const folders = await makePreprocessed(folder, { labels: [1, 3] });
    const request = trainRequest(folders, { changes: { epochs: 1, iterations: 1, name: "test" } });
    const parts = ["case ", "the label 3, and dataset.json declares 0, 1, 2", "plan_and_preprocess"];
    await assertFails(() => trainModel(request, listening()), UserError, ...parts);
  }));

Deno.test("a class that no case of the fold has gives a warning with its name, and a Dice of NaN", () =>
  inFolder(async (folder) => {
    const folders = await makePreprocessed(folder, { labels: [1, 1] });
    const hooks = listening();
    await trainModel(trainRequest(folders, { changes: { epochs: 1, iterations: 1, name: "test" } }), hooks);
    assert(
      hooks.warnings.some((text) => text.startsWith("the class 2 (core) has no voxel in any training case of fold 0")),
      hooks.warnings.join("\n"),
    );
  }));

Deno.test("a training whose engine can't be opened leaves no results, and unpacks nothing", () =>
  inFolder(async (folder) => {
    const folders = await makePreprocessed(folder, { format: "npz" });
    const before = await namesIn(join(folders.preprocessed, "nnUNetPlans_tiny"));
    const openEngine = () => Promise.reject(new UserError({ doing: "opening the GPU", problem: "there is none" }));
    await assertFails(() => trainModel(trainRequest(folders, { openEngine }), listening()), UserError, "there is none");
    assertEquals(await namesIn(join(folders.preprocessed, "nnUNetPlans_tiny")), before);
    assertEquals(await namesIn(folders.results), []);
    // Nor does one whose memory would not do.
    await assertFails(
      () => trainModel(trainRequest(folders, { maxMemory: 2 ** 20 }), listening()),
      UserError,
      "1 MiB may be used",
    );
    assertEquals(await namesIn(join(folders.preprocessed, "nnUNetPlans_tiny")), before);
    assertEquals(await namesIn(folders.results), []);
  }));

Deno.test("a fold is trained by one run at a time", () =>
  inFolder(async (folder) => {
    const folders = await makePreprocessed(folder, {});
    const request = trainRequest(folders, { changes: { epochs: 1, iterations: 1, name: "test" } });
    const { folder: validation } = await trainModel(request, listening());
    const fold = dirname(validation);
    const before = await namesIn(fold);
    assert(!before.includes(".training.lock"), before.join());
    {
      using _other = takeLock(join(fold, ".training.lock"), { doing: "training", problem: "another" });
      const parts = ["another run is training this fold", "--name"];
      await assertFails(() => trainModel(request, listening()), UserError, ...parts);
    }
    assertEquals(await namesIn(fold), before);
  }));
