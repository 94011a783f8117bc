/** What augmentation can do to an image or to the masks of the previous stage, as plain data. */
import type { Vec3 } from "../../base/shape.ts";

/** One step that changes the image, or its orientation and that of the labels. Channels are those of the image without previous stage. */
export type AugmentationStep =
  /** Adds independent normal values of this standard deviation to every voxel of every channel. */
  | { readonly kind: "noise"; readonly sigma: number; readonly seed: number }
  /** Standard deviations in voxels along z, y, x; 0: not along this axis. */
  | { readonly kind: "blur"; readonly channel: number; readonly sigmas: Vec3 }
  | { readonly kind: "brightness"; readonly channel: number; readonly factor: number }
  /** Unbounded: values may leave the range that there was. */
  | { readonly kind: "contrast"; readonly channel: number; readonly factor: number; readonly unbounded?: boolean }
  /** Down to this share of the voxels along each axis (z is kept in planar specs), and up again. */
  | { readonly kind: "lowResolution"; readonly channel: number; readonly scale: number }
  | { readonly kind: "gamma"; readonly channel: number; readonly gamma: number; readonly inverted: boolean }
  /** Flips image and labels. */
  | { readonly kind: "mirror"; readonly axes: readonly number[] }
  | Da5Step;

/** Steps of the recipe "da5" alone. */
export type Da5Step =
  /** Image and labels: axis k of the result is axis order[k] of what was, then `flips` are flipped. Exchanged axes are of equal length. */
  | { readonly kind: "reorient"; readonly order: Vec3; readonly flips: readonly number[] }
  /** The median of `width` voxels along each axis. */
  | { readonly kind: "median"; readonly channel: number; readonly width: number }
  /** Along every axis with this standard deviation in voxels. */
  | { readonly kind: "gaussian"; readonly channel: number; readonly sigma: number }
  | { readonly kind: "addBrightness"; readonly channel: number; readonly offset: number }
  /** As "lowResolution", up again by cubic splines. */
  | { readonly kind: "splineLowResolution"; readonly channel: number; readonly scale: number }
  /** A box becomes its mean. */
  | { readonly kind: "blank"; readonly channel: number; readonly start: Vec3; readonly size: Vec3 }
  /** Adds a bell whose top is `strength`. */
  | {
    readonly kind: "brightnessGradient";
    readonly channel: number;
    readonly kernel: LocalKernel;
    readonly strength: number;
  }
  /** Gamma where the bell is 1, nothing where it is 0. */
  | { readonly kind: "localGamma"; readonly channel: number; readonly kernel: LocalKernel; readonly gamma: number }
  /** Unsharp masking by the Laplacian. */
  | { readonly kind: "sharpen"; readonly channel: number; readonly strength: number };

/** A Gaussian bell in or near the patch, in voxels along z, y, x. */
export interface LocalKernel {
  readonly centre: Vec3;
  /** Standard deviations; 0: the bell is the same all along this axis. */
  readonly deviation: Vec3;
}

export type BinaryOperator = "dilation" | "erosion" | "closing" | "opening";

/** One step on the masks of the previous stage. `mask` counts the spec's cascadeLabels. */
export type CascadeStep =
  /** With a ball (2-D: a disk) of this radius in voxels. */
  | { readonly kind: "operator"; readonly mask: number; readonly operator: BinaryOperator; readonly radius: number }
  /** Empties one small component; `choice` in [0, 1) picks it among those there are. */
  | { readonly kind: "removeComponent"; readonly mask: number; readonly choice: number };
