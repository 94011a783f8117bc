/** A planned program on the device: its buffers, its compiled kernels, and the list of dispatches for each weight set. */
import { temporaryBlock } from "../core/lowering/schedule.ts";
import { type BufferRange, type Buffers, holdBuffers, type Segments } from "./buffers.ts";
import { checkFits, type Commands, type PreparedDispatch } from "./commands.ts";
import type { GpuDevice } from "./device.ts";
import type { Pipelines } from "./pipelines.ts";
import type { ProgramPlan } from "./program_plan.ts";
import type { RunPlan } from "./run_plan.ts";
import { writeUniforms } from "./uniforms.ts";

/** What programs are made with. */
export interface Tools {
  readonly gpu: GpuDevice;
  readonly buffers: Buffers;
  readonly commands: Commands;
  readonly pipelines: Pipelines;
}

/** A checkpoint's weights on the device. */
export interface DeviceWeights extends Disposable {
  readonly signature: string;
  readonly alive: boolean;
  slot(name: string): Segments | undefined;
}

export interface DeviceProgram<P extends RunPlan = ProgramPlan> extends Disposable {
  readonly plan: P;
  readonly alive: boolean;
  /** The arrays of a slot that is not a weight. */
  slot(name: string): Segments;
  /** The dispatches of each step; made once for a weight set. */
  dispatches(weights: DeviceWeights): readonly (readonly PreparedDispatch[])[];
}

/** Takes the buffers of a plan and compiles its kernels. @throws UserError if there is not enough memory */
export async function createProgram<P extends RunPlan>(
  { gpu, buffers, commands, pipelines }: Tools,
  plan: P,
): Promise<DeviceProgram<P>> {
  const kernels = plan.steps.flatMap(({ operator }) => operator.dispatches);
  for (const kernel of kernels) checkFits(kernel, gpu);
  await Promise.all(kernels.map((kernel) => pipelines.compile(kernel)));

  const held = holdBuffers(buffers);
  try {
    const shared = plan.buffers.sizes.map((bytes) => held.take(bytes, "the network's activations"));
    const uniforms = held.take(plan.uniformBytes, "the network's parameters");
    const uniformOffsets = writeUniforms(commands, kernels, uniforms);
    await gpu.settleErrors();
    const slots = new Map(
      [...plan.blocks].map(([slot, { segments, segmentBytes, bytes }]): [string, Segments] => [slot, {
        ranges: segments.map((segment): BufferRange => ({
          buffer: shared[plan.buffers.buffers.get(segment.name) ?? -1],
          offset: 0,
          bytes: segment.bytes,
        })),
        segmentBytes,
        bytes,
      }]),
    );
    const prepared = new WeakMap<DeviceWeights, PreparedDispatch[][]>();

    const slotOf = (name: string): Segments => {
      const found = slots.get(name);
      if (!found) throw new RangeError(`Resolving a kernel's operands: there is no slot ${name}`);
      return found;
    };

    const prepare = (weights: DeviceWeights): PreparedDispatch[][] => {
      let next = 0;
      return plan.steps.map(({ operator, seconds }, step) => {
        const resolve = (name: string) =>
          name in operator.temporaries ? slotOf(temporaryBlock(step, name)) : weights.slot(name) ?? slotOf(name);
        return operator.dispatches.map((dispatch) => {
          const place = { buffer: uniforms, offset: uniformOffsets[next++] };
          const share = seconds / operator.dispatches.length;
          return commands.prepare(dispatch, pipelines.ready(dispatch), resolve, place, share);
        });
      });
    };

    return {
      plan,
      get alive() {
        return held.alive;
      },
      slot: slotOf,
      dispatches(weights) {
        let steps = prepared.get(weights);
        if (!steps) prepared.set(weights, steps = prepare(weights));
        return steps;
      },
      [Symbol.dispose]: () => held[Symbol.dispose](),
    };
  } catch (error) {
    held[Symbol.dispose]();
    throw error;
  }
}
