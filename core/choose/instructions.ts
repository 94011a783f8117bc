/**
 * inference_instructions.txt: the commands that predict with what was chosen. Source: print_inference_instructions of
 * nnunetv2/evaluation/find_best_configuration.py, which leaves a cascade's first stage out; here it is there.
 */
import { modelId } from "../dataset/model_id.ts";
import type { TrainedModel } from "../ensemble/fold_files.ts";
import type { BestModel } from "./inference_information.ts";

export const INSTRUCTIONS_FILE = "inference_instructions.txt";

export interface Instructions {
  readonly dataset: string;
  readonly folds: readonly number[];
  readonly models: readonly BestModel[];
  readonly postprocessingFile: string;
  readonly plansFile: string;
  /** Whose commands. Python's are understood here too, where `link` has made them. */
  readonly commands: "nnunet" | "python";
  /** Python's default of -np. */
  readonly processes: number;
}

/** The file's text; every line ends in a newline. */
export function instructionsText(instructions: Instructions): string {
  const { models, postprocessingFile, plansFile, processes, commands } = instructions;
  const ours = commands === "nnunet";
  const command = (name: string) => ours ? `nnunet ${name}` : `nnUNetv2_${name}`;
  const threads = ours ? "" : ` -np ${processes}`;
  const isEnsemble = models.length > 1;
  const lines = ["***Run inference like this:***", ""];
  if (ours) {
    lines.push(`nnunet predict --best -d ${instructions.dataset} -i INPUT_FOLDER -o OUTPUT_FOLDER_PP`, "");
    lines.push("***Or step by step:***", "");
  }
  if (isEnsemble) {
    lines.push(
      "An ensemble won! What a surprise! Run the following commands to run predictions with the ensemble members:",
      "",
    );
  }
  const outputs = models.map((_, i) => isEnsemble ? `OUTPUT_FOLDER_MODEL_${i + 1}` : "OUTPUT_FOLDER");
  for (const [i, model] of models.entries()) {
    lines.push(...predictCommands(instructions, model, outputs[i], isEnsemble));
  }
  if (isEnsemble) {
    lines.push("", "The run ensembling with:", "");
    lines.push(`${command("ensemble")} -i ${outputs.join(" ")} -o OUTPUT_FOLDER${threads}`);
  }
  lines.push("", "***Once inference is completed, run postprocessing like this:***", "");
  lines.push(
    `${
      command("apply_postprocessing")
    } -i OUTPUT_FOLDER -o OUTPUT_FOLDER_PP -pp_pkl_file ${postprocessingFile}${threads} ` +
      `-plans_json ${plansFile}`,
  );
  return lines.map((line) => `${line}\n`).join("");
}

/** A cascade's second stage is preceded by its first, unless that is a member of the ensemble before it. */
function predictCommands(
  { dataset, folds, models, commands }: Instructions,
  model: BestModel,
  output: string,
  saveProbabilities: boolean,
): string[] {
  const [name, blank] = commands === "nnunet" ? ["nnunet predict", ""] : ["nnUNetv2_predict", " "];
  const line = ({ trainer, configuration, plans }: TrainedModel, to: string) =>
    `${name} -d ${dataset} -i INPUT_FOLDER -o ${to} -f ${blank}${folds.join(" ")} -tr ${trainer} -c ${configuration} ` +
    `-p ${plans}`;
  const lines: string[] = [];
  let previous = "";
  if (model.previousStage !== undefined) {
    const first = { ...model, configuration: model.previousStage };
    const member = models.findIndex((other) => modelId(other) === modelId(first));
    const folder = member >= 0 && member < models.indexOf(model)
      ? `OUTPUT_FOLDER_MODEL_${member + 1}`
      : "OUTPUT_FOLDER_PREV_STAGE";
    if (folder === "OUTPUT_FOLDER_PREV_STAGE") lines.push(line(first, folder));
    previous = ` -prev_stage_predictions ${folder}`;
  }
  lines.push(`${line(model, output)}${previous}${saveProbabilities ? " --save_probabilities" : ""}`);
  return lines;
}
