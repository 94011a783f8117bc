/** The command `convert_MSD_dataset`. */
import { convertMsdDataset } from "../../core/dataset/convert_msd.ts";
import { defineCommand } from "./command.ts";
import type { FlagTable } from "../flags/flag.ts";
import { LOG, THREADS } from "../flags/forms.ts";

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
    range: { min: 0, max: 99_999 },
    group: "Dataset",
    help: "Number of the new dataset. Default: the task's.",
  },
  parallel: {
    kind: "integer",
    names: ["-np"],
    value: "N",
    range: THREADS,
    group: "Machine",
    help: "Files worked on at a time. Default: the variable nnUNet_def_n_proc, or 4.",
  },
  log: LOG,
} as const satisfies FlagTable;

export const convertMsdCommand = defineCommand({
  flags: FLAGS,
  examples: [
    { does: "Make Dataset104_Hippocampus of a task of the Decathlon", args: "-i Task04_Hippocampus -overwrite_id 104" },
  ],
  details: ["Makes nnUNet_raw/DatasetNNN_Name: 4-D images become one file a channel. The source is left as it is."],
  async run(values, context) {
    const target = await convertMsdDataset({
      source: values.input,
      folders: context.environment.folders,
      id: values.id,
      parallel: values.parallel ?? 4,
      signal: context.signal,
      onFile: context.count("files converted", "bar"),
    });
    context.print(`converted: ${target}`);
    return true;
  },
});
