/**
 * From a graph to everything the CPU engine must know before it allocates: operators in order, the place of every intermediate
 * block in one arena, the weights' layout and the scratch of a thread. Pure; forecasts and programs are both made from it.
 */
import { padToFour, type Vec3 } from "../core/base/shape.ts";
import type { CompileOptions } from "../core/engine/engine.ts";
import { type FusedNetwork, type FusedStep, fuseGraph, type View, type ViewPart, viewsOf } from "../core/graph/fuse.ts";
import type { Graph } from "../core/graph/graph.ts";
import { alignBlock, type BlockLifetime, type MemoryPlan, planMemory } from "../core/graph/memory_plan.ts";
import { planConv, planTransposedConv } from "../kernels/wasm/conv/plan_conv.ts";
import type { ConvOperator } from "../kernels/wasm/conv/problem.ts";
import { planNormConstant, planNormFinalize } from "../kernels/wasm/elementwise/norm.ts";
import { planAveragePool, planResidualAdd } from "../kernels/wasm/elementwise/residual.ts";
import type { Operand, Operator, Target, WeightedOperator } from "../kernels/wasm/kernel.ts";
import { convOverInput, type Direction, SLAB_ITEMS, type SlabTensor, type Sliceable, upsampledConv } from "./slabs.ts";
import { lastReaders, placeTensors, readsUpsampled } from "./tensor_places.ts";
import { type ConvWeights, createWeightLayout, type WeightBlock } from "./weight_layout.ts";

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
  /** All blocks that a run needs, the input and the output among them; the input outlives a run unless it is used once. */
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
  over?: BlockLifetime["over"];
}

type ConvStep = FusedStep & { readonly kind: "conv" | "transposedConv" };

/** A convolution of the network before it has its place among the steps. */
interface PlannedConv {
  readonly step: ConvStep;
  readonly name: string;
  readonly conv: Sliceable;
  readonly weights: ConvWeights;
}

const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);

/**
 * Plans a program.
 * @param slabItems items a slab has at least, see {@link SLAB_ITEMS}; tests take fewer
 * @throws RangeError where the graph does not fit the patch.
 */
export function planProgram(
  graph: Graph,
  { patch, batch, weightStorage = "packed", inputOnce = false }: CompileOptions,
  slabItems: number = SLAB_ITEMS,
): ProgramPlan {
  const network = fuseGraph(graph, patch);
  const places = placeTensors(network);
  const lastReads = lastReaders(network);
  /** How the slabs of tensors that lie over others were written. */
  const directions = new Map<string, Direction>();
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

  function tensorBytes(tensor: number): SlabTensor {
    const { grid } = network.tensors[tensor];
    const planeBytes = grid[1] * grid[2] * places[tensor].channelStride * 4;
    return { bytes: batch * grid[0] * planeBytes, planeBytes };
  }

  function touchTensor(tensor: number): void {
    touch(places[tensor].slot, tensorBytes(tensor).bytes);
  }

  function touchView(view: View): void {
    for (const { tensor } of view) touchTensor(tensor);
    const table = tables.get(tableKey(view));
    if (table) touch(table.slot);
  }

  function operandOf(view: View): Operand {
    const table = tables.get(tableKey(view));
    const { isAlone: _, ...first } = places[view[0].tensor];
    const firstPart = view.findIndex(({ tensor }) => places[tensor].slot !== first.slot);
    const { isAlone: _alone, ...second } = places[view[Math.max(firstPart, 0)].tensor];
    return {
      ...first,
      parts: view.map(({ tensor }) => network.tensors[tensor].channels),
      ...(firstPart > 0 && { second: { ...second, firstPart } }),
      ...(table && { normSlot: table.slot }),
    };
  }

  function targetOf(tensor: number): Target {
    const { channels, statistics } = network.tensors[tensor];
    const { isAlone: _, ...place } = places[tensor];
    return { ...place, channels, ...(statistics && { statisticsSlot: statisticsSlot(tensor) }) };
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

  /** The operator of a convolution, packing its weights in every run where that is wanted. */
  function planConvStep(step: ConvStep, index: number): PlannedConv {
    const { channels, grid, statistics } = network.tensors[step.output];
    const inputs = step.input.map(({ tensor }) => network.tensors[tensor].channels);
    const inputGrid = network.tensors[step.input[0].tensor].grid;
    const weightSlot = `weights:${index}`;
    const problem = {
      name: describeWeight(step.weight),
      batch,
      inputGrid,
      stride: step.stride,
      input: operandOf(step.input),
      output: targetOf(step.output),
      outputChannels: channels,
      weightSlot,
      statistics,
    };
    const isConv = step.kind === "conv";
    const packed = isConv ? planConv({ ...problem, kernel: step.kernel }) : planTransposedConv(problem);
    const isPackedPerRun = weightStorage === "packedPerRun" && savesByPackingPerRun(packed);
    const operator = isPackedPerRun ? packingInEveryRun(packed, weightSlot) : packed;
    const kind = isConv ? "conv" : "transposed conv";
    return {
      step,
      name: `${kind} ${problem.name} ${inputs.join("+")}->${channels} ${grid.join("x")}`,
      conv: { operator, batch, inputPlanes: inputGrid[0], outputPlanes: grid[0] },
      weights: {
        kind: isPackedPerRun ? "torch" : "packed",
        slot: weightSlot,
        operator: packed,
        ...(step.weight !== undefined && { weight: step.weight }),
        ...(step.bias !== undefined && { bias: step.bias }),
        weightShape: isConv ? [channels, sum(inputs), ...step.kernel] : [sum(inputs), channels, ...step.stride],
        biasShape: [channels],
      },
    };
  }

  /** Lays out what a convolution needs in the next step. */
  function use({ step, conv: { operator: { statistics } }, weights: source }: PlannedConv): void {
    touchView(step.input);
    touchTensor(step.output);
    weights.conv(source);
    if (!statistics) return;
    statisticsParts.set(step.output, statistics.parts);
    touch(statisticsSlot(step.output), statistics.bytes);
  }

  /** Ties a tensor's memory to that of another one that dies as it is written. */
  function tie(tensor: number, other: number, offset: number, direction?: Direction): void {
    const { slot } = places[tensor];
    const usage = blocks.get(slot);
    if (usage) usage.over = { block: places[other].slot, offset };
    if (direction) directions.set(slot, direction);
  }

  /** Tensors laid over each other in turn wander forth and back, so that the arena need not be much longer than one of them. */
  function directionOver(tensor: number): Direction {
    return directions.get(places[tensor].slot) === "ascending" ? "descending" : "ascending";
  }

  /** True if nothing needs a tensor's memory after step `index` of the network but what is laid over it. */
  function dies(tensor: number, index: number): boolean {
    return tensor !== 0 && tensor !== network.output && places[tensor].isAlone && lastReads[tensor] === index;
  }

  function addConv(planned: PlannedConv, index: number): void {
    const { step, name, conv } = planned;
    const under = step.input.map(({ tensor }) => tensor).find((tensor) => dies(tensor, index));
    use(planned);
    if (under !== undefined && places[step.output].isAlone) {
      const direction = directionOver(under);
      const laid = convOverInput(conv, tensorBytes(under), tensorBytes(step.output), direction, slabItems);
      if (laid) {
        tie(step.output, under, laid.offset, direction);
        return add(name, laid.operator);
      }
    }
    add(name, conv.operator);
  }

  /** A transposed convolution and the convolution that reads it beside a skip as one step, if they can run in turn slab by slab. */
  function addUpsampledConv(up: PlannedConv, next: PlannedConv | undefined, index: number): boolean {
    const skip = readsUpsampled(network, index);
    if (skip === undefined || !next || !dies(skip, index + 1)) return false;
    const written = [up.step.output, next.step.output];
    if (!written.every((tensor) => places[tensor].isAlone && tensor !== network.output)) return false;
    const direction = directionOver(skip);
    const [upsampled, output] = written.map(tensorBytes);
    const tensors = { skip: tensorBytes(skip), upsampled, output };
    const laid = upsampledConv(up.conv, next.conv, tensors, direction, slabItems);
    if (!laid) return false;
    writeTables(up.step.output);
    use(up);
    use(next);
    tie(up.step.output, skip, laid.upsampledOffset);
    tie(next.step.output, skip, laid.outputOffset, direction);
    add(`${up.name}, ${next.name}`, laid.operator);
    return true;
  }

  function addElementwise(step: FusedStep, index: number): void {
    const { channels, grid } = network.tensors[step.output];
    const shape = `${channels} ${grid.join("x")}`;
    const [a, b] = viewsOf(step).map(operandOf);
    const target = targetOf(step.output);
    viewsOf(step).forEach(touchView);
    touchTensor(step.output);
    if (step.kind === "add") {
      // Every element of the sum is written after it has been read, so the sum may lie exactly over an operand.
      const under = viewsOf(step).map(([{ tensor }]) => tensor).find((tensor) => dies(tensor, index));
      const fits = under !== undefined && places[step.output].isAlone &&
        places[under].channelStride === places[step.output].channelStride;
      if (fits) tie(step.output, under, 0, directions.get(places[under].slot));
      add(`residual sum ${shape}`, planResidualAdd({ batch, grid, a, b, target, slope: step.slope }));
    } else {
      const inputGrid = network.tensors[viewsOf(step)[0][0].tensor].grid;
      add(
        `average pool ${shape}`,
        planAveragePool({ batch, grid: inputGrid, stride: step.stride, input: a, target }),
      );
    }
  }

  touchTensor(0);
  writeTables(0);
  const convs = network.steps.map((step, index) =>
    step.kind === "conv" || step.kind === "transposedConv" ? planConvStep(step, index) : undefined
  );
  for (let index = 0; index < network.steps.length; index++) {
    const step = network.steps[index];
    const conv = convs[index];
    if (conv && addUpsampledConv(conv, convs[index + 1], index)) index++;
    else if (conv) addConv(conv, index);
    else addElementwise(step, index);
    writeTables(network.steps[index].output);
  }

  // The input can be run again, with other weights; the output stays until the next run.
  if (!inputOnce) touchTensor(0);
  touchTensor(network.output);
  const lifetimes = [...blocks].map(([name, usage]): BlockLifetime => ({ name, ...usage }));
  return {
    steps,
    weights: weights.blocks,
    weightBytes: weights.bytes(),
    weightSignature: weights.signature(),
    arena: planMemory(lifetimes),
    inputSlot: places[0].slot,
    outputSlot: places[network.output].slot,
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
    ...operator.inGroups,
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

/** By {@link tableKey}. */
export type NormTables = ReadonlyMap<string, Table>;

/** One norm table for every way in which a step looks at tensors. */
export function collectTables(network: FusedNetwork): NormTables {
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
