/**
 * Whether a GPU computes what the CPU computes: small cases on both engines, compared. A driver that miscompiles a kernel gives wrong
 * numbers without any error; only this finds out.
 */
import type { Engine } from "../../core/engine/engine.ts";
import type { GpuEngine } from "../../gpu/engine.ts";
import type { TrainingEngine } from "../../core/engine/training.ts";
import { SELF_TEST_CASES, type SelfTestResult } from "./self_test_cases.ts";
import { TRAINING_SELF_TEST_CASES } from "./self_test_training.ts";

/**
 * Largest difference allowed, as a share of the CPU values' standard deviation; of labels (near ties), as a share of all. Gradients are sums
 * of many values that nearly cancel out.
 */
export const SELF_TEST_TOLERANCE = {
  f32: 1e-4,
  f16: 1e-2,
  labels: 1e-3,
  gradients: { f32: 1e-2, f16: 0.1 },
} as const;

const CASES = [...SELF_TEST_CASES, ...TRAINING_SELF_TEST_CASES];

export interface SelfTestReport {
  readonly cases: number;
  /** Cases left out because the GPU has no 16-bit floats. */
  readonly skipped: number;
  /** What came out wrong, a sentence a case. */
  readonly failures: readonly string[];
  /** The largest difference of f32 results, as a share of their standard deviation. */
  readonly worst: number;
  /** How the networks' steps were computed. */
  readonly algorithms: ReadonlySet<string>;
  readonly seconds: number;
}

/** Runs all cases on both engines. @throws what the GPU engine throws once it has failed altogether (a lost device) */
export async function selfTest(gpu: GpuEngine, cpu: Engine & TrainingEngine): Promise<SelfTestReport> {
  const started = performance.now();
  const cases = CASES.filter(({ precision }) => gpu.supports(precision));
  const failures: string[] = [];
  const algorithms = new Set<string>();
  let worst = 0;
  for (const { name, precision, tolerance, run } of cases) {
    const allowed = (tolerance === undefined ? SELF_TEST_TOLERANCE : SELF_TEST_TOLERANCE[tolerance])[precision];
    const actual = await run(gpu, precision, (names) => names.forEach((one) => algorithms.add(one)));
    const difference = compare(actual, await run(cpu, "f32"), allowed);
    if (precision === "f32" && tolerance === undefined) worst = Math.max(worst, difference.worst);
    if (difference.failure !== undefined) failures.push(`${name}: ${difference.failure}`);
  }
  return {
    cases: cases.length,
    skipped: CASES.length - cases.length,
    failures,
    worst,
    algorithms,
    seconds: (performance.now() - started) / 1000,
  };
}

function compare(actual: SelfTestResult, expected: SelfTestResult, tolerance: number) {
  let worst = 0;
  let failure: string | undefined;
  for (const [what, wanted] of Object.entries(expected)) {
    if (wanted instanceof Float32Array) {
      const difference = largestDifference(actual[what], wanted);
      worst = Math.max(worst, difference);
      if (!(difference <= tolerance)) {
        failure ??= `${what} differs by ${
          difference.toExponential(1)
        } of its standard deviation (allowed ${tolerance})`;
      }
    } else {
      let different = 0;
      wanted.forEach((value, i) => different += Number(actual[what][i] !== value));
      const share = different / wanted.length;
      if (!(share <= SELF_TEST_TOLERANCE.labels)) failure ??= `${what}: ${(100 * share).toFixed(1)} % of them differ`;
    }
  }
  return { worst, failure };
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
