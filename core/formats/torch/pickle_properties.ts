/**
 * The properties file <case>.pkl that --save_probabilities writes beside the probabilities: what upstream's readers and
 * preprocessor put into it, in the same Python types, so that upstream's ensembling and postprocessing read it.
 * Source: nnunetv2/imageio/*.py, nnunetv2/preprocessing/preprocessors/default_preprocessor.py.
 */
import type { Vec3 } from "../../base/shape.ts";
import type { Affine, ImageGeometry } from "../image/image.ts";
import { dict, float, float64, int, ndarray, pickle, type PickleValue, tuple } from "./pickle_writer.ts";

/** What is known of a predicted case. Axes are those after transpose_forward, but for `geometry`. */
export interface PickledProperties {
  readonly geometry: ImageGeometry;
  readonly shapeBeforeCropping: Vec3;
  /** Half-open [low, high) per axis. */
  readonly boundingBox: readonly (readonly [number, number])[];
  readonly shapeAfterCropping: Vec3;
}

/**
 * The bytes of <case>.pkl.
 * @param more Members that come last: class_locations of a training case.
 */
export function pickleProperties(
  properties: PickledProperties,
  more: Readonly<Record<string, PickleValue>> = {},
): Uint8Array<ArrayBuffer> {
  const { geometry, shapeBeforeCropping, boundingBox, shapeAfterCropping } = properties;
  return pickle(dict({
    ...readerProperties(geometry),
    shape_before_cropping: tuple(shapeBeforeCropping.map(int)),
    bbox_used_for_cropping: boundingBox.map((range) => range.map(int)),
    shape_after_cropping_and_before_resampling: tuple(shapeAfterCropping.map(int)),
    ...more,
  }));
}

/** SimpleITKIO's spacing went through numpy.abs; nibabel's are floats; a natural image has the constant (999, 1, 1). */
function readerProperties(geometry: ImageGeometry): Record<string, PickleValue> {
  const { sitk, nibabel, spacing } = geometry;
  if (sitk) {
    const floats = (values: readonly number[]) => tuple(values.map(float));
    const stuff = {
      spacing: floats(sitk.spacing),
      origin: floats(sitk.origin),
      direction: floats(sitk.direction),
      ...(sitk.originalOrientation !== undefined && { original_orientation: sitk.originalOrientation }),
    };
    return { sitk_stuff: dict(stuff), spacing: spacing.map(float64) };
  }
  if (nibabel) {
    const affine = (rows: Affine) => ndarray([4, 4], rows.flat());
    const stuff = {
      original_affine: affine(nibabel.originalAffine),
      ...(nibabel.reorientedAffine ? { reoriented_affine: affine(nibabel.reorientedAffine) } : {}),
    };
    return { nibabel_stuff: dict(stuff), spacing: spacing.map(float) };
  }
  return { spacing: tuple(spacing.map((mm) => (Number.isInteger(mm) ? int(mm) : float(mm)))) };
}
