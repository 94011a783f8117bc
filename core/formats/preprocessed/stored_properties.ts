/** What a preprocessed case's file has to say of the case it was made from, checked: three-dimensional, inside itself, finite. */
import { z } from "zod";
import type { Affine, ReaderName, SitkGeometry } from "../image/image.ts";
import { isDicomOrientation } from "../image/nifti/sitk_orientation.ts";
import type { ClassKey } from "./training_data.ts";

/** Voxels along an axis; images end far below. */
const SIZE = z.int("expected a whole number of voxels").min(1, "expected at least one voxel").max(2 ** 31);
export const GRID = z.tuple([SIZE, SIZE, SIZE], "expected three numbers of voxels");

const NUMBER = z.number("expected a number");
const MM = NUMBER.gt(0, "expected a number of mm above 0");
export const SPACING = z.tuple([MM, MM, MM], "expected three numbers of mm");

const EDGE = z.int("expected a voxel's index").min(0).max(2 ** 31);
const RANGE = z.tuple([EDGE, EDGE], "expected a range of two indices");
export const BOX = z.tuple([RANGE, RANGE, RANGE], "expected three ranges");

export const SITK: z.ZodType<SitkGeometry> = z.object({
  spacing: z.array(MM).min(2).max(3),
  origin: z.array(NUMBER),
  direction: z.array(NUMBER),
  originalOrientation: z.string().refine(isDicomOrientation, "expected three letters like RAS").optional(),
}).refine(
  ({ spacing: { length }, origin, direction }) => origin.length === length && direction.length === length * length,
  "expected as many numbers of spacing and origin as the image has dimensions, and their square of direction",
);

const ROW = z.tuple([NUMBER, NUMBER, NUMBER, NUMBER], "expected four numbers");
export const AFFINE: z.ZodType<Affine> = z.array(ROW).length(4, "expected four rows");

export const CLASS_KEY: z.ZodType<ClassKey> = z.object({
  kind: z.enum(["label", "integer", "region", "allLabels"]),
  labels: z.array(z.int()).min(1),
});

/** The properties in a file of bricks. */
export const PROPERTIES = z.object({
  geometry: z.object({
    // The plans say which reader it is; nobody takes it from here.
    reader: z.custom<ReaderName>((name) => typeof name === "string", "expected a text"),
    spacing: SPACING,
    shape: GRID,
    sitk: SITK.optional(),
    nibabel: z.object({ originalAffine: AFFINE, reorientedAffine: AFFINE.optional() }).optional(),
  }),
  shapeBeforeCropping: GRID,
  boundingBox: BOX,
  shapeAfterCropping: GRID,
}).refine(
  ({ boundingBox, shapeBeforeCropping }) => isInside(boundingBox, shapeBeforeCropping),
  "the bounding box lies outside the image",
);

/** True if every range of a box has voxels, and all of them lie in a grid of that shape. */
export function isInside(box: z.infer<typeof BOX>, shape: z.infer<typeof GRID>): boolean {
  return box.every(([low, high], axis) => low < high && high <= shape[axis]);
}
