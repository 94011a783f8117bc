/** Why the plans are what they are, in words and numbers: every decision of the planner with the figures it rests on. */
import { plural } from "../base/plural.ts";
import { argMax, percentile, roundHalfEven } from "../base/numeric.ts";
import {
  ANISOTROPY_THRESHOLD,
  fullresSpacing,
  initialPatch,
  LOWRES_THRESHOLD,
  MASK_THRESHOLD,
  type PlanningRequest,
  REFERENCE_BATCH,
  shrinkPatch,
} from "./plan_experiment.ts";
import { featureMapElements } from "./planners.ts";
import { poolAndConvolve, type Topology } from "./topology.ts";

/** What is said about a configuration is read from these keys of it. */
interface Planned {
  readonly spacing: readonly number[];
  readonly patch_size: readonly number[];
  readonly batch_size: number;
  readonly median_image_size_in_voxels: readonly number[];
  readonly data_identifier: string;
  readonly normalization_schemes: readonly string[];
  readonly use_mask_for_norm: readonly boolean[];
}

/** One paragraph of the explanation. */
export interface Explanation {
  readonly title: string;
  readonly lines: readonly string[];
}

/**
 * Explains plans that `planExperiment(request)` gave.
 * @param leftOut Configurations that it left out, and why
 */
export function explainPlans(
  request: PlanningRequest,
  plans: Readonly<Record<string, unknown>>,
  leftOut: ReadonlyMap<string, string> = new Map(),
): Explanation[] {
  const configurations = plans.configurations as Readonly<Record<string, Planned>>;
  const forward = plans.transpose_forward as readonly number[];
  const planned = Object.entries(configurations).filter(([, { patch_size }]) => patch_size !== undefined);
  return [
    { title: "Channels", lines: explainChannels(request, planned[0][1]) },
    { title: "Spacing", lines: explainSpacing(request) },
    { title: "Axes", lines: explainAxes(request, forward) },
    { title: "Configurations", lines: explainChoice(configurations, leftOut) },
    ...planned.map(([name, one]) => ({ title: name, lines: explainConfiguration(request, name, one, configurations) })),
  ];
}

/** Warnings about channel names: one that means CT is normalised as CT only if it is exactly "CT". */
export function channelNameWarnings(channelNames: readonly string[]): string[] {
  return channelNames.flatMap((name, c) => {
    const meansCt = /CT/.test(name) || /(^|[^a-z])ct([^a-z]|$)/i.test(name);
    if (!meansCt || name.toLowerCase() === "ct") return [];
    return [
      `channel ${c} is named "${name}", which contains CT but is not "CT": it is normalised with its own mean and deviation ` +
      `(ZScoreNormalization), not with CTNormalization. If its values are Hounsfield units, name it "CT" in dataset.json.`,
    ];
  });
}

function explainChannels(request: PlanningRequest, planned: Planned): string[] {
  const size = request.fingerprint.medianRelativeSizeAfterCropping;
  const lines = request.channelNames.map((name, c) => {
    const masked = planned.use_mask_for_norm[c] ? ", within the nonzero region only" : "";
    return `channel ${c}, "${name}": ${
      NORMALISERS[planned.normalization_schemes[c]] ?? planned.normalization_schemes[c]
    }${masked}`;
  });
  const smaller = size < MASK_THRESHOLD;
  lines.push(
    `cropping to what is not zero leaves ${percent(size)} of the median image: ${smaller ? "below" : "not below"} ` +
      `${percent(MASK_THRESHOLD)}, so z-scores are taken ${
        smaller ? "within the nonzero region" : "over the whole cropped image"
      }`,
  );
  return [...lines, ...channelNameWarnings(request.channelNames).map((warning) => `warning: ${warning}`)];
}

const NORMALISERS: Readonly<Record<string, string>> = {
  CTNormalization:
    "CTNormalization: clipped to the foreground's 0.5 and 99.5 percentiles, then the dataset's mean and deviation",
  ZScoreNormalization: "ZScoreNormalization: each image's own mean and deviation",
  NoNormalization: "NoNormalization: values as they are",
  RescaleTo01Normalization: "RescaleTo01Normalization: each image's minimum and maximum become 0 and 1",
  RGBTo01Normalization: "RGBTo01Normalization: divided by 255",
};

function explainSpacing(request: PlanningRequest): string[] {
  const { fingerprint, targetSpacing } = request;
  const axes = [0, 1, 2];
  const medians = axes.map((axis) => percentile(fingerprint.spacings.map((one) => one[axis]), 50));
  const sizes = axes.map((axis) => percentile(fingerprint.shapesAfterCrop.map((one) => one[axis]), 50));
  const target = fullresSpacing(fingerprint, targetSpacing);
  const lines = [
    `median spacing ${by(medians)} mm, median size after cropping ${by(sizes)} voxels ` +
    `(axes as read, ${plural(fingerprint.spacings.length, "case")})`,
  ];
  if (targetSpacing) return [...lines, `target spacing ${by(target)} mm, as -overwrite_target_spacing says`];
  const worst = argMax(medians);
  const others = axes.filter((axis) => axis !== worst);
  const coarsest = Math.max(...others.map((axis) => medians[axis]));
  const smallest = Math.min(...others.map((axis) => sizes[axis]));
  const spacingRatio = medians[worst] / coarsest;
  const sizeRatio = smallest / sizes[worst];
  const anisotropic = spacingRatio > ANISOTROPY_THRESHOLD && sizeRatio > ANISOTROPY_THRESHOLD;
  lines.push(
    `axis ${worst} is the coarsest, ${number(spacingRatio)} times the next, and has ${
      number(sizeRatio)
    } times fewer voxels ` +
      `than the others' fewest: ${
        anisotropic ? "both" : "not both"
      } more than ${ANISOTROPY_THRESHOLD}, so the images ` +
      `${anisotropic ? "are" : "are not"} treated as anisotropic`,
  );
  if (anisotropic) {
    const tenth = percentile(fingerprint.spacings.map((one) => one[worst]), 10);
    const why = target[worst] === tenth ? "" : `, but no finer than the next axis`;
    lines.push(
      `target spacing ${by(target)} mm: medians, but the 10th percentile (${
        number(tenth)
      } mm) on axis ${worst}${why}, ` +
        "so that fine images are not blurred to the median",
    );
  } else lines.push(`target spacing ${by(target)} mm: the median on each axis`);
  return lines;
}

function explainAxes(request: PlanningRequest, forward: readonly number[]): string[] {
  const target = fullresSpacing(request.fingerprint, request.targetSpacing);
  if (forward.every((axis, i) => axis === i)) {
    return ["axis 0 has the coarsest (or the same) spacing: the axes stay in their order"];
  }
  return [
    `axis ${forward[0]} has the coarsest target spacing (${number(target[forward[0]])} mm) and becomes the first ` +
    `(order ${forward.join(", ")}): 2D slices are those of the finer axes`,
  ];
}

function explainChoice(
  configurations: Readonly<Record<string, Planned>>,
  leftOut: ReadonlyMap<string, string>,
): string[] {
  const full = configurations["3d_fullres"];
  const reasons = Array.from(leftOut, ([name, why]) => `${name} is left out: ${why}`);
  if (!full) return [`2d only${leftOut.has("3d_fullres") ? "" : ": the median image has one slice"}`, ...reasons];
  const covered = product(full.patch_size) / product(full.median_image_size_in_voxels);
  const lines = [
    `${configurations["2d"] ? "2d and " : ""}3d_fullres; a patch of 3d_fullres covers ${
      percent(covered)
    } of the median image`,
  ];
  const low = configurations["3d_lowres"];
  if (low) {
    const steps = low.spacing.map((one, axis) => one / full.spacing[axis]);
    lines.push(
      `less than ${
        percent(LOWRES_THRESHOLD)
      }, so 3d_lowres sees more of it at a coarser spacing: grown by 3 % at a time, finer ` +
        `axes first, until a patch covered ${percent(LOWRES_THRESHOLD)} (${
          by(steps)
        } times coarser in the end); 3d_cascade_fullres ` +
        "refines its result",
    );
  } else if (leftOut.has("3d_lowres")) {
    lines.push(`less than ${percent(LOWRES_THRESHOLD)}, which calls for a coarser one`);
  } else if (covered < LOWRES_THRESHOLD) {
    lines.push(
      `less than ${
        percent(LOWRES_THRESHOLD)
      }, but the coarser image in which a patch covered enough would have more than half ` +
        "the voxels: 3d_lowres would see little more, and is left out",
    );
  } else lines.push(`at least ${percent(LOWRES_THRESHOLD)}: no 3d_lowres and no cascade`);
  return [...lines, ...reasons];
}

function explainConfiguration(
  request: PlanningRequest,
  name: string,
  planned: Planned,
  configurations: Readonly<Record<string, Planned>>,
): string[] {
  const { planner } = request;
  const { spacing, median_image_size_in_voxels: shape } = planned;
  const dimension = spacing.length === 2 ? "d2" : "d3";
  const gigabytes = request.gpuMemoryTargetGB ?? planner.targetGB;
  const allowed = planner.reference[dimension] * (gigabytes / planner.reference.gigabytes);
  const load = planner.family === "PlainConvUNet" ? 2 / REFERENCE_BATCH[dimension] : 1;
  const estimate = (one: Topology) => featureMapElements(planner, one, request.labelCount);
  const initial = initialPatch(spacing, shape);
  const steps = [poolAndConvolve(spacing, initial)];
  while (estimate(steps[steps.length - 1]) * load > allowed) {
    steps.push(shrinkPatch(spacing, shape, steps[steps.length - 1]));
  }
  const topology = steps[steps.length - 1];
  const size = estimate(topology);

  const lines = [
    `spacing ${by(spacing)} mm, median image ${by(shape)} voxels; data in the folder ${planned.data_identifier}`,
    `patch: at first ${by(initial)}, ${
      dimension === "d3" ? "256^3" : "2048^2"
    } voxels of equal extent in mm, cut to the median ` +
    `image; ${by(steps[0].patchSize)} so that the network can halve it`,
  ];
  if (steps.length > 1) {
    lines.push(
      `its feature maps have ${millions(estimate(steps[0]) * load)} elements where ${
        millions(allowed)
      } are allowed for ` +
        `${number(gigabytes)} GB: the axis that covers most of the image shrank, ${steps.length - 1} time` +
        `${steps.length === 2 ? "" : "s"}, to ${by(topology.patchSize)} (${millions(size * load)})`,
    );
  } else {lines.push(
      `its feature maps have ${millions(size * load)} elements, within the ${millions(allowed)} for ${
        number(gigabytes)
      } GB`,
    );}
  lines.push(
    ...explainTopology(spacing, topology, planner.family),
    ...explainBatch(request, name, planned, configurations, allowed, size),
  );
  return lines;
}

function explainTopology(spacing: readonly number[], topology: Topology, family: string): string[] {
  const stages = topology.strides.length;
  const poolings = topology.divisibleBy.map((n) => Math.log2(n));
  const bottleneck = topology.patchSize.map((n, axis) => n / topology.divisibleBy[axis]);
  const lines = [
    `network: ${family} of ${stages} stages; axes halved ${by(poolings)} times, down to ${by(bottleneck)} ` +
    "(an axis is halved while it has at least 8 voxels and its spacing is less than twice the finest)",
  ];
  const flat = topology.kernelSizes.filter((kernel) => kernel.includes(1)).length;
  if (flat > 0) {
    lines.push(
      `kernels are ${topology.kernelSizes[0].join("x")} in the first ${flat} stage${
        flat === 1 ? "" : "s"
      }: an axis at least twice as ` +
        `coarse as the finest (${by(spacing)} mm) gets a kernel of 1 until the others have caught up`,
    );
  } else lines.push(`kernels are ${topology.kernelSizes[0].join("x")} throughout`);
  return lines;
}

function explainBatch(
  request: PlanningRequest,
  name: string,
  planned: Planned,
  configurations: Readonly<Record<string, Planned>>,
  allowed: number,
  size: number,
): string[] {
  const { planner } = request;
  const reference = REFERENCE_BATCH[planned.spacing.length === 2 ? "d2" : "d3"];
  const fits = roundHalfEven(allowed / size * reference);
  // 2d counts the voxels of the volumes its slices come from.
  const median3d = name === "2d" ? configurations["3d_fullres"]?.median_image_size_in_voxels : undefined;
  const volume = median3d ? product(median3d) : product(planned.median_image_size_in_voxels);
  const cap = roundHalfEven(volume * request.trainingCases * planner.maxDatasetCovered / product(planned.patch_size));
  const capped = planned.batch_size > 2 && planned.batch_size !== fits;
  const patches = capped ? planned.batch_size : cap;
  const limit = `${
    percent(planner.maxDatasetCovered)
  } of the ${request.trainingCases} cases' voxels are ${patches} patches`;
  const why = planned.batch_size === fits
    ? `as many as fit (${limit})`
    : capped
    ? `${fits} would fit, but ${limit}`
    : `at least 2 are taken (${fits} would fit; ${limit})`;
  return [`batch: ${planned.batch_size} ${planned.batch_size === 1 ? "patch" : "patches"}: ${why}`];
}

function product(values: readonly number[]): number {
  return values.reduce((result, value) => result * value, 1);
}

function by(values: readonly number[]): string {
  return values.map(number).join(" x ");
}

function number(value: number): string {
  return String(Number(value.toPrecision(4)));
}

function percent(share: number): string {
  return `${number(share * 100)} %`;
}

function millions(value: number): string {
  return `${number(value / 1e6)} million`;
}
