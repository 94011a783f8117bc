/** The command `verify`: how far this program agrees with the Python nnU-Net on a site's own images. */
import { checkPrecision } from "../flags/engine_flags.ts";
import { VERIFY } from "../flags/verify_flags.ts";
import { defineCommand } from "./command.ts";

export const verifyCommand = defineCommand({
  flags: VERIFY,
  examples: [
    {
      does: "Show how far the program agrees with what the Python nnU-Net has made of the same images",
      args: "MODEL_FOLDER images --against python_segmentations -o verification -f 0",
    },
    {
      does: "Fail where a class of a case has a Dice below 0.999, or more than 20 voxels of a case differ",
      args: "MODEL_FOLDER images --against theirs -o verification --min-dice 0.999 --max-voxels 20",
    },
  ],
  details: [
    "Predicts the images into the folder segmentations of -o and compares each with the segmentation of the same name: voxels that " +
    "differ and where, Dice and volume of each class. verification.html is one page for the files, with model, checksums, program, " +
    "engine, tables and a picture of the case that is the least alike; verification.json has the same and more for programs.",
    "Without --min-dice and --max-voxels nothing is judged: the exit code is 0 if all cases could be compared.",
  ],
  check: checkPrecision,
  async run(values, context) {
    // Loaded only now, so that --help and usage errors start nothing.
    const { runVerification } = await import("../run_verification.ts");
    return await runVerification(values, context);
  },
});
