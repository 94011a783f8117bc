/** From a list of steps to what they run in: slots cut into what a device binds, and the buffers that they share. */
import type { StepCost } from "../core/engine/engine.ts";
import type { BlockLifetime } from "../core/graph/memory_plan.ts";
import type { Schedule, Step, Usage } from "../core/lowering/schedule.ts";
import type { WgslOperator } from "../kernels/wgsl/kernel.ts";
import { type BufferPlan, planBuffers } from "./buffer_plan.ts";
import { roundUp } from "./buffers.ts";
import { nominalSeconds } from "./commands.ts";
import type { GpuOperator } from "./kernel_set.ts";
import { uniformBytesOf } from "./uniforms.ts";

/** A step with its forecast for a nominal large GPU. */
export interface PlannedStep extends Step<WgslOperator> {
  readonly seconds: number;
}

/** A block of a run: a slot whose segments each have a place in the buffer plan. */
export interface PlannedBlock {
  /** Names of its segments in the buffer plan. */
  readonly segments: readonly { readonly name: string; readonly bytes: number }[];
  readonly segmentBytes: number;
  readonly bytes: number;
}

/** Steps and the buffers they run in. */
export interface RunPlan {
  readonly steps: readonly PlannedStep[];
  /** All slots that a run needs but the weights, the input and the output among them; the input outlives a run. */
  readonly blocks: ReadonlyMap<string, PlannedBlock>;
  readonly buffers: BufferPlan;
  /** Bytes of the steps' uniforms. */
  readonly uniformBytes: number;
}

/** What steps cost on a GPU that is `slowness` times as slow as the nominal one. */
export function stepCosts(steps: readonly PlannedStep[], slowness: number): StepCost[] {
  return steps.map(({ name, operator: { algorithm, flops }, seconds }) => ({
    name,
    algorithm,
    flops,
    seconds: seconds * slowness,
  }));
}

/** The plan of a finished schedule. */
export function planRun({ steps, usages }: Schedule<GpuOperator>): RunPlan {
  const blocks = new Map([...usages].map(([slot, usage]) => [slot, blockOf(slot, usage)]));
  const lifetimes = [...usages].flatMap(([slot, { first, last }]) =>
    (blocks.get(slot)?.segments ?? []).map((segment): BlockLifetime => ({ ...segment, first, last }))
  );
  return {
    steps: steps.map(({ name, operator }) => ({
      name,
      operator,
      seconds: operator.seconds ?? nominalSeconds(operator),
    })),
    blocks,
    buffers: planBuffers(lifetimes),
    uniformBytes: uniformBytesOf(steps.flatMap(({ operator }) => operator.dispatches)),
  };
}

function blockOf(slot: string, { bytes, segmentBytes }: Usage): PlannedBlock {
  const total = Math.max(16, roundUp(bytes, 16));
  const part = segmentBytes < bytes ? segmentBytes : total;
  const segments: { name: string; bytes: number }[] = [];
  for (let start = 0; start < total; start += part) {
    segments.push({ name: `${slot} ${segments.length}`, bytes: Math.min(part, total - start) });
  }
  return { segments, segmentBytes: part, bytes: total };
}
