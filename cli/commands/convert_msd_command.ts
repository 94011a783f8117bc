/** The command `convert_MSD_dataset`. */
import { convertMsdDataset } from "../../core/dataset/convert_msd.ts";
import type { Command } from "./command.ts";
import { createCountProgress } from "../count_progress.ts";
import { environmentOfProcess } from "../dataset_folders.ts";
import type { FlagTable } from "../flags/flag.ts";
import { listenForInterrupts } from "../interrupt.ts";
import { parseCommandLine } from "../flags/parse_command_line.ts";
import { print } from "../terminal.ts";

const FLAGS = {
  input: {
    kind: "text",
    names: ["-i"],
    value: "FOLDER",
    required: true,
    group: "Dataset",
    help: "The task's folder as unpacked, TaskNN_Name, with imagesTr, imagesTs, labelsTr and dataset.json.",
  },
  id: {
    kind: "integer",
    names: ["-overwrite_id"],
    value: "ID",
    group: "Dataset",
    help: "Number of the new dataset. Default: the task's.",
  },
  parallel: {
    kind: "integer",
    names: ["-np"],
    value: "N",
    default: 4,
    group: "Machine",
    help: "Files worked on at a time.",
  },
} as const satisfies FlagTable;

export const convertMsdCommand: Command & { readonly flags: typeof FLAGS } = {
  flags: FLAGS,
  details: ["Makes nnUNet_raw/DatasetNNN_Name: 4-D images become one file a channel. The source is left as it is."],
  async run(args, shownName) {
    const values = parseCommandLine("convert_MSD_dataset", convertMsdCommand, args, shownName);
    if (!values) return 0;
    using progress = createCountProgress("files converted", true);
    using interruption = listenForInterrupts(progress.clear);
    const target = await convertMsdDataset({
      source: values.input,
      folders: environmentOfProcess().folders,
      ...(values.id !== undefined && { id: values.id }),
      parallel: values.parallel,
      signal: interruption.signal,
      onFile: progress.update,
    });
    progress.clear();
    print(`converted: ${target}`);
    return 0;
  },
};
