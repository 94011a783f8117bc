/**
 * From a graph to everything the CPU engine must know before it allocates: operators in order, the place of every intermediate
 * block in one arena, the weights' layout and the scratch of a thread. Pure; forecasts and programs are both made from it.
 */
import { padToFour, type Vec3, voxelCount } from "../core/base/shape.ts";
import type { CompileOptions } from "../core/engine/engine.ts";
import { type FusedNetwork, type FusedStep, fuseGraph, type View, type ViewPart, viewsOf } from "../core/graph/fuse.ts";
import type { Graph } from "../core/graph/graph.ts";
import { alignBlock, type BlockLifetime, type MemoryPlan, planMemory } from "../core/graph/memory_plan.ts";
import { planConv, planTransposedConv } from "../kernels/wasm/conv/plan_conv.ts";
import type { ConvOperator } from "../kernels/wasm/conv/problem.ts";
import { planNormConstant, planNormFinalize } from "../kernels/wasm/elementwise_norm.ts";
import { planAveragePool, planResidualAdd } from "../kernels/wasm/elementwise_residual.ts";
import type { Operand, Operator, Target, WeightedOperator } from "../kernels/wasm/kernel.ts";
import { createWeightLayout, type WeightBlock } from "./weight_layout.ts";

/** An operator of a program; names of its temporaries are its own. */
export interface PlannedStep {
  /** "conv decoder.stages.0.convs.1.conv 64->32 128x128x128". */
  readonly name: string;
  readonly operator: Operator;
}

export interface ProgramPlan {
  readonly steps: readonly PlannedStep[];
  readonly weights: readonly WeightBlock[];
  readonly weightBytes: number;
  /** Programs of equal signature read the same weight sets. */
  readonly weightSignature: string;
  /** All blocks that a run needs, the input and the output among them; the input outlives a run. */
  readonly arena: MemoryPlan;
  readonly inputSlot: string;
  readonly outputSlot: string;
  readonly inputChannels: number;
  readonly outputChannels: number;
  readonly outputGrid: Vec3;
  /** Private memory of a thread. */
  readonly scratchBytes: number;
}

/** Name of a temporary of a step in the arena. */
export function temporaryBlock(step: number, name: string): string {
  return `temporary:${step}:${name}`;
}

/** A block that operators read and write: its size, and where it is used. */
interface Usage {
  readonly bytes: number;
  first: number;
  last: number;
}

/**
 * Plans a program.
 * @throws RangeError where the graph does not fit the patch.
 */
export function planProgram(graph: Graph, { patch, batch, weightStorage = "packed" }: CompileOptions): ProgramPlan {
  const network = fuseGraph(graph, patch);
  const steps: PlannedStep[] = [];
  const blocks = new Map<string, Usage>();
  const weights = createWeightLayout();
  const statisticsParts = new Map<number, number>();
  const tables = collectTables(network);

  function touch(slot: string, bytes = 0): void {
    const usage = blocks.get(slot);
    if (!usage) blocks.set(slot, { bytes, first: steps.length, last: steps.length });
    else usage.last = steps.length;
  }

  function add(name: string, operator: Operator): void {
    for (const [temporary, bytes] of Object.entries(operator.temporaries)) {
      const at = steps.length;
      blocks.set(temporaryBlock(at, temporary), { bytes, first: at, last: at });
    }
    steps.push({ name, operator });
  }

  function touchTensor(tensor: number): void {
    const { group } = network.tensors[tensor];
    const { channelStride, grid } = network.groups[group];
    touch(groupSlot(network, tensor), batch * voxelCount(grid) * channelStride * 4);
  }

  /** A view as an operand of the next step. */
  function read(view: View): Operand {
    touchTensor(view[0].tensor);
    const table = tables.get(tableKey(view));
    if (table) touch(table.slot);
    return {
      slot: groupSlot(network, view[0].tensor),
      channelStride: network.groups[network.tensors[view[0].tensor].group].channelStride,
      channelOffset: network.tensors[view[0].tensor].channelOffset,
      parts: view.map(({ tensor }) => network.tensors[tensor].channels),
      ...(table && { normSlot: table.slot }),
    };
  }

  /** A tensor as the target of the next step. */
  function write(tensor: number): Target {
    touchTensor(tensor);
    const { group, channelOffset, channels, statistics } = network.tensors[tensor];
    return {
      slot: groupSlot(network, tensor),
      channelStride: network.groups[group].channelStride,
      channelOffset,
      channels,
      ...(statistics && { statisticsSlot: statisticsSlot(tensor) }),
    };
  }

  /** Every table gets its entries for a tensor as soon as the tensor has been written. */
  function writeTables(tensor: number): void {
    for (const { slot, view, totalChannels } of tables.values()) {
      let channelOffset = 0;
      for (const part of view) {
        const { channels } = network.tensors[part.tensor];
        if (part.tensor === tensor) {
          touch(slot, batch * 3 * totalChannels * 4);
          const range = { batch, channels, normSlot: slot, channelOffset, totalChannels, slope: part.slope };
          add(`norm table of ${describeWriter(network, tensor)}`, tableEntries(part, range));
        }
        channelOffset += padToFour(channels);
      }
    }
  }

  function tableEntries({ tensor, norm }: ViewPart, range: Parameters<typeof planNormConstant>[0]): Operator {
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
    const weightSlot = weights.next();
    const problem = {
      name: describeWeight(step.weight),
      batch,
      inputGrid: network.tensors[step.input[0].tensor].grid,
      stride: step.stride,
      input: read(step.input),
      output: write(step.output),
      outputChannels: channels,
      weightSlot,
      statistics,
    };
    let operator: ConvOperator;
    if (step.kind === "conv") operator = planConv({ ...problem, kernel: step.kernel });
    else operator = planTransposedConv(problem);
    const source = {
      operator,
      ...(step.weight !== undefined && { weight: step.weight }),
      ...(step.bias !== undefined && { bias: step.bias }),
      weightShape: step.kind === "conv" ? [channels, inputs, ...step.kernel] : [inputs, channels, ...step.stride],
      biasShape: [channels],
    };
    if (weightStorage === "packedPerRun" && savesByPackingPerRun(operator)) {
      weights.torch(source);
      operator = packingInEveryRun(operator, weightSlot);
    } else {
      weights.packed(source);
    }
    if (statistics) {
      if (!operator.statistics) throw new Error(`Planning ${problem.name}: the operator leaves no statistics`);
      statisticsParts.set(step.output, operator.statistics.parts);
      touch(statisticsSlot(step.output), operator.statistics.bytes);
    }
    const kind = step.kind === "conv" ? "conv" : "transposed conv";
    add(`${kind} ${problem.name} ${from.join("+")}->${channels} ${grid.join("x")}`, operator);
  }

  touchTensor(0);
  writeTables(0);
  for (const step of network.steps) {
    const { channels, grid } = network.tensors[step.output];
    const shape = `${channels} ${grid.join("x")}`;
    switch (step.kind) {
      case "conv":
      case "transposedConv":
        addConv(step);
        break;
      case "add": {
        const [a, b] = step.inputs.map(read);
        add(
          `residual sum ${shape}`,
          planResidualAdd({ batch, grid, a, b, target: write(step.output), slope: step.slope }),
        );
        break;
      }
      case "averagePool": {
        const inputGrid = network.tensors[step.input[0].tensor].grid;
        const input = read(step.input);
        const { stride } = step;
        add(
          `average pool ${shape}`,
          planAveragePool({ batch, grid: inputGrid, stride, input, target: write(step.output) }),
        );
        break;
      }
    }
    writeTables(step.output);
  }

  // The input can be run again, with other weights; the output stays until the next run.
  for (const tensor of [0, network.output]) touchTensor(tensor);
  const lifetimes = [...blocks].map(([name, usage]): BlockLifetime => ({ name, ...usage }));
  return {
    steps,
    weights: weights.blocks,
    weightBytes: weights.bytes(),
    weightSignature: weights.signature(),
    arena: planMemory(lifetimes),
    inputSlot: groupSlot(network, 0),
    outputSlot: groupSlot(network, network.output),
    inputChannels: network.tensors[0].channels,
    outputChannels: network.tensors[network.output].channels,
    outputGrid: network.tensors[network.output].grid,
    scratchBytes: scratchOf(steps.map(({ operator }) => operator)),
  };
}

/** Below this the memory is not worth a barrier. */
const LEAST_SAVED_BYTES = 2 ** 20;
/** Bytes of packed weights that one core makes in a second. */
const PACKING_RATE = 3.5e9;

function savesByPackingPerRun({ packing, weightBytes }: WeightedOperator): boolean {
  return packing !== undefined && weightBytes - packing.sourceBytes > LEAST_SAVED_BYTES;
}

/** The operator with its packing calls before its own; the packed weights are a temporary of the step. */
export function packingInEveryRun(operator: ConvOperator, weightSlot: string): ConvOperator {
  return {
    ...operator,
    algorithm: `${operator.algorithm}, packing`,
    calls: [...(operator.packing?.calls ?? []), ...operator.calls],
    temporaries: { ...operator.temporaries, [weightSlot]: operator.weightBytes },
    coreSeconds: operator.coreSeconds + operator.weightBytes / PACKING_RATE,
  };
}

/** Private memory a thread needs for any call of the operators. */
export function scratchOf(operators: readonly Operator[]): number {
  return operators.reduce(
    (most, { calls }) => calls.reduce((m, call) => Math.max(m, alignBlock(call.scratchBytes)), most),
    0,
  );
}

interface Table {
  readonly slot: string;
  readonly view: View;
  readonly totalChannels: number;
}

/** One norm table for every way in which a step looks at tensors. */
export function collectTables(network: FusedNetwork): Map<string, Table> {
  const tables = new Map<string, Table>();
  for (const view of network.steps.flatMap(viewsOf)) {
    const key = tableKey(view);
    if (key === "" || tables.has(key)) continue;
    const totalChannels = view.reduce((sum, { tensor }) => sum + padToFour(network.tensors[tensor].channels), 0);
    tables.set(key, { slot: `table:${tables.size}`, view, totalChannels });
  }
  return tables;
}

/** Equal for views that need equal tables; empty for one that needs none. */
export function tableKey(view: View): string {
  if (view.every(({ norm, slope }) => !norm && slope === 1)) return "";
  return JSON.stringify(view.map(({ tensor, norm, slope }) => [tensor, norm ?? null, slope]));
}

function groupSlot(network: FusedNetwork, tensor: number): string {
  return `tensor:${network.tensors[tensor].group}`;
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
