/** The port's operators outside a network: from checked calls on tensors to kernels over their ranges of memory. */
import {
  checkAccumulate,
  checkFinish,
  checkGather,
  checkResampleToLabels,
  checkResampleToProbabilities,
  type LabelRule,
  type ResamplePlanes,
  type VolumeCalls,
} from "../core/engine/volume.ts";
import type { Kernel } from "../kernels/wasm/emit/module_builder.ts";
import { ACCUMULATE_KERNELS, planAccumulate, planFinishPlanes } from "../kernels/wasm/volume/accumulate.ts";
import { CLEAR_KERNELS } from "../kernels/wasm/volume/clear.ts";
import { GATHER_KERNELS, planGatherPatches } from "../kernels/wasm/volume/gather.ts";
import { LABEL_KERNELS } from "../kernels/wasm/volume/label_kernel.ts";
import { PROBABILITY_KERNELS } from "../kernels/wasm/volume/probability_kernel.ts";
import {
  packResampleTables,
  planResampleToLabels,
  planResampleToProbabilities,
} from "../kernels/wasm/volume/resample.ts";
import type { Programs } from "./programs.ts";
import type { Stream } from "./stream.ts";
import type { Tensors } from "./tensors.ts";

/** The module's kernels of these operators, and of clearing memory. */
export const VOLUME_WASM: readonly Kernel[] = [
  ...GATHER_KERNELS,
  ...ACCUMULATE_KERNELS,
  ...CLEAR_KERNELS,
  ...LABEL_KERNELS,
  ...PROBABILITY_KERNELS,
];

export interface VolumeTools
  extends Pick<Tensors, "regionOf" | "enqueue">, Pick<Programs, "programOf" | "slotOfArena"> {
  readonly stream: Stream;
}

export function createVolumeCalls({ stream, regionOf, enqueue, programOf, slotOfArena }: VolumeTools): VolumeCalls {
  const { memory } = stream;

  function resampling(call: ResamplePlanes, rule?: LabelRule) {
    const { ring, tables, from, to } = call;
    const bytes = packResampleTables(ring, tables, rule?.values);
    const tablesAddress = memory.allocateSmall(bytes.length);
    memory.bytes(tablesAddress, bytes.length).set(bytes);
    const outputs = [tables[0].first.length, tables[1].first.length, tables[2].first.length] as const;
    const range = { ring, outputs, logitsSlot: "logits", tablesSlot: "tables", targetSlot: "target", from, to };
    const logits = regionOf(ring.logits, "Resampling");
    const done = () => stream.afterwards(() => memory.freeSmall(tablesAddress));
    return { range, slots: { logits, tables: tablesAddress }, done };
  }

  return {
    gatherPatches(call) {
      checkGather(call);
      const doing = "Gathering patches";
      const state = programOf(call.program, doing);
      const volume = regionOf(call.volume, doing);
      const labels = call.labelMap && regionOf(call.labelMap.labels, doing);
      const operator = planGatherPatches({
        volumeSlot: "volume",
        channels: call.channels,
        grid: call.grid,
        ...(call.labelMap && { labelMap: { slot: "labels", oneHot: call.labelMap.oneHot } }),
        patches: call.patches,
        patch: call.program.patch,
        inputSlot: "input",
      });
      const input = slotOfArena(state, state.plan.inputSlot);
      const slots = { volume, input, ...(labels && { labels }) };
      enqueue(operator, slots, [volume, state.arena, ...(labels ? [labels] : [])]);
    },
    ringStride: (channels) => channels,
    accumulate(call) {
      checkAccumulate(call);
      const doing = "Accumulating";
      const state = programOf(call.program, doing);
      const { ring, sample, placement, scale, addWeight } = call;
      const operator = planAccumulate({
        ring,
        logitsSlot: "logits",
        weightSumsSlot: "sums",
        outputSlot: "output",
        sample,
        patch: call.program.patch,
        placement,
        importanceSlot: "importance",
        scale,
        addWeight,
      });
      const regions = {
        logits: regionOf(ring.logits, doing),
        sums: regionOf(ring.weightSums, doing),
        importance: regionOf(call.importance, doing),
      };
      const output = slotOfArena(state, state.plan.outputSlot);
      enqueue(operator, { ...regions, output }, [...Object.values(regions), state.arena]);
    },
    finishPlanes(ring, from, to, folds) {
      checkFinish(ring, from, to, folds);
      const doing = "Finishing planes";
      const slots = {
        logits: regionOf(ring.logits, doing),
        sums: regionOf(ring.weightSums, doing),
        ...(ring.nonFinite && { flag: regionOf(ring.nonFinite, doing) }),
      };
      const where = { logitsSlot: "logits", weightSumsSlot: "sums", ...(ring.nonFinite && { flagSlot: "flag" }) };
      enqueue(planFinishPlanes({ ring, ...where, from, to, folds }), slots);
    },
    resampleToLabels(call) {
      checkResampleToLabels(call);
      const target = regionOf(call.target, "Resampling");
      const { range, slots, done } = resampling(call, call.rule);
      const { type: targetType } = call.target;
      const operator = planResampleToLabels({ ...range, kind: call.rule.kind, targetType, view: call.view });
      enqueue(operator, { ...slots, target });
      done();
    },
    resampleToProbabilities(call) {
      checkResampleToProbabilities(call);
      const target = regionOf(call.target, "Resampling");
      const { range, slots, done } = resampling(call);
      enqueue(planResampleToProbabilities({ ...range, nonlinearity: call.nonlinearity }), { ...slots, target });
      done();
    },
  };
}
