/** A list of steps being made, and from which to which of them every slot is used. */
import type { BlockLifetime } from "../core/graph/memory_plan.ts";
import type { WgslOperator } from "../kernels/wgsl/kernel.ts";
import { planBuffers } from "./buffer_plan.ts";
import { nominalSeconds } from "./commands.ts";
import { blockOf, type PlannedStep, type RunPlan, temporaryBlock, type Usage } from "./program_plan.ts";
import { uniformBytesOf } from "./uniforms.ts";

export interface Schedule {
  readonly steps: readonly PlannedStep[];
  /** Notes that the next step uses a slot; sizes are given where it is used first, `segmentBytes` where it spans bindings. */
  touch(slot: string, bytes?: number, segmentBytes?: number): void;
  /** Appends a step; its temporaries exist for it alone. */
  add(name: string, operator: WgslOperator & { readonly seconds?: number }): void;
  finish(): RunPlan;
}

export function createSchedule(): Schedule {
  const steps: PlannedStep[] = [];
  const usages = new Map<string, Usage>();
  return {
    steps,
    touch(slot, bytes = 0, segmentBytes = bytes) {
      const usage = usages.get(slot);
      if (!usage) usages.set(slot, { bytes, segmentBytes, first: steps.length, last: steps.length });
      else usage.last = steps.length;
    },
    add(name, operator) {
      const at = steps.length;
      for (const [temporary, bytes] of Object.entries(operator.temporaries)) {
        usages.set(temporaryBlock(at, temporary), { bytes, segmentBytes: bytes, first: at, last: at });
      }
      steps.push({ name, operator, seconds: operator.seconds ?? nominalSeconds(operator) });
    },
    finish() {
      const blocks = new Map([...usages].map(([slot, usage]) => [slot, blockOf(slot, usage)]));
      const lifetimes = [...usages].flatMap(([slot, { first, last }]) =>
        (blocks.get(slot)?.segments ?? []).map((segment): BlockLifetime => ({ ...segment, first, last }))
      );
      return {
        steps,
        blocks,
        buffers: planBuffers(lifetimes),
        uniformBytes: uniformBytesOf(steps.flatMap(({ operator }) => operator.dispatches)),
      };
    },
  };
}
