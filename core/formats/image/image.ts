/**
 * The IO contract all image readers share. Arrays are (channels, z, y, x), float32, in the order the Python reader of the same
 * name gives them; a 2-D image has z = 1. Source of the contract: nnunetv2/imageio/base_reader_writer.py.
 */
import type { Vec3 } from "../../base/shape.ts";

/** nnU-Net's reader classes; plans name one of them, and readers.ts says which formats each takes. */
export type ReaderName =
  | "SimpleITKIO"
  | "NibabelIO"
  | "NibabelIOWithReorient"
  | "NaturalImage2DIO"
  | "Tiff3DIO"
  | "SimpleITKIOWithReorient";

/** ITK's geometry in (x, y, z) order and LPS millimetres; 2-D images have 2 numbers and a 2x2 direction. */
export interface SitkGeometry {
  readonly spacing: readonly number[];
  readonly origin: readonly number[];
  /** Row-major direction cosines. */
  readonly direction: readonly number[];
  /** Of SimpleITKIOWithReorient: where the axes of the file point to ("LPS"); the rest is that of the image turned to RAS. */
  readonly originalOrientation?: string;
}

/** A 4x4 affine, row by row, voxel (x, y, z) to RAS millimetres. */
export type Affine = readonly (readonly [number, number, number, number])[];

/** What a writer needs to give a segmentation the geometry of its image; plain data, so that it can cross to a worker. */
export interface ImageGeometry {
  readonly reader: ReaderName;
  /** Spacing in array-axis order (z, y, x), before any transpose: the `spacing` of upstream's properties. */
  readonly spacing: Vec3;
  /** Shape of the array (z, y, x) as read. */
  readonly shape: Vec3;
  readonly sitk?: SitkGeometry;
  readonly nibabel?: { readonly originalAffine: Affine; readonly reorientedAffine?: Affine };
}

/** One case's channels, read. */
export interface CaseImage {
  readonly data: Float32Array;
  readonly channels: number;
  readonly geometry: ImageGeometry;
  /** Sentences about what is unusual but usable, naming the file; to be shown and put into the report. */
  readonly warnings: readonly string[];
}

/** Labels, in the smallest type that holds what their file may have. */
export type LabelValues = Uint8Array | Int16Array | Uint16Array | Int32Array;

/** A segmentation: integer labels on a (z, y, x) grid, in the array order of the reader. */
export interface LabelVolume {
  readonly data: Uint8Array | Uint16Array | Int16Array;
  readonly shape: Vec3;
}
