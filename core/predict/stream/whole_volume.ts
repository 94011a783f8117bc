/**
 * Logits whose resampling needs the whole volume (orders above 1 in custom plans): one class after the other is brought to the
 * original grid on the host, a running decision kept per voxel. It needs all logits at once; the stream plan has counted them.
 */
import { voxelCount } from "../../base/shape.ts";
import type { Vec3 } from "../../base/shape.ts";
import type { LabelRule, LogitRing } from "../../engine/volume.ts";
import type { LabelVolume } from "../../formats/image/image.ts";
import { resampleChannel } from "../../preprocess/resample.ts";
import { freeArray } from "../../base/free_array.ts";
import type { PredictCaseCall } from "./predict_case_call.ts";

/** Resamples a ring that holds all planes, final, class by class. */
export async function resampleWholeVolume(call: PredictCaseCall & { readonly ring: LogitRing }): Promise<LabelVolume> {
  const { model, plan, input, ring, probabilities } = call;
  const { grid } = input;
  const source = new Float32Array(voxelCount(grid));
  const resampled = new Float32Array(voxelCount(plan.outputGrid));
  const decision = createDecision(plan.rule, resampled.length);
  const how = {
    resampling: model.configuration.resamplingProbabilities,
    currentSpacing: plan.currentSpacing,
    newSpacing: input.properties.originalSpacing,
  };
  for (let channel = 0; channel < ring.channels; channel++) {
    await readChannel(call, ring, channel, grid, source);
    resampleChannel(source, grid, resampled, plan.outputGrid, how);
    decision.add(channel, resampled);
    probabilities?.writeLogits(channel, plan.outputGrid, resampled);
  }
  probabilities?.applyNonlinearity(plan.nonlinearity);
  const { fileShape, offset, strides } = plan.geometry;
  const data = plan.elementType === "u8"
    ? new Uint8Array(voxelCount(fileShape))
    : new Uint16Array(voxelCount(fileShape));
  let at = 0;
  for (let z = 0; z < plan.outputGrid[0]; z++) {
    for (let y = 0; y < plan.outputGrid[1]; y++) {
      const start = offset + z * strides[0] + y * strides[1];
      for (let x = 0; x < plan.outputGrid[2]; x++) data[start + x * strides[2]] = decision.labels[at++];
    }
  }
  return { data, shape: fileShape };
}

/** One channel of the ring as a contiguous (z, y, x) volume, a plane at a time. */
async function readChannel(
  { engine }: PredictCaseCall,
  ring: LogitRing,
  channel: number,
  grid: Vec3,
  into: Float32Array,
): Promise<void> {
  const planeLength = ring.rows * ring.columns * ring.channelStride;
  const strides = [grid[1] * grid[2], grid[2], 1];
  const [planeStride, rowStride, columnStride] = ring.axes.map((axis) => strides[axis]);
  for (let plane = 0; plane < ring.depth; plane++) {
    const logits = await engine.download(ring.logits, (plane % ring.planes) * planeLength, planeLength);
    let from = channel;
    for (let row = 0; row < ring.rows; row++) {
      let to = plane * planeStride + row * rowStride;
      for (let column = 0; column < ring.columns; column++) {
        into[to] = logits[from];
        from += ring.channelStride;
        to += columnStride;
      }
    }
    freeArray(logits);
  }
}

/** Labels decided as logits come in, channel by channel: the first of the largest, or the last region above 0. */
function createDecision(rule: LabelRule, voxels: number) {
  const labels = new Uint16Array(voxels);
  const largest = rule.kind === "argmax" ? new Float32Array(voxels).fill(-Infinity) : undefined;
  return {
    labels,
    add(channel: number, logits: Float32Array): void {
      const label = rule.values[channel];
      if (largest) {
        for (let i = 0; i < voxels; i++) {
          if (logits[i] > largest[i]) {
            largest[i] = logits[i];
            labels[i] = label;
          }
        }
      } else {
        for (let i = 0; i < voxels; i++) if (logits[i] > 0) labels[i] = label;
      }
    },
  };
}
