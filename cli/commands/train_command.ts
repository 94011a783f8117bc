/** The command `train`: flags in, a training request out, and what is said meanwhile. */
import { UserError } from "../../core/base/errors.ts";
import { join } from "../../core/base/path.ts";
import { resolveDatasetName } from "../../core/dataset/dataset_names.ts";
import type { Environment } from "../../core/dataset/environment.ts";
import type { Fold } from "../../core/train/splits.ts";
import type { EpochProgress, TrainHooks, TrainRequest } from "../../core/train/train_request.ts";
import type { Command } from "./command.ts";
import { type CountProgress, createCountProgress } from "../count_progress.ts";
import { environmentOfProcess, requireFolders } from "../dataset_folders.ts";
import { listenForInterrupts } from "../interrupt.ts";
import { parseCommandLine } from "../flags/parse_command_line.ts";
import { selectEngine } from "../engines/select_engine.ts";
import { formatSeconds, print, printError } from "../terminal.ts";
import { TRAIN, type TrainValues } from "../flags/train_flags.ts";

const DOING = "reading the command line";

export const trainCommand: Command & { readonly flags: typeof TRAIN } = {
  flags: TRAIN,
  details: [
    "Reads nnUNet_preprocessed/DATASET and writes nnUNet_results/DATASET/TRAINER__PLANS__CONFIG/fold_FOLD: checkpoints that Python's " +
    "nnU-Net reads and continues, the log, progress.png, training_report.html, and the validation cases' segmentations with " +
    "their Dice in validation/summary.json. Ctrl-C or SIGTERM writes a checkpoint first; the same command with --c goes on " +
    "from there to the very weights it would have come to.",
  ],
  async run(args, shownName) {
    const values = parseCommandLine("train", trainCommand, args, shownName);
    if (!values) return 0;
    await runTrainCommand(values, environmentOfProcess());
    return 0;
  },
};

async function runTrainCommand(values: TrainValues, environment: Environment): Promise<void> {
  checkFlags(values);
  const fold = foldOf(values.fold);
  const { preprocessed, results } = requireFolders(environment, ["preprocessed", "results"], {
    doing: "looking for the dataset",
    remedy:
      "set nnUNet_preprocessed to the folder of preprocessed datasets and nnUNet_results to one for trained models " +
      "(export nnUNet_results=/path/to/results)",
  });
  const datasetName = await resolveDatasetName(values.dataset, environment.folders);
  let steps: CountProgress | undefined;
  let current: number | undefined;
  let cases: CountProgress | undefined;
  const clear = () => {
    steps?.clear();
    cases?.clear();
  };
  using interruption = listenForInterrupts(clear);
  const say = (line: string) => {
    clear();
    if (!values.quiet) print(line);
  };
  const request: TrainRequest = {
    task: {
      datasetName,
      preprocessed: join(preprocessed, datasetName),
      results: join(results, datasetName),
      plansName: values.plans,
      configurationName: values.configuration,
      fold,
    },
    trainerName: values.trainer,
    changes: {
      ...(values.epochs !== undefined && { epochs: values.epochs }),
      ...(values.iterations !== undefined && { iterations: values.iterations }),
      ...(values.earlyStopping !== undefined && { earlyStopping: values.earlyStopping }),
      ...(values.learningRate !== undefined && { learningRate: values.learningRate }),
      ...(values.batchSize !== undefined && { batchSize: values.batchSize }),
      ...(values.name !== undefined && { name: values.name }),
    },
    ...(values.seed !== undefined && { seed: values.seed }),
    start: startOf(values),
    useBest: values.validateBest,
    saveProbabilities: values.saveProbabilities,
    checkpointing: !values.disableCheckpointing,
    pictures: true,
    unpack: !values.useCompressed,
    ...sampleThreads(values),
    ...(values.maxMemory !== undefined && { maxMemory: values.maxMemory }),
    precision: values.precision,
    assumePlansNetwork: values.assumePlansNetwork,
    async openEngine() {
      const { engine, reason } = await selectEngine(values);
      const precision = values.precision === "f16" ? ", f16" : "";
      say(`engine: ${engine.description}${precision}${reason ? ` (${reason})` : ""}`);
      return engine;
    },
  };
  const hooks: TrainHooks = {
    info: say,
    warn(message) {
      clear();
      printError(`warning: ${message}`);
    },
    onStep(done, of, epoch) {
      if (epoch !== current) {
        steps?.clear();
        steps = createCountProgress(`epoch ${epoch + 1}: steps`, !values.quiet);
        current = epoch;
      }
      steps?.update(done, of);
    },
    onEpoch: (progress) => say(epochLine(progress)),
    onCase(done, of) {
      cases ??= createCountProgress("validation cases predicted", !values.quiet);
      cases.update(done, of);
    },
    signal: interruption.signal,
  };
  // Loaded only now, so that --help and usage errors start nothing.
  const { trainModel } = await import("../../core/train/train_model.ts");
  const { folder, summary } = await trainModel(request, hooks).finally(clear);
  say(`validation: mean Dice ${diceText(summary.foregroundMean.Dice)} of ${summary.cases.length} cases: ${folder}`);
}

function epochLine({ epoch, epochs, record, isBest, secondsLeft }: EpochProgress): string {
  const { trainLoss, validationLoss, meanDice, emaDice, classDice, start, end } = record;
  const each = classDice.length > 1 && classDice.length <= 10 ? ` (${classDice.map(diceText).join(" ")})` : "";
  const left = epoch + 1 < epochs ? `, about ${formatSeconds(secondsLeft)} left` : "";
  return `epoch ${epoch + 1}/${epochs}: train loss ${trainLoss.toFixed(4)}, val loss ${validationLoss.toFixed(4)}, ` +
    `pseudo Dice ${diceText(meanDice)}${each}, average ${diceText(emaDice)}${isBest ? " (best)" : ""}, ` +
    `${formatSeconds(end - start)}${left}`;
}

function diceText(dice: number): string {
  return Number.isNaN(dice) ? "NaN" : dice.toFixed(4);
}

function startOf(values: TrainValues): TrainRequest["start"] {
  if (values.validateOnly) return { kind: "validate" };
  if (values.continueTraining) return { kind: "continue" };
  if (values.pretrainedWeights !== undefined) return { kind: "pretrained", file: values.pretrainedWeights };
  return { kind: "new" };
}

/** What argparse cannot check. @throws UserError */
function checkFlags(values: TrainValues): void {
  const { gpus, dataset, configuration, continueTraining, validateOnly, pretrainedWeights, seed, threads } = values;
  const refuse = (problem: string, remedy: string): never => {
    throw new UserError({ doing: DOING, problem, remedy });
  };
  if (gpus !== 1) {
    const commands = [0, 1].map((fold) => `nnunet train ${dataset} ${configuration} ${fold}`).join(" and ");
    refuse(
      `-num_gpus ${gpus}: a training uses one GPU`,
      `to use several, train one fold on each, side by side: ${commands}, each with its own CUDA_VISIBLE_DEVICES`,
    );
  }
  if (continueTraining && validateOnly) refuse("--c trains and --val does not", "leave one of them out");
  if (continueTraining && pretrainedWeights !== undefined) {
    refuse(
      "--c goes on from a checkpoint of this training, -pretrained_weights from another's",
      "leave one of them out",
    );
  }
  if (seed !== undefined && !(Number.isSafeInteger(seed) && seed >= 0)) {
    refuse(`--seed is ${seed}`, "give a whole number from 0 on");
  }
  if (threads !== undefined && threads < 1) refuse(`--threads is ${threads}`, "give at least 1");
}

/** A number or "all". @throws UserError */
function foldOf(text: string): Fold {
  if (text === "all") return text;
  if (/^\s*\+?[0-9]+\s*$/.test(text)) return Number(text);
  throw new UserError({ doing: DOING, problem: `the fold is ${text}`, remedy: "give a number, 0 to 4, or `all`" });
}

function sampleThreads(values: TrainValues): { readonly sampleThreads?: number } {
  const variable = Deno.env.get("nnUNet_n_proc_DA");
  const count = values.sampleThreads ?? (variable && /^[0-9]+$/.test(variable) ? Number(variable) : undefined);
  return count === undefined ? {} : { sampleThreads: count };
}
