/**
 * Brightness, contrast and gamma of a channel, in place. Statistics are summed in float64.
 * Sources: batchgeneratorsv2/transforms/intensity/{brightness,contrast,gamma}.py (0.3.6), batchgenerators/augmentations/
 * color_augmentations.py (0.25.5), whose gamma differs by 1e-7 in what it divides by.
 */
import { createPower } from "./power.ts";

/** Multiplies. */
export function scaleBrightness(image: Float32Array, factor: number): void {
  const f = Math.fround(factor);
  for (let i = 0; i < image.length; i++) image[i] *= f;
}

/** Adds. */
export function addBrightness(image: Float32Array, offset: number): void {
  for (let i = 0; i < image.length; i++) image[i] += offset;
}

/** Stretches the distances to the mean. @param unbounded True: values may leave the range that there was */
export function changeContrast(image: Float32Array, factor: number, unbounded = false): void {
  const f = Math.fround(factor);
  const { lowest, highest } = unbounded ? { lowest: -Infinity, highest: Infinity } : rangeOf(image);
  const { mean } = momentsOf(image);
  for (let i = 0; i < image.length; i++) {
    image[i] = Math.min(Math.max((image[i] - mean) * f + mean, lowest), highest);
  }
}

/**
 * Raises the values, brought to 0..1, to the power `gamma`, and restores mean and standard deviation.
 * @param inverted True: of the negated image, which is negated back
 */
export function changeGamma(image: Float32Array, gamma: number, inverted: boolean): void {
  const { lowest, highest } = rangeOf(image);
  const { mean, deviation } = momentsOf(image);
  const range = highest - lowest;
  const divisor = Math.max(range, 1e-7);
  const power = createPower(Math.fround(gamma));
  // Negated, v - min is max - v: distances to the other end.
  const sign = inverted ? -1 : 1;
  const end = inverted ? highest : lowest;
  const perRange = sign / divisor;
  let sum = 0;
  let squares = 0;
  for (let i = 0; i < image.length; i++) {
    const value = power.raise((image[i] - end) * perRange);
    image[i] = value;
    sum += value;
    squares += value * value;
  }
  // From here on in units of the range; its factor and offset are taken out by the restored statistics.
  const count = image.length;
  const newMean = sum / count;
  const newDeviation = Math.sqrt(Math.max(0, squares - sum * newMean) / (count - 1));
  const factor = sign * range * deviation / Math.max(newDeviation * range, 1e-7);
  for (let i = 0; i < count; i++) image[i] = (image[i] - newMean) * factor + mean;
}

/** Smallest and largest value. Four of each: a comparison need not wait for the one before. */
export function rangeOf(image: Float32Array): { readonly lowest: number; readonly highest: number } {
  let low0 = image[0];
  let low1 = low0;
  let low2 = low0;
  let low3 = low0;
  let high0 = low0;
  let high1 = low0;
  let high2 = low0;
  let high3 = low0;
  const even = image.length & ~3;
  for (let i = 0; i < even; i += 4) {
    const a = image[i];
    const b = image[i + 1];
    const c = image[i + 2];
    const d = image[i + 3];
    low0 = Math.min(low0, a);
    high0 = Math.max(high0, a);
    low1 = Math.min(low1, b);
    high1 = Math.max(high1, b);
    low2 = Math.min(low2, c);
    high2 = Math.max(high2, c);
    low3 = Math.min(low3, d);
    high3 = Math.max(high3, d);
  }
  for (let i = even; i < image.length; i++) {
    low0 = Math.min(low0, image[i]);
    high0 = Math.max(high0, image[i]);
  }
  return { lowest: Math.min(low0, low1, low2, low3), highest: Math.max(high0, high1, high2, high3) };
}

/** Mean, and standard deviation with one degree of freedom less. Two sums of each, for the same reason. */
function momentsOf(image: Float32Array): { readonly mean: number; readonly deviation: number } {
  const count = image.length;
  const pivot = image[0];
  let sumA = 0;
  let sumB = 0;
  let squaresA = 0;
  let squaresB = 0;
  for (let i = 0; i + 1 < count; i += 2) {
    const a = image[i] - pivot;
    const b = image[i + 1] - pivot;
    sumA += a;
    sumB += b;
    squaresA += a * a;
    squaresB += b * b;
  }
  if (count % 2 === 1) {
    sumA += image[count - 1] - pivot;
    squaresA += (image[count - 1] - pivot) ** 2;
  }
  const sum = sumA + sumB;
  const variance = Math.max(0, squaresA + squaresB - sum * sum / count) / (count - 1);
  return { mean: pivot + sum / count, deviation: Math.sqrt(variance) };
}
