/**
 * The engine on WebAssembly SIMD and threads: networks as fixed lists of kernel calls over one shared memory. A program run, a
 * gather, an accumulation is one command each; the workers do the rest without the main thread.
 */
import { padToFour, voxelCount } from "../core/base/shape.ts";
import {
  checkAccumulate,
  checkAlive,
  checkAlloc,
  checkFinish,
  checkGather,
  checkRange,
  checkResampleToLabels,
  checkResampleToProbabilities,
} from "../core/engine/checks.ts";
import type {
  CompileOptions,
  ElementArrays,
  ElementType,
  Engine,
  LabelRule,
  Program,
  ProgramMemory,
  ResamplePlanes,
  StepCost,
  TensorHandle,
  WeightSet,
  WeightSource,
} from "../core/engine/engine.ts";
import type { TrainingEngine } from "../core/engine/training.ts";
import { emitModule } from "../kernels/wasm/module.ts";
import type { Operator } from "../kernels/wasm/kernel.ts";
import { planAccumulate, planFinishPlanes } from "../kernels/wasm/volume_accumulate.ts";
import { planClear } from "../kernels/wasm/volume_clear.ts";
import { planGatherPatches } from "../kernels/wasm/volume_gather.ts";
import {
  packResampleTables,
  planResampleToLabels,
  planResampleToProbabilities,
} from "../kernels/wasm/volume_resample.ts";
import { cpuFeatures, describeCpu } from "./describe.ts";
import { copyCall, type PlacedCall } from "./encode.ts";
import { planProgram, type ProgramPlan, scratchOf, temporaryBlock } from "./program_plan.ts";
import { createStream, type Encoded, type Region } from "./stream.ts";
import { type CpuTraining, createTraining } from "./training.ts";
import { weightOffsets } from "./weight_layout.ts";
import { packingBytes, torchWeights, writeWeightBlock } from "./weights.ts";

export { type CpuDescription, cpuFeatures, describeCpu } from "./describe.ts";

export interface CpuEngineOptions {
  /** Worker threads; all cores by default. Results do not depend on it. */
  readonly threads?: number;
  /** The most bytes the engine may have in its memory; 16 GiB (what WebAssembly allows) by default. */
  readonly memoryLimitBytes?: number;
  /** Items of a slab where outputs lie over their inputs; for tests, which take fewer than is sensible. Results do not depend on it. */
  readonly slabItems?: number;
}

/** The CPU engine, for prediction and training; it can tell what memory it has taken. */
export interface CpuEngine extends Engine, TrainingEngine, CpuTraining {
  readonly kind: "cpu";
  readonly threads: number;
  /** Bytes handed out now and at most so far: tensors, weights, activations, scratch, parameters. */
  memoryUse(): { readonly used: number; readonly highWater: number };
  /** Runs a program step by step and returns the milliseconds of each of `program.steps`; for the bench. */
  timeSteps(program: Program, weights: WeightSet): Promise<number[]>;
}

const ARRAYS = { f32: Float32Array, u8: Uint8Array, u16: Uint16Array, i16: Int16Array, i32: Int32Array } as const;

interface ProgramState {
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

/**
 * Starts the engine's workers.
 * @throws UserError if the system does not give the memory.
 */
export async function createCpuEngine(options: CpuEngineOptions = {}): Promise<CpuEngine> {
  const threads = Math.max(1, Math.floor(options.threads ?? describeCpu().threads));
  const stream = await createStream({ ...options, threads, module: emitModule() });
  const { memory } = stream;
  const tensors = new WeakMap<TensorHandle, Region>();
  const programs = new WeakMap<Program, ProgramState>();
  const weightSets = new WeakMap<WeightSet, WeightState>();

  function allocate(bytes: number, what: string): Region {
    const { address, busyUntil } = memory.allocate(bytes, what);
    return { address, bytes, lastUse: busyUntil, openReads: new Set(), alive: true };
  }

  function release(region: Region): void {
    if (!region.alive) return;
    region.alive = false;
    if (region.openReads.size === 0) memory.free(region.address, region.lastUse);
    else stream.afterwards(() => memory.free(region.address, region.lastUse));
  }

  function regionOf(tensor: TensorHandle, doing: string): Region {
    const region = tensors.get(tensor);
    checkAlive(region?.alive === true, tensor.label, doing);
    return region as Region;
  }

  function programOf(program: Program, doing: string): ProgramState {
    const state = programs.get(program);
    checkAlive(state?.arena.alive === true, "the program", doing);
    return state as ProgramState;
  }

  function slotOfArena(state: ProgramState, slot: string): number {
    const offset = state.plan.arena.offsets.get(slot);
    if (offset === undefined) throw new RangeError(`Resolving a kernel's operands: there is no slot ${slot}`);
    return state.arena.address + offset;
  }

  /** Enqueues one operator whose slots are whole regions, or constants that are written beside its parameters. */
  function enqueue(
    operator: Operator,
    slots: Readonly<Record<string, Region | number>>,
    used: readonly Region[] = Object.values(slots).filter((slot) => typeof slot !== "number"),
  ): void {
    const addressOf = (slot: string) => {
      const found = slots[slot];
      if (found === undefined) throw new RangeError(`Resolving a kernel's operands: there is no slot ${slot}`);
      return typeof found === "number" ? found : found.address;
    };
    const encoded = stream.encode(operator.calls.map((call) => ({ call, addressOf })));
    stream.submit(encoded, used);
    stream.release(encoded);
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

  function weightsFor(state: ProgramState, set: WeightSet, doing: string): WeightState {
    const weights = weightSets.get(set);
    checkAlive(weights?.region.alive === true, "the weight set", doing);
    const known = weights as WeightState;
    if (known.signature !== state.plan.weightSignature) {
      throw new RangeError(`${doing}: the weight set was packed for another graph or patch`);
    }
    return known;
  }

  /** Packs a weight set: on all threads where the operator has kernels for it, the rest here. */
  async function packWeights(plan: ProgramPlan, source: WeightSource, address: number): Promise<void> {
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

  function resampling(call: ResamplePlanes, rule?: LabelRule) {
    const { ring, tables, from, to } = call;
    const bytes = packResampleTables(ring, tables, rule?.values);
    const tablesAddress = memory.allocateSmall(bytes.length);
    memory.bytes(tablesAddress, bytes.length).set(bytes);
    const outputs = [tables[0].first.length, tables[1].first.length, tables[2].first.length] as const;
    const range = { ring, outputs, logitsSlot: "logits", tablesSlot: "tables", targetSlot: "target", from, to };
    const logits = regionOf(ring.logits, "Resampling");
    const done = () => stream.afterwards(() => memory.freeSmall(tablesAddress));
    return { range, slots: { logits, tables: tablesAddress }, done };
  }

  const engine: CpuEngine = {
    kind: "cpu",
    threads,
    description: `CPU, ${threads} ${threads === 1 ? "thread" : "threads"}, WebAssembly ${
      cpuFeatures().relaxedSimd ? "relaxed SIMD" : "SIMD"
    }`,
    memoryUse: () => ({ used: memory.used, highWater: memory.highWater }),
    async timeSteps(program, set) {
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
    },
    forecast: (graph, compileOptions) =>
      costsOf(planProgram(graph, accept(compileOptions), options.slabItems), threads),
    compile(graph, compileOptions) {
      const plan = planProgram(graph, accept(compileOptions), options.slabItems);
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
        await packWeights(plan, source, region.address);
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

    alloc<T extends ElementType>(type: T, length: number, label: string): TensorHandle<T> {
      checkAlloc(length, label);
      const region = allocate(length * ARRAYS[type].BYTES_PER_ELEMENT, label);
      const handle: TensorHandle<T> = { type, length, label, [Symbol.dispose]: () => release(region) };
      tensors.set(handle, region);
      return handle;
    },
    upload(target, data, offset = 0) {
      const doing = "Uploading";
      checkRange(target, offset, data.length, doing);
      stream.check();
      const region = regionOf(target, doing);
      const source = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      const start = offset * data.BYTES_PER_ELEMENT;
      if (stream.isIdle(region)) {
        memory.bytes(region.address + start, source.length).set(source);
        return;
      }
      const staging = memory.allocateIdle(source.length, `uploading ${target.label}`);
      memory.bytes(staging, source.length).set(source);
      const slots = { source: staging, target: region.address + start, length: source.length };
      enqueue(single("copy", copyCall(source.length)), slots, [region]);
      memory.free(staging, stream.issued);
    },
    clear(target, offset = 0, length = target.length - offset) {
      checkRange(target, offset, length, "Clearing");
      const size = ARRAYS[target.type].BYTES_PER_ELEMENT;
      const region = regionOf(target, "Clearing");
      enqueue(planClear({ slot: "target", offset: offset * size, bytes: length * size }), { target: region });
    },
    download<T extends ElementType>(source: TensorHandle<T>, offset = 0, length = source.length - offset) {
      checkRange(source, offset, length, "Downloading");
      const region = regionOf(source, "Downloading");
      const size = ARRAYS[source.type].BYTES_PER_ELEMENT;
      return stream.read(region, () => {
        const bytes = memory.bytes(region.address + offset * size, length * size).slice();
        return new ARRAYS[source.type](bytes.buffer) as ElementArrays[T];
      });
    },
    flush: () => stream.settled(),

    gatherPatches(call) {
      checkGather(call);
      const doing = "Gathering patches";
      const state = programOf(call.program, doing);
      const volume = regionOf(call.volume, doing);
      const labels = call.labelMap && regionOf(call.labelMap.labels, doing);
      const operator = planGatherPatches({
        volumeSlot: "volume",
        channels: call.channels,
        grid: call.grid,
        ...(call.labelMap && { labelMap: { slot: "labels", oneHot: call.labelMap.oneHot } }),
        patches: call.patches,
        patch: call.program.patch,
        inputSlot: "input",
      });
      const input = slotOfArena(state, state.plan.inputSlot);
      const slots = { volume, input, ...(labels && { labels }) };
      enqueue(operator, slots, [volume, state.arena, ...(labels ? [labels] : [])]);
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
    ringStride: (channels) => channels,
    accumulate(call) {
      checkAccumulate(call);
      const doing = "Accumulating";
      const state = programOf(call.program, doing);
      const { ring, sample, placement, scale, addWeight } = call;
      const operator = planAccumulate({
        ring,
        logitsSlot: "logits",
        weightSumsSlot: "sums",
        outputSlot: "output",
        sample,
        patch: call.program.patch,
        placement,
        importanceSlot: "importance",
        scale,
        addWeight,
      });
      const regions = {
        logits: regionOf(ring.logits, doing),
        sums: regionOf(ring.weightSums, doing),
        importance: regionOf(call.importance, doing),
      };
      const output = slotOfArena(state, state.plan.outputSlot);
      enqueue(operator, { ...regions, output }, [...Object.values(regions), state.arena]);
    },
    finishPlanes(ring, from, to, folds) {
      checkFinish(ring, from, to, folds);
      const doing = "Finishing planes";
      const slots = {
        logits: regionOf(ring.logits, doing),
        sums: regionOf(ring.weightSums, doing),
        ...(ring.nonFinite && { flag: regionOf(ring.nonFinite, doing) }),
      };
      const where = { logitsSlot: "logits", weightSumsSlot: "sums", ...(ring.nonFinite && { flagSlot: "flag" }) };
      enqueue(planFinishPlanes({ ring, ...where, from, to, folds }), slots);
    },
    resampleToLabels(call) {
      checkResampleToLabels(call);
      const target = regionOf(call.target, "Resampling");
      const { range, slots, done } = resampling(call, call.rule);
      const { type: targetType } = call.target;
      const operator = planResampleToLabels({ ...range, kind: call.rule.kind, targetType, view: call.view });
      enqueue(operator, { ...slots, target });
      done();
    },
    resampleToProbabilities(call) {
      checkResampleToProbabilities(call);
      const target = regionOf(call.target, "Resampling");
      const { range, slots, done } = resampling(call);
      enqueue(planResampleToProbabilities({ ...range, nonlinearity: call.nonlinearity }), { ...slots, target });
      done();
    },
    downloadOutput(program, sample) {
      const doing = "Downloading the output";
      const state = programOf(program, doing);
      checkAlive(sample >= 0 && sample < program.batch, `sample ${sample}`, doing);
      const { outputGrid, outputChannels, outputSlot } = state.plan;
      const voxels = voxelCount(outputGrid);
      const padded = padToFour(outputChannels);
      return stream.read(state.arena, () => {
        const address = slotOfArena(state, outputSlot) + sample * voxels * padded * 4;
        const stored = new Float32Array(memory.memory.buffer, address, voxels * padded);
        const out = new Float32Array(voxels * outputChannels);
        for (let c = 0; c < outputChannels; c++) {
          for (let i = 0; i < voxels; i++) out[c * voxels + i] = stored[i * padded + c];
        }
        return out;
      });
    },
    ...createTraining({ stream, threads, allocate, release, enqueue }),
    [Symbol.asyncDispose]: () => stream[Symbol.asyncDispose](),
  };
  return engine;
}

function accept(options: CompileOptions): CompileOptions {
  if (options.precision !== "f32") {
    throw new RangeError(`Compiling a network: the CPU engine computes in f32, not ${options.precision}`);
  }
  if (!(Number.isInteger(options.batch) && options.batch >= 1)) {
    throw new RangeError(`Compiling a network: a batch of ${options.batch}`);
  }
  return options;
}

function single(algorithm: string, call: Operator["calls"][number]): Operator {
  return { algorithm, calls: [call], temporaries: {}, flops: 0, bytes: 0, coreSeconds: 0 };
}

function costsOf(
  plan: ProgramPlan,
  threads: number,
): { readonly memory: ProgramMemory; readonly steps: readonly StepCost[] } {
  return {
    memory: {
      weights: plan.weightBytes,
      activations: plan.arena.bytes,
      scratch: scratchOf(plan.steps.map(({ operator }) => operator)) * threads + packingBytes(plan.weights),
    },
    steps: plan.steps.map(({ name, operator: { algorithm, flops, coreSeconds } }) => ({
      name,
      algorithm,
      flops,
      seconds: coreSeconds / threads,
    })),
  };
}
