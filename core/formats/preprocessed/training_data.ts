/**
 * A preprocessed training case as data, whatever the format on disk: image, segmentation and where each class is.
 * Formats: core/formats/preprocessed/bricks.ts, core/formats/preprocessed/npy_case.ts.
 */
import type { Vec3 } from "../../base/shape.ts";
import type { ImageGeometry } from "../image/image.ts";
import type { PickledProperties } from "../torch/pickle_properties.ts";

/** What class locations are collected for, and how upstream writes it as a key. */
export interface ClassKey {
  /**
   * label: numpy integer. integer: a region written as one number, a Python integer. region: a tuple of Python integers.
   * allLabels: the tuple of all labels, numpy integers, that datasets with an ignore label have.
   */
  readonly kind: "label" | "integer" | "region" | "allLabels";
  readonly labels: readonly number[];
}

export interface ClassLocations {
  readonly key: ClassKey;
  /** Indices into the grid (z, y, x) in C order, in the order in which they were drawn. */
  readonly voxels: Uint32Array;
}

/** What is known of a preprocessed case. Axes are those after transpose_forward, but for `geometry`. */
export type TrainingProperties = PickledProperties;

export interface TrainingData {
  /** (channels, z, y, x). */
  readonly image: Float32Array;
  readonly channels: number;
  readonly grid: Vec3;
  /** (z, y, x); -1 outside the nonzero region. */
  readonly segmentation: Int8Array | Int16Array;
  readonly classLocations: readonly ClassLocations[];
  readonly properties: TrainingProperties;
}

/** A box of a case. Outside the grid the image is 0 and the segmentation -1, as upstream pads. */
export interface TrainingBox {
  /** (channels, ...size). */
  readonly image: Float32Array;
  readonly segmentation: Int16Array | Int8Array;
}

/** A preprocessed case on disk, opened; its voxels are read when they are asked for. */
export interface StoredCase extends Disposable {
  readonly file: string;
  readonly channels: number;
  readonly grid: Vec3;
  readonly properties: StoredProperties;
  readonly classLocations: readonly ClassLocations[];
  /**
   * The box of `size` voxels at `origin`; both may reach over the grid's border.
   * @throws UserError if the file is damaged
   */
  readBox(origin: Vec3, size: Vec3): Promise<TrainingBox>;
}

/** Properties as far as every format has them: pickles of upstream don't name the reader. */
export interface StoredProperties {
  /** mm, in the reader's axis order. */
  readonly spacing: Vec3;
  readonly shapeBeforeCropping: Vec3;
  readonly boundingBox: readonly (readonly [number, number])[];
  readonly shapeAfterCropping: Vec3;
  /** What a writer needs to give a segmentation the geometry of the image; neither for readers without one. */
  readonly geometry: Pick<ImageGeometry, "sitk" | "nibabel">;
}

/** Bytes of a preprocessed case's arrays. */
export function trainingBytes(grid: Vec3, channels: number): number {
  return grid[0] * grid[1] * grid[2] * (4 * channels + 1);
}
