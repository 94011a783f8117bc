/** A planned program on the device: its buffers, its compiled kernels, and the list of dispatches for each weight set. */
import { UserError } from "../core/base/errors.ts";
import type { WeightSource } from "../core/engine/engine.ts";
import { temporaryBlock } from "../core/lowering/schedule.ts";
import { type BufferRange, type Buffers, type DeviceBuffer, oneSegment, type Segments } from "./buffers.ts";
import { checkFits, type Commands, type PreparedDispatch } from "./commands.ts";
import type { GpuDevice } from "./device.ts";
import type { Pipelines } from "./pipelines.ts";
import type { ProgramPlan } from "./program_plan.ts";
import type { RunPlan } from "./run_plan.ts";
import { writeUniforms } from "./uniforms.ts";
import { packBlock, type WeightLayout } from "./weight_layout.ts";

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

  const taken: DeviceBuffer[] = [];
  const take = (bytes: number, what: string) => {
    const buffer = buffers.take(bytes, what);
    taken.push(buffer);
    return buffer;
  };
  const give = () => taken.splice(0).forEach((buffer) => buffers.give(buffer));
  let alive = true;
  try {
    const shared = plan.buffers.sizes.map((bytes) => take(bytes, "the network's activations"));
    const uniforms = take(plan.uniformBytes, "the network's parameters");
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
        return alive;
      },
      slot: slotOf,
      dispatches(weights) {
        let steps = prepared.get(weights);
        if (!steps) prepared.set(weights, steps = prepare(weights));
        return steps;
      },
      [Symbol.dispose]() {
        if (!alive) return;
        alive = false;
        give();
      },
    };
  } catch (error) {
    give();
    throw error;
  }
}

/** Bytes of packed weights that may wait to be copied to the device. */
const WAITING_BYTES = 256 * 2 ** 20;

/** Packs a checkpoint's weights and writes them. @throws UserError if there is not enough memory or the checkpoint lacks a tensor */
export async function loadWeights(
  { gpu, buffers, commands }: Tools,
  layout: WeightLayout,
  source: WeightSource,
): Promise<DeviceWeights> {
  const taken: DeviceBuffer[] = [];
  const give = () => taken.splice(0).forEach((buffer) => buffers.give(buffer));
  let alive = true;
  try {
    for (const bytes of layout.buffers) taken.push(buffers.take(bytes, "the network's weights"));
    await gpu.settleErrors();
    const held = [...taken];
    let waiting = 0;
    for (const block of layout.blocks) {
      const data = packBlock(block, source);
      block.places.forEach(({ buffer, offset, bytes }, segment) => {
        const part = new Uint8Array(data.buffer, segment * block.segmentBytes, bytes);
        commands.write({ buffer: held[buffer], offset, bytes }, part);
      });
      waiting += block.bytes;
      if (waiting < WAITING_BYTES) continue;
      waiting = 0;
      await gpu.device.queue.onSubmittedWorkDone();
      gpu.check();
    }
    const slots = new Map(layout.blocks.map((block): [string, Segments] => {
      const { slot, bytes, segmentBytes, places } = block;
      if (places.length === 1) return [slot, oneSegment(held[places[0].buffer], bytes, places[0].offset)];
      const ranges = places.map(({ buffer, offset, bytes }) => ({ buffer: held[buffer], offset, bytes }));
      return [slot, { ranges, segmentBytes, bytes }];
    }));
    return {
      signature: layout.signature,
      get alive() {
        return alive;
      },
      slot: (name) => slots.get(name),
      [Symbol.dispose]() {
        if (!alive) return;
        alive = false;
        give();
      },
    };
  } catch (error) {
    give();
    throw error instanceof RangeError ? notPacked(error) : error;
  }
}

/** V8 throws a RangeError where an array cannot be had. */
function notPacked(error: RangeError): Error {
  if (!/allocation|array length/i.test(error.message)) return error;
  return new UserError({
    doing: "packing the network's weights",
    problem: `there is not enough main memory (${error.message})`,
    remedy: "close other programs, or use fewer folds (-f)",
  }, { cause: error });
}
