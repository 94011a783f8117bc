/** Pictures of a validation step for the report: a slice of its last patches with truth and prediction. */
import { voxelCount } from "../../base/shape.ts";
import type { Labels } from "../../dataset/dataset_json.ts";
import type { TrainingEngine, TrainingProgram } from "../../engine/training.ts";
import type { Sample } from "../samples/sample_loader.ts";
import { type SampleSlice, sampleSlice } from "../samples/sample_slice.ts";
import type { TrainingSetup } from "../setup.ts";

const SLICES = 2;

/** Slices of the last validation step's patches; those that must hold foreground are the last of a batch. */
export async function validationSlices(
  engine: TrainingEngine,
  program: TrainingProgram,
  setup: TrainingSetup,
  lastBatch: readonly Sample[],
): Promise<SampleSlice[]> {
  const { configuration, dataset: { labels } } = setup;
  const { patchSize } = configuration;
  const spacing = configuration.dimensions === 3 ? configuration.spacing : [1, ...configuration.spacing];
  const voxels = voxelCount(patchSize);
  const slices: SampleSlice[] = [];
  for (let index = Math.max(0, lastBatch.length - SLICES); index < lastBatch.length; index++) {
    const { caseId, image, labels: truth } = lastBatch[index];
    const logits = await engine.readLogits(program, 0, index);
    const prediction = labelsOf(logits, voxels, labels);
    const [z, y, x] = spacing;
    slices.push(sampleSlice(caseId, image.subarray(0, voxels), truth, prediction, patchSize, [z, y, x]));
  }
  return slices;
}

/** The label of each voxel: of the largest logit, or of the last region above 0 in the order that dataset.json gives. */
function labelsOf(logits: Float32Array, voxels: number, labels: Labels): Int16Array {
  const result = new Int16Array(voxels);
  const outputs = logits.length / voxels;
  if (labels.hasRegions) {
    for (let output = 0; output < outputs; output++) {
      const label = labels.regionsClassOrder[output];
      for (let i = 0; i < voxels; i++) if (logits[output * voxels + i] > 0) result[i] = label;
    }
    return result;
  }
  const largest = logits.slice(0, voxels);
  for (let output = 1; output < outputs; output++) {
    const label = labels.allLabels[output];
    for (let i = 0; i < voxels; i++) {
      const logit = logits[output * voxels + i];
      if (logit <= largest[i]) continue;
      largest[i] = logit;
      result[i] = label;
    }
  }
  return result;
}
