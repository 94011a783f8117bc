/** The reference engine's operators around a network: the kernels' plain references (kernels/operators) on the port's tensors. */
import { padToFour, voxelCount } from "../../core/base/shape.ts";
import type { ElementArrays, ElementType, Program, TensorHandle } from "../../core/engine/engine.ts";
import {
  checkAccumulate,
  checkFinish,
  checkGather,
  checkResampleToLabels,
  checkResampleToProbabilities,
  type ResamplePlanes,
  type VolumeCalls,
} from "../../core/engine/volume.ts";
import {
  accumulateReference,
  finishReference,
  gatherReference,
  interpolateReference,
  labelReference,
  probabilitiesReference,
} from "../../kernels/operators/volume/reference.ts";

/** A program's samples, (channels, z, y, x). */
export interface ProgramState {
  readonly inputs: readonly Float32Array[];
  readonly outputs: Float32Array[];
}

interface ReferenceTools {
  dataOf<T extends ElementType>(tensor: TensorHandle<T>, doing: string): ElementArrays[T];
  stateOf(program: Program, doing: string): ProgramState;
  enqueue(work: () => void): void;
}

export function createReferenceVolumeCalls({ dataOf, stateOf, enqueue }: ReferenceTools): VolumeCalls {
  /** Calls `use` for every output voxel with its index among those of the planes, and its logits. */
  function eachVoxel(call: ResamplePlanes, logits: Float32Array, use: (voxel: number, logits: Float32Array) => void) {
    const { ring, tables, from, to } = call;
    const values = interpolateReference(ring, logits, tables, from, to);
    for (let i = 0; i * ring.channels < values.length; i++) {
      use(i, values.subarray(i * ring.channels, (i + 1) * ring.channels));
    }
  }

  return {
    ringStride: (channels) => channels,
    gatherPatches(call) {
      checkGather(call);
      const { program: { patch }, channels, grid, patches, labelMap } = call;
      const { inputs } = stateOf(call.program, "Gathering patches");
      const volume = dataOf(call.volume, "Gathering patches");
      const labels = labelMap && dataOf(labelMap.labels, "Gathering patches");
      enqueue(() => {
        const maps = labelMap && labels && { labelMap: { labels, oneHot: labelMap.oneHot } };
        const all = gatherReference({ volume, channels, grid, patches, patch, ...maps });
        const sample = all.length / patches.length;
        patches.forEach((_, i) =>
          inputs[i].set(channelsFirst(all.subarray(i * sample, (i + 1) * sample), inputs[i].length))
        );

        function channelsFirst(values: Float32Array, length: number): Float32Array {
          const voxels = voxelCount(patch);
          const padded = values.length / voxels;
          return Float32Array.from({ length }, (_, at) => values[(at % voxels) * padded + Math.floor(at / voxels)]);
        }
      });
    },
    accumulate(call) {
      checkAccumulate(call);
      const { ring, program: { patch }, placement, scale, addWeight } = call;
      const { outputs } = stateOf(call.program, "Accumulating");
      const importance = dataOf(call.importance, "Accumulating");
      const [logits, weightSums] = [dataOf(ring.logits, "Accumulating"), dataOf(ring.weightSums, "Accumulating")];
      enqueue(() => {
        const planar = outputs[call.sample];
        const [voxels, padded] = [voxelCount(patch), padToFour(ring.channels)];
        const output = new Float32Array(voxels * padded);
        planar.forEach((value, at) => output[(at % voxels) * padded + Math.floor(at / voxels)] = value);
        const sums = { ring, logits, weightSums };
        accumulateReference({ ...sums, output, sample: 0, patch, placement, importance, scale, addWeight });
      });
    },
    finishPlanes(ring, from, to, folds) {
      checkFinish(ring, from, to, folds);
      const [logits, sums] = [dataOf(ring.logits, "Finishing planes"), dataOf(ring.weightSums, "Finishing planes")];
      const nonFinite = ring.nonFinite && dataOf(ring.nonFinite, "Finishing planes");
      enqueue(() => {
        finishReference(ring, logits, sums, from, to, folds);
        const plane = ring.rows * ring.columns * ring.channelStride;
        for (let p = from; nonFinite && p < to; p++) {
          const at = (p % ring.planes) * plane;
          const isOne = (value: number, i: number) => i % ring.channelStride < ring.channels && !Number.isFinite(value);
          if (logits.subarray(at, at + plane).some(isOne)) nonFinite[0] = 1;
        }
      });
    },
    resampleToLabels(call) {
      checkResampleToLabels(call);
      const { rule, view: { offset, strides }, from, tables: [, { first: rows }, { first: columns }] } = call;
      const logits = dataOf(call.ring.logits, "Resampling");
      const target = dataOf<"u8" | "u16">(call.target, "Resampling");
      enqueue(() =>
        eachVoxel(call, logits, (voxel, values) => {
          const row = Math.floor(voxel / columns.length);
          const at = [from + Math.floor(row / rows.length), row % rows.length, voxel % columns.length];
          target[at.reduce((sum, position, i) => sum + position * strides[i], offset)] = labelReference(values, rule);
        })
      );
    },
    resampleToProbabilities(call) {
      checkResampleToProbabilities(call);
      const [logits, target] = [dataOf(call.ring.logits, "Resampling"), dataOf(call.target, "Resampling")];
      const plane = call.tables[1].first.length * call.tables[2].first.length;
      enqueue(() =>
        eachVoxel(call, logits, (voxel, values) => {
          const first = Math.floor(voxel / plane) * values.length * plane + voxel % plane;
          probabilitiesReference(values, call.nonlinearity).forEach((value, c) => target[first + c * plane] = value);
        })
      );
    },
  };
}
