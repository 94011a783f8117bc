/** What an engine's memory holds of a run or a step, as the port gives it. */
import { padToFour } from "../base/shape.ts";
import type { TrainedParameter, TrainStepResult, ValidationStepResult } from "./training.ts";

/** A tensor (voxels, padded channels) as (channels, voxels). */
export function unpadChannels(stored: Float32Array, channels: number): Float32Array<ArrayBuffer> {
  const padded = padToFour(channels);
  const voxels = stored.length / padded;
  const out = new Float32Array(voxels * channels);
  for (let c = 0; c < channels; c++) {
    for (let i = 0; i < voxels; i++) out[c * voxels + i] = stored[i * padded + c];
  }
  return out;
}

/** Sums over parts [...][3][padded channels]: true positives, false positives, false negatives. */
export function countTotals(parts: Float32Array, channels: number): Omit<ValidationStepResult, "loss"> {
  const padded = padToFour(channels);
  const totals = [0, 1, 2].map(() => new Float64Array(channels));
  for (let i = 0; i < parts.length; i += padded) {
    const total = totals[i / padded % 3];
    for (let c = 0; c < channels; c++) total[c] += parts[i + c];
  }
  return { truePositives: totals[0], falsePositives: totals[1], falseNegatives: totals[2] };
}

/** The losses of all outputs, weighted, and behind them the sum of the gradients' squares. */
export function stepResults(results: Float32Array | Float64Array): { readonly loss: number; readonly squares: number } {
  const outputs = results.length - 1;
  return { loss: [...results.subarray(0, outputs)].reduce((a, b) => a + b, 0), squares: results[outputs] };
}

/**
 * The result of a training step; a step that was skipped changes nothing.
 * @param moving names of the parameters that have had a step, which this adds to
 */
export function finishStep(
  results: Float32Array | Float64Array,
  parameters: readonly TrainedParameter[],
  moving: Set<string>,
): TrainStepResult {
  const { loss, squares } = stepResults(results);
  const skipped = !Number.isFinite(squares);
  if (!skipped) { for (const { name, hasGradient } of parameters) if (hasGradient) moving.add(name); }
  return { loss, gradientNorm: Math.sqrt(squares), skipped };
}
