/** A compiled training: its arena and its values in the engine's memory, and its steps encoded as commands. */
import type { TrainingOptions } from "../../core/engine/training.ts";
import type { CompiledTraining } from "../../core/lowering/training_engine.ts";
import { type ValueKind, valueKinds } from "../../core/lowering/parameter_values.ts";
import { temporaryBlock } from "../../core/lowering/schedule.ts";
import { itemsOf } from "../../core/lowering/training.ts";
import type { Operator } from "../../kernels/wasm/kernel.ts";
import { planClear } from "../../kernels/wasm/volume/clear.ts";
import type { PlacedCall } from "../encode.ts";
import type { EngineMemory } from "../memory.ts";
import type { Encoded, Region, Stream } from "../stream.ts";
import type { TrainingPlan } from "./plan.ts";
import { stateBytes, valueBytes } from "./values.ts";

/** What training needs of the engine. */
export interface TrainingHost {
  readonly stream: Stream;
  readonly threads: number;
  allocate(bytes: number, what: string): Region;
  release(region: Region): void;
  /** Enqueues one operator whose slots are whole regions or addresses. */
  enqueue(operator: Operator, slots: Readonly<Record<string, Region | number>>, used?: readonly Region[]): void;
}

/** Where everything lies. */
interface PlacedTraining {
  readonly host: TrainingHost;
  readonly plan: TrainingPlan;
  readonly arena: Region;
  /** See {@link valueKinds}; behind the last the state of the optimizer. */
  readonly values: Region;
  /** Addresses. */
  readonly constants: ReadonlyMap<string, number>;
}

export interface TrainingState extends PlacedTraining, CompiledTraining<TrainingPlan> {
  readonly trainStep: Encoded;
  readonly validationStep: Encoded;
  /** Parameters that have momentum. */
  readonly moving: Set<string>;
}

/** Address of a slot of activations. @throws RangeError if there is no such slot */
export function arenaSlot({ plan, arena }: PlacedTraining, slot: string): number {
  const offset = plan.arena.offsets.get(slot);
  if (offset === undefined) throw new RangeError(`Resolving a kernel's operands: there is no slot ${slot}`);
  return arena.address + offset;
}

/** Address of a kind of values. */
export function valuesAt({ plan, values }: PlacedTraining, kind: ValueKind): number {
  return values.address + valueKinds(plan.optimizer).indexOf(kind) * plan.layout.floats * 4;
}

/** Address of the optimizer's state, behind all values. */
export function stateAt({ plan, values }: PlacedTraining): number {
  return values.address + valueBytes(plan) - stateBytes(plan);
}

/** The calls of every step. */
export function placeSteps(placed: PlacedTraining): PlacedCall[][] {
  const { plan, constants } = placed;
  const [parameters, gradients] = [valuesAt(placed, "parameters"), valuesAt(placed, "gradients")];
  return plan.steps.map(({ operator }, step) => {
    const addressOf = (slot: string): number => {
      if (slot in operator.temporaries) return arenaSlot(placed, temporaryBlock(step, slot));
      const constant = constants.get(slot);
      if (constant !== undefined) return constant;
      const parameter = plan.parameterSlots.get(slot);
      if (parameter !== undefined) return parameters + parameter * 4;
      const gradient = plan.gradientSlots.get(slot);
      return gradient === undefined ? arenaSlot(placed, slot) : gradients + gradient * 4;
    };
    return operator.calls.map((call) => ({ call, addressOf }));
  });
}

/** Takes a training's memory, all values zero, and encodes its steps. @throws UserError if there is not enough memory */
export function compileTraining(host: TrainingHost, plan: TrainingPlan, options: TrainingOptions): TrainingState {
  const { stream } = host;
  const regions: Region[] = [];
  try {
    regions.push(host.allocate(plan.arena.bytes, "the activations and gradients of the training"));
    regions.push(host.allocate(valueBytes(plan), "the network's parameters, gradients and momentum"));
    stream.reserveScratch(plan.scratchBytes);
  } catch (error) {
    regions.forEach(host.release);
    throw error;
  }
  const [arena, values] = regions;
  host.enqueue(planClear({ slot: "values", offset: 0, bytes: valueBytes(plan) }), { values });
  const placed = { host, plan, arena, values, constants: writeConstants(stream.memory, plan) };
  const calls = placeSteps(placed);
  const state: TrainingState = {
    ...placed,
    trainStep: stream.encode(itemsOf(plan, calls, "training").flat()),
    validationStep: stream.encode(itemsOf(plan, calls, "validation").flat()),
    moving: new Set(),
    options,
    get alive() {
      return arena.alive;
    },
    [Symbol.dispose]: () => dispose(state),
  };
  return state;
}

/** Constants are never written again, so the main thread writes them here. */
function writeConstants(memory: EngineMemory, plan: TrainingPlan): Map<string, number> {
  const addresses = new Map<string, number>();
  for (const [slot, data] of plan.constants) {
    const address = memory.allocateSmall(data.byteLength);
    memory.bytes(address, data.byteLength).set(new Uint8Array(data.buffer));
    addresses.set(slot, address);
  }
  return addresses;
}

/** Gives a training's memory back once the commands that use it are done. */
function dispose(state: TrainingState): void {
  const { stream, release } = state.host;
  if (!state.arena.alive) return;
  release(state.arena);
  release(state.values);
  stream.release(state.trainStep);
  stream.release(state.validationStep);
  stream.afterwards(() => state.constants.forEach((address) => stream.memory.freeSmall(address)));
}
