/**
 * A training as it is run, samples read and augmented by threads of their own: the share of its time in which the device computes. The
 * cases are made here, with the defaults of nnU-Net's augmentation.
 */
import { join } from "../../../core/base/path.ts";
import { type Vec3, voxelCount } from "../../../core/base/shape.ts";
import { prepareTraining, timedTraining } from "../../../core/cases/training.ts";
import { BRICKS_ENDING, writeBricks } from "../../../core/formats/preprocessed/bricks.ts";
import type { TrainingData } from "../../../core/formats/preprocessed/training_data.ts";
import { sampleClassLocations } from "../../../core/preprocess/class_locations.ts";
import { deriveAugmentation } from "../../../core/train/augment/spec.ts";
import type { SampleName } from "../../../core/train/samples/sample_loader.ts";
import { loadingOf } from "../../../core/train/run_training.ts";
import { stepsAhead } from "../../../core/train/steps_ahead.ts";
import { createSampleStream } from "../../../core/train/samples/sample_stream.ts";
import { STANDARD_AUGMENTATION } from "../../../core/trainers/training_recipe.ts";
import { sum } from "../../../kernels/operators/arithmetic.ts";
import type { EnginePart } from "./engine_part.ts";
import { sgdOf } from "./parity_part.ts";
import { cube } from "./sizes.ts";

const CASES = ["a", "b", "c", "d"];
/** Steps before those that count, and the most that do. */
const [WARM_UPS, MOST_STEPS] = [3, 100];

/** @param folder Where the cases may be written */
export async function measureBusyShare(part: EnginePart, folder: string): Promise<void> {
  const { sizes: { edge, trainBatch, features }, engine, report, clock, limit } = part;
  for (const [i, id] of CASES.entries()) await writeBricks(join(folder, id + BRICKS_ENDING), madeCase(edge, i), 3);
  const setting = { dimensions: 3, patchSize: cube(edge), useMaskForNorm: [] } as const;
  const { spec } = deriveAugmentation(setting, 1, { foregroundLabels: [1, 2] }, STANDARD_AUGMENTATION);
  const loading = loadingOf(engine, { batch: trainBatch }, {});
  using samples = createSampleStream(
    {
      folder,
      train: CASES,
      val: CASES,
      spec,
      batch: trainBatch,
      foregroundShare: 0.33,
      hasIgnoreLabel: false,
      seed: 1,
      cacheBytes: 2 ** 28,
      openCases: CASES.length,
    },
    namesOf(trainBatch),
    loading,
  );
  // f16 where there is: the faster the steps, the harder it is to have the samples in time.
  const precision = engine.supports("f16") ? "f16" : "f32";
  using program = await prepareTraining(engine, timedTraining(cube(edge), trainBatch, features), precision);
  const device = async () => sum(await engine.timeTraining(program));
  let [steps, waited, start] = [0, 0, 0];
  const running: Promise<unknown>[] = [];
  // As core/train/train_epochs.ts does it.
  const ahead = stepsAhead(engine.kind, trainBatch * edge ** 3 * 6, precision === "f16");
  let [last, longest] = [clock(), 0];
  // What is left at the end is for the parts of a step on the device's clock.
  for (; steps < WARM_UPS + MOST_STEPS && limit.left() > 4 * longest; steps++) {
    if (steps === WARM_UPS) {
      await Promise.all(running.splice(0));
      [waited, start] = [0, clock()];
    }
    for (let index = 0; index < trainBatch; index++) {
      const asked = clock();
      const { image, labels } = await samples.next();
      waited += clock() - asked;
      engine.setSample(program, index, image, labels);
    }
    const { unsettled, later } = ahead.next();
    await Promise.all(running.splice(0, running.length - unsettled));
    running.push(engine.trainStep(program, { ...sgdOf(precision), later }));
    longest = Math.max(longest, clock() - last);
    last = clock();
  }
  await Promise.all(running);
  const counted = steps - WARM_UPS;
  if (counted < 1) return report.cut("steps");
  const each = (clock() - start) / counted;
  const busy = await device() / each;
  report.measure(`${precision}: step with augmentation`, each, "ms");
  report.measure(`${precision}: waited for samples`, waited / counted, "ms a step");
  report.measure(`${precision}: busy`, busy, "of the time");
  report.detail("sample threads", loading.threads);
  report.say(
    `training in ${precision} with augmentation in ${loading.threads} threads: ${
      each.toFixed(2)
    } ms a step, the device busy ${(100 * busy).toFixed(0)} % of it, ${
      (waited / counted).toFixed(2)
    } ms waited for samples`,
  );
}

function* namesOf(batch: number): Generator<SampleName, void> {
  for (let iteration = 0;; iteration++) {
    for (let sample = 0; sample < batch; sample++) yield { phase: "train", epoch: 0, iteration, sample };
  }
}

/** Two balls in waves, twice as large as the patch along each axis. */
function madeCase(edge: number, index: number): TrainingData {
  const grid: Vec3 = cube(2 * edge);
  const image = new Float32Array(voxelCount(grid));
  const segmentation = new Int8Array(image.length);
  const waves = Float32Array.from({ length: 2 * edge }, (_, i) => Math.sin(i * (0.1 + 0.03 * index)));
  let at = 0;
  for (let z = 0; z < grid[0]; z++) {
    for (let y = 0; y < grid[1]; y++) {
      for (let x = 0; x < grid[2]; x++, at++) {
        const distance = Math.hypot(z / edge - 1, y / edge - 1, x / edge - 1);
        segmentation[at] = distance < 0.25 ? 2 : distance < 0.5 ? 1 : 0;
        image[at] = segmentation[at] + waves[z] * waves[y] + waves[x];
      }
    }
  }
  const targets = [1, 2].map((label) => ({ kind: "label" as const, labels: [label] }));
  return {
    image,
    channels: 1,
    grid,
    segmentation,
    classLocations: sampleClassLocations(segmentation, targets),
    properties: {
      geometry: {
        reader: "SimpleITKIO",
        spacing: [1, 1, 1],
        shape: grid,
        sitk: { spacing: [1, 1, 1], origin: [0, 0, 0], direction: [1, 0, 0, 0, 1, 0, 0, 0, 1] },
      },
      shapeBeforeCropping: grid,
      boundingBox: grid.map((size) => [0, size] as const),
      shapeAfterCropping: grid,
    },
  };
}
