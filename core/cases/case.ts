/**
 * What an engine must be able to do, as data: each case drives the port alone and returns what it downloaded. One list of them
 * (cases.ts) is the engines' test suite, the GPU's self-test, what the checksum of the GPU's kernels is made of, and what benches time.
 */
import { UserError } from "../base/errors.ts";
import type { Engine, Precision, StepCost, TensorHandle } from "../engine/engine.ts";
import type { TrainingEngine } from "../engine/training.ts";

/** An engine, which may be able to train. */
export type CaseEngine = Engine & Partial<TrainingEngine>;

/** Arrays by name; integer arrays are labels. */
export type CaseResult = Readonly<Record<string, Float32Array | Uint8Array | Uint16Array>>;

export interface EngineCase {
  readonly name: string;
  /** The half of the port that it drives: what lies around a network, networks, trainings. */
  readonly family: "volume" | "network" | "training";
  /** How activations are kept; results are compared with those in f32. */
  readonly precisions: readonly Precision[];
  /** True: part of the GPU's self-test, small enough for it. */
  readonly selfTest?: boolean;
  /** True: every way to compute its convolutions that a measurement may choose belongs to the kernels' checksum. */
  readonly everyWay?: boolean;
  /** What the engine forecasts of the case's program; pure. @throws UserError saying why the engine cannot do it */
  forecast(engine: CaseEngine, precision: Precision): readonly StepCost[];
  /** A training case returns a step's loss, gradients and parameters. */
  run(engine: CaseEngine, precision: Precision): Promise<CaseResult>;
  /** Sizes of real use, for timing. */
  readonly timed?: readonly TimedSize[];
}

/** A case at the size of real use. */
export interface TimedSize {
  readonly name: string;
  prepare(engine: CaseEngine, precision: Precision): Promise<TimedWork>;
}

/** Work that can be repeated. */
export interface TimedWork extends Disposable {
  /** Enqueues it, or does it. */
  run(): void | Promise<unknown>;
  /** Of the result. */
  readonly voxels: number;
  /** Bytes that must at least be moved. */
  readonly bytes: number;
}

/** Why the engine cannot do a case, in its own words; undefined if it can. */
export function refusal(engine: CaseEngine, one: EngineCase, precision: Precision): string | undefined {
  try {
    one.forecast(engine, precision);
    return undefined;
  } catch (error) {
    if (error instanceof UserError) return error.parts.problem;
    throw error;
  }
}

/** The training half of an engine. @throws UserError if it has none */
export function trainerOf(engine: CaseEngine): TrainingEngine {
  if (trains(engine)) return engine;
  throw new UserError({ doing: "training", problem: `${engine.description} does not train` });
}

function trains(engine: CaseEngine): engine is Engine & TrainingEngine {
  return engine.compileTraining !== undefined;
}

/**
 * Largest difference allowed, as a share of the expected values' standard deviation; of labels (near ties), as a share of all. Gradients are
 * sums of many values that nearly cancel out.
 *
 * f16: what is stored is rounded, and WGSL lets a device round to either neighbour: errors of up to 1 unit in the last place where rounding
 * to the nearest makes 1/2, so twice as large by root mean square. With transformed tiles in blocks of 16 bits, which all devices round
 * alike, 1.1e-2 is found to the nearest, 1.7e-2 to either side (to zero 1.3e-2); the bound is more than twice the first, for devices that
 * add up in another order. tests/engine/gpu_self_test_test.ts rounds so.
 */
export const CASE_TOLERANCE = {
  f32: 1e-4,
  f16: 2.5e-2,
  labels: 1e-3,
  gradients: { f32: 1e-2, f16: 0.1 },
} as const;

/** What a case's numbers may differ by in a precision. */
export function toleranceOf({ family }: EngineCase, precision: Precision): number {
  return (family === "training" ? CASE_TOLERANCE.gradients : CASE_TOLERANCE)[precision];
}

export interface Difference {
  /** The largest difference of floats, as a share of their standard deviation. */
  readonly worst: number;
  /** What is wrong first, if anything is. */
  readonly failure?: string;
}

/** Compares a case's results with those expected of it, in f32. */
export function compareResults(actual: CaseResult, expected: CaseResult, tolerance: number): Difference {
  if (Object.keys(actual).join() !== Object.keys(expected).join()) {
    return { worst: Infinity, failure: `there is ${Object.keys(actual)}, not ${Object.keys(expected)}` };
  }
  let worst = 0;
  let failure: string | undefined;
  for (const [what, wanted] of Object.entries(expected)) {
    if (actual[what].length !== wanted.length) {
      failure ??= `${what} has ${actual[what].length} elements, not ${wanted.length}`;
    } else if (wanted instanceof Float32Array) {
      const difference = largestDifference(actual[what], wanted);
      worst = Math.max(worst, difference);
      if (difference <= tolerance) continue;
      failure ??= `${what} differs by ${difference.toExponential(1)} of its standard deviation (allowed ${tolerance})`;
    } else {
      let different = 0;
      wanted.forEach((value, i) => different += Number(actual[what][i] !== value));
      const share = different / wanted.length;
      if (!(share <= CASE_TOLERANCE.labels)) failure ??= `${what}: ${(100 * share).toFixed(1)} % of them differ`;
    }
  }
  return { worst, ...(failure !== undefined && { failure }) };
}

/** The largest |actual - expected| as a share of expected's standard deviation; infinite where a number is none. */
function largestDifference(actual: ArrayLike<number>, expected: Float32Array): number {
  const mean = expected.reduce((sum, value) => sum + value, 0) / expected.length;
  const variance = expected.reduce((sum, value) => sum + (value - mean) ** 2, 0) / expected.length;
  let largest = 0;
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs(actual[i] - expected[i]);
    if (Number.isNaN(difference)) return Infinity;
    largest = Math.max(largest, difference);
  }
  return largest / (Math.sqrt(variance) || 1);
}

/** A tensor that holds `data`. */
export function uploaded(engine: Engine, label: string, data: Float32Array): TensorHandle<"f32"> {
  const tensor = engine.alloc("f32", data.length, label);
  engine.upload(tensor, data);
  return tensor;
}
