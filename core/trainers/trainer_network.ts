/**
 * What network a trainer's models have. A trainer can change the network in ways that neither plans nor shapes show (another
 * activation, another normalisation), so an unknown one is refused unless the user vouches for it.
 */
import { UserError } from "../base/errors.ts";
import { nearestName } from "../base/nearest.ts";
import { type NetworkArchitecture, withBatchNorm } from "../network/architecture.ts";
import { TRAINERS } from "./trainer_table.ts";
import type { TrainerOptions } from "./training_recipe.ts";
import { UnknownTrainer } from "./unknown_trainer.ts";

/** The plans' network as a trainer with these options builds it. */
export function withTrainer(
  { batchNorm }: Pick<TrainerOptions, "batchNorm">,
  architecture: NetworkArchitecture,
): NetworkArchitecture {
  return batchNorm ? withBatchNorm(architecture) : architecture;
}

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
  const trainer = TRAINERS.get(trainerName);
  if (trainer) return withTrainer(trainer.changes, architecture);
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
  const nearest = nearestName(trainerName, TRAINERS.keys());
  throw new UnknownTrainer({
    doing,
    file,
    problem: `the trainer ${trainerName} is none of nnU-Net's or TotalSegmentator's${
      nearest ? ` (the nearest is ${nearest})` : ""
    }; it may have changed the network in ways that the weights' shapes don't show, and the results would be wrong`,
    remedy: "if you know that it uses the network of the plans unchanged, add --assume_plans_network",
  });
}
