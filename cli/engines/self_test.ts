/**
 * Whether a GPU computes what the CPU computes: the small cases of core/cases on both engines, compared. A driver that miscompiles a kernel
 * gives wrong numbers without any error; only this finds out.
 */
import { compareResults, refusal, toleranceOf } from "../../core/cases/case.ts";
import { ENGINE_CASES } from "../../core/cases/cases.ts";
import type { Engine } from "../../core/engine/engine.ts";
import type { TrainingEngine } from "../../core/engine/training.ts";
import type { GpuEngine } from "../../gpu/engine.ts";

export interface SelfTestReport {
  readonly cases: number;
  /** Cases left out because the GPU has no 16-bit floats. */
  readonly skipped: number;
  /** What came out wrong, a sentence a case: with activations in f32, without which the GPU is of no use; and in f16, which can be left. */
  readonly failures: readonly string[];
  readonly halfFailures: readonly string[];
  /** The largest difference of f32 results, as a share of their standard deviation; gradients aside. */
  readonly worst: number;
  /** How the networks' steps were computed. */
  readonly algorithms: ReadonlySet<string>;
  readonly seconds: number;
}

/** Runs all cases on both engines. @throws what the GPU engine throws once it has failed altogether (a lost device) */
export async function selfTest(gpu: GpuEngine, cpu: Engine & TrainingEngine): Promise<SelfTestReport> {
  const started = performance.now();
  const failures: string[] = [];
  const halfFailures: string[] = [];
  const algorithms = new Set<string>();
  let [cases, skipped, worst] = [0, 0, 0];
  for (const one of ENGINE_CASES.filter((each) => each.selfTest)) {
    const expected = await one.run(cpu, "f32");
    for (const precision of one.precisions) {
      if (refusal(gpu, one, precision) !== undefined) {
        skipped++;
        continue;
      }
      cases++;
      for (const { algorithm } of one.forecast(gpu, precision)) algorithms.add(algorithm);
      const difference = compareResults(await one.run(gpu, precision), expected, toleranceOf(one, precision));
      if (precision === "f32" && one.family !== "training") worst = Math.max(worst, difference.worst);
      if (difference.failure !== undefined) {
        const [list, how] = precision === "f16" ? [halfFailures, " in f16"] : [failures, ""];
        list.push(`${one.name}${how}: ${difference.failure}`);
      }
    }
  }
  return { cases, skipped, failures, halfFailures, worst, algorithms, seconds: (performance.now() - started) / 1000 };
}
