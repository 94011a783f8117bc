/** The port's operators outside a network: from checked calls on tensors to kernels over their buffers. */
import { padToFour } from "../core/base/shape.ts";
import type { Program, TensorHandle } from "../core/engine/engine.ts";
import {
  checkAccumulate,
  checkFinish,
  checkGather,
  checkResampleToLabels,
  checkResampleToProbabilities,
  type LabelRule,
  type LogitRing,
  type ResamplePlanes,
  type VolumeCalls,
} from "../core/engine/volume.ts";
import type { WgslOperator } from "../kernels/wgsl/kernel.ts";
import { planAccumulate, planFinishPlanes } from "../kernels/wgsl/volume/accumulate.ts";
import { planGatherPatches } from "../kernels/wgsl/volume/gather.ts";
import {
  packResampleTables,
  planResampleToLabels,
  planResampleToProbabilities,
} from "../kernels/wgsl/volume/resample.ts";
import { type ArrayExtent, type Buffers, layoutOf, type Segments } from "./buffers.ts";
import type { Commands } from "./commands.ts";
import type { ProgramPlan } from "./program_plan.ts";

/** What the calls need of the engine; `A` is an array of it. */
export interface VolumeTools<A extends ArrayExtent> {
  segmentsOf(tensor: TensorHandle, doing: string): A;
  programOf(program: Program, doing: string): { readonly plan: ProgramPlan; slot(name: string): A };
  enqueue(operator: WgslOperator, slots: Readonly<Record<string, A>>): void;
  readonly tables: ResampleTables<A>;
}

/** The kernels take a voxel's channels in whole blocks of four. */
function checkStride({ channels, channelStride }: LogitRing, doing: string): void {
  if (channelStride === padToFour(channels)) return;
  throw new RangeError(`${doing}: a ring of ${channels} channels has a channel stride of ${channelStride}`);
}

export function createVolumeCalls<A extends ArrayExtent>(tools: VolumeTools<A>): VolumeCalls {
  const { segmentsOf, programOf, enqueue, tables } = tools;

  /** The arrays of a ring, and how kernels see them. */
  function ringOf(ring: LogitRing, doing: string) {
    checkStride(ring, doing);
    const [logits, sums] = [segmentsOf(ring.logits, doing), segmentsOf(ring.weightSums, doing)];
    return {
      slots: { logits, sums },
      layouts: { logits: layoutOf("logits", logits, 16), weightSums: layoutOf("sums", sums, 4) },
    };
  }

  function resampling(call: ResamplePlanes, rule?: LabelRule) {
    const { ring, from, to } = call;
    checkStride(ring, "Resampling");
    const logits = segmentsOf(ring.logits, "Resampling");
    const range = {
      ring,
      logits: layoutOf("logits", logits, 16),
      tables: call.tables,
      tablesSlot: "tables",
      from,
      to,
    };
    return { range, slots: { logits, tables: tables.get(call, rule) } };
  }

  return {
    ringStride: padToFour,
    gatherPatches(call) {
      checkGather(call);
      const doing = "Gathering patches";
      const state = programOf(call.program, doing);
      const volume = segmentsOf(call.volume, doing);
      const labels = call.labelMap && segmentsOf(call.labelMap.labels, doing);
      const { input } = state.plan;
      const operator = planGatherPatches({
        volume: layoutOf("volume", volume, 4),
        channels: call.channels,
        grid: call.grid,
        ...(call.labelMap && labels &&
          { labelMap: { labels: layoutOf("labels", labels, 4), oneHot: call.labelMap.oneHot } }),
        patches: call.patches,
        patch: call.program.patch,
        input,
      });
      enqueue(operator, { volume, [input.slot]: state.slot(input.slot), ...(labels && { labels }) });
    },
    accumulate(call) {
      checkAccumulate(call);
      const doing = "Accumulating";
      const state = programOf(call.program, doing);
      const { ring, sample, placement, scale, addWeight } = call;
      const { slots, layouts } = ringOf(ring, doing);
      const importance = segmentsOf(call.importance, doing);
      const { output } = state.plan;
      const operator = planAccumulate({
        ring,
        ...layouts,
        output,
        sample,
        patch: call.program.patch,
        placement,
        importance: layoutOf("importance", importance, 4),
        scale,
        addWeight,
      });
      enqueue(operator, { ...slots, importance, [output.slot]: state.slot(output.slot) });
    },
    finishPlanes(ring, from, to, folds) {
      checkFinish(ring, from, to, folds);
      const { slots, layouts } = ringOf(ring, "Finishing planes");
      const flag = ring.nonFinite && segmentsOf(ring.nonFinite, "Finishing planes");
      const operator = planFinishPlanes({ ring, ...layouts, from, to, folds, ...(flag && { flagSlot: "flag" }) });
      enqueue(operator, { ...slots, ...(flag && { flag }) });
    },
    resampleToLabels(call) {
      checkResampleToLabels(call);
      const target = segmentsOf(call.target, "Resampling");
      const { range, slots } = resampling(call, call.rule);
      const { type: targetType } = call.target;
      const { rule, view } = call;
      const operator = planResampleToLabels({
        ...range,
        rule,
        target: layoutOf("target", target, 4),
        targetType,
        view,
      });
      enqueue(operator, { ...slots, target });
    },
    resampleToProbabilities(call) {
      checkResampleToProbabilities(call);
      const target = segmentsOf(call.target, "Resampling");
      const { range, slots } = resampling(call);
      const { nonlinearity } = call;
      const operator = planResampleToProbabilities({ ...range, nonlinearity, target: layoutOf("target", target, 4) });
      enqueue(operator, { ...slots, target });
    },
  };
}

/** The tables of resamplings on the device. */
export interface ResampleTables<A extends ArrayExtent> {
  get(planes: ResamplePlanes, rule?: LabelRule): A;
}

/** The tables of the last resampling: it goes on range after range with the same ones. */
export function createTableCache(buffers: Buffers, commands: Commands): ResampleTables<Segments> {
  let last: { readonly key: readonly unknown[]; readonly segments: Segments } | undefined;
  return {
    get({ ring, tables }: ResamplePlanes, rule?: LabelRule): Segments {
      const { planes, rows, columns, depth, channels } = ring;
      const key = [...tables, planes, rows, columns, depth, channels, rule?.values.join()];
      if (last?.key.every((part, i) => part === key[i])) return last.segments;
      if (last) buffers.giveArray(last.segments);
      last = undefined;
      const bytes = packResampleTables(ring, tables, rule?.values);
      const segments = buffers.takeArray(bytes.length, "tables of the resampling");
      commands.write(segments.ranges[0], bytes);
      last = { key, segments };
      return segments;
    },
  };
}
