/** The command `convert_old_nnUNet_dataset`. */
import { convertV1Dataset } from "../../core/dataset/convert_v1.ts";
import type { Command } from "./command.ts";
import { environmentOfProcess } from "../dataset_folders.ts";
import type { FlagTable } from "../flags/flag.ts";
import { parseCommandLine } from "../flags/parse_command_line.ts";
import { print } from "../terminal.ts";

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
    required: true,
    group: "Dataset",
    help: "Name (not path) of the new dataset, DatasetXXX_Name.",
  },
} as const satisfies FlagTable;

export const convertV1Command: Command & { readonly flags: typeof FLAGS } = {
  flags: FLAGS,
  details: ["Makes nnUNet_raw/NAME. The source is left as it is."],
  async run(args, shownName) {
    const values = parseCommandLine("convert_old_nnUNet_dataset", convertV1Command, args, shownName);
    if (!values) return 0;
    print(`converted: ${await convertV1Dataset(values.input, values.output, environmentOfProcess().folders)}`);
    return 0;
  },
};
