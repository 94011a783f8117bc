/** Fingerprints, plans, moved plans and converted datasets against what nnU-Net made of the same files (make_planning_golden.py). */
import { assert, assertEquals } from "../assert.ts";
import { fromFileUrl, join } from "../../core/base/path.ts";
import { convertMsdDataset } from "../../core/dataset/convert_msd.ts";
import { convertV1Dataset } from "../../core/dataset/convert_v1.ts";
import { readCase } from "../../core/formats/image/read_image.ts";
import { movePlans } from "../../core/plan/move_plans.ts";
import { planDataset, type PlanDatasetOptions } from "../../core/plan/plan_dataset.ts";
import { PLANNERS } from "../../core/plan/planners.ts";
import { extractFingerprint, type FingerprintOptions } from "../../core/preprocess/fingerprint.ts";
import { inTempFolder, namesIn } from "./cli/run_command.ts";

const FOLDER = fromFileUrl(new URL("./planning/", import.meta.url));
const SHARED = fromFileUrl(new URL("../../../shared/data/", import.meta.url));
const OPTIONS: FingerprintOptions = {
  clean: false,
  verify: true,
  allowGeometryMismatch: false,
  threads: 1,
};

interface FingerprintJson {
  readonly foreground_intensity_properties_per_channel: Record<string, Record<string, number>>;
}

/** Numbers of statistics at most 1e-6 apart, relative to the larger; everything else the same text, digit for digit. */
function assertSameFingerprint(actual: string, expected: string): void {
  const [a, b]: FingerprintJson[] = [JSON.parse(actual), JSON.parse(expected)];
  const channels = Object.keys(b.foreground_intensity_properties_per_channel);
  assertEquals(Object.keys(a.foreground_intensity_properties_per_channel), channels);
  for (const channel of channels) {
    const [ours, upstreams] = [a, b].map((one) => one.foreground_intensity_properties_per_channel[channel]);
    for (const key of ["mean", "std"]) {
      const difference = Math.abs(ours[key] - upstreams[key]);
      assert(
        difference <= 1e-6 * Math.abs(upstreams[key]),
        `${channel}.${key}: ${ours[key]}, expected ${upstreams[key]}`,
      );
    }
  }
  const rest = (text: string) => text.replace(/"(mean|std)": [-\d.e]+/g, '"$1"');
  assertEquals(rest(actual), rest(expected));
}

async function expectedText(name: string): Promise<string> {
  return await Deno.readTextFile(join(FOLDER, "expected", name));
}

function hexOf(digest: ArrayBuffer): string {
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function planner(name: string): PlanDatasetOptions["planner"] {
  const found = PLANNERS.find((one) => one.name === name);
  if (!found) throw new Error(`no planner ${name}`);
  return found;
}

for (
  const [name, threads] of [["Dataset801_Aniso", 2], ["Dataset802_Listed", 1], ["Dataset803_Pictures", 2]] as const
) {
  Deno.test(`the fingerprint of ${name} is upstream's`, async () => {
    await inTempFolder(async (folder) => {
      const outcome = await extractFingerprint(join(FOLDER, "raw", name), folder, { ...OPTIONS, threads });
      assertEquals(outcome.findings.filter(({ severity }) => severity === "error"), []);
      assertEquals(outcome.state, "written");
      const actual = await Deno.readTextFile(join(folder, "dataset_fingerprint.json"));
      assertSameFingerprint(actual, await expectedText(`${name}/dataset_fingerprint.json`));
      assertEquals(await namesIn(folder), ["dataset_fingerprint.json", "dataset_integrity.json"]);
    });
  });

  Deno.test(`plans of ${name}, dataset.json and splits are upstream's, byte for byte`, async () => {
    await inTempFolder(async (folder) => {
      await Deno.writeTextFile(
        join(folder, "dataset_fingerprint.json"),
        await expectedText(`${name}/dataset_fingerprint.json`),
      );
      const raw = join(FOLDER, "raw", name);
      await planDataset(raw, folder, { planner: planner("ExperimentPlanner") });
      const written = ["nnUNetPlans.json", "dataset.json"];
      if (name === "Dataset803_Pictures") written.push("splits_final.json");
      if (name === "Dataset801_Aniso") {
        await planDataset(raw, folder, {
          planner: planner("nnUNetPlannerResEncM"),
          gpuMemoryTargetGB: 6,
          targetSpacing: [2.5, 0.9, 0.8],
          plansName: "custom",
        });
        written.push("custom.json");
      }
      for (const file of written) {
        assertEquals(await Deno.readTextFile(join(folder, file)), await expectedText(`${name}/${file}`), file);
      }
    });
  });
}

Deno.test("plans move to another dataset as upstream moves them, byte for byte", async () => {
  await inTempFolder(async (folder) => {
    await Deno.mkdir(join(folder, "Dataset801_Aniso"));
    for (const plans of ["nnUNetPlans", "custom"]) {
      const text = await expectedText(`Dataset801_Aniso/${plans}.json`);
      await Deno.writeTextFile(join(folder, `Dataset801_Aniso/${plans}.json`), text);
    }
    const common = { preprocessed: folder, raw: join(FOLDER, "raw"), source: "Dataset801_Aniso" };
    await movePlans({ ...common, target: "Dataset802_Listed", sourcePlans: "nnUNetPlans", targetPlans: "fromAniso" });
    await movePlans({ ...common, target: "Dataset803_Pictures", sourcePlans: "custom" });
    for (const file of ["Dataset802_Listed/fromAniso.json", "Dataset803_Pictures/custom.json"]) {
      assertEquals(await Deno.readTextFile(join(folder, file)), await expectedText(file), file);
    }
  });
});

Deno.test("a Decathlon task is split into the images that upstream splits it into", async () => {
  await inTempFolder(async (folder) => {
    const target = await convertMsdDataset({
      source: `${join(FOLDER, "tasks", "Task07_Mini")}/`,
      folders: { raw: folder },
      id: 807,
      parallel: 2,
    });
    assertEquals(await namesIn(folder), ["Dataset807_Mini"]);
    const expected: Record<
      string,
      Record<"shape" | "spacing" | "origin" | "direction", number[]> & { sha256: string }
    > = JSON.parse(await expectedText("Dataset807_Mini_images.json"));
    for (const [name, one] of Object.entries(expected)) {
      const { data, geometry } = await readCase("SimpleITKIO", [join(target, name)]);
      assertEquals(geometry.shape, one.shape as unknown as typeof geometry.shape, name);
      for (const key of ["spacing", "origin", "direction"] as const) {
        const apart = geometry.sitk?.[key].map((value, i) => Math.abs(value - one[key][i])) ?? [Infinity];
        assert(Math.max(...apart) < 1e-5, `${name}: ${key} ${geometry.sitk?.[key]}, expected ${one[key]}`);
      }
      assertEquals(hexOf(await crypto.subtle.digest("SHA-256", data.buffer as ArrayBuffer)), one.sha256, name);
    }
    const files = (await Promise.all(["imagesTr", "imagesTs", "labelsTr"].map(async (part) => {
      return (await namesIn(join(target, part))).map((name) => `${part}/${name}`);
    }))).flat();
    assertEquals(files.sort(), Object.keys(expected).sort());
    const json = await Deno.readTextFile(join(target, "dataset.json"));
    assertEquals(json, await expectedText("Dataset807_Mini.json"));
  });
});

Deno.test("a task of nnU-Net v1 becomes the dataset that upstream makes of it", async () => {
  await inTempFolder(async (folder) => {
    const target = await convertV1Dataset(join(FOLDER, "tasks", "Task555_Old"), "Dataset555_Old", { raw: folder });
    const json = JSON.parse(await Deno.readTextFile(join(target, "dataset.json")));
    const expected = JSON.parse(await expectedText("Dataset555_Old.json"));
    assertEquals(json, expected);
    for (const part of ["imagesTr", "labelsTr", "imagesTs"]) {
      const source = join(FOLDER, "tasks", "Task555_Old", part);
      assertEquals(await namesIn(join(target, part)), await namesIn(source));
      for (const name of await namesIn(source)) {
        assertEquals(await Deno.readFile(join(target, part, name)), await Deno.readFile(join(source, name)), name);
      }
    }
  });
});

Deno.test({
  name: "the fingerprint of the shared hippocampus dataset is upstream's",
  ignore: !(await namesIn(SHARED)).includes("Task04_Hippocampus"),
  fn: async () => {
    await inTempFolder(async (folder) => {
      const source = join(SHARED, "Task04_Hippocampus");
      const target = await convertMsdDataset({ source, folders: { raw: folder }, parallel: 4 });
      await extractFingerprint(target, join(folder, "preprocessed"), { ...OPTIONS, threads: 2 });
      const actual = await Deno.readTextFile(join(folder, "preprocessed", "dataset_fingerprint.json"));
      assertSameFingerprint(actual, await expectedText("Dataset004_Hippocampus_fingerprint.json"));
    });
  },
});
