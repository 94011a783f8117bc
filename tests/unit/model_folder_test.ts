/** Opening model folders; the checkpoints in them are those that torch wrote for tests/golden/checkpoints. */
import { UserError } from "../../core/base/errors.ts";
import { nearestName } from "../../core/base/nearest.ts";
import { openModel, type OpenModelOptions } from "../../core/predict/model/model_folder.ts";
import { trainerArchitecture } from "../../core/trainers/trainer_network.ts";
import type { NetworkArchitecture } from "../../core/network/architecture.ts";
import { assertEquals, assertFails } from "../assert.ts";

const CHECKPOINTS = new URL("../golden/checkpoints/", import.meta.url);
const NETWORKS = JSON.parse(Deno.readTextFileSync(new URL("expected.json", CHECKPOINTS))).networks;

interface FolderOptions {
  readonly folds?: readonly string[];
  readonly checkpointName?: string;
  readonly network?: string;
  readonly patchSize?: readonly number[];
  readonly labels?: Readonly<Record<string, number>>;
  readonly channels?: number;
}

/** A model folder of the network plain_3d (2 inputs, 3 outputs), and `test` on it. */
async function inModel(test: (folder: string) => Promise<void>, options: FolderOptions = {}): Promise<void> {
  const { folds = ["0"], checkpointName = "checkpoint_final.pth", network = "plain_3d", channels = 2 } = options;
  const root = await Deno.makeTempDir();
  try {
    const folder = `${root}/Dataset001_X/nnUNetTrainer__nnUNetPlans__3d_fullres`;
    for (const fold of folds) {
      await Deno.mkdir(`${folder}/fold_${fold}`, { recursive: true });
      await Deno.copyFile(new URL(`${network}.pth`, CHECKPOINTS), `${folder}/fold_${fold}/${checkpointName}`);
    }
    const resampling = (what: string, isSeg: boolean) => ({
      [`resampling_fn_${what}`]: "resample_data_or_seg_to_shape",
      [`resampling_fn_${what}_kwargs`]: { is_seg: isSeg, order: 1, order_z: 0, force_separate_z: null },
    });
    const configuration = {
      data_identifier: "nnUNetPlans_3d_fullres",
      preprocessor_name: "DefaultPreprocessor",
      batch_size: 2,
      patch_size: options.patchSize ?? [4, 8, 8],
      spacing: [1, 1, 1],
      normalization_schemes: ["ZScoreNormalization", "ZScoreNormalization"],
      use_mask_for_norm: [false, false],
      ...resampling("data", false),
      ...resampling("seg", true),
      ...resampling("probabilities", false),
      batch_dice: false,
      architecture: { network_class_name: "x.PlainConvUNet", arch_kwargs: NETWORKS[network].arch_kwargs },
    };
    const plans = {
      dataset_name: "Dataset001_X",
      plans_name: "nnUNetPlans",
      image_reader_writer: "SimpleITKIO",
      transpose_forward: [0, 1, 2],
      transpose_backward: [0, 1, 2],
      configurations: {
        "3d_fullres": configuration,
        "3d_lowres": { inherits_from: "3d_fullres", batch_size: 3 },
        "3d_cascade_fullres": { inherits_from: "3d_fullres", previous_stage: "3d_lowres" },
      },
    };
    const dataset = {
      channel_names: Object.fromEntries(Array.from({ length: channels }, (_, i) => [String(i), `channel ${i}`])),
      labels: options.labels ?? { background: 0, a: 1, b: 2 },
      file_ending: ".nii.gz",
    };
    await Deno.writeTextFile(`${folder}/plans.json`, JSON.stringify(plans));
    await Deno.writeTextFile(`${folder}/dataset.json`, JSON.stringify(dataset));
    await test(folder);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

const OPTIONS: OpenModelOptions = {
  folds: undefined,
  checkpointName: "checkpoint_final.pth",
  assumePlansNetwork: false,
};
const open = (folder: string, options: Partial<OpenModelOptions> = {}) => openModel(folder, { ...OPTIONS, ...options });

Deno.test("a model folder opens with all that its files say", () =>
  inModel(async (folder) => {
    using model = await open(folder);
    assertEquals([model.trainerName, model.configuration.name, model.mirrorAxes], ["nnUNetTrainer", "3d_fullres", [
      0,
      1,
      2,
    ]]);
    assertEquals([model.inputChannels, model.outputChannels], [2, 3]);
    assertEquals(model.folds.map(({ name }) => name), ["0"]);
    using other = await open(folder, { overrideConfiguration: "3d_lowres" });
    assertEquals(other.configuration.batchSize, 3);
  }));

Deno.test("folds are found in numeric order, without fold_all and those that lack the checkpoint", () =>
  inModel(async (folder) => {
    await Deno.mkdir(`${folder}/fold_3`);
    using model = await open(folder);
    assertEquals(model.folds.map(({ name }) => name), ["2", "10"]);
    using chosen = await open(folder, { folds: ["all", "02"] });
    assertEquals(chosen.folds.map(({ name }) => name), ["all", "2"]);
  }, { folds: ["10", "2", "all"] }));

Deno.test("a fold or checkpoint that is not there is answered with those that are", () =>
  inModel(async (folder) => {
    // No fold that could be asked for.
    await Deno.mkdir(`${folder}/fold_0_old`);
    await assertFails(
      () => open(folder, { folds: ["0", "4"] }),
      UserError,
      "there is no fold 4; folds there: 0, 1",
      "-chk checkpoint_best.pth",
    );
    // One that can be chosen, beside one whose training was stopped.
    await Deno.copyFile(`${folder}/fold_1/checkpoint_best.pth`, `${folder}/fold_1/checkpoint_final.pth`);
    await assertFails(() => open(folder, { folds: ["4"] }), UserError, "Choose among them: -f 1.");
    await Deno.remove(`${folder}/fold_1/checkpoint_final.pth`);
    await assertFails(
      () => open(folder, { folds: ["0"] }),
      UserError,
      "fold_0/checkpoint_final.pth",
      "here: checkpoint_best.pth",
      "-chk checkpoint_best.pth",
    );
    await assertFails(
      () => open(folder),
      UserError,
      "no fold holds checkpoint_final.pth",
      "0, 1",
      "-chk checkpoint_best.pth",
    );
    using model = await open(folder, { checkpointName: "checkpoint_best.pth" });
    assertEquals(model.folds.length, 2);
  }, { folds: ["0", "1"], checkpointName: "checkpoint_best.pth" }));

Deno.test("a model with fold_all alone says how to ask for it", () =>
  inModel(async (folder) => {
    await assertFails(() => open(folder), UserError, "folds there: all", "-f all");
  }, { folds: ["all"] }));

Deno.test("folders that are no model folder are told from those that are", () =>
  inModel(async (folder) => {
    const dataset = folder.slice(0, folder.lastIndexOf("/"));
    await assertFails(() => open(dataset), UserError, "plans.json and dataset.json are missing", folder);
    await assertFails(() => open(`${dataset}/..`), UserError, "nnUNetTrainer__nnUNetPlans__3d_fullres");
    // Predictions have the model's plans beside them, and are none.
    await Deno.mkdir(`${dataset}/predictions`);
    await Deno.copyFile(`${folder}/plans.json`, `${dataset}/predictions/plans.json`);
    await assertFails(() => open(dataset), UserError, `Model folders inside it: ${folder}.`);
    await assertFails(() => open(`${folder}/fold_0`), UserError, "folder above it");
    await assertFails(() => open(`${folder}/nothing`), UserError, "no such folder");
    await assertFails(() => open(`${folder}/plans.json`), UserError, "it is a file");
    await Deno.remove(`${folder}/dataset.json`);
    await assertFails(() => open(folder), UserError, "dataset.json is missing there");
  }));

Deno.test("plans, dataset.json and checkpoint that do not belong together are refused", async () => {
  await inModel(async (folder) => {
    await assertFails(() => open(folder), UserError, "dataset.json", "3 channels", "normalization_schemes", "2");
  }, { channels: 3 });
  await inModel(async (folder) => {
    await assertFails(
      () => open(folder),
      UserError,
      "fold_0",
      "decoder.seg_layers.1.weight",
      "number of classes differs",
    );
  }, { labels: { background: 0, a: 1 } });
  await inModel(async (folder) => {
    await assertFails(() => open(folder), UserError, "plans.json", "patch_size 4x8x7", "divisible");
  }, { patchSize: [4, 8, 7] });
  await inModel(async (folder) => {
    await assertFails(
      () => open(folder, { overrideConfiguration: "3d_cascade_fullres" }),
      UserError,
      "input channels differs",
    );
    await assertFails(
      () => open(folder, { overrideConfiguration: "2d" }),
      UserError,
      "no configuration 2d",
      "3d_lowres",
    );
    await Deno.writeTextFile(`${folder}/fold_0/checkpoint_final.pth`, "no checkpoint");
    await assertFails(() => open(folder), UserError, "fold_0/checkpoint_final.pth", "not a checkpoint");
  });
});

const ARCHITECTURE: NetworkArchitecture = {
  family: "PlainConvUNet",
  dimensions: 3,
  featuresPerStage: [2, 3],
  kernelSizes: [[3, 3, 3], [3, 3, 3]],
  strides: [[1, 1, 1], [2, 2, 2]],
  blocksPerStage: [1, 1],
  convsPerStageDecoder: [1],
  convBias: true,
  norm: { kind: "instance", eps: 1e-3, affine: false },
  negativeSlope: 0.01,
  nonlinFirst: false,
};

Deno.test("trainers of nnU-Net and TotalSegmentator have the plans' network, the BN trainer batch norm", () => {
  const names = [
    "nnUNetTrainer",
    "nnUNetTrainer_250epochs",
    "nnUNetTrainerDA5",
    "nnUNetTrainerNoMirroring",
    "nnUNetTrainer_4000epochs_NoMirroring",
    "nnUNetTrainer_DASegOrd0_NoMirroring",
    "nnUNetTrainer_onlyMirror01_1500ep",
    "nnUNetTrainer_MOSAIC_1k_QuarterLR_NoMirroring",
  ];
  for (const name of names) assertEquals(trainerArchitecture(name, ARCHITECTURE, false, "x"), ARCHITECTURE);
  assertEquals(trainerArchitecture("nnUNetTrainerBN", ARCHITECTURE, false, "x").norm, {
    kind: "batch",
    eps: 1e-5,
    affine: true,
  });
});

Deno.test("an unknown trainer needs to be vouched for, and a transformer is named as what it is", async () => {
  const ask = (name: string, assume = false) => () => trainerArchitecture(name, ARCHITECTURE, assume, "fold_0/x.pth");
  await assertFails(ask("nnUNetTrainerMine"), UserError, "fold_0/x.pth", "nnUNetTrainerMine", "--assume_plans_network");
  assertEquals(ask("nnUNetTrainerMine", true)(), ARCHITECTURE);
  await assertFails(ask("nnUNet_Primus_M_Trainer"), UserError, "Primus", "not implemented");
});

Deno.test("the nearest name forgives a typo and letter case, and nothing more", () => {
  const names = ["2d", "3d_fullres", "3d_lowres", "3d_cascade_fullres"];
  assertEquals(nearestName("3D_FULLRES", names), "3d_fullres");
  assertEquals(nearestName("3d_fulrles", names), "3d_fullres");
  assertEquals(nearestName("3d_low", names), "3d_lowres");
  assertEquals(nearestName("something", names), undefined);
});
