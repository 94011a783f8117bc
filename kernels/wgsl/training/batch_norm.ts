/** Batch norm on a GPU: see kernels/operators/training/batch_norm.ts. */
import { tableCost } from "../../operators/elementwise/norm.ts";
import { padToFour } from "../../../core/base/shape.ts";
import {
  BATCH_NORM_MOMENTUM,
  type BatchMoments,
  type NormFromMoments,
  unbiasedFactor,
} from "../../operators/training/batch_norm.ts";
import { MAIN, mergeInGroups, mergeText, mergeUniforms, planTableOfChannels } from "../elementwise/norm.ts";
import { dispatchOf, f32Literal, kernelHeader, threadKernel, threadMain, u32 } from "../emit/thread_kernel.ts";
import { wholeView } from "../emit/views.ts";
import type { WgslDispatch, WgslOperator } from "../kernel.ts";
import { wgsl } from "../emit/template.ts";

/** Statistics of a share, and where they go as one part. */
export interface ShareMoments extends Pick<BatchMoments, "batch" | "parts" | "channels" | "statisticsSlot"> {
  readonly targetSlot: string;
}

/** Workgroups of four channels of the whole batch; then the running moments, one dispatch each: they may lie in one buffer. */
export function planBatchMoments(spec: BatchMoments): WgslOperator {
  const padded = padToFour(spec.channels);
  const merged = { ...spec, batch: 1, parts: spec.batch * spec.parts };
  const operator = mergeInGroups(merged, (statisticsSlot, parts) => {
    const header = kernelHeader(
      [
        wholeView("statistics", statisticsSlot, "f32", "read"),
        wholeView("mean", spec.meanSlot, "f32", "read_write"),
        wholeView("variance", spec.varianceSlot, "f32", "read_write"),
      ],
      { start: 0, end: 0 },
      { ...mergeUniforms(parts, padded), channels: u32(spec.channels) },
    );
    const code = wgsl`
${mergeText(header)}

${MAIN}
  let all = merge_parts(0u, 0u, p.parts, group.x, lane);
  if (lane >= 4u) { return; }
  let channel = group.x * 4u + lane;
  let is_channel = channel < p.channels;
  store_mean(channel, select(0.0, all.mean[lane], is_channel));
  store_variance(channel, select(0.0, all.m2[lane] / all.count, is_channel));
}
`;
    return dispatchOf("batch moments", header, [padded / 4, 1, 1], code);
  });
  const running = [
    runningDispatch(spec, spec.runningMeanSlot, "load_mean(channel)"),
    runningDispatch(spec, spec.runningVarianceSlot, `load_variance(channel) * ${f32Literal(unbiasedFactor(spec))}`),
  ];
  return { algorithm: "moments of a batch", ...operator, dispatches: [...operator.dispatches, ...running] };
}

/** Of a share of a batch: its statistics as one part, f32 [1 + 2 * padded channels]. */
export function planShareMoments(
  { batch, parts, channels, statisticsSlot, targetSlot }: ShareMoments,
): WgslOperator {
  const padded = padToFour(channels);
  const merged = { batch: 1, parts: batch * parts, channels, statisticsSlot };
  const operator = mergeInGroups(merged, (slot, count) => {
    const header = kernelHeader(
      [wholeView("statistics", slot, "f32", "read"), wholeView("merged", targetSlot, "f32", "read_write")],
      { start: 0, end: 0 },
      mergeUniforms(count, padded),
    );
    const code = wgsl`
${mergeText(header)}

${MAIN}
  let all = merge_parts(0u, 0u, p.parts, group.x, lane);
  if (lane >= 4u) { return; }
  let channel = group.x * 4u + lane;
  if (channel == 0u) { store_merged(0u, all.count); }
  store_merged(1u + channel, all.mean[lane]);
  store_merged(1u + p.padded + channel, all.m2[lane]);
}
`;
    return dispatchOf("moments of a share", header, [padded / 4, 1, 1], code);
  });
  return { algorithm: "moments of a share", ...operator };
}

/** Moves a running moment towards `value`, an expression of the batch's, in every channel whose moments are finite. */
function runningDispatch(spec: BatchMoments, runningSlot: string, value: string): WgslDispatch {
  const range = { start: 0, end: spec.channels };
  const views = [
    ...(runningSlot === spec.runningMeanSlot ? [wholeView("mean", spec.meanSlot, "f32", "read")] : []),
    wholeView("variance", spec.varianceSlot, "f32", "read"),
    wholeView("running", runningSlot, "f32", "read_write"),
  ];
  const text = wgsl`
${threadMain("channel")}
  // By its bits: a compiler may take floats to be finite.
  if ((bitcast<u32>(load_variance(channel)) & 0x7f800000u) == 0x7f800000u) { return; }
  let moved = (${value}) * ${f32Literal(BATCH_NORM_MOMENTUM)};
  store_running(channel, fma(load_running(channel), ${f32Literal(1 - BATCH_NORM_MOMENTUM)}, moved));
}
`;
  return threadKernel("running moments", views, range, text);
}

/** A table of the batch's moments, or of the running ones. */
export function planNormFromMoments(spec: NormFromMoments): WgslOperator {
  const weight = spec.weightSlot === undefined ? "1.0" : "load_weight(channel)";
  const bias = spec.biasSlot === undefined ? "0.0" : "load_bias(channel)";
  return planTableOfChannels(spec, {
    name: "norm table from moments",
    inputs: { mean: spec.meanSlot, variance: spec.varianceSlot, weight: spec.weightSlot, bias: spec.biasSlot },
    scale: `${weight} / sqrt(load_variance(channel) + ${f32Literal(spec.eps)})`,
    shift: `fma(-load_mean(channel), scale, ${bias})`,
    cost: tableCost(spec, 2, 4),
  });
}
