/** The command `train`: flags in, a training request out, and what is said meanwhile. */
import { plural } from "../../core/base/plural.ts";
import { UsageError } from "../../core/base/errors.ts";
import { resolveDatasetName } from "../../core/dataset/dataset_names.ts";
import { readRecipe } from "../../core/train/recipe.ts";
import type { TrainHooks, TrainRequest } from "../../core/train/train_request.ts";
import { requireArrayPlace } from "../array_part.ts";
import { requireFolders } from "../dataset_folders.ts";
import { checkPrecision } from "../flags/engine_flags.ts";
import type { FoldRequest } from "../gpus/fold_messages.ts";
import { foldName } from "../flags/forms.ts";
import type { EngineOpener } from "../engines/training_engines.ts";
import { verifiedGpus, wantedGpus } from "../engines/wanted_gpus.ts";
import type { AdapterChoice } from "../../gpu/adapter.ts";
import { TRAIN, type TrainValues } from "../flags/train_flags.ts";
import { changesOf, diceText, engineOpener, epochFields, epochLine, taskFolders } from "../training_request.ts";
import { type CommandContext, type CountProgress, defineCommand } from "./command.ts";

export const trainCommand = defineCommand({
  flags: TRAIN,
  examples: [
    { does: "Train fold 0", args: "4 3d_fullres 0" },
    { does: "Fine-tune another training's network", args: "4 3d_fullres 0 -pretrained_weights other.pth" },
    { does: "Three folds, on two GPUs at a time", args: "4 3d_fullres --folds 0 1 2 --gpus 0,1" },
    { does: "Go on after a stop", args: "4 3d_fullres 0 --c" },
    { does: "A short training, under a name of its own", args: "4 3d_fullres 0 --epochs 50 --lr 0.02 --name short" },
    { does: "Only predict the validation cases, with the best checkpoint", args: "4 3d_fullres 0 --val --val_best" },
  ],
  details: [
    "Reads nnUNet_preprocessed/DATASET and writes nnUNet_results/DATASET/TRAINER__PLANS__CONFIG/fold_FOLD: checkpoints that Python's " +
    "nnU-Net reads and continues, the log, progress.png, training_report.html, and the validation cases' segmentations with " +
    "their Dice in validation/summary.json. Ctrl-C or SIGTERM writes a checkpoint first; the same command with --c goes on " +
    "from there to the very weights it would have come to.",
  ],
  check,
  async run(values, context) {
    const say = (line: string) => {
      if (!values.quiet) context.print(line);
    };
    const wandb = context.environment.unused.find(({ name }) => name === "nnUNet_wandb_enabled");
    if (wandb && /^(1|true)$/i.test(wandb.value)) {
      say(`${wandb.name}=${wandb.value}: ${wandb.why}; the curves are in progress.png and training_report.html`);
    }
    const { fold, folds } = values;
    // Loaded only now, so that --help and usage errors start nothing.
    if (folds) {
      const { trainListed } = await import("../train_listed.ts");
      const names = [...new Set(folds.map(foldName))];
      const requests = await Promise.all(names.map((name) => foldRequest(values, name, context, say)));
      return await trainListed(requests, values, context);
    }
    const request = await foldRequest(values, fold ?? "", context, say);
    const engines = await enginesOf(values, say, context);
    const { trainModel } = await import("../../core/train/train_model.ts");
    const { openEngine, recover, shares, validators } = engines;
    const several = { ...(shares && { shares }), ...(validators && { validators }) };
    const all: TrainRequest = { ...request, openEngine, recover, ...several };
    const { folder, summary } = await trainModel(all, trainHooks(values, context, say));
    const cases = plural(summary.cases.length, "case");
    say(`validation: mean Dice ${diceText(summary.foregroundMean.Dice)} of ${cases}: ${folder}`);
    return true;
  },
});

type Say = (line: string) => void;

/** @throws UsageError, UserError for flags that don't go together */
function check(values: TrainValues): void {
  const { gpus, device, allowCpu, fold, folds, continueTraining, validateOnly, pretrainedWeights } = values;
  if (folds && (fold !== undefined || gpus > 1)) {
    const other = fold !== undefined ? `the fold ${fold}` : "-num_gpus, which has GPUs share one training";
    throw new UsageError(`argument --folds: not allowed with ${other}`);
  }
  if (folds?.includes("all") && folds.length > 1) {
    throw new UsageError("argument --folds: `all` is a training on all cases, and goes with no other fold");
  }
  if (gpus > 1 && (device === "cpu" || allowCpu)) {
    const flag = allowCpu ? "--allow_cpu" : "-device cpu";
    throw new UsageError(
      `argument -num_gpus: ${gpus} GPUs train, and ${flag} has the CPU do it; leave one of them out`,
    );
  }
  if (continueTraining && validateOnly) {
    throw new UsageError("--c trains and --val does not; leave one of them out");
  }
  if (continueTraining && pretrainedWeights !== undefined) {
    throw new UsageError(
      "--c goes on from a checkpoint of this training, -pretrained_weights from another's; leave one of them out",
    );
  }
  if (values.validateBest && values.disableCheckpointing && !validateOnly) {
    throw new UsageError(
      "--val_best validates with the best checkpoint, and --disable_checkpointing writes none; leave one of them out",
    );
  }
  if (values.strict && pretrainedWeights === undefined) {
    throw new UsageError("--strict says how -pretrained_weights is taken; give that too, or leave --strict out");
  }
  checkPrecision(values);
  // A validation takes any trainer.
  if (!validateOnly) readRecipe(values.trainer, changesOf(values));
}

async function foldRequest(
  values: TrainValues,
  fold: string,
  { environment, byUpstreamName }: CommandContext,
  say: Say,
): Promise<FoldRequest> {
  const { preprocessed, results } = requireFolders(environment, ["preprocessed", "results"], {
    doing: "looking for the dataset",
    remedy:
      "set nnUNet_preprocessed to the folder of preprocessed datasets and nnUNet_results to one for trained models " +
      "(export nnUNet_results=/path/to/results)",
  });
  const datasetName = await resolveDatasetName(values.dataset, environment.folders);
  return {
    task: {
      ...taskFolders(datasetName, { preprocessed, results }),
      plansName: values.plans,
      configurationName: values.configuration,
      fold: foldOf(fold, say),
      randomSplit: values.randomSplit || byUpstreamName,
    },
    trainerName: values.trainer,
    changes: changesOf(values),
    seed: values.seed,
    start: startOf(values),
    useBest: values.validateBest,
    saveProbabilities: values.saveProbabilities,
    checkpointing: !values.disableCheckpointing,
    pictures: true,
    unpack: !values.useCompressed,
    sampleThreads: values.sampleThreads,
    maxMemory: values.maxMemory,
    precision: values.precision,
    assumePlansNetwork: values.assumePlansNetwork,
  };
}

/** One engine, or those of `-num_gpus`, or of `--gpus` for a validation. @throws UsageError, UserError where GPUs are not there */
async function enginesOf(values: TrainValues, say: Say, context: CommandContext): Promise<TrainEngines> {
  const { validateOnly, allowSoftwareGpu, precision, device } = values;
  const gpus = await gpusOf(values, context);
  const several = gpus && gpus.length > 1 ? gpus : undefined;
  const trainsOnAll = several && !validateOnly;
  const opener = engineOpener({
    ...values,
    device: trainsOnAll ? "gpu" : device,
    ...(gpus && { gpu: gpus[0] }),
  }, say);
  if (!several) return opener;
  const validators = await validatorsOn(several, values, say, context);
  if (!trainsOnAll) return { ...opener, validators };
  const { sharedTraining } = await import("../engines/training_gpus.ts");
  return { ...sharedTraining(opener, several, { allowSoftwareGpu, precision }), validators };
}

type TrainEngines = EngineOpener & Pick<TrainRequest, "shares" | "validators">;

/** Undefined: the one that is taken unasked. */
async function gpusOf(values: TrainValues, context: CommandContext): Promise<readonly AdapterChoice[] | undefined> {
  const { gpus: count, gpuChoice, validateOnly, allowSoftwareGpu } = values;
  // Without --gpus the variables may name several, of which wantedGpus takes the first.
  const named = gpuChoice !== undefined || count === 1 ? await wantedGpus(values, context) : undefined;
  if (count === 1) return validateOnly ? named : requireOne(named);
  if (named && named.length !== count) {
    throw new UsageError(`argument --gpus: it names ${plural(named.length, "GPU")}, and -num_gpus is ${count}`);
  }
  const { trainingGpus } = await import("../engines/training_gpus.ts");
  return named ?? await verifiedGpus(await trainingGpus(count, allowSoftwareGpu), context);
}

async function validatorsOn(
  gpus: readonly AdapterChoice[],
  values: TrainValues,
  say: Say,
  { warn, event }: CommandContext,
): Promise<TrainRequest["validators"]> {
  const { validateOn } = await import("../gpus/validation_threads.ts");
  return validateOn(gpus, values, {
    ...(values.maxMemory !== undefined && { maxMemory: values.maxMemory }),
    hooks: { say, warn },
    onFailure: (failure) => event?.("gpu_failed", { ...failure }),
  });
}

/** @throws UsageError for several */
function requireOne(gpus: readonly AdapterChoice[] | undefined): readonly AdapterChoice[] | undefined {
  if (!gpus || gpus.length === 1) return gpus;
  throw new UsageError(
    `argument --gpus: it names ${gpus.length}, and a training takes one; -num_gpus ${gpus.length} has them share every batch, ` +
      "and --folds has each train one",
  );
}

function foldOf(text: string, say: Say): number | "all" {
  if (text === "all") return text;
  if (text !== "array") return Number(text);
  const place = requireArrayPlace((name) => Deno.env.get(name));
  say(`fold ${place.index}, by ${place.scheduler} (${place.variable})`);
  return place.index;
}

function trainHooks({ quiet }: TrainValues, context: CommandContext, say: Say): TrainHooks {
  const style = quiet ? "none" : "bar";
  let current: number | undefined;
  let steps: CountProgress | undefined;
  let cases: CountProgress | undefined;
  return {
    info: say,
    warn: context.warn,
    onStep(done, of, epoch) {
      if (epoch !== current) steps = context.count(`epoch ${epoch + 1}: steps`, style);
      current = epoch;
      steps?.(done, of);
    },
    onEpoch: (progress) => context.event ? context.event("epoch", epochFields(progress)) : say(epochLine(progress)),
    onCase(done, of) {
      cases ??= context.count("validation cases predicted", style);
      cases(done, of);
    },
    signal: context.signal,
  };
}

function startOf(values: TrainValues): TrainRequest["start"] {
  if (values.validateOnly) return { kind: "validate" };
  if (values.continueTraining) return { kind: "continue" };
  const { pretrainedWeights: file, strict } = values;
  if (file !== undefined) return { kind: "pretrained", file, strict };
  return { kind: "new" };
}
