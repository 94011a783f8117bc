/** Names from files and flags that become paths: none leads out of its folder, wherever it is read. */
import { UserError } from "../../core/base/errors.ts";
import { pathNameProblem } from "../../core/base/path_name.ts";
import { join } from "../../core/base/path.ts";
import { convertV1Dataset } from "../../core/dataset/convert_v1.ts";
import { resolveDatasetName, resolveModelFolder } from "../../core/dataset/dataset_names.ts";
import { readRawDataset } from "../../core/dataset/raw_dataset.ts";
import { readDatasetJson } from "../../core/dataset/read_dataset_json.ts";
import { movePlans } from "../../core/plan/move_plans.ts";
import { planDataset } from "../../core/plan/plan_dataset.ts";
import { PLANNERS } from "../../core/plan/planners.ts";
import { parsePlans, resolveConfiguration } from "../../core/plan/read_plans.ts";
import { preprocessDataset } from "../../core/preprocess/preprocess_dataset.ts";
import { openModel } from "../../core/predict/model/model_folder.ts";
import { validationRecipe } from "../../core/train/recipe.ts";
import { readTrainingSetup } from "../../core/train/setup.ts";
import { chooseSplit } from "../../core/train/splits.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";
import { inTempFolder } from "../golden/cli/run_command.ts";
import { DATASET_JSON, makeRawDataset } from "./raw_dataset_fixture.ts";
import { plansJson } from "./plans_fixture.ts";

/** Each is no name of a file or folder, on any system. */
const PATHS = ["../../x", "a/b", "a\\..\\b", "..", ".", "", "a\0b", "a\nb", "\u007f", "/etc", "ä".repeat(128)];

Deno.test("a path, an empty or overlong text and control characters are no names; dots, blanks and letters of any kind are", () => {
  for (const name of PATHS) assert(pathNameProblem(name, false) !== undefined, JSON.stringify(name));
  for (const name of ["Dataset001_X", "..a", "a..", "case 1", "Fälle_患者", "a:b", "con", ".nii.gz", "x".repeat(240)]) {
    assertEquals(pathNameProblem(name, false), undefined, name);
  }
});

Deno.test("on Windows its devices, its separators' characters and names whose end it cuts off are no names", () => {
  for (const name of ["con", "NUL.nii.gz", "com1", "LPT9.x", "a:b", "a?", "a|b", "a.", "a "]) {
    assert(pathNameProblem(name, true) !== undefined, name);
  }
  for (const name of ["console", "com10", "a.b", "nullify", ".nii.gz"]) {
    assertEquals(pathNameProblem(name, true), undefined);
  }
});

Deno.test("every name of plans.json that becomes a path is checked when it is read", async () => {
  for (const path of PATHS) {
    const read = (change: (plans: ReturnType<typeof plansJson>) => void) => () => {
      const plans = plansJson();
      change(plans);
      const parsed = parsePlans(plans, "plans.json");
      for (const name of parsed.configurationNames) resolveConfiguration(parsed, name);
    };
    const of = (field: string) =>
      read((plans) => {
        plans.configurations["3d_fullres"][field] = path;
      });
    // Left empty, these mean the default.
    if (path !== "") {
      await assertFails(read((plans) => plans.dataset_name = path), UserError, "plans.json", "dataset_name: expected");
      await assertFails(read((plans) => plans.plans_name = path), UserError, "plans_name: expected");
      await assertFails(of("data_identifier"), UserError, "configurations.3d_fullres.data_identifier: expected");
    }
    await assertFails(of("previous_stage"), UserError, "previous_stage: expected");
    await assertFails(of("next_stage"), UserError, "next_stage: expected");
    const later = read((plans) => plans.configurations["3d_fullres"].next_stage = ["ok", path]);
    await assertFails(later, UserError, "next_stage[1]: expected");
    const named = read((plans) => plans.configurations[path] = { inherits_from: "3d_fullres" });
    await assertFails(named, UserError, "configurations: expected");
  }
});

Deno.test("every name of a raw dataset that becomes a path is checked when it is read", () =>
  inTempFolder(async (folder) => {
    const raw = join(folder, "raw");
    await makeRawDataset(raw);
    const write = (change: Record<string, unknown>) =>
      Deno.writeTextFile(join(raw, "dataset.json"), JSON.stringify({ ...DATASET_JSON, ...change }));
    const files = { images: ["imagesTr/a_0000.nii.gz"], label: "labelsTr/a.nii.gz" };
    for (const path of PATHS) {
      await write({ dataset: { [path]: files } });
      await assertFails(() => readRawDataset(raw), UserError, "dataset.json", "dataset: expected");
      await write({ file_ending: path });
      await assertFails(() => readDatasetJson(join(raw, "dataset.json")), UserError, "file_ending: expected");
      if (path !== "") await assertFails(() => readRawDataset(raw), UserError, "file_ending becomes part of a path");
    }
    await write({});
    await Deno.rename(join(raw, "imagesTr/a_0000.nii.gz"), join(raw, "imagesTr/.._0000.nii.gz"));
    await assertFails(() => readRawDataset(raw), UserError, "becomes part of a path", "Rename .._0000.nii.gz");
  }));

Deno.test("every name of a flag that becomes a path is checked before anything is read or written", () =>
  inTempFolder(async (folder) => {
    const folders = { raw: join(folder, "raw"), preprocessed: join(folder, "pre"), results: join(folder, "results") };
    const raw = join(folders.raw, "Dataset001_X");
    await makeRawDataset(raw);
    const before = await names(folder);
    const fails = (call: () => unknown, what: string) => assertFails(call, UserError, what, "becomes part of a path");
    const model = { dataset: "Dataset001_X", trainer: "nnUNetTrainer", plans: "nnUNetPlans", configuration: "2d" };
    for (const path of PATHS) {
      const dataset = `Dataset001${path}/../../x`;
      await fails(() => resolveDatasetName(dataset, folders), "the dataset's name");
      await fails(() => convertV1Dataset(raw, `Dataset001_X/${path}`, folders), "the dataset's name");
      for (const what of ["dataset", "trainer", "plans", "configuration"] as const) {
        await fails(() => resolveModelFolder({ ...model, [what]: path }, folders), `the name of the ${what}`);
      }
      const plan = () => planDataset(raw, join(folder, "pre/Dataset001_X"), { planner: PLANNERS[0], plansName: path });
      await fails(plan, "the plans' name");
      const move = {
        preprocessed: folders.preprocessed,
        raw: folders.raw,
        source: "Dataset001_X",
        target: "Dataset001_X",
      };
      await fails(() => movePlans({ ...move, sourcePlans: path }), "the plans' name");
      await fails(() => movePlans({ ...move, sourcePlans: "nnUNetPlans", targetPlans: path }), "the plans' name");
      const preprocess = () =>
        preprocessDataset(raw, join(folder, "pre/Dataset001_X"), {
          plansName: path,
          configurations: ["2d"],
          format: "bricks",
          threads: 1,
          nan: "refuse",
          allowGeometryMismatch: false,
          redo: false,
        });
      await fails(preprocess, "the plans' name");
      const open = () => openModel(folder, { folds: undefined, checkpointName: path, assumePlansNetwork: false });
      await fails(open, "the checkpoint's name");
      const task = {
        datasetName: "Dataset001_X",
        preprocessed: join(folder, "pre/Dataset001_X"),
        results: join(folder, "results/Dataset001_X"),
        plansName: "nnUNetPlans",
        configurationName: "2d",
        fold: 0,
      };
      const trainer = validationRecipe("nnUNetTrainer", undefined);
      await fails(() => readTrainingSetup({ ...task, plansName: path }, trainer), "the plans' name");
      await fails(() => readTrainingSetup(task, validationRecipe(path, undefined)), "the trainer's name");
    }
    assertEquals(await names(folder), before);
  }));

Deno.test("plans can't take the name of another file of a preprocessed dataset", () =>
  inTempFolder(async (folder) => {
    await makeRawDataset(join(folder, "raw"));
    for (const plansName of ["dataset", "dataset_fingerprint", "splits_final", "Dataset", "nnUNetPlans.before"]) {
      const plan = () => planDataset(join(folder, "raw"), join(folder, "pre"), { planner: PLANNERS[0], plansName });
      await assertFails(plan, UserError, `plans can't be called ${plansName}`);
    }
  }));

Deno.test("case ids of splits that are paths are refused", () =>
  inTempFolder(async (folder) => {
    for (const path of PATHS) {
      const splits = [{ train: ["a"], val: ["b"] }, { train: ["b"], val: [path] }];
      await Deno.writeTextFile(join(folder, "splits_final.json"), JSON.stringify(splits));
      await assertFails(
        () => chooseSplit(folder, ["a", "b"], 0),
        UserError,
        "splits_final.json",
        "[1].val[0]: expected",
      );
    }
  }));

async function names(folder: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    found.push(name, ...(isDirectory ? (await names(join(folder, name))).map((inner) => `${name}/${inner}`) : []));
  }
  return found.sort();
}
