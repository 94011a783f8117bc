/**
 * The five intensity normalisations, in place on one channel of the cropped image.
 * Source: nnunetv2/preprocessing/normalization/default_normalization_schemes.py. Upstream computes in f32; its constants are
 * rounded to f32 here as well, while sums run in float64, which is closer to the true mean than its pairwise f32 sums.
 */
import { UserError } from "../base/errors.ts";
import type { IntensityProperties, NormalizationScheme } from "../plan/plans.ts";

/** Smallest divisor. */
const EPSILON = 1e-8;

export interface Normalisation {
  readonly scheme: NormalizationScheme;
  /** Statistics of the training set for this channel; CTNormalization needs them. */
  readonly intensities: IntensityProperties | undefined;
  /** 1 inside the image, 0 outside, where ZScoreNormalization with use_mask_for_norm leaves the values. */
  readonly mask: Uint8Array | undefined;
  /** For messages. */
  readonly channel: number;
}

/** Normalises `image` in place. @throws UserError where the values don't fit the scheme. */
export function normalise(image: Float32Array, how: Normalisation): void {
  switch (how.scheme) {
    case "NoNormalization":
      return;
    case "ZScoreNormalization":
      return how.mask === undefined ? zScore(image) : zScoreInside(image, how.mask);
    case "CTNormalization":
      return ct(image, how);
    case "RescaleTo01Normalization":
      return rescaleTo01(image);
    case "RGBTo01Normalization":
      return rgbTo01(image, how.channel);
  }
}

function zScore(image: Float32Array): void {
  let sum = 0;
  for (let i = 0; i < image.length; i++) sum += image[i];
  const mean = sum / image.length;
  let squares = 0;
  for (let i = 0; i < image.length; i++) squares += (image[i] - mean) ** 2;
  shiftAndDivide(image, mean, Math.sqrt(squares / image.length));
}

function zScoreInside(image: Float32Array, mask: Uint8Array): void {
  let sum = 0;
  let count = 0;
  for (let i = 0; i < image.length; i++) {
    if (mask[i] === 0) continue;
    sum += image[i];
    count++;
  }
  if (count === 0) return;
  const mean = sum / count;
  let squares = 0;
  for (let i = 0; i < image.length; i++) if (mask[i] !== 0) squares += (image[i] - mean) ** 2;
  const shift = Math.fround(mean);
  const divisor = Math.fround(Math.max(Math.fround(Math.sqrt(squares / count)), EPSILON));
  for (let i = 0; i < image.length; i++) {
    if (mask[i] !== 0) image[i] = Math.fround(image[i] - shift) / divisor;
  }
}

function ct(image: Float32Array, { intensities, channel }: Normalisation): void {
  if (intensities === undefined) {
    throw new UserError({
      doing: "normalising the image",
      problem:
        `CTNormalization of channel ${channel} needs foreground_intensity_properties_per_channel["${channel}"], ` +
        "which plans.json lacks",
      remedy: "use the plans.json that was made with the model",
    });
  }
  const low = Math.fround(intensities.percentile_00_5);
  const high = Math.fround(intensities.percentile_99_5);
  for (let i = 0; i < image.length; i++) {
    const value = image[i];
    if (value < low) image[i] = low;
    else if (value > high) image[i] = high;
  }
  shiftAndDivide(image, intensities.mean, intensities.std);
}

function rescaleTo01(image: Float32Array): void {
  const [low, high] = smallestAndLargest(image);
  shiftAndDivide(image, low, Math.fround(high - low));
}

function rgbTo01(image: Float32Array, channel: number): void {
  const [low, high] = smallestAndLargest(image);
  if (low < 0 || high > 255) {
    throw new UserError({
      doing: "normalising the image",
      problem: `channel ${channel} has values from ${low} to ${high}; RGBTo01Normalization needs 0 to 255`,
      remedy: "give 8-bit images, or take a model trained on images like these",
    });
  }
  for (let i = 0; i < image.length; i++) image[i] /= 255;
}

/** (value - shift) / max(divisor, 1e-8), each step rounded to f32. */
function shiftAndDivide(image: Float32Array, shift: number, divisor: number): void {
  const f32Shift = Math.fround(shift);
  const f32Divisor = Math.fround(Math.max(Math.fround(divisor), EPSILON));
  for (let i = 0; i < image.length; i++) image[i] = Math.fround(image[i] - f32Shift) / f32Divisor;
}

function smallestAndLargest(image: Float32Array): [number, number] {
  let low = Infinity;
  let high = -Infinity;
  for (let i = 0; i < image.length; i++) {
    low = Math.min(low, image[i]);
    high = Math.max(high, image[i]);
  }
  return [low, high];
}
