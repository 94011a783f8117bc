/** The command `convert_old_nnUNet_dataset`. */
import { convertV1Dataset } from "../../core/dataset/convert_v1.ts";
import { defineCommand } from "./command.ts";
import type { FlagTable } from "../flags/flag.ts";
import { LOG, NEW_DATASET } from "../flags/forms.ts";

const FLAGS = {
  input: {
    kind: "text",
    names: ["input_folder"],
    value: "FOLDER",
    required: true,
    group: "Dataset",
    help: "Path of the task of nnU-Net v1, the folder with imagesTr, labelsTr and dataset.json.",
  },
  output: {
    kind: "text",
    names: ["output_dataset_name"],
    value: "NAME",
    form: NEW_DATASET,
    required: true,
    group: "Dataset",
    help: "Name (not path) of the new dataset, DatasetXXX_Name.",
  },
  log: LOG,
} as const satisfies FlagTable;

export const convertV1Command = defineCommand({
  flags: FLAGS,
  examples: [
    { does: "Convert a task of nnU-Net v1", args: "nnUNet_raw_data/Task004_Hippocampus Dataset004_Hippocampus" },
  ],
  details: ["Makes nnUNet_raw/NAME. The source is left as it is."],
  async run({ input, output }, { environment, print, count }) {
    const target = await convertV1Dataset(input, output, environment.folders, count("files copied", "bar"));
    print(`converted: ${target}`);
    return true;
  },
});
