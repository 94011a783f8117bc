/**
 * The port between nnU-Net and what computes it. cpu/ and gpu/ implement it; core/ only sees this file.
 * Tensors are opaque handles. Every call only enqueues, in order; `download` and `flush` alone are awaited.
 * Results must not depend on threads, batch position, or on what else was enqueued.
 */
import type { Vec3 } from "../base/shape.ts";
import type { Graph } from "../graph/graph.ts";
import type { EngineCosts } from "./costs.ts";
import type { VolumeCalls } from "./volume.ts";

/** Element types of tensors and what a download gives. */
export interface ElementArrays {
  readonly f32: Float32Array;
  readonly u8: Uint8Array;
  readonly u16: Uint16Array;
  readonly i16: Int16Array;
  readonly i32: Int32Array;
}
export type ElementType = keyof ElementArrays;

/** Their constructors. */
export const ELEMENT_ARRAYS = {
  f32: Float32Array,
  u8: Uint8Array,
  u16: Uint16Array,
  i16: Int16Array,
  i32: Int32Array,
} as const;

/** A flat array on the engine; disposing it twice is allowed, using it afterwards throws. */
export interface TensorHandle<T extends ElementType = ElementType> extends Disposable {
  readonly type: T;
  /** Number of elements. */
  readonly length: number;
  /** What it is, for memory reports and errors: "logit ring". */
  readonly label: string;
}

/** Where a network's weights come from: torch's names, torch's layouts, f32. */
export interface WeightSource {
  /** @throws UserError if the name is absent or the shape is not the expected one. */
  get(name: string, shape: readonly number[]): Float32Array;
  /** Called with an array from `get` that has been copied and is not needed any more; its memory may be given back at once. */
  release?(weight: Float32Array): void;
}

export type Precision = "f32" | "f16";

export interface CompileOptions {
  /** Grid of the network input. */
  readonly patch: Vec3;
  /** Samples computed by one run. */
  readonly batch: number;
  readonly precision: Precision;
  /**
   * "packed" (default): weights stay in the form the kernels want, which can be eight times the checkpoint's. "packedPerRun": they stay as
   * the checkpoint has them, and each run packs a layer's just before it needs them. Results are the same to the bit.
   */
  readonly weightStorage?: WeightStorage;
  /**
   * True: every run comes after a gather of its own, and an output is not asked for after the next gather, so that the input's memory
   * may serve the run. False (default): the input can be run again.
   */
  readonly inputOnce?: boolean;
}

export type WeightStorage = "packed" | "packedPerRun";

/** Bytes a program needs, known before anything is allocated. */
export interface ProgramMemory {
  /** Weights in the form the kernels want them, once per weight set. */
  readonly weights: number;
  readonly activations: number;
  readonly scratch: number;
}

/** What one step of a program costs; for forecasts, reports and the bench. */
export interface StepCost {
  /** "conv encoder.stages.0.0.convs.0.conv 32->32 128x128x128". */
  readonly name: string;
  /** "winograd 4x4x4", "direct", ... */
  readonly algorithm: string;
  /** Multiplications and additions of the direct form. */
  readonly flops: number;
  /** Forecast by the engine's cost model. */
  readonly seconds: number;
}

/** A graph made ready for one patch size and batch. */
export interface Program extends Disposable {
  readonly graph: Graph;
  readonly batch: number;
  readonly patch: Vec3;
  readonly outputChannels: number;
  readonly memory: ProgramMemory;
  readonly steps: readonly StepCost[];
}

/** A checkpoint's weights in the layout a program's kernels want; several folds can be resident beside each other. */
export interface WeightSet extends Disposable {
  readonly bytes: number;
}

/** What an engine has of memory beside the program's. */
export interface OwnMemory {
  /** Bytes that were free when the engine was opened; absent where there are more than any plan has to mind. */
  readonly free?: number;
  /** Bytes that the activations of a batch may take without need. */
  readonly comfortable: number;
}

/** Something that computes. Dispose it to end its workers or give back its device. */
export interface Engine extends VolumeCalls, AsyncDisposable {
  readonly kind: "cpu" | "gpu";
  /** One line for the user: "CPU, 2 threads, WebAssembly SIMD". */
  readonly description: string;
  /** What its work beside the network's steps costs. */
  readonly costs: EngineCosts;
  /** Memory that is not the program's; absent where it computes in the program's own, or it is not known. */
  readonly ownMemory?: OwnMemory;
  /** Bytes of the host's memory that it keeps for what comes next, and does not use; absent where it gives them back. */
  readonly idleBytes?: number;
  /** Bytes a program and its weight sets will need; pure, allocates nothing. */
  forecast(
    graph: Graph,
    options: CompileOptions,
  ): { readonly memory: ProgramMemory; readonly steps: readonly StepCost[] };
  compile(graph: Graph, options: CompileOptions): Promise<Program>;
  /** Does beforehand what takes time in {@link compile} and {@link loadWeights} and no memory; absent: nothing does. */
  prepare?(graph: Graph, options: CompileOptions, signal?: AbortSignal): Promise<void>;
  /** Packs a checkpoint's weights for a program; valid for all programs of the same graph, patch and precision. */
  loadWeights(program: Program, weights: WeightSource): Promise<WeightSet>;
  /** True if weights loaded for a program of the same graph and patch in another precision do for this one; absent: they do. */
  takesWeights?(program: Program, weights: WeightSet): boolean;

  /** A tensor; its contents are undefined until something is written. @throws UserError if there is not enough memory. */
  alloc<T extends ElementType>(type: T, length: number, label: string): TensorHandle<T>;
  /** Copies `data` into `target` from element `offset` on. `data` may be reused as soon as the call returns. */
  upload<T extends ElementType>(target: TensorHandle<T>, data: ElementArrays[T], offset?: number): void;
  /** Sets `length` elements from `offset` on to 0. */
  clear(target: TensorHandle, offset?: number, length?: number): void;
  download<T extends ElementType>(source: TensorHandle<T>, offset?: number, length?: number): Promise<ElementArrays[T]>;
  /** Waits until all that was enqueued is done. */
  flush(): Promise<void>;

  /** Runs the network on the program's input; the result stays in the program's output. */
  run(program: Program, weights: WeightSet): void;
  /** The program's output of one sample as (channels, z, y, x); for tests and tools. */
  downloadOutput(program: Program, sample: number): Promise<Float32Array>;
}
