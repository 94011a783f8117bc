// deno-lint-ignore-file no-console
/** `deno task bench NAME ...`: runs one of the benchmarks beside this file. No test asserts a time. */
const BENCHES: Readonly<Record<string, { readonly help: string; readonly load: () => Promise<Bench> }>> = {
  predict: {
    help: "whole predictions against the Python nnU-Net: wall time and peak memory",
    load: () => import("./predict_bench.ts"),
  },
  forecast: {
    help: "a whole prediction: the memory and time that were forecast against those it took",
    load: () => import("./forecast_bench.ts"),
  },
  preprocess: {
    help: "whole runs of plan_and_preprocess against the Python nnU-Net: wall time and peak memory",
    load: () => import("./preprocess_bench.ts"),
  },
  dicom: {
    help: "a DICOM series into an array against SimpleITK: wall time and peak memory",
    load: () => import("./dicom_bench.ts"),
  },
  page: {
    help:
      "the service's page and view's: loading, and showing a CT of 512 x 512 with its segmentation, in a headless Chromium",
    load: () => import("./page_bench.ts"),
  },
  serve: {
    help: "the service: a second request, memory, 200 jobs with a kill in between, hostile requests beside proper ones",
    load: () => import("./serve_bench.ts"),
  },
  network: {
    help: "one forward pass against torch, with the roofline and each layer's share",
    load: () => import("./network_bench.ts"),
  },
  gpu: {
    help:
      "a GPU within --budget SECONDS: parity, passes, training steps and a whole CT against torch and upstream, memory, tuning",
    load: () => import("./gpu_bench.ts"),
  },
  host: {
    help: "the host's time of predicting and training on a GPU: dispatches without work",
    load: () => import("./host_bench.ts"),
  },
  model: {
    help: "the modelled time of a forward pass on GPUs that are not at hand",
    load: () => import("./model_bench.ts"),
  },
  conv: { help: "each convolution of the plain nets", load: () => import("./conv_bench.ts") },
  gradient: { help: "gradients of convolutions against torch", load: () => import("./gradient_bench.ts") },
  augmentation: {
    help: "augmentation of training samples on one core against upstream's",
    load: () => import("./augmentation_bench.ts"),
  },
  training: { help: "whole training steps against torch", load: () => import("./training_bench.ts") },
  dice: {
    help: "trainings of few epochs against the Python nnU-Net: mean Dice of the validation",
    load: () => import("./dice_bench.ts"),
  },
  recipe: {
    help: "evaluation, postprocessing, ensembles, the choice against the Python nnU-Net: wall time and peak memory",
    load: () => import("./recipe_bench.ts"),
  },
  parity: {
    help: "the end of the recipe on a cross-validation against the Python nnU-Net: summaries, choices, voxels, zips",
    load: () => import("./recipe_parity.ts"),
  },
  volume: { help: "gather, accumulate, finish, resample", load: () => import("./volume_bench.ts") },
};

interface Bench {
  /** Runs with the arguments behind the name. @returns the exit code */
  bench(args: readonly string[]): Promise<number> | number;
}

const [name, ...args] = Deno.args;
const chosen = BENCHES[name ?? ""];
if (!chosen) {
  console.error("usage: deno task bench NAME [...]");
  for (const [one, { help }] of Object.entries(BENCHES)) console.error(`  ${one.padEnd(13)} ${help}`);
  Deno.exit(2);
}
Deno.exit(await (await chosen.load()).bench(args));
