/**
 * From a graph to everything the GPU engine must know before it allocates: operators in order, which blocks share which buffer, the
 * weights' layout. Pure; forecasts and programs are both made from it.
 */
import { type Vec3, voxelCount } from "../core/base/shape.ts";
import type { CompileOptions, Precision } from "../core/engine/engine.ts";
import { type FusedNetwork, type FusedStep, fuseGraph, type View, type ViewPart, viewsOf } from "../core/graph/fuse.ts";
import type { Graph } from "../core/graph/graph.ts";
import type { BlockLifetime } from "../core/graph/memory_plan.ts";
import { planConv, planTransposedConv, type WantedCandidate } from "../kernels/wgsl/conv/plan_conv.ts";
import type { ConvLimits } from "../kernels/wgsl/conv/problem.ts";
import { planNormConstant, planNormFinalize } from "../kernels/wgsl/elementwise/norm.ts";
import type { NormConstant } from "../kernels/operators/elementwise/norm.ts";
import { planAveragePool } from "../kernels/wgsl/elementwise/pool.ts";
import { planResidualAdd } from "../kernels/wgsl/elementwise/residual.ts";
import type { SlotLayout, WgslOperand, WgslOperator, WgslTarget } from "../kernels/wgsl/kernel.ts";
import { type BufferPlan, planBuffers } from "./buffer_plan.ts";
import { roundUp } from "./buffers.ts";
import { nominalSeconds } from "./commands.ts";
import { uniformBytesOf } from "./uniforms.ts";
import { createWeightLayout, type WeightLayout } from "./weight_layout.ts";

/** An operator of a program; names of its temporaries are its own. */
export interface PlannedStep {
  /** "conv decoder.stages.0.convs.1.conv 64->32 128x128x128". */
  readonly name: string;
  readonly operator: WgslOperator;
  /** Forecast for a nominal large GPU. */
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

export interface ProgramPlan extends RunPlan {
  readonly weights: WeightLayout;
  readonly input: SlotLayout;
  readonly output: SlotLayout;
  readonly inputChannels: number;
  readonly outputChannels: number;
  readonly outputGrid: Vec3;
}

/** Name of a temporary of a step among the blocks. */
export function temporaryBlock(step: number, name: string): string {
  return `temporary:${step}:${name}`;
}

/** Of a lane of an activation. */
export const BYTES = { f32: 4, f16: 2 } as const;

/** When a slot is used first and last, by step. */
export interface Usage {
  readonly bytes: number;
  readonly segmentBytes: number;
  first: number;
  last: number;
}

/**
 * Plans a program for a device; `wanted` names the ways of convolutions that were measured to be the fastest.
 * @throws RangeError where the graph does not fit the patch, or an operator cannot be made for the device's limits.
 */
export function planProgram(
  graph: Graph,
  { patch, batch, precision }: CompileOptions,
  limits: ConvLimits,
  wanted?: WantedCandidate,
): ProgramPlan {
  const network = fuseGraph(graph, patch);
  const steps: PlannedStep[] = [];
  const usages = new Map<string, Usage>();
  const weights = createWeightLayout();
  const statisticsParts = new Map<number, number>();
  const tables = collectTables(network);
  const layouts = network.groups.map((group, index) => {
    const type = storedAs(network, index, precision);
    return tensorLayout(`tensor:${index}`, batch, group, type, limits.maxBindingBytes);
  });

  function touch(slot: string, bytes = 0, segmentBytes = bytes): void {
    const usage = usages.get(slot);
    if (!usage) usages.set(slot, { bytes, segmentBytes, first: steps.length, last: steps.length });
    else usage.last = steps.length;
  }

  function add(name: string, operator: WgslOperator, seconds = nominalSeconds(operator)): void {
    const at = steps.length;
    for (const [temporary, bytes] of Object.entries(operator.temporaries)) {
      usages.set(temporaryBlock(at, temporary), { bytes, segmentBytes: bytes, first: at, last: at });
    }
    steps.push({ name, operator, seconds });
  }

  function touchTensor(tensor: number): SlotLayout {
    const layout = layouts[network.tensors[tensor].group];
    const elementBytes = 4 * BYTES[layout.type];
    touch(layout.slot, layout.length * elementBytes, layout.segmentLength * elementBytes);
    return layout;
  }

  /** A view as an operand of the next step. */
  function read(view: View): WgslOperand {
    const { group, channelOffset } = network.tensors[view[0].tensor];
    const table = tables.get(tableKey(view));
    if (table) touch(table.slot);
    return {
      layout: touchTensor(view[0].tensor),
      channelStride: network.groups[group].channelStride,
      channelOffset,
      parts: view.map(({ tensor }) => network.tensors[tensor].channels),
      ...(table && { normSlot: table.slot }),
    };
  }

  /** A tensor as the target of the next step. */
  function write(tensor: number): WgslTarget {
    const { group, channelOffset, channels, statistics } = network.tensors[tensor];
    return {
      layout: touchTensor(tensor),
      channelStride: network.groups[group].channelStride,
      channelOffset,
      channels,
      ...(statistics && { statisticsSlot: statisticsSlot(tensor) }),
    };
  }

  /** Every table gets its entries for a tensor as soon as the tensor has been written. */
  function writeTables(tensor: number): void {
    for (const { slot, view } of tables.values()) {
      for (const part of view.filter((one) => one.tensor === tensor)) {
        const { channels, channelOffset, group } = network.tensors[tensor];
        const totalChannels = network.groups[group].channelStride;
        touch(slot, batch * 3 * totalChannels * 4);
        const range = { batch, channels, normSlot: slot, channelOffset, totalChannels, slope: part.slope };
        add(`norm table of ${describeWriter(network, tensor)}`, tableEntries(part, range));
      }
    }
  }

  function tableEntries({ tensor, norm }: ViewPart, range: NormConstant): WgslOperator {
    if (norm?.kind === "instanceNorm") {
      touch(statisticsSlot(tensor));
      return planNormFinalize({
        ...range,
        parts: statisticsParts.get(tensor) ?? 0,
        statisticsSlot: statisticsSlot(tensor),
        eps: norm.eps,
        ...(norm.weight !== undefined && { weightSlot: weights.vector(norm.weight, range.channels) }),
        ...(norm.bias !== undefined && { biasSlot: weights.vector(norm.bias, range.channels) }),
      });
    }
    if (norm?.kind === "batchNorm") return planNormConstant({ ...range, ...weights.batchNorm(norm, range.channels) });
    return planNormConstant(range);
  }

  function addConv(step: FusedStep & { readonly kind: "conv" | "transposedConv" }): void {
    const { channels, grid, statistics } = network.tensors[step.output];
    const from = step.input.map(({ tensor }) => network.tensors[tensor].channels);
    const inputs = from.reduce((a, b) => a + b);
    const problem = {
      name: describeWeight(step.weight),
      batch,
      inputGrid: network.tensors[step.input[0].tensor].grid,
      stride: step.stride,
      input: read(step.input),
      output: write(step.output),
      outputChannels: channels,
      weightSlot: weights.next(),
      statistics,
      limits,
    };
    const operator = step.kind === "conv"
      ? planConv({ ...problem, kernel: step.kernel }, wanted)
      : planTransposedConv(problem, wanted);
    weights.packed({
      operator,
      ...(step.weight !== undefined && { weight: step.weight }),
      ...(step.bias !== undefined && { bias: step.bias }),
      weightShape: step.kind === "conv" ? [channels, inputs, ...step.kernel] : [inputs, channels, ...step.stride],
      biasShape: [channels],
    });
    if (statistics) {
      if (!operator.statistics) throw new Error(`Planning ${problem.name}: the operator leaves no statistics`);
      statisticsParts.set(step.output, operator.statistics.parts);
      touch(statisticsSlot(step.output), operator.statistics.bytes);
    }
    const kind = step.kind === "conv" ? "conv" : "transposed conv";
    add(`${kind} ${problem.name} ${from.join("+")}->${channels} ${grid.join("x")}`, operator, operator.seconds);
  }

  touchTensor(0);
  writeTables(0);
  for (const step of network.steps) {
    const { channels, grid, group } = network.tensors[step.output];
    if (viewsOf(step).some(([{ tensor }]) => network.tensors[tensor].group === group)) {
      // No nnU-Net has such a block; a GPU may not read and write one buffer in a dispatch.
      throw new RangeError(
        `Planning ${step.kind} ${channels} ${grid.join("x")}: it reads the concatenation it writes to`,
      );
    }
    const shape = `${channels} ${grid.join("x")}`;
    switch (step.kind) {
      case "conv":
      case "transposedConv":
        addConv(step);
        break;
      case "add": {
        const [a, b] = step.inputs.map(read);
        const target = write(step.output);
        add(`residual sum ${shape}`, planResidualAdd({ batch, grid, a, b, target, slope: step.slope }));
        break;
      }
      case "averagePool": {
        const inputGrid = network.tensors[step.input[0].tensor].grid;
        const input = read(step.input);
        const target = write(step.output);
        add(
          `average pool ${shape}`,
          planAveragePool({ batch, grid: inputGrid, stride: step.stride, input, target }),
        );
        break;
      }
    }
    writeTables(step.output);
  }

  // The input can be run again, with other weights; the output stays until the next run.
  const input = touchTensor(0);
  const output = touchTensor(network.output);
  const blocks = new Map([...usages].map(([slot, usage]) => [slot, blockOf(slot, usage)]));
  const lifetimes = [...usages].flatMap(([slot, { first, last }]) =>
    (blocks.get(slot)?.segments ?? []).map((segment): BlockLifetime => ({ ...segment, first, last }))
  );
  return {
    steps,
    weights: weights.finish(),
    blocks,
    buffers: planBuffers(lifetimes),
    uniformBytes: uniformBytesOf(steps.flatMap(({ operator }) => operator.dispatches)),
    input,
    output,
    inputChannels: network.tensors[0].channels,
    outputChannels: network.tensors[network.output].channels,
    outputGrid: network.tensors[network.output].grid,
  };
}

/** Networks read and leave f32: the image is no activation, and logits are compared with each other. */
function storedAs(network: FusedNetwork, group: number, precision: Precision): SlotLayout["type"] {
  const ends = [network.tensors[0].group, network.tensors[network.output].group];
  return ends.includes(group) ? "f32" : precision;
}

/** A tensor in as few segments as the limit allows, all of about one size, cut between planes, else rows, else voxels. */
export function tensorLayout(
  slot: string,
  batch: number,
  { channelStride, grid }: { readonly channelStride: number; readonly grid: Vec3 },
  type: SlotLayout["type"],
  bindingBytes: number,
): SlotLayout {
  const voxel = channelStride / 4;
  const length = batch * voxelCount(grid) * voxel;
  const most = Math.floor(bindingBytes / (4 * BYTES[type]));
  if (length <= most) return { slot, length, type, segments: 1, segmentLength: length };
  const grain = [grid[1] * grid[2] * voxel, grid[2] * voxel, voxel].find((elements) => elements <= most);
  if (grain === undefined) {
    throw new RangeError(`Planning ${slot}: ${channelStride} channels of a voxel exceed a binding of ${bindingBytes}`);
  }
  const pieces = Math.ceil(length / (Math.floor(most / grain) * grain));
  const segmentLength = roundUp(length / pieces, grain);
  return { slot, length, type, segments: Math.ceil(length / segmentLength), segmentLength };
}

export function blockOf(slot: string, { bytes, segmentBytes }: Usage): PlannedBlock {
  const total = Math.max(16, roundUp(bytes, 16));
  const part = segmentBytes < bytes ? segmentBytes : total;
  const segments: { name: string; bytes: number }[] = [];
  for (let start = 0; start < total; start += part) {
    segments.push({ name: `${slot} ${segments.length}`, bytes: Math.min(part, total - start) });
  }
  return { segments, segmentBytes: part, bytes: total };
}

interface Table {
  readonly slot: string;
  readonly view: View;
}

/** By {@link tableKey}. */
export type NormTables = ReadonlyMap<string, Table>;

/** One norm table for every way in which a step looks at tensors; it covers all channels of the tensors' group. */
export function collectTables(network: FusedNetwork): NormTables {
  const tables = new Map<string, Table>();
  for (const view of network.steps.flatMap(viewsOf)) {
    const key = tableKey(view);
    if (key !== "" && !tables.has(key)) tables.set(key, { slot: `table:${tables.size}`, view });
  }
  return tables;
}

/** Equal for views that need equal tables; empty for one that needs none. */
export function tableKey(view: View): string {
  if (view.every(({ norm, slope }) => !norm && slope === 1)) return "";
  return JSON.stringify(view.map(({ tensor, norm, slope }) => [tensor, norm ?? null, slope]));
}

function statisticsSlot(tensor: number): string {
  return `statistics:${tensor}`;
}

function describeWeight(weight: string | undefined): string {
  return weight?.replace(/\.weight$/, "") ?? "copy";
}

export function describeWriter(network: FusedNetwork, tensor: number): string {
  const writer = network.steps.find((step) => step.output === tensor);
  if (!writer) return "the input";
  return writer.kind === "conv" || writer.kind === "transposedConv" ? describeWeight(writer.weight) : writer.kind;
}
