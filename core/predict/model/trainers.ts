/**
 * Trainers whose name says what network a model has. A trainer can change the network in ways that neither plans nor shapes show
 * (another activation, another normalisation), so an unknown one is refused unless the user vouches for it.
 * Names: nnunetv2/training/nnUNetTrainer of 2.0 to 2.8, and those of TotalSegmentator (totalsegmentator/custom_trainers.py and
 * the tasks of its libs).
 */
import { UserError } from "../../base/errors.ts";
import { nearestName } from "../../base/nearest.ts";
import { type NetworkArchitecture, withBatchNorm } from "../../network/architecture.ts";

const TRAINING_LENGTHS =
  "1epoch 5epochs 10epochs 20epochs 50epochs 100epochs 250epochs 500epochs 750epochs 2000epochs 4000epochs " +
  "8000epochs 250epochs_NoMirroring 2000epochs_NoMirroring 4000epochs_NoMirroring 8000epochs_NoMirroring";
const UNDERSCORED =
  "DASegOrd0 DASegOrd0_NoMirroring onlyMirror01 onlyMirror01_DASegOrd0 onlyMirror01_1500ep onlyMirror01_DA5 " +
  "noDummy2DDA warmup probabilisticOversampling probabilisticOversampling_033 probabilisticOversampling_010";
const JOINED =
  "Benchmark_5epochs Benchmark_5epochs_noDataLoading DA5 DA5ord0 DA5Segord0 DA5_10epochs NoDA NoMirroring " +
  "CELoss CELoss_5epochs DiceLoss DiceCELoss_noSmooth Topk10Loss Topk10LossLS01 DiceTopK10Loss CosAnneal " +
  "Adam Adam1en3 Adam3en4 VanillaAdam VanillaAdam1en3 VanillaAdam3en4 Adan Adan1en3 Adan3en4 Adan1en1 AdanCosAnneal " +
  "NoDeepSupervision";
/** TotalSegmentator's own. */
const TOTALSEGMENTATOR = "nnUNetTrainer_MOSAIC_1k_QuarterLR_NoMirroring nnUNetTrainerDiceTopK10Loss_2000epochs " +
  "nnUNetTrainerSkeletonRecall";

/** Trainers with the network of the plans. */
const PLANS_NETWORK: ReadonlySet<string> = new Set([
  "nnUNetTrainer",
  ...[...TRAINING_LENGTHS.split(" "), ...UNDERSCORED.split(" ")].map((suffix) => `nnUNetTrainer_${suffix}`),
  ...JOINED.split(" ").map((suffix) => `nnUNetTrainer${suffix}`),
  ...TOTALSEGMENTATOR.split(" "),
]);

/** Trainers with batch norm in place of the plans' norm. */
const BATCH_NORM: ReadonlySet<string> = new Set(["nnUNetTrainerBN"]);

/** Upstream trainers with networks that are not implemented here. */
const OTHER_NETWORK: readonly (readonly [RegExp, string])[] = [
  [/Primus/i, "a Primus transformer"],
  [/HRNet/i, "an HRNet"],
  [/UMamba|SwinUNETR|UNETR|MedNeXt|STUNet/i, "a network of its own"],
];

/**
 * The network that a model of this trainer has, given what the plans say.
 * @param assumePlansNetwork True: an unknown trainer is taken to use the plans' network (--assume_plans_network).
 * @throws UserError if the trainer's network is not implemented, or unknown and not vouched for.
 */
export function trainerArchitecture(
  trainerName: string,
  architecture: NetworkArchitecture,
  assumePlansNetwork: boolean,
  file: string,
): NetworkArchitecture {
  if (PLANS_NETWORK.has(trainerName)) return architecture;
  if (BATCH_NORM.has(trainerName)) return withBatchNorm(architecture);
  if (assumePlansNetwork) return architecture;
  const doing = "opening the model";
  const other = OTHER_NETWORK.find(([pattern]) => pattern.test(trainerName));
  if (other) {
    throw new UserError({
      doing,
      file,
      problem: `the trainer ${trainerName} uses ${other[1]}, which is not implemented`,
      remedy: "models with PlainConvUNet and ResidualEncoderUNet can be used",
    });
  }
  const nearest = nearestName(trainerName, [...PLANS_NETWORK, ...BATCH_NORM]);
  throw new UserError({
    doing,
    file,
    problem: `the trainer ${trainerName} is none of nnU-Net's or TotalSegmentator's${
      nearest ? ` (the nearest is ${nearest})` : ""
    }; it may have changed the network in ways that the weights' shapes don't show, and the results would be wrong`,
    remedy: "if you know that it uses the network of the plans unchanged, add --assume_plans_network",
  });
}
