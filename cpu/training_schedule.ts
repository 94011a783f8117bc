/** A list of steps being made, and from which to which of them every block of memory is used. */
import type { BlockLifetime } from "../core/graph/memory_plan.ts";
import type { Operator } from "../kernels/wasm/kernel.ts";
import { type PlannedStep, temporaryBlock } from "./program_plan.ts";

export interface Schedule {
  readonly steps: readonly PlannedStep[];
  /** Notes that the next step uses a slot; `bytes` are its size where it is used first. */
  touch(slot: string, bytes?: number): void;
  /** Appends a step; its temporaries exist for it alone. */
  add(name: string, operator: Operator): void;
  lifetimes(): BlockLifetime[];
}

export function createSchedule(): Schedule {
  const steps: PlannedStep[] = [];
  const blocks = new Map<string, { readonly bytes: number; readonly first: number; last: number }>();
  return {
    steps,
    touch(slot, bytes = 0) {
      const usage = blocks.get(slot);
      if (!usage) blocks.set(slot, { bytes, first: steps.length, last: steps.length });
      else usage.last = steps.length;
    },
    add(name, operator) {
      const at = steps.length;
      for (const [temporary, bytes] of Object.entries(operator.temporaries)) {
        blocks.set(temporaryBlock(at, temporary), { bytes, first: at, last: at });
      }
      steps.push({ name, operator });
    },
    lifetimes: () => [...blocks].map(([name, usage]) => ({ name, ...usage })),
  };
}
