/** A small raw dataset for whole recipes: balls in noise, two folds; and plans of a cascade of small networks for it. */
import { join } from "../../../core/base/path.ts";
import { niftiBytes } from "../../unit/raw_dataset_fixture.ts";
import { tinyPlans } from "../../unit/train_fixture.ts";

export const RECIPE_DATASET = "Dataset007_Balls";
export const RECIPE_CASES = ["ball_0", "ball_1", "ball_2", "ball_3"] as const;
/** Older than any training of it, though the clock of a test stands still. */
const MADE = new Date(2020, 0, 1);

/** Environment variables for folders in `root`. */
export function recipeEnvironment(
  root: string,
): Record<"nnUNet_raw" | "nnUNet_preprocessed" | "nnUNet_results", string> {
  return {
    nnUNet_raw: join(root, "raw"),
    nnUNet_preprocessed: join(root, "preprocessed"),
    nnUNet_results: join(root, "results"),
  };
}

/** Writes `root`/raw/Dataset007_Balls. */
export async function makeRecipeDataset(root: string): Promise<void> {
  const folder = join(root, "raw", RECIPE_DATASET);
  for (const name of ["imagesTr", "labelsTr"]) await Deno.mkdir(join(folder, name), { recursive: true });
  const write = async (name: string, content: Uint8Array | string) => {
    const file = join(folder, name);
    await (typeof content === "string" ? Deno.writeTextFile(file, content) : Deno.writeFile(file, content));
    await Deno.utime(file, MADE, MADE);
  };
  for (const [index, id] of RECIPE_CASES.entries()) {
    const size = [12 + index % 2, 12, 10] as const;
    const rings = (x: number, y: number, z: number) => {
      const distance = Math.hypot(x - 6, y - 5 - index % 3, z - 5);
      return distance < 2.5 ? 2 : distance < 4.5 ? 1 : 0;
    };
    let state = index + 1;
    const noise = () => (state = state * 16807 % 2147483647) / 2147483647;
    const image = niftiBytes({ size, valueAt: (x, y, z) => 100 * rings(x, y, z) + 40 * noise() });
    await write(`imagesTr/${id}_0000.nii.gz`, image);
    await write(`labelsTr/${id}.nii.gz`, niftiBytes({ size, valueAt: rings }));
  }
  const [a, b, c, d] = RECIPE_CASES;
  const splits = [{ train: [a, b], val: [c, d] }, { train: [c, d], val: [a, b] }];
  await write("splits_final.json", JSON.stringify(splits));
  const dataset = {
    channel_names: { "0": "MR" },
    labels: { background: 0, shell: 1, core: 2 },
    numTraining: RECIPE_CASES.length,
    file_ending: ".nii.gz",
  };
  await write("dataset.json", JSON.stringify(dataset));
}

/** Writes plans of the name tinyPlans beside where the dataset's fingerprint goes: 3d_fullres, and a cascade before it. */
export async function makeCascadePlans(root: string): Promise<void> {
  const folder = join(root, "preprocessed", RECIPE_DATASET);
  const { configurations, ...rest } = tinyPlans();
  const { tiny } = configurations as { readonly tiny: Readonly<Record<string, unknown>> };
  const named = (name: string, changes: Readonly<Record<string, unknown>>) => ({
    ...tiny,
    data_identifier: `tinyPlans_${name}`,
    ...changes,
  });
  const plans = {
    ...rest,
    dataset_name: RECIPE_DATASET,
    plans_name: "tinyPlans",
    configurations: {
      "3d_fullres": named("3d_fullres", {}),
      "3d_lowres": named("3d_lowres", { spacing: [1.5, 1.5, 1.5], next_stage: "3d_cascade_fullres" }),
      "3d_cascade_fullres": { inherits_from: "3d_fullres", previous_stage: "3d_lowres" },
    },
  };
  await Deno.mkdir(folder, { recursive: true });
  await Deno.writeTextFile(join(folder, "tinyPlans.json"), JSON.stringify(plans));
  await Deno.copyFile(join(root, "raw", RECIPE_DATASET, "splits_final.json"), join(folder, "splits_final.json"));
}
