/**
 * Brightness, contrast and gamma of a channel, in place. Statistics are summed in float64.
 * Sources: batchgeneratorsv2/transforms/intensity/{brightness,contrast,gamma}.py (0.3.6).
 */
import { createPower } from "./power.ts";

/** Multiplies. */
export function scaleBrightness(image: Float32Array, factor: number): void {
  const f = Math.fround(factor);
  for (let i = 0; i < image.length; i++) image[i] *= f;
}

/** Stretches the distances to the mean, within the range that there was. */
export function changeContrast(image: Float32Array, factor: number): void {
  const f = Math.fround(factor);
  const { mean, lowest, highest } = statisticsOf(image);
  for (let i = 0; i < image.length; i++) {
    const value = (image[i] - mean) * f + mean;
    image[i] = value < lowest ? lowest : value > highest ? highest : value;
  }
}

/**
 * Raises the values, brought to 0..1, to the power `gamma`, and restores mean and standard deviation.
 * @param inverted True: of the negated image, which is negated back
 */
export function changeGamma(image: Float32Array, gamma: number, inverted: boolean): void {
  const { mean, deviation, lowest, highest } = statisticsOf(image);
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

interface Statistics {
  readonly mean: number;
  /** With one degree of freedom less. */
  readonly deviation: number;
  readonly lowest: number;
  readonly highest: number;
}

function statisticsOf(image: Float32Array): Statistics {
  const count = image.length;
  const pivot = image[0];
  let lowest = pivot;
  let highest = pivot;
  // Two sums each: an addition need not wait for the one before.
  let sumA = 0;
  let sumB = 0;
  let squaresA = 0;
  let squaresB = 0;
  for (let i = 0; i + 1 < count; i += 2) {
    const a = image[i];
    const b = image[i + 1];
    if (a < lowest) lowest = a;
    if (a > highest) highest = a;
    if (b < lowest) lowest = b;
    if (b > highest) highest = b;
    sumA += a - pivot;
    sumB += b - pivot;
    squaresA += (a - pivot) * (a - pivot);
    squaresB += (b - pivot) * (b - pivot);
  }
  if (count % 2 === 1) {
    const last = image[count - 1];
    if (last < lowest) lowest = last;
    if (last > highest) highest = last;
    sumA += last - pivot;
    squaresA += (last - pivot) ** 2;
  }
  const sum = sumA + sumB;
  const variance = Math.max(0, squaresA + squaresB - sum * sum / count) / (count - 1);
  return { mean: pivot + sum / count, deviation: Math.sqrt(variance), lowest, highest };
}
