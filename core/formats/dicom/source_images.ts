/** What is known of the images that a segmentation was made from, as plain data: what its DICOM objects refer to and take over. */
import type { Vec3 } from "../../base/shape.ts";
import type { WrittenAttributes } from "./write_object.ts";

/** One slice: an instance of its own, or a frame of one. */
export interface SourceSlice {
  readonly sopClass: string;
  readonly sopInstance: string;
  /** From 1 on; undefined where the instance holds this slice only. */
  readonly frame?: number;
  /** Centre of the first pixel, in mm of the patient's coordinates (x to the left, y to the back, z to the head). */
  readonly position: Vec3;
}

/** The slices of one series, in order along their normal. */
export interface SourceImages {
  readonly slices: readonly SourceSlice[];
  readonly rows: number;
  readonly columns: number;
  /** Directions in which columns and rows are counted: Image Orientation (Patient). */
  readonly rowDirection: Vec3;
  readonly columnDirection: Vec3;
  /** Millimetres from row to row, and from column to column: Pixel Spacing. */
  readonly pixelSpacing: readonly [rows: number, columns: number];
  /** Undefined where the source does not say it. */
  readonly sliceThickness?: number;
  readonly studyUid: string;
  readonly seriesUid: string;
  /** Undefined where the source has none. */
  readonly frameOfReferenceUid?: string;
  readonly seriesNumber?: number;
  /** When the images were made, as DICOM writes it ("20240131", "140502"), as far as the source says it. */
  readonly date?: string;
  readonly time?: string;
  /** What is taken over as it is: patient, study, clinical trial. */
  readonly attributes: WrittenAttributes;
  /** How the source's pixels were compressed, which holds for what is made of them as well. */
  readonly lossy: WrittenAttributes;
}

/** From slice to slice in mm: the mean distance; of one slice its thickness, else 1. */
export function sliceSpacing({ slices, sliceThickness = 1 }: SourceImages): number {
  if (slices.length === 1) return sliceThickness;
  const [first, last] = [slices[0].position, slices[slices.length - 1].position];
  return Math.hypot(...first.map((value, i) => last[i] - value)) / (slices.length - 1);
}

/** The slices by instance, in order. */
export function instancesOf(slices: readonly SourceSlice[]): readonly SourceSlice[] {
  return [...new Map(slices.map((slice) => [slice.sopInstance, slice])).values()];
}
