/**
 * The engine on WebAssembly SIMD and threads: networks as fixed lists of kernel calls over one shared memory. A program run, a
 * gather, an accumulation is one command each; the workers do the rest without the main thread.
 */
import type { Engine, Program, WeightSet } from "../core/engine/engine.ts";
import type { TrainingCalls } from "../core/lowering/training_engine.ts";
import { emitModule } from "../kernels/wasm/module.ts";
import { CPU_COSTS } from "./costs.ts";
import { cpuFeatures, describeCpu } from "./describe.ts";
import { createPrograms } from "./programs.ts";
import { createStream } from "./stream.ts";
import { createTensors } from "./tensors.ts";
import { createTraining } from "./training/training.ts";
import { createVolumeCalls } from "./volume_calls.ts";
import { WASM_KERNELS } from "./wasm_kernels.ts";

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
export interface CpuEngine extends Engine, TrainingCalls {
  readonly kind: "cpu";
  readonly threads: number;
  /** Bytes handed out now and at most so far: tensors, weights, activations, scratch, parameters. */
  memoryUse(): { readonly used: number; readonly highWater: number };
  /** Runs a program step by step and returns the milliseconds of each of `program.steps`; for the bench. */
  timeSteps(program: Program, weights: WeightSet): Promise<number[]>;
}

/**
 * Starts the engine's workers.
 * @throws UserError if the system does not give the memory.
 * @example
 * ```ts
 * import { deepStrictEqual } from "node:assert";
 *
 * await using engine = await createCpuEngine({ threads: 1 });
 * // One convolution that doubles its input and adds 1.
 * const graph = {
 *   nodes: [
 *     { kind: "input" as const, channels: 1 },
 *     {
 *       kind: "conv" as const,
 *       input: 0,
 *       channels: 1,
 *       kernel: [1, 1, 1] as const,
 *       stride: [1, 1, 1] as const,
 *       weight: "w",
 *       bias: "b",
 *     },
 *   ],
 *   outputs: [1],
 * };
 * using program = await engine.compile(graph, { patch: [1, 1, 4], batch: 1, precision: "f32" });
 * using weights = await engine.loadWeights(program, { get: (name) => Float32Array.of(name === "w" ? 2 : 1) });
 * using volume = engine.alloc("f32", 4, "volume");
 * engine.upload(volume, Float32Array.of(0, 1, 2, 3));
 * const patches = [{ origin: [0, 0, 0] as const, mirror: [false, false, false] as const }];
 * engine.gatherPatches({ volume, channels: 1, grid: [1, 1, 4], patches, program });
 * engine.run(program, weights);
 * deepStrictEqual([...await engine.downloadOutput(program, 0)], [1, 3, 5, 7]);
 * ```
 */
export async function createCpuEngine(options: CpuEngineOptions = {}): Promise<CpuEngine> {
  const threads = Math.max(1, Math.floor(options.threads ?? describeCpu().threads));
  const stream = await createStream({ ...options, threads, module: emitModule(WASM_KERNELS) });
  const { memory } = stream;
  const tensors = createTensors(stream);
  const programs = createPrograms({ ...tensors, stream, threads, slabItems: options.slabItems });
  return {
    kind: "cpu",
    threads,
    description: `CPU, ${threads} ${threads === 1 ? "thread" : "threads"}, WebAssembly ${
      cpuFeatures().relaxedSimd ? "relaxed SIMD" : "SIMD"
    }`,
    costs: CPU_COSTS,
    get idleBytes() {
      return memory.highWater - memory.used;
    },
    memoryUse: () => ({ used: memory.used, highWater: memory.highWater }),
    timeSteps: programs.timeSteps,
    flush: () => stream.settled(),
    ...tensors.calls,
    ...programs.calls,
    ...createVolumeCalls({ ...tensors, ...programs, stream }),
    ...createTraining({ ...tensors, stream, threads }),
    [Symbol.asyncDispose]: () => stream[Symbol.asyncDispose](),
  };
}
