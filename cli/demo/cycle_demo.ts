/** The whole cycle on phantom CTs: plan, preprocess, train, predict, evaluate. */
import { ensureFolder } from "../../core/base/files.ts";
import { join } from "../../core/base/path.ts";
import { addDemoConfiguration, DEMO_CONFIGURATION } from "./demo_network.ts";
import { phantomCases, writeCases, writePhantomDataset } from "./phantom_dataset.ts";
import { showResults } from "./results.ts";
import { type DemoVoice, runStep } from "./run_step.ts";

const DATASET = "Dataset900_Phantoms";
const ID = "900";
const TRAINING_SEEDS = Array.from({ length: 16 }, (_, i) => i + 1);
/** Trainer, suffix of its results folder, and how long it trains. */
const TRAINER = "nnUNetTrainerNoMirroring";
const NAME = "Demo";
const EPOCHS = "20";
const ITERATIONS = "50";
/** Ten times nnU-Net's: so few steps have to be large ones. */
const LEARNING_RATE = "0.1";

/** @param seeds Phantoms to predict, none of those trained on. @returns the exit code */
export async function cycleDemo(folder: string, seeds: readonly number[], voice: DemoVoice): Promise<number> {
  const { print } = voice;
  const [raw, preprocessed, results] = ["nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"].map((name) => {
    const root = join(folder, name);
    Deno.env.set(name, root);
    print(`export ${name}=${root}`);
    return root;
  });
  for (const root of [preprocessed, results]) await ensureFolder(root, "making the demo's folders");
  const cases = phantomCases(seeds);
  const [images, truth, predictions] = ["images", "truth", "predictions"].map((name) => join(folder, name));
  const dataset = join(raw, DATASET);
  await writePhantomDataset(dataset, phantomCases(TRAINING_SEEDS));
  await writeCases(cases, images, truth);
  print(`\n${TRAINING_SEEDS.length} phantom CTs to train with are in ${dataset}, ${cases.length} others in ${images}.`);

  const plans = join(preprocessed, DATASET, "nnUNetPlans.json");
  const planned = await runStep(["plan_and_preprocess", "-d", ID, "--no_pp"], voice);
  if (planned !== 0) return planned;
  await addDemoConfiguration(plans);
  print(`\n${plans}: ${DEMO_CONFIGURATION} was added, which is 3d_fullres with a smaller patch and network.`);

  const training = [
    "-tr",
    TRAINER,
    "--name",
    NAME,
    "--epochs",
    EPOCHS,
    "--iterations",
    ITERATIONS,
    "--lr",
    LEARNING_RATE,
  ];
  const model = join(results, DATASET, `${TRAINER}_${NAME}__nnUNetPlans__${DEMO_CONFIGURATION}`);
  const modelFiles = ["-djfile", join(model, "dataset.json"), "-pfile", join(model, "plans.json")];
  const steps = [
    ["preprocess", "-d", ID, "-c", DEMO_CONFIGURATION],
    ["train", ID, DEMO_CONFIGURATION, "0", ...training, "--seed", "1"],
    ["predict_from_modelfolder", "-m", model, "-i", images, "-o", predictions, "-f", "0"],
    ["evaluate_folder", truth, predictions, ...modelFiles],
  ];
  for (const step of steps) {
    const code = await runStep(step, voice);
    if (code !== 0) return code;
  }
  await showResults(cases, predictions, join(folder, "overlay.png"), print);
  return 0;
}
