/** Datasets of which no network of some configuration could be trained: it is left out with the reason, or planning is refused. */
import { UserError } from "../../core/base/errors.ts";
import { join } from "../../core/base/path.ts";
import { planDataset } from "../../core/plan/plan_dataset.ts";
import { planExperiment, type PlanningRequest } from "../../core/plan/plan_experiment.ts";
import { PLANNERS } from "../../core/plan/planners.ts";
import { readFingerprint } from "../../core/plan/read_fingerprint.ts";
import { extractFingerprint } from "../../core/preprocess/fingerprint.ts";
import { readPlans, resolveConfiguration } from "../../core/plan/read_plans.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";
import { inTempFolder, namesIn } from "../golden/cli/run_command.ts";
import { IMAGE, LABEL, makeRawDataset, niftiBytes } from "./raw_dataset_fixture.ts";

type Three = readonly [number, number, number];

/** Twelve cases of one size and spacing. */
function request(shape: Three, spacing: Three, more: Partial<PlanningRequest> = {}): PlanningRequest {
  return {
    planner: PLANNERS[0],
    fingerprint: {
      spacings: Array(12).fill(spacing),
      shapesAfterCrop: Array(12).fill(shape),
      medianRelativeSizeAfterCropping: 1,
      intensityProperties: {},
    },
    datasetName: "Dataset001_X",
    channelNames: ["MR"],
    labelCount: 2,
    trainingCases: 12,
    reader: "SimpleITKIO",
    ...more,
  };
}

function plan(of: PlanningRequest) {
  const leftOut = new Map<string, string>();
  const plans = planExperiment(of, (name, why) => leftOut.set(name, why));
  const configurations = plans.configurations as Record<string, Record<string, number | number[] | boolean>>;
  for (const [name, { patch_size: patch, batch_size: batch }] of Object.entries(configurations)) {
    if (patch === undefined) continue;
    assert((patch as number[]).every((size) => Number.isInteger(size) && size >= 1), `${name}: patch ${patch}`);
    assert(Number.isInteger(batch) && (batch as number) >= 2, `${name}: batch ${batch}`);
  }
  return { configurations, leftOut };
}

Deno.test("pictures whose third axis has one voxel are planned without the cascade whose image would have none", () => {
  for (const planner of PLANNERS) {
    const { configurations, leftOut } = plan(request([1600, 1600, 1], [1, 1, 1], { planner }));
    assertEquals(Object.keys(configurations), ["2d", "3d_fullres"], planner.name);
    assertEquals([...leftOut.keys()], ["3d_lowres"]);
    assert(leftOut.get("3d_lowres")?.includes("the median image would be 787 x 787 x 0 voxels"), [...leftOut].join());
    assertEquals(configurations["3d_fullres"].batch_dice, false);
  }
  // With the slices first, as upstream has them, there is no 3D configuration to leave out.
  const { configurations, leftOut } = plan(request([1, 1600, 1600], [1, 1, 1]));
  assertEquals([Object.keys(configurations), leftOut.size], [["2d"], 0]);
});

Deno.test("a target spacing in which the images have no voxels leaves out 3D, and is refused where 2D has none either", async () => {
  const small: Three = [40, 60, 50];
  for (const targetSpacing of [[1000, 1, 1], [1, 1000, 1], [1, 1, 1000], [1e9, 1, 1]]) {
    const { configurations, leftOut } = plan(request(small, [1, 1, 1], { targetSpacing }));
    assertEquals(Object.keys(configurations), ["2d"], targetSpacing.join());
    assert(leftOut.get("3d_fullres")?.startsWith(`at a spacing of ${Math.max(...targetSpacing)} x 1 x 1 mm`));
  }
  for (const targetSpacing of [[1000, 1000, 1], [1e9, 1e9, 1e9], [100, 120, 120]]) {
    const planning = () => plan(request(small, [1, 1, 1], { targetSpacing }));
    await assertFails(planning, UserError, "no configuration can be trained", "2d: at", "3d_fullres: at", "finer");
  }
});

Deno.test("a median of half a voxel is none", () => {
  const spacings = [[1, 1, 1], [1, 1, 1]];
  const shapesAfterCrop = [[1, 64, 64], [2, 64, 64]];
  const fingerprint = { spacings, shapesAfterCrop, medianRelativeSizeAfterCropping: 1, intensityProperties: {} };
  const { leftOut } = plan({ ...request([1, 1, 1], [1, 1, 1]), fingerprint, targetSpacing: [2.1, 1, 1] });
  assert(leftOut.get("3d_fullres")?.includes("0.5 x 64 x 64 voxels"), [...leftOut].join());
});

Deno.test("images too small to be halved once have no U-Net; one axis of 12 or two of 8 are enough", async () => {
  for (const planner of PLANNERS) {
    for (const size of [1, 7]) {
      const tiny = () => plan(request([size, 7, 7], [1, 1, 1], { planner }));
      await assertFails(
        tiny,
        UserError,
        "no configuration can be trained",
        "2d: the patch would be 7 x 7 voxels",
        "12 on one",
      );
    }
    assertEquals(Object.keys(plan(request([8, 8, 7], [1, 1, 1], { planner })).configurations), ["3d_fullres"]);
    assertEquals(Object.keys(plan(request([7, 8, 8], [1, 1, 1], { planner })).configurations), ["2d", "3d_fullres"]);
    const { configurations, leftOut } = plan(request([12, 7, 7], [1, 1, 1], { planner }));
    assertEquals([Object.keys(configurations), [...leftOut.keys()]], [["3d_fullres"], ["2d"]]);
    const edge = () => plan(request([11, 7, 7], [1, 1, 1], { planner }));
    await assertFails(edge, UserError, "3d_fullres: the patch would be 11 x 7 x 7");
  }
});

Deno.test("a memory target that holds no patch is named, and one that holds any is taken", async () => {
  const of = (gpuMemoryTargetGB: number) => () => plan(request([64, 64, 64], [1, 1, 1], { gpuMemoryTargetGB }));
  for (const target of [1e-300, 1e-9, 1e-6]) {
    await assertFails(of(target), UserError, `the GPU memory target of ${target} GB`, "a larger -gpu_memory_target");
  }
  for (const target of [0.1, 1, 1e6, 1e300]) of(target)();
});

Deno.test("images that are very long in one fine axis have more stages than upstream's tables, and are left out", async () => {
  const of = (gpuMemoryTargetGB: number) => () => plan(request([4, 4, 1e7], [1, 1, 1e-6], { gpuMemoryTargetGB }));
  await assertFails(of(8), UserError, "shrunk until it fits the GPU memory target of 8 GB, the patch would be 0 x ");
  await assertFails(of(1e6), UserError, "stages; ExperimentPlanner knows up to 14");
});

Deno.test("any sizes and spacings of a fingerprint give plans or a refusal, never half of one", () => {
  const sizes = [1, 2, 7, 8, 12, 100, 2 ** 16, 2 ** 31];
  const spacings = [1e-9, 1e-3, 1, 1e3, 1e9];
  for (const planner of [PLANNERS[0], PLANNERS[3]]) {
    for (const a of sizes) {
      for (const c of sizes) {
        for (const d of spacings) {
          for (const e of spacings) {
            try {
              plan(request([a, 64, c], [d, 1, e], { planner }));
            } catch (error) {
              if (!(error instanceof UserError)) throw error;
            }
          }
        }
      }
    }
  }
});

/** A raw dataset and a fingerprint of it, as `change` leaves it. */
async function inDataset(
  change: (fingerprint: Record<string, unknown>) => void,
  test: (raw: string, preprocessed: string) => Promise<void>,
): Promise<void> {
  await inTempFolder(async (folder) => {
    const [raw, preprocessed] = [join(folder, "raw/Dataset001_X"), join(folder, "preprocessed/Dataset001_X")];
    await makeRawDataset(raw);
    await Deno.mkdir(preprocessed, { recursive: true });
    const fingerprint = {
      spacings: Array(3).fill([1, 1, 1]),
      shapes_after_crop: Array(3).fill([40, 60, 50]),
      median_relative_size_after_cropping: 1,
      foreground_intensity_properties_per_channel: {},
    };
    change(fingerprint);
    await Deno.writeTextFile(join(preprocessed, "dataset_fingerprint.json"), JSON.stringify(fingerprint));
    await test(raw, preprocessed);
  });
}

Deno.test("what is left out is warned about, and of earlier plans not kept; what is written can be read", () =>
  inDataset(() => {}, async (raw, preprocessed) => {
    await planDataset(raw, preprocessed, { planner: PLANNERS[0] });
    const warnings: string[] = [];
    const options = {
      planner: PLANNERS[0],
      targetSpacing: [1000, 1, 1],
      onWarning: (text: string) => warnings.push(text),
    };
    const { file, kept, leftOut } = await planDataset(raw, preprocessed, options);
    assertEquals([kept, [...leftOut.keys()]], [[], ["3d_fullres"]]);
    assert(warnings[0].startsWith("3d_fullres is left out of the plans: at a spacing of 1000 x 1 x 1 mm"), warnings[0]);
    const plans = await readPlans(file);
    assertEquals(plans.configurationNames, ["2d"]);
    assertEquals(resolveConfiguration(plans, "2d").spacing, [1, 1]);
    assert((await namesIn(preprocessed)).includes("nnUNetPlans.before.json"));
  }));

Deno.test("plans that could not be read again are not written, and those that are there stay", () =>
  inDataset((fingerprint) => {
    fingerprint.foreground_intensity_properties_per_channel = { "1": { mean: 1 } };
  }, async (raw, preprocessed) => {
    const planning = () => planDataset(raw, preprocessed, { planner: PLANNERS[0] });
    const field = "foreground_intensity_properties_per_channel";
    await assertFails(planning, UserError, "the plans that result can't be used, and are not written", field);
    assertEquals(await namesIn(preprocessed), ["dataset_fingerprint.json"]);
  }));

Deno.test("numbers of a fingerprint that no image has are refused by field", async () => {
  const wrong: readonly (readonly [string, unknown])[] = [
    ["spacings[1][2]", [[1, 1, 1], [1, 1, 0], [1, 1, 1]]],
    ["spacings[0][0]", [[1e-300, 1, 1], [1, 1, 1], [1, 1, 1]]],
    ["spacings[2][1]", [[1, 1, 1], [1, 1, 1], [1, 1e30, 1]]],
    ["spacings[0][1]", [[1, -1, 1], [1, 1, 1], [1, 1, 1]]],
    ["shapes_after_crop[0][0]", [[0, 1, 1], [1, 1, 1], [1, 1, 1]]],
    ["shapes_after_crop[1][1]", [[1, 1, 1], [1, 1e12, 1], [1, 1, 1]]],
    ["median_relative_size_after_cropping", -1],
    ["median_relative_size_after_cropping", 1e9],
  ];
  for (const [field, value] of wrong) {
    const name = field.split("[")[0];
    await inDataset((fingerprint) => fingerprint[name] = value, async (raw, preprocessed) => {
      const file = join(preprocessed, "dataset_fingerprint.json");
      await assertFails(() => readFingerprint(file), UserError, `${field}: expected`, file);
      await assertFails(() => planDataset(raw, preprocessed, { planner: PLANNERS[0] }), UserError, field);
    });
  }
});

Deno.test("a fingerprint that planning could not read is not written, and the case is named", () =>
  inTempFolder(async (folder) => {
    const [raw, preprocessed] = [join(folder, "raw"), join(folder, "preprocessed")];
    for (const spacing of [1e30, 1e-30]) {
      await makeRawDataset(raw);
      const far = [spacing, spacing, spacing] as const;
      await Deno.writeFile(join(raw, "imagesTr/b_0000.nii.gz"), niftiBytes({ ...IMAGE, spacing: far }));
      await Deno.writeFile(join(raw, "labelsTr/b.nii.gz"), niftiBytes({ ...LABEL, spacing: far }));
      const options = { clean: true, verify: false, allowGeometryMismatch: true, threads: 1, memory: 1e9 };
      await assertFails(() => extractFingerprint(raw, preprocessed, options), UserError, "case b");
      assertEquals(await namesIn(preprocessed), []);
      await Deno.remove(raw, { recursive: true });
    }
  }));
