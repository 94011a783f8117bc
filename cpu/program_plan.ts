/**
 * From a graph to everything the CPU engine must know before it allocates: operators in order, the place of every intermediate
 * block in one arena, the weights' layout and the scratch of a thread. Pure; forecasts and programs are both made from it.
 */
import type { Vec3 } from "../core/base/shape.ts";
import type { CompileOptions } from "../core/engine/engine.ts";
import { fuseGraph } from "../core/graph/fuse.ts";
import type { Graph } from "../core/graph/graph.ts";
import { alignBlock, type MemoryPlan, planMemory } from "../core/graph/memory_plan.ts";
import { type ForwardRules, lowerForward, tablesOfWeights } from "../core/lowering/forward.ts";
import { createLowering, type PlannedConv, touchTensor } from "../core/lowering/lowering.ts";
import type { Schedule, Step } from "../core/lowering/schedule.ts";
import { convSource } from "../core/lowering/weights.ts";
import type { Operator, WeightedOperator } from "../kernels/wasm/kernel.ts";
import { type CpuTypes, FORWARD_KERNELS, packingInEveryRun } from "./kernel_set.ts";
import { slabRules } from "./slab_rules.ts";
import { SLAB_ITEMS } from "./slabs.ts";
import { placeTensors, storageOf } from "./tensor_places.ts";
import { createWeightLayout, type WeightBlock } from "./weight_layout.ts";

export interface ProgramPlan {
  readonly steps: readonly Step<Operator>[];
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
  const storage = storageOf(network, places, batch);
  const lowering = { ...createLowering<CpuTypes>(network, batch, "view"), kernels: FORWARD_KERNELS, storage };
  const weights = createWeightLayout();
  const isPackedPerRun = (operator: WeightedOperator) =>
    weightStorage === "packedPerRun" && savesByPackingPerRun(operator);
  const runs = ({ operator, weightSlot }: PlannedConv<CpuTypes>) =>
    isPackedPerRun(operator) ? packingInEveryRun(operator, weightSlot) : operator;
  const rules: ForwardRules<CpuTypes> = {
    ...tablesOfWeights(lowering, weights),
    weightSlot: (_, index) => `weights:${index}`,
    placeWeights(conv) {
      const { step, operator, weightSlot: slot } = conv;
      const kind = isPackedPerRun(operator) ? "torch" : "packed";
      weights.conv({ kind, slot, operator, ...convSource(network, step) });
      return runs(conv);
    },
  };
  lowerForward(lowering, { ...rules, ...slabRules({ lowering, rules, runs, places, slabItems }) });
  // The input can be run again, with other weights; the output stays until the next run.
  if (!inputOnce) touchTensor(lowering, 0);
  touchTensor(lowering, network.output);
  const { steps } = lowering.schedule;
  return {
    steps,
    weights: weights.blocks,
    weightBytes: weights.bytes(),
    weightSignature: weights.signature(),
    arena: arenaOf(lowering.schedule),
    inputSlot: places[0].slot,
    outputSlot: places[network.output].slot,
    inputChannels: network.tensors[0].channels,
    outputChannels: network.tensors[network.output].channels,
    outputGrid: network.tensors[network.output].grid,
    scratchBytes: scratchOf(steps),
  };
}

/** Below this the memory is not worth a barrier. */
const LEAST_SAVED_BYTES = 2 ** 20;

function savesByPackingPerRun({ packing, weightBytes }: WeightedOperator): boolean {
  return packing !== undefined && weightBytes - packing.sourceBytes > LEAST_SAVED_BYTES;
}

/** One arena for all blocks of a schedule. */
export function arenaOf({ usages }: Schedule<Operator>): MemoryPlan {
  return planMemory([...usages].map(([name, { bytes, first, last, over }]) => ({
    name,
    bytes,
    first,
    last,
    ...(over && { over }),
  })));
}

/** Private memory a thread needs for any call of the steps. */
export function scratchOf(steps: readonly Step<Operator>[]): number {
  const calls = steps.flatMap(({ operator }) => operator.calls);
  return calls.reduce((most, { scratchBytes }) => Math.max(most, alignBlock(scratchBytes)), 0);
}
