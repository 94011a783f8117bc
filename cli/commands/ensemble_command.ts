/** The command `ensemble`: the mean of several models' probabilities, as segmentations. */
import { plural } from "../../core/base/plural.ts";
import { ensembleFolders } from "../../core/ensemble/ensemble_folders.ts";
import { sayFailedCase } from "../event_log.ts";
import { ENSEMBLE } from "../flags/ensemble_flags.ts";
import { defineCommand } from "./command.ts";

export const ensembleCommand = defineCommand({
  flags: ENSEMBLE,
  examples: [
    { does: "Segment by two models' mean probabilities", args: "-i predictions_2d predictions_3d_fullres -o ensemble" },
    {
      does: "Keep the mean probabilities, in two gigabytes of memory at most",
      args: "-i predictions_2d predictions_3d_fullres -o ensemble --save_npz --max-memory 2G",
    },
  ],
  details: [
    "A voxel gets the class of the highest mean; with regions, each region above one half. The probabilities of a case are read " +
    "class by class: a case takes five bytes of memory a voxel, whatever the number of classes and models.",
  ],
  async run(values, { print, printError, warn, count, event, signal }) {
    const { folders, output, saveProbabilities, threads, maxMemory } = values;
    const { cases, failed } = await ensembleFolders({
      folders,
      output,
      saveProbabilities,
      threads,
      maxMemory,
      signal,
      onCase: count("cases averaged", "bar"),
      onWarning: warn,
    });
    for (const failure of failed) sayFailedCase(failure, { event, printError });
    const done = cases.length - failed.length;
    print(`${plural(done, "case")} of ${plural(folders.length, "folder")} averaged: ${output}`);
    if (failed.length > 0) {
      const names = failed.map(({ id }) => id).join(", ");
      printError(`${failed.length} of ${plural(cases.length, "case")} could not be averaged: ${names}`);
    }
    return failed.length === 0;
  },
});
