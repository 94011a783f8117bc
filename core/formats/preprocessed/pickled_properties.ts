/** The properties that upstream pickles into <case>.pkl, of a preprocessed case or beside probabilities. */
import { z } from "zod";
import { UserError } from "../../base/errors.ts";
import { checkFields } from "../../base/fields.ts";
import { refuseSpecialFile } from "../../base/odd_file.ts";
import { readError } from "../../base/read_error.ts";
import type { Affine } from "../image/image.ts";
import { unpickle } from "../torch/pickle.ts";
import { isNumpyArray, type NumpyArray } from "../torch/pickle_globals.ts";
import { toPlain } from "../torch/pickle_plain.ts";
import { AFFINE, BOX, GRID, isInside, SITK, SPACING } from "./stored_properties.ts";
import type { StoredProperties } from "./training_data.ts";

/** Members that every case has. */
const PICKLED = z.object({
  spacing: SPACING,
  shape_before_cropping: GRID,
  bbox_used_for_cropping: BOX,
  shape_after_cropping_and_before_resampling: GRID,
  sitk_stuff: SITK.optional(),
  nibabel_stuff: z.object({ original_affine: AFFINE, reoriented_affine: AFFINE.optional() }).optional(),
}).refine(
  ({ bbox_used_for_cropping: box, shape_before_cropping: shape }) => isInside(box, shape),
  "bbox_used_for_cropping lies outside the image",
);

export interface PickledCase {
  readonly properties: StoredProperties;
  /** All that was unpickled, by name. */
  readonly members: ReadonlyMap<unknown, unknown>;
}

/**
 * @param doing What is being done, for errors
 * @param remedy What to do about a file that is not as it should be
 * @throws UserError if it is missing, damaged, or calls what no properties need
 */
export async function readPickledProperties(file: string, doing: string, remedy: string): Promise<PickledCase> {
  refuseSpecialFile(file, doing, remedy);
  const bytes = await Deno.readFile(file).catch((error) => {
    throw readError(error, file, doing, `it belongs to the arrays: ${remedy}`);
  });
  const damaged = (problem: string) => new UserError({ doing, file, problem, remedy });
  const { value } = unpickle(bytes, { file, doing });
  if (!(value instanceof Map)) throw damaged("it holds no dictionary of properties");
  const names = Object.keys(PICKLED.shape);
  const members = Object.fromEntries(names.map((name) => [name, plainMember(value.get(name), damaged)]));
  const pickled = checkFields(PICKLED, members, { doing, file, path: [], remedy });
  const { sitk_stuff: sitk, nibabel_stuff: nibabel } = pickled;
  const reoriented = nibabel?.reoriented_affine;
  return {
    properties: {
      spacing: pickled.spacing,
      shapeBeforeCropping: pickled.shape_before_cropping,
      boundingBox: pickled.bbox_used_for_cropping,
      shapeAfterCropping: pickled.shape_after_cropping_and_before_resampling,
      // Images of readers other than these two have neither.
      geometry: {
        ...(sitk && { sitk }),
        ...(nibabel && {
          nibabel: { originalAffine: nibabel.original_affine, ...(reoriented && { reorientedAffine: reoriented }) },
        }),
      },
    },
    members: value,
  };
}

type Damaged = (problem: string) => UserError;

/** Plain data of what was unpickled; arrays in a dictionary, as `nibabel_stuff` has them, become matrices. */
function plainMember(member: unknown, damaged: Damaged): unknown {
  if (!(member instanceof Map)) return member === undefined ? undefined : toPlain(member);
  const result: Record<string, unknown> = {};
  for (const [name, value] of member) {
    if (typeof name !== "string") continue;
    result[name === "original_orientation" ? "originalOrientation" : name] = isNumpyArray(value)
      ? affineOf(value, damaged)
      : toPlain(value);
  }
  return result;
}

/** A 4 x 4 array of float64 as rows. */
function affineOf(array: NumpyArray, damaged: Damaged): Affine {
  const { data, type, shape, fortranOrder } = array;
  const fits = type?.code === "f8" && type.byteOrder !== ">" && shape.join() === "4,4";
  if (!fits || !(data instanceof Uint8Array) || data.length !== 128) {
    throw damaged("an affine in it is no 4 x 4 array of float64");
  }
  const values = new Float64Array(data.slice().buffer);
  const at = (row: number, column: number) => values[fortranOrder ? 4 * column + row : 4 * row + column];
  return [0, 1, 2, 3].map((row) => [at(row, 0), at(row, 1), at(row, 2), at(row, 3)] as const);
}
