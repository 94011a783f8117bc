/** Parameters, gradients and what the optimizer keeps of them, in the device's memory. */
import { describeOptimizer } from "../../core/graph/optimizer.ts";
import { type ValueKind, valueKinds } from "../../core/lowering/parameter_values.ts";
import { gradientSlot, parameterSlot } from "../../core/lowering/training_context.ts";
import { OPTION_FLOATS } from "../../kernels/wgsl/training/optimizer.ts";
import { type DeviceBuffer, holdBuffers, oneSegment, type Segments } from "../buffers.ts";
import type { DeviceWeights, Tools } from "../program.ts";
import { OPTIONS } from "../kernel_set.ts";
import { OPTIMIZER_STATE } from "./optimizers.ts";
import type { TrainingPlan } from "./plan.ts";

/** Of {@link OPTIMIZER_STATE}. */
export const STATE_FLOATS = 8;

/** Kinds of values that a chunk of parameters has. */
export function kindsOf({ optimizer }: Pick<TrainingPlan, "optimizer">, isTrained: boolean): readonly ValueKind[] {
  return isTrained ? valueKinds(optimizer) : ["parameters"];
}

/** Parameters, gradients, what the optimizer keeps of them and what never changes, on the device. */
export interface DeviceValues extends DeviceWeights {
  whole(kind: ValueKind, chunk: number): Segments;
  /** @throws RangeError if there is no such slot */
  segments(name: string): Segments;
}

/** @throws UserError if there is not enough memory */
export function takeValues({ buffers }: Tools, plan: TrainingPlan): DeviceValues {
  const { layout, constants, optimizer } = plan;
  const slots = new Map<string, Segments>();
  const held = holdBuffers(buffers);
  const take = (slot: string, bytes: number, what: string): DeviceBuffer => {
    const buffer = held.take(bytes, what);
    slots.set(slot, oneSegment(buffer, bytes));
    return buffer;
  };
  try {
    for (const [slot, { byteLength }] of constants) take(slot, byteLength, "the loss's tables");
    take(OPTIONS, OPTION_FLOATS * 4, "the optimizer's options");
    if (describeOptimizer(optimizer).countsSteps) take(OPTIMIZER_STATE, STATE_FLOATS * 4, "the optimizer's state");
    layout.chunks.forEach(({ floats, trained }, chunk) => {
      for (const kind of kindsOf(plan, trained)) {
        const buffer = take(`${kind} ${chunk}`, floats * 4, `the network's ${kind}`);
        if (kind !== "parameters" && kind !== "gradients") continue;
        const slotOf = { parameters: parameterSlot, gradients: gradientSlot }[kind];
        for (const { name, offset, length } of layout.parameters.filter((parameter) => parameter.chunk === chunk)) {
          slots.set(slotOf(name), oneSegment(buffer, length * 4, offset * 4));
        }
      }
    });
  } catch (error) {
    held[Symbol.dispose]();
    throw error;
  }
  const segments = (name: string) => {
    const found = slots.get(name);
    if (!found) throw new RangeError(`Resolving a kernel's operands: there is no slot ${name}`);
    return found;
  };
  return {
    signature: "",
    get alive() {
      return held.alive;
    },
    slot: (name) => slots.get(name),
    segments,
    whole: (kind, chunk) => segments(`${kind} ${chunk}`),
    [Symbol.dispose]: () => held[Symbol.dispose](),
  };
}
