/**
 * The shape of a U-Net from spacing and patch size: which axes are pooled at each stage, and kernel sizes.
 * Source: nnunetv2/experiment_planning/experiment_planners/network_topology.py.
 */

export interface Topology {
  /** One entry a stage, the first without stride. */
  readonly strides: readonly (readonly number[])[];
  readonly kernelSizes: readonly (readonly number[])[];
  /** The patch, padded up to what the pooling can divide. */
  readonly patchSize: readonly number[];
  /** 2 to the number of poolings, per axis. */
  readonly divisibleBy: readonly number[];
}

/** An axis is pooled with, and gets a kernel of 3 like, the finest one when its spacing is less than this many times as large. */
const SPACING_RATIO = 2;

/**
 * Pools, stage by stage, the axes whose feature map stays at `minEdge` or more and whose spacing is near the finest of these.
 * @param spacing mm per axis, 2 or 3 of them
 * @param size patch per axis; may have halves, being a median
 */
export function poolAndConvolve(spacing: readonly number[], size: readonly number[], minEdge = 4): Topology {
  const axes = spacing.map((_, axis) => axis);
  const currentSpacing = [...spacing];
  const currentSize = [...size];
  const kernel = axes.map(() => 1);
  const divisibleBy = axes.map(() => 1);
  const strides: number[][] = [axes.map(() => 1)];
  const kernelSizes: number[][] = [];
  while (true) {
    const large = axes.filter((axis) => currentSize[axis] >= 2 * minEdge);
    if (large.length === 0) break;
    const finestLarge = Math.min(...large.map((axis) => currentSpacing[axis]));
    const pooled = large.filter((axis) => currentSpacing[axis] / finestLarge < SPACING_RATIO);
    if (pooled.length === 1 && currentSize[pooled[0]] < 3 * minEdge) break;
    const finest = Math.min(...currentSpacing);
    for (const axis of axes) {
      if (currentSpacing[axis] / finest < SPACING_RATIO) kernel[axis] = 3; // once 3, it stays
    }
    for (const axis of pooled) {
      divisibleBy[axis] *= 2;
      currentSpacing[axis] *= 2;
      currentSize[axis] = Math.ceil(currentSize[axis] / 2);
    }
    strides.push(axes.map((axis) => pooled.includes(axis) ? 2 : 1));
    kernelSizes.push([...kernel]);
  }
  kernelSizes.push(axes.map(() => 3)); // the bottleneck
  return { strides, kernelSizes, patchSize: padToMultiples(size, divisibleBy), divisibleBy };
}

/** Pads up to multiples; halves of a median size are cut, as upstream's cast to int does. */
function padToMultiples(size: readonly number[], divisibleBy: readonly number[]): number[] {
  return size.map((n, axis) => {
    const rest = n % divisibleBy[axis];
    return Math.trunc(rest === 0 ? n : n + divisibleBy[axis] - rest);
  });
}
