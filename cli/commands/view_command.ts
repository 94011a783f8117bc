/** The command `view`: an image with segmentations as a page in one file. */
import { UsageError } from "../../core/base/errors.ts";
import { VIEW } from "../flags/view_flags.ts";
import { defineCommand } from "./command.ts";

export const viewCommand = defineCommand({
  flags: VIEW,
  examples: [
    { does: "Look at a segmentation in a browser", args: "ct_0000.nii.gz organs.nii.gz -o organs.html" },
    {
      does: "Compare a model's segmentation with the truth, classes by their names",
      args: "ct_0000.nii.gz predicted.nii.gz truth.nii.gz -djfile dataset.json -o compared.html",
    },
  ],
  details: [
    "The page of serve as one file: it opens in a browser without a service or a network, on this machine or on the one it is " +
    "copied to, and asks nobody for anything. Planes and 3-D, classes on and off, volumes and mean intensities.",
    "A page that is there is replaced; another file of that name is not.",
  ],
  check({ output }) {
    if (!/[^/\\]\.html$/i.test(output)) throw new UsageError("argument -o: the page's file ends in .html");
  },
  async run(values, context) {
    // Loaded only now, so that --help and usage errors load no image formats.
    const { runView } = await import("../viewing/run_view.ts");
    for (const warning of await runView(values, context.signal)) context.warn(warning);
    const { image, segmentations, output } = values;
    context.event?.("page", { output, image, segmentations });
    context.print(`written: ${output} (open it in a browser)`);
    return true;
  },
});
