/** Upstream's experiment planners as data, and their measure of a network's size. */
import type { Topology } from "./topology.ts";

export interface Planner {
  readonly name: string;
  readonly plansName: string;
  readonly family: "PlainConvUNet" | "ResidualEncoderUNet";
  /** Feature map elements (see {@link featureMapElements}) of the reference network in 2-D and 3-D at `referenceGB`. */
  readonly reference: { readonly d2: number; readonly d3: number; readonly gigabytes: number };
  readonly targetGB: number;
  /** Largest share of the dataset's voxels that one batch may hold. */
  readonly maxDatasetCovered: number;
  /** Blocks of encoder stages; the last is repeated. */
  readonly encoderBlocks: readonly number[];
  readonly decoderBlocks: number;
  /** Most stages upstream's table of blocks reaches. */
  readonly maxStages: number;
  /** 2d and 3d_fullres data are those of the default planner. */
  readonly sharesDefaultData: boolean;
  readonly resampling: "spline" | "torch" | "torchSeparateZ" | "none";
}

const PLAIN = {
  family: "PlainConvUNet",
  reference: { d2: 85_000_000, d3: 560_000_000, gigabytes: 8 },
  targetGB: 8,
  maxDatasetCovered: 0.05,
  encoderBlocks: [2],
  decoderBlocks: 2,
  maxStages: 14,
  sharesDefaultData: false,
  resampling: "spline",
} as const;

const RESIDUAL = {
  ...PLAIN,
  family: "ResidualEncoderUNet",
  reference: { d2: 135_000_000, d3: 680_000_000, gigabytes: 8 },
  encoderBlocks: [1, 3, 4, 6],
  decoderBlocks: 1,
  maxStages: 13,
  sharesDefaultData: true,
} as const;

const RESIDUAL_L = {
  ...RESIDUAL,
  reference: { d2: 380_000_000, d3: 2_100_000_000, gigabytes: 24 },
  targetGB: 24,
  maxDatasetCovered: 1,
} as const;

/** All planners by class name; numbers from experiment_planners/**. */
export const PLANNERS: readonly Planner[] = [
  { ...PLAIN, name: "ExperimentPlanner", plansName: "nnUNetPlans" },
  { ...PLAIN, name: "nnUNetPlanner_torchres", plansName: "nnUNetPlans_torchres", resampling: "torch" },
  { ...RESIDUAL, name: "ResEncUNetPlanner", plansName: "nnUNetResEncUNetPlans" },
  { ...RESIDUAL, name: "nnUNetPlannerResEncM", plansName: "nnUNetResEncUNetMPlans", maxDatasetCovered: 1 },
  { ...RESIDUAL_L, name: "nnUNetPlannerResEncL", plansName: "nnUNetResEncUNetLPlans" },
  {
    ...RESIDUAL_L,
    name: "nnUNetPlannerResEncXL",
    plansName: "nnUNetResEncUNetXLPlans",
    reference: { d2: 560_000_000, d3: 3_600_000_000, gigabytes: 40 },
    targetGB: 40,
  },
  {
    ...RESIDUAL_L,
    name: "nnUNetPlannerResEncL_torchres",
    plansName: "nnUNetResEncUNetLPlans_torchres",
    sharesDefaultData: false,
    resampling: "torch",
  },
  {
    ...RESIDUAL_L,
    name: "nnUNetPlannerResEncL_torchres_sepz",
    plansName: "nnUNetResEncUNetLPlans_torchres_sepz",
    sharesDefaultData: false,
    resampling: "torchSeparateZ",
  },
  {
    // Of 2.6.2 and later.
    ...RESIDUAL_L,
    name: "nnUNetPlannerResEncL_noResampling",
    plansName: "nnUNetResEncUNetLPlans_noResampling",
    sharesDefaultData: false,
    resampling: "none",
  },
];

/** Blocks of each encoder stage of a network of `stages` stages. */
export function encoderBlocks(planner: Planner, stages: number): number[] {
  return Array.from({ length: stages }, (_, i) => planner.encoderBlocks[Math.min(i, planner.encoderBlocks.length - 1)]);
}

/** Features of each stage: 32 doubled, up to 512 (2-D) or 320 (3-D). */
export function featuresPerStage(stages: number, dimensions: number): number[] {
  return Array.from({ length: stages }, (_, i) => Math.min(dimensions === 2 ? 512 : 320, 32 * 2 ** i));
}

/**
 * Elements of all feature maps of one forward pass of one patch, upstream's stand-in for GPU memory
 * (compute_conv_feature_map_size of dynamic_network_architectures; deep supervision off).
 */
export function featureMapElements(planner: Planner, topology: Topology, outputs: number): number {
  const stages = topology.strides.length;
  const features = featuresPerStage(stages, topology.patchSize.length);
  const blocks = encoderBlocks(planner, stages);
  let size = [...topology.patchSize];
  const voxels = (grid: readonly number[]) => grid.reduce((product, n) => product * n, 1);
  let sum = planner.family === "ResidualEncoderUNet" ? features[0] * voxels(size) : 0; // the stem
  const skips: number[] = [];
  topology.strides.forEach((stride, stage) => {
    size = size.map((n, axis) => Math.floor(n / stride[axis]));
    const map = features[stage] * voxels(size);
    if (planner.family === "ResidualEncoderUNet") {
      const widens = stage > 0 && features[stage] !== features[stage - 1];
      sum += blocks[stage] * 2 * map + (widens || stride.some((s) => s !== 1) ? map : 0);
    } else {
      sum += blocks[stage] * map;
    }
    skips.push(map);
  });
  for (const map of skips.slice(0, -1)) sum += planner.decoderBlocks * map + map;
  return sum + outputs * voxels(topology.patchSize);
}
