/** The command `watch`: a folder whose cases are predicted as they arrive. */
import { checkWatch, WATCH } from "../flags/watch_flags.ts";
import { defineCommand } from "./command.ts";

export const watchCommand = defineCommand({
  flags: WATCH,
  examples: [
    { does: "Segment what arrives in a folder, until ctrl-C", args: "incoming segmentations -m MODEL_FOLDER" },
    {
      does: "Move images away when they are done, or cannot be",
      args: "incoming segmentations -m MODEL_FOLDER --done incoming/done --failed incoming/failed",
    },
    {
      does: "For cron: do what is there and end",
      args: "incoming segmentations -m MODEL_FOLDER --done done --failed failed --once",
    },
    {
      does: "DICOM studies in, DICOM segmentations out",
      args: "studies segmentations -m MODEL_FOLDER --output-format dicom-seg --settle 60",
    },
  ],
  details: [
    "The model stays loaded. A case is taken when all of its channels are there and nothing about them changes any more; " +
    "files whose names begin with a dot are passed over, so that an upload may use such a name until it is whole. A case " +
    "that changes while it is predicted is taken again.",
    "Stopped or killed, the next watcher goes on. Several may watch one folder, on whichever machines: each case is one " +
    "watcher's.",
  ],
  check: checkWatch,
  async run(values, context) {
    // Loaded only now, so that --help and usage errors start nothing.
    const { runWatch } = await import("../watch/run_watch.ts");
    return await runWatch(values, context);
  },
});
