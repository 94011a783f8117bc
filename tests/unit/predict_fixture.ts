/** Small made-up models and cases for the predictor's tests: one convolution with random weights a fold, random images. */
import type { Vec3 } from "../../core/base/shape.ts";
import { voxelCount } from "../../core/base/shape.ts";
import type { Labels } from "../../core/dataset/dataset_json.ts";
import type { Checkpoint } from "../../core/formats/torch/torch_checkpoint.ts";
import type { Graph } from "../../core/graph/graph.ts";
import type { Configuration, Plans, Resampling } from "../../core/plan/plans.ts";
import type { Model } from "../../core/predict/model/model_folder.ts";
import type { CasePlanOptions } from "../../core/predict/stream/case_plan.ts";
import type { PreprocessedCase } from "../../core/preprocess/case.ts";

/** Of a case with overlapping patches and mirroring, without probabilities, in a runtime of its usual size. */
export const PLAN_OPTIONS: CasePlanOptions = {
  stepSize: 0.5,
  mirroring: true,
  saveProbabilities: false,
  runtimeBytes: 150 * 2 ** 20,
  besideBytes: 0,
};

/** Uniform numbers in [-1, 1) by a linear congruential generator. */
export function randomNumbers(count: number, seed: number): Float32Array<ArrayBuffer> {
  let state = (seed * 2654435761 + 12345) >>> 0;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
}

export interface ModelOptions {
  readonly patch: Vec3;
  readonly dimensions?: 2 | 3;
  readonly inputs?: number;
  readonly outputs?: number;
  readonly folds?: number;
  readonly mirrorAxes?: readonly number[] | null;
  readonly transposeForward?: Vec3;
  readonly regionsClassOrder?: readonly number[];
  readonly resampling?: Partial<Extract<Resampling, { kind: "spline" }>>;
  /** Foreground labels given as one-hot input channels. */
  readonly cascade?: boolean;
}

/** A model that is one convolution over a 3x3x3 (2-D: 3x3) neighbourhood. */
export function makeModel(options: ModelOptions): Model {
  const { patch, dimensions = 3, inputs = 1, outputs = 3, folds = 1, mirrorAxes = null } = options;
  const foreground = Array.from({ length: outputs - 1 }, (_, i) => i + 1);
  const networkInputs = inputs + (options.cascade ? foreground.length : 0);
  const kernel: Vec3 = dimensions === 2 ? [1, 3, 3] : [3, 3, 3];
  const graph: Graph = {
    nodes: [
      { kind: "input", channels: networkInputs },
      {
        kind: "conv",
        input: 0,
        channels: outputs,
        kernel,
        stride: [1, 1, 1],
        weight: "conv.weight",
        bias: "conv.bias",
      },
    ],
    outputs: [1],
  };
  const regions = options.regionsClassOrder;
  const labels: Labels = {
    hasRegions: regions !== undefined,
    allLabels: regions ? [0, ...regions] : [0, ...foreground],
    foregroundLabels: regions ? [...regions].sort((a, b) => a - b) : foreground,
    regions: (regions ?? []).map((label) => ({ name: `region ${label}`, labels: [label] })),
    regionsClassOrder: regions ?? [],
    headCount: outputs,
    names: new Map(foreground.map((label) => [label, `label ${label}`])),
  };
  const forward = options.transposeForward ?? [0, 1, 2];
  const resampling: Resampling = {
    kind: "spline",
    isSeg: false,
    order: 1,
    orderZ: 0,
    forceSeparateZ: null,
    ...options.resampling,
  };
  const configuration: Configuration = {
    name: dimensions === 2 ? "2d" : "3d_fullres",
    dimensions,
    patchSize: patch,
    spacing: dimensions === 2 ? [1, 1] : [1, 1, 1],
    batchSize: 2,
    normalizationSchemes: Array.from({ length: inputs }, () => "ZScoreNormalization" as const),
    useMaskForNorm: Array.from({ length: inputs }, () => false),
    resamplingData: resampling,
    resamplingSeg: { ...resampling, isSeg: true },
    resamplingProbabilities: resampling,
    architecture: {
      family: "PlainConvUNet",
      dimensions,
      featuresPerStage: [4],
      kernelSizes: [kernel],
      strides: [[1, 1, 1]],
      blocksPerStage: [1],
      convsPerStageDecoder: [],
      convBias: true,
      norm: { kind: "none", eps: 1e-5, affine: true },
      negativeSlope: 0.01,
      nonlinFirst: false,
    },
    batchDice: false,
    dataIdentifier: "made",
    nextStages: [],
  };
  const plans: Plans = {
    datasetName: "Dataset001_Made",
    plansName: "nnUNetPlans",
    reader: "SimpleITKIO",
    transposeForward: forward,
    transposeBackward: [forward.indexOf(0), forward.indexOf(1), forward.indexOf(2)],
    intensityProperties: [],
    configurationNames: [configuration.name],
    json: {},
  };
  return {
    folder: "made",
    plans,
    dataset: { channelNames: ["made"], labels, fileEnding: ".nii.gz", json: {} },
    configuration,
    trainerName: "nnUNetTrainer",
    mirrorAxes,
    folds: Array.from({ length: folds }, (_, fold) => ({
      name: String(fold),
      file: `fold_${fold}`,
      checkpoint: makeCheckpoint(fold, outputs, networkInputs, kernel),
    })),
    inputChannels: networkInputs,
    outputChannels: outputs,
    graph,
    warnings: [],
    [Symbol.dispose]: () => {},
  } as Model;
}

function makeCheckpoint(fold: number, outputs: number, inputs: number, kernel: Vec3): Checkpoint {
  const tensor = (shape: readonly number[], seed: number) => ({
    shape,
    dtype: "float32",
    read: () => randomNumbers(shape.reduce((a, b) => a * b, 1), seed),
  });
  return {
    file: `fold_${fold}`,
    trainerName: "nnUNetTrainer",
    configurationName: "made",
    mirrorAxes: null,
    initArgs: {},
    weights: new Map([
      ["conv.weight", tensor([outputs, inputs, ...kernel], 10 + fold)],
      ["conv.bias", tensor([outputs], 20 + fold)],
    ]),
    [Symbol.dispose]: () => {},
  } as Checkpoint;
}

export interface CaseOptions {
  /** The network's grid, transposed axes. */
  readonly grid: Vec3;
  /** Cropped grid at the original resolution, transposed axes; default: `grid`. */
  readonly cropped?: Vec3;
  /** Margin around the crop, per (transposed) axis: [low, high]. */
  readonly margins?: readonly [readonly [number, number], readonly [number, number], readonly [number, number]];
  readonly seed?: number;
  readonly previousStage?: boolean;
}

/** A case as the preprocessing would give it. */
export function makeCase(model: Model, options: CaseOptions): PreprocessedCase {
  const { grid, cropped = grid, margins = [[0, 0], [0, 0], [0, 0]], seed = 1 } = options;
  const channels = model.configuration.normalizationSchemes.length;
  const before = cropped.map((n, axis) => n + margins[axis][0] + margins[axis][1]) as [number, number, number];
  const spacing = cropped.map((n, axis) => grid[axis] / n) as [number, number, number];
  const backward = model.plans.transposeBackward;
  const inFile = (of: Vec3): Vec3 => [of[backward[0]], of[backward[1]], of[backward[2]]];
  const { foregroundLabels } = model.dataset.labels;
  const previous = randomNumbers(voxelCount(grid), seed + 7);
  return {
    id: `made_${seed}`,
    data: randomNumbers(channels * voxelCount(grid), seed),
    channels,
    grid,
    ...(options.previousStage && {
      previousStage: Int16Array.from(previous, (v) => Math.floor(((v + 1) / 2) * (foregroundLabels.length + 2)) - 1),
    }),
    properties: {
      geometry: { reader: "SimpleITKIO", spacing: inFile(spacing), shape: inFile(before) },
      originalSpacing: spacing,
      shapeBeforeCropping: before,
      boundingBox: [0, 1, 2].map((axis) => [margins[axis][0], margins[axis][0] + cropped[axis]]) as [
        [number, number],
        [number, number],
        [number, number],
      ],
      shapeAfterCropping: cropped,
    },
    warnings: [],
    replacedVoxels: [0],
  };
}
