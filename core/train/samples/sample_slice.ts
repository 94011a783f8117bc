/** A slice of a validation patch with its truth and its prediction, for the report of a training. */
import type { Vec3 } from "../../base/shape.ts";
import { fullestSlice, greyWindow, overlayPng } from "../../evaluate/overlay.ts";

export interface SampleSlice {
  /** The case and what else identifies the patch. */
  readonly title: string;
  /** One slice: 1, rows, columns. */
  readonly shape: Vec3;
  /** Millimetres (z, y, x). */
  readonly spacing: Vec3;
  readonly image: Float32Array;
  /** Labels from 1 on are shown. */
  readonly truth: Int16Array;
  readonly prediction: Int16Array;
}

/** Pixels of a picture's three panels together, about. */
const WIDTH = 900;

/**
 * The slice of a patch that shows most of the truth.
 * @param image One channel of the patch (z, y, x)
 * @param truth Labels (z, y, x), as `prediction`
 */
export function sampleSlice(
  title: string,
  image: Float32Array,
  truth: ArrayLike<number>,
  prediction: ArrayLike<number>,
  shape: Vec3,
  spacing: Vec3,
): SampleSlice {
  const size = shape[1] * shape[2];
  const from = fullestSlice(truth, shape) * size;
  const cut = (labels: ArrayLike<number>) => Int16Array.from({ length: size }, (_, i) => labels[from + i]);
  return {
    title,
    shape: [1, shape[1], shape[2]],
    spacing,
    image: image.slice(from, from + size),
    truth: cut(truth),
    prediction: cut(prediction),
  };
}

/** Image, truth and prediction side by side, as a PNG. */
export function samplePng({ image, shape, spacing, truth, prediction }: SampleSlice): Uint8Array {
  const scale = Math.max(1, Math.round(WIDTH / 3 / shape[2]));
  const panels = [undefined, truth, prediction];
  return overlayPng([{ image, shape, spacing, window: greyWindow(image), panels, slice: 0 }], scale);
}
