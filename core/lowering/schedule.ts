/** A list of steps being made, and from which to which of them every block of memory is used. */
import type { BlockLifetime } from "../graph/memory_plan.ts";
import type { LoweredOperator } from "./kernels.ts";

/** An operator among others; names of its temporaries are its own. */
export interface Step<O extends LoweredOperator> {
  /** "conv decoder.stages.0.convs.1.conv 64->32 128x128x128". */
  readonly name: string;
  readonly operator: O;
}

/** A block's size, by which steps it is used first and last, and what it is tied to. */
export interface Usage {
  readonly bytes: number;
  /** Bytes of a binding, where the block spans several. */
  readonly segmentBytes: number;
  readonly first: number;
  last: number;
  over?: BlockLifetime["over"];
}

export interface Schedule<O extends LoweredOperator> {
  readonly steps: readonly Step<O>[];
  /** By slot; temporaries by {@link temporaryBlock}. */
  readonly usages: ReadonlyMap<string, Usage>;
  /** Notes that the next step uses a slot; sizes are given where it is used first, `segmentBytes` where it spans bindings. */
  touch(slot: string, bytes?: number, segmentBytes?: number): void;
  /** Appends a step; its temporaries exist for it alone. */
  add(name: string, operator: O): void;
}

/** Name of a temporary of a step among the blocks. */
export function temporaryBlock(step: number, name: string): string {
  return `temporary:${step}:${name}`;
}

/** An empty list. */
export function createSchedule<O extends LoweredOperator>(): Schedule<O> {
  const steps: Step<O>[] = [];
  const usages = new Map<string, Usage>();
  return {
    steps,
    usages,
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
      steps.push({ name, operator });
    },
  };
}
