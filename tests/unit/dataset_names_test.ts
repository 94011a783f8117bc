import { UserError } from "../../core/base/errors.ts";
import { join } from "../../core/base/path.ts";
import { resolveDatasetName, resolveModelFolder } from "../../core/dataset/dataset_names.ts";
import { readEnvironment, type RootFolders } from "../../core/dataset/environment.ts";
import { assertEquals, assertFails } from "../assert.ts";

async function withRoots(folders: readonly string[], test: (roots: RootFolders) => Promise<void>): Promise<void> {
  const root = await Deno.makeTempDir();
  try {
    for (const folder of folders) await Deno.mkdir(join(root, folder), { recursive: true });
    await test({ raw: join(root, "raw"), preprocessed: join(root, "pre"), results: join(root, "res") });
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

Deno.test("an id finds the dataset in any of the three folders, once where it is in all", async () => {
  await withRoots(["raw/Dataset004_Hip", "res/Dataset004_Hip", "pre/Dataset011_X"], async (roots) => {
    assertEquals(await resolveDatasetName("4", roots), "Dataset004_Hip");
    assertEquals(await resolveDatasetName("004", roots), "Dataset004_Hip");
    assertEquals(await resolveDatasetName("11", roots), "Dataset011_X");
  });
});

Deno.test("a name is taken as it is, there or not", async () => {
  assertEquals(await resolveDatasetName("Dataset999_Nowhere", {}), "Dataset999_Nowhere");
});

Deno.test("an id with several datasets is refused with their names, longer numbers that begin alike among them", async () => {
  await withRoots(["raw/Dataset001_A", "raw/Dataset0012_B"], async (roots) => {
    await assertFails(() => resolveDatasetName("1", roots), UserError, "Dataset0012_B, Dataset001_A");
  });
});

Deno.test("an unknown id lists what is there, and a word that is no id says so", async () => {
  await withRoots(["raw/Dataset001_A", "res"], async (roots) => {
    await assertFails(
      () => resolveDatasetName("7", roots),
      UserError,
      "Dataset007",
      "nnUNet_raw=",
      "Dataset001_A",
      "no such folder",
    );
    await assertFails(() => resolveDatasetName("hippo", roots), UserError, `starts with "Dataset"`, "integer id");
    await assertFails(() => resolveDatasetName("1,7", roots), UserError, "several ids with spaces between them: 1 7");
    await Deno.mkdir(join(roots.raw ?? "", "Task007_Old"));
    await assertFails(() => resolveDatasetName("7", roots), UserError, "Task007_Old", "convert_old_nnUNet_dataset");
  });
});

Deno.test("a model that is not there is answered with the flags of those that are", async () => {
  const model = {
    dataset: "Dataset001_A",
    trainer: "nnUNetTrainer",
    plans: "nnUNetPlans",
    configuration: "3d_fullres",
  };
  const folders = [
    "res/Dataset001_A/nnUNetTrainer__nnUNetPlans__2d",
    "res/Dataset001_A/T__nnUNetResEncUNetMPlans__3d_lowres",
    "res/Dataset003_NothingTrained",
  ];
  await withRoots(folders, async (roots) => {
    const found = await resolveModelFolder({ ...model, configuration: "2d" }, roots);
    assertEquals(found, join(roots.results ?? "", folders[0].slice(4)));
    await assertFails(
      () => resolveModelFolder(model, roots),
      UserError,
      "-c 2d",
      "-c 3d_lowres -tr T -p nnUNetResEncUNetMPlans",
    );
    await assertFails(
      () => resolveModelFolder({ ...model, dataset: "Dataset002_B" }, roots),
      UserError,
      ": Dataset001_A.",
    );
    await assertFails(
      () => resolveModelFolder(model, {}),
      UserError,
      "nnUNet_results is not set",
      "predict_from_modelfolder",
    );
  });
});

Deno.test("variables that mean nothing here are found with their reasons; empty folders count as unset", () => {
  const variables: Record<string, string> = {
    nnUNet_raw: "",
    nnUNet_results: "/r",
    nnUNet_compile: "T",
  };
  const environment = readEnvironment((name) => variables[name]);
  assertEquals(environment.folders, { raw: undefined, preprocessed: undefined, results: "/r" });
  assertEquals(environment.unused.map(({ name }) => name), ["nnUNet_compile"]);
});
