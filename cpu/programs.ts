/** Networks on the CPU engine: compiled programs, packed weights, and runs of the one with the other. */
import { UserError } from "../core/base/errors.ts";
import { padToFour, voxelCount } from "../core/base/shape.ts";
import { checkAlive } from "../core/engine/checks.ts";
import type {
  CompileOptions,
  Engine,
  Program,
  ProgramMemory,
  StepCost,
  WeightSet,
  WeightSource,
} from "../core/engine/engine.ts";
import { unpadChannels } from "../core/engine/results.ts";
import { temporaryBlock } from "../core/lowering/schedule.ts";
import { torchWeights } from "../core/lowering/weights.ts";
import type { PlacedCall } from "./encode.ts";
import { planProgram, type ProgramPlan } from "./program_plan.ts";
import type { Encoded, Region, Stream } from "./stream.ts";
import type { Tensors } from "./tensors.ts";
import { weightOffsets } from "./weight_layout.ts";
import { packingBytes, writeWeightBlock } from "./weights.ts";

/** A compiled network. */
export interface ProgramState {
  readonly plan: ProgramPlan;
  readonly arena: Region;
  /** The encoded steps by weight set: addresses of weights are in them. */
  readonly encoded: Map<WeightSet, Encoded>;
}

interface WeightState {
  readonly region: Region;
  readonly signature: string;
  /** Programs that have encoded steps for this set. */
  readonly users: Set<ProgramState>;
}

export interface ProgramTools extends Pick<Tensors, "allocate" | "release" | "enqueue"> {
  readonly stream: Stream;
  readonly threads: number;
  /** Items of a slab where outputs lie over their inputs; see the engine's options. */
  readonly slabItems?: number;
}

export interface Programs {
  readonly calls: Pick<Engine, "forecast" | "compile" | "loadWeights" | "run" | "downloadOutput">;
  /** @throws RangeError if the program is not this engine's, or released. */
  programOf(program: Program, doing: string): ProgramState;
  /** Address of one of its slots of activations. */
  slotOfArena(state: ProgramState, slot: string): number;
  /** Runs a program step by step and returns the milliseconds of each of `program.steps`. */
  timeSteps(program: Program, weights: WeightSet): Promise<number[]>;
}

export function createPrograms(tools: ProgramTools): Programs {
  const { stream, threads, slabItems, allocate, release } = tools;
  const { memory } = stream;
  const programs = new WeakMap<Program, ProgramState>();
  const weightSets = new WeakMap<WeightSet, WeightState>();

  function programOf(program: Program, doing: string): ProgramState {
    const state = programs.get(program);
    checkAlive(state?.arena.alive === true, "the program", doing);
    return state as ProgramState;
  }

  function weightsFor(state: ProgramState, set: WeightSet, doing: string): WeightState {
    const weights = weightSets.get(set);
    checkAlive(weights?.region.alive === true, "the weight set", doing);
    const known = weights as WeightState;
    if (known.signature !== state.plan.weightSignature) {
      throw new RangeError(`${doing}: the weight set was packed for another graph or patch`);
    }
    return known;
  }

  async function timeSteps(program: Program, set: WeightSet): Promise<number[]> {
    const state = programOf(program, "Timing a network");
    const weights = weightsFor(state, set, "Timing a network");
    const times: number[] = [];
    for (const calls of placeSteps(state, weights)) {
      const encoded = stream.encode(calls);
      await stream.settled();
      const start = performance.now();
      stream.submit(encoded, [state.arena, weights.region]);
      stream.release(encoded);
      await stream.settled();
      times.push(performance.now() - start);
    }
    return times;
  }

  const calls: Programs["calls"] = {
    forecast: (graph, compileOptions) => costsOf(planProgram(graph, accept(compileOptions), slabItems), threads),
    compile(graph, compileOptions) {
      const plan = planProgram(graph, accept(compileOptions), slabItems);
      stream.reserveScratch(plan.scratchBytes);
      const arena = allocate(plan.arena.bytes, "the network's activations");
      const state: ProgramState = { plan, arena, encoded: new Map() };
      const program: Program = {
        graph,
        batch: compileOptions.batch,
        patch: compileOptions.patch,
        outputChannels: plan.outputChannels,
        ...costsOf(plan, threads),
        [Symbol.dispose]: () => {
          release(arena);
          for (const [set, encoded] of state.encoded) {
            stream.release(encoded);
            weightSets.get(set)?.users.delete(state);
          }
          state.encoded.clear();
        },
      };
      programs.set(program, state);
      return Promise.resolve(program);
    },
    async loadWeights(program, source) {
      const { plan } = programOf(program, "Loading weights");
      const region = allocate(plan.weightBytes, "the network's weights");
      try {
        await stream.settled(region.lastUse);
        await packWeights(tools, plan, source, region.address);
      } catch (error) {
        release(region);
        throw error;
      }
      const state: WeightState = { region, signature: plan.weightSignature, users: new Set() };
      const set: WeightSet = {
        bytes: plan.weightBytes,
        [Symbol.dispose]: () => {
          release(region);
          for (const user of state.users) {
            const encoded = user.encoded.get(set);
            if (encoded) stream.release(encoded);
            user.encoded.delete(set);
          }
          state.users.clear();
        },
      };
      weightSets.set(set, state);
      return set;
    },
    run(program, set) {
      const doing = "Running the network";
      const state = programOf(program, doing);
      const known = weightsFor(state, set, doing);
      let encoded = state.encoded.get(set);
      if (!encoded) {
        encoded = stream.encode(placeSteps(state, known).flat());
        state.encoded.set(set, encoded);
        known.users.add(state);
      }
      stream.submit(encoded, [state.arena, known.region]);
    },
    downloadOutput(program, sample) {
      const doing = "Downloading the output";
      const state = programOf(program, doing);
      checkAlive(sample >= 0 && sample < program.batch, `sample ${sample}`, doing);
      const { outputGrid, outputChannels, outputSlot } = state.plan;
      const floats = voxelCount(outputGrid) * padToFour(outputChannels);
      return stream.read(state.arena, () => {
        const address = slotOfArena(state, outputSlot) + sample * floats * 4;
        return unpadChannels(new Float32Array(memory.memory.buffer, address, floats), outputChannels);
      });
    },
  };
  return { calls, programOf, slotOfArena, timeSteps };
}

function slotOfArena(state: ProgramState, slot: string): number {
  const offset = state.plan.arena.offsets.get(slot);
  if (offset === undefined) throw new RangeError(`Resolving a kernel's operands: there is no slot ${slot}`);
  return state.arena.address + offset;
}

/** The calls of every step of a program. */
function placeSteps(state: ProgramState, weights: WeightState): PlacedCall[][] {
  const offsets = weightOffsets(state.plan.weights);
  return state.plan.steps.map(({ operator }, step) => {
    const addressOf = (slot: string) => {
      if (slot in operator.temporaries) return slotOfArena(state, temporaryBlock(step, slot));
      const weight = offsets.get(slot);
      return weight === undefined ? slotOfArena(state, slot) : weights.region.address + weight;
    };
    return operator.calls.map((call) => ({ call, addressOf }));
  });
}

/** Packs a weight set: on all threads where the operator has kernels for it, the rest here. */
async function packWeights(
  { stream, enqueue }: Pick<ProgramTools, "stream" | "enqueue">,
  plan: ProgramPlan,
  source: WeightSource,
  address: number,
): Promise<void> {
  const { memory } = stream;
  const bytes = packingBytes(plan.weights);
  const staging = bytes > 0 ? memory.allocateIdle(bytes, "packing the network's weights") : 0;
  try {
    for (const block of plan.weights) {
      const packing = block.kind === "packed" ? block.operator.packing : undefined;
      const start = address + block.offset;
      if (block.kind !== "packed" || !packing) {
        writeWeightBlock(block, source, new Float32Array(memory.memory.buffer, start, block.bytes / 4));
        continue;
      }
      const { weight, bias } = torchWeights(block, source);
      const raw = new Float32Array(memory.memory.buffer, staging, packing.sourceBytes / 4);
      raw.set(weight);
      raw.fill(0, weight.length);
      if (bias) raw.set(bias, weight.length);
      source.release?.(weight);
      const calls = { ...block.operator, calls: packing.calls, temporaries: {} };
      enqueue(calls, { [packing.sourceSlot]: staging, [block.slot]: start }, []);
      await stream.settled();
    }
  } finally {
    if (bytes > 0) memory.free(staging, stream.issued);
  }
}

function accept(options: CompileOptions): CompileOptions {
  if (options.precision !== "f32") {
    throw new UserError({
      doing: "compiling the network",
      problem: `the CPU engine computes in f32, not ${options.precision}`,
      remedy: "leave out --precision",
    });
  }
  if (!(Number.isInteger(options.batch) && options.batch >= 1)) {
    throw new RangeError(`Compiling a network: a batch of ${options.batch}`);
  }
  return options;
}

function costsOf(
  plan: ProgramPlan,
  threads: number,
): { readonly memory: ProgramMemory; readonly steps: readonly StepCost[] } {
  return {
    memory: {
      weights: plan.weightBytes,
      activations: plan.arena.bytes,
      scratch: plan.scratchBytes * threads + packingBytes(plan.weights),
    },
    steps: plan.steps.map(({ name, operator: { algorithm, flops, coreSeconds } }) => ({
      name,
      algorithm,
      flops,
      seconds: coreSeconds / threads,
    })),
  };
}
