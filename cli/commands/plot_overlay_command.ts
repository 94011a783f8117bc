/** The command `plot_overlay_pngs`: a picture of each training case with its labels. */
import { join } from "../../core/base/path.ts";
import { UserError } from "../../core/base/errors.ts";
import { plural } from "../../core/base/plural.ts";
import { resolveDatasetName } from "../../core/dataset/dataset_names.ts";
import { plotOverlays } from "../../core/evaluate/plot_overlays.ts";
import { requireFolders } from "../dataset_folders.ts";
import { failedCaseFields } from "../event_log.ts";
import { PLOT_OVERLAYS } from "../flags/plot_overlay_flags.ts";
import { failedCase } from "../report.ts";
import { list } from "../terminal.ts";
import { defineCommand } from "./command.ts";

export const plotOverlayCommand = defineCommand({
  flags: PLOT_OVERLAYS,
  examples: [
    { does: "Look at the training cases as they are", args: "-d 4 -o pictures --use_raw" },
    { does: "Look at the preprocessed ones, second channel", args: "-d 4 -o pictures -c 2d -channel_idx 1" },
  ],
  details: [
    "Draws the slice (first axis) that shows most of the labels; the voxels' spacing is not regarded. Colours go by a label's place " +
    "among those of the slice; beyond 15 they repeat.",
  ],
  async run(values, { environment, print, printError, event, warn, count, signal }) {
    const kind = values.useRaw ? "raw" : "preprocessed";
    const roots = requireFolders(environment, [kind], {
      doing: "looking for the dataset",
      remedy: `set it to the folder that holds the ${kind} datasets (export nnUNet_${kind}=/path/to/${kind})`,
    });
    const folder = join(roots[kind] ?? "", await resolveDatasetName(values.dataset, environment.folders));
    const { plansName, configuration } = values;
    const { drawn, failures, formats } = await plotOverlays({
      from: values.useRaw
        ? { kind: "raw", folder }
        : { kind: "preprocessed", folder, plansName, ...(configuration !== undefined && { configuration }) },
      output: values.output,
      channel: values.channel,
      intensity: values.intensity,
      threads: values.threads ?? navigator.hardwareConcurrency,
      maxMemory: values.maxMemory,
      signal,
      onCase: count("cases drawn", "bar"),
      onWarning: warn,
    });
    const errors = failures.map((failure) => new UserError(failure));
    for (const error of errors) event?.("case_failed", failedCaseFields(failedCase(error)));
    print(`${plural(drawn, "picture")}${formats === undefined ? "" : ` of ${formats} images`}: ${values.output}`);
    if (errors.length === 0) return true;
    const messages = errors.map(({ message }) => message);
    printError(list(`${plural(errors.length, "case")} could not be drawn:`, messages));
    return false;
  },
});
