/** Where outputs of a prediction lie over inputs that die with them: convolutions in slabs, and residual sums. */
import type { TensorId } from "../core/graph/fuse.ts";
import { type ForwardRules, plannedConv, useConv, writeTables } from "../core/lowering/forward.ts";
import type { Lowering, PlannedConv } from "../core/lowering/lowering.ts";
import type { CpuOperator, CpuTypes } from "./kernel_set.ts";
import { convOverInput, type Direction, type SlabTensor, type Sliceable, upsampledConv } from "./slabs.ts";
import { lastReaders, readsUpsampled, type TensorPlace } from "./tensor_places.ts";

/** What the passes of a program work on. */
export interface SlabProgram {
  readonly lowering: Lowering<CpuTypes>;
  readonly rules: ForwardRules<CpuTypes>;
  /** A convolution as it runs if its output lies apart. */
  runs(conv: PlannedConv<CpuTypes>): CpuOperator;
  readonly places: readonly TensorPlace[];
  /** Items a slab has at least. */
  readonly slabItems: number;
}

interface SlabContext extends SlabProgram {
  /** How the slabs of tensors that lie over others were written, by slot. */
  readonly directions: Map<string, Direction>;
  /** Index of the last step that reads each tensor. */
  readonly lastReads: readonly number[];
}

/** The rules that lay a program's outputs over its inputs. */
export function slabRules(program: SlabProgram): Pick<ForwardRules<CpuTypes>, "joinSteps" | "layOver"> {
  const context = { ...program, directions: new Map(), lastReads: lastReaders(program.lowering.network) };
  return {
    joinSteps: (index) => addUpsampledConv(context, index),
    layOver: (index, operator) => layOver(context, index, operator),
  };
}

/** Ties a tensor's memory to that of another one that dies as it is written. */
function tie({ lowering, places, directions }: SlabContext, tensor: TensorId, over: {
  readonly tensor: TensorId;
  readonly offset: number;
  readonly direction?: Direction;
}): void {
  const { slot } = places[tensor];
  const usage = lowering.schedule.usages.get(slot);
  if (usage) usage.over = { block: places[over.tensor].slot, offset: over.offset };
  if (over.direction) directions.set(slot, over.direction);
}

/** Tensors laid over each other in turn wander forth and back, so that the arena need not be much longer than one of them. */
function directionOver({ directions, places }: SlabContext, tensor: TensorId): Direction {
  return directions.get(places[tensor].slot) === "ascending" ? "descending" : "ascending";
}

/** True if nothing needs a tensor's memory after step `index` of the network but what is laid over it. */
function dies({ lowering: { network }, places, lastReads }: SlabContext, tensor: TensorId, index: number): boolean {
  return tensor !== 0 && tensor !== network.output && places[tensor].isAlone && lastReads[tensor] === index;
}

function slabTensor({ lowering: { network, batch }, places }: SlabContext, tensor: TensorId): SlabTensor {
  const { grid } = network.tensors[tensor];
  const planeBytes = grid[1] * grid[2] * places[tensor].channelStride * 4;
  return { bytes: batch * grid[0] * planeBytes, planeBytes };
}

function sliceable({ lowering: { network, batch } }: SlabContext, index: number, operator: CpuOperator): Sliceable {
  const step = network.steps[index];
  const planes = (tensor: TensorId) => network.tensors[tensor].grid[0];
  const [input] = step.kind === "add" ? step.inputs[0] : step.input;
  return { operator, batch, inputPlanes: planes(input.tensor), outputPlanes: planes(step.output) };
}

/** The next step's operator, its output laid over an input where that is possible. */
function layOver(context: SlabContext, index: number, operator: CpuOperator): CpuOperator {
  const { lowering: { network }, places, directions, slabItems } = context;
  const step = network.steps[index];
  const { output } = step;
  if (step.kind === "averagePool" || !places[output].isAlone) return operator;
  const views = step.kind === "add" ? step.inputs.map(([part]) => part) : step.input;
  const under = views.map(({ tensor }) => tensor).find((tensor) => dies(context, tensor, index));
  if (under === undefined) return operator;
  if (step.kind === "add") {
    // Every element of the sum is written after it has been read, so the sum may lie exactly over an operand.
    const fits = places[under].channelStride === places[output].channelStride;
    if (fits) tie(context, output, { tensor: under, offset: 0, direction: directions.get(places[under].slot) });
    return operator;
  }
  const direction = directionOver(context, under);
  const [input, written] = [slabTensor(context, under), slabTensor(context, output)];
  const laid = convOverInput(sliceable(context, index, operator), input, written, direction, slabItems);
  if (!laid) return operator;
  tie(context, output, { tensor: under, offset: laid.offset, direction });
  return laid.operator;
}

/** A transposed convolution and the convolution that reads it beside a skip as one step, if they can run in turn slab by slab. */
function addUpsampledConv(context: SlabContext, index: number): boolean {
  const { lowering, rules, runs, places, slabItems } = context;
  const { network, schedule } = lowering;
  const skip = readsUpsampled(network, index);
  if (skip === undefined || !dies(context, skip, index + 1)) return false;
  const written = [network.steps[index].output, network.steps[index + 1].output];
  if (!written.every((tensor) => places[tensor].isAlone && tensor !== network.output)) return false;
  const convs = [index, index + 1].map((step) => plannedConv(lowering, rules, step));
  const [up, next] = convs.map((conv, i) => sliceable(context, index + i, runs(conv)));
  const [upsampled, output] = written.map((tensor) => slabTensor(context, tensor));
  const direction = directionOver(context, skip);
  const laid = upsampledConv(up, next, { skip: slabTensor(context, skip), upsampled, output }, direction, slabItems);
  if (!laid) return false;
  writeTables(lowering, rules, written[0]);
  for (const conv of convs) useConv(lowering, rules, conv);
  tie(context, written[0], { tensor: skip, offset: laid.upsampledOffset });
  tie(context, written[1], { tensor: skip, offset: laid.outputOffset, direction });
  schedule.add(convs.map(({ name }) => name).join(", "), laid.operator);
  return true;
}
