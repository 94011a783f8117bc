/**
 * Whether a GPU computes what the CPU computes: the small cases of core/cases on both engines, compared. A driver that miscompiles a kernel
 * gives wrong numbers without any error; only this finds out.
 */
import { compareResults, type EngineCase, refusal, toleranceOf } from "../../core/cases/case.ts";
import { ENGINE_CASES } from "../../core/cases/cases.ts";
import type { Engine } from "../../core/engine/engine.ts";
import type { TrainingEngine } from "../../core/engine/training.ts";
import { wayKey } from "../../gpu/refused.ts";
import type { GpuEngine } from "../../gpu/engine.ts";

export interface SelfTestReport {
  readonly cases: number;
  /** Cases left out because the GPU has no 16-bit floats. */
  readonly skipped: number;
  /** What came out wrong, a sentence a case: with activations in f32, without which the GPU is of no use; and in f16, which can be left. */
  readonly failures: readonly string[];
  readonly halfFailures: readonly string[];
  /** The cases that failed in f32, and the ways to compute layers that all of them took and no other case did, the likeliest first. */
  readonly failed: readonly EngineCase[];
  readonly suspects: readonly string[];
  /** The largest difference of f32 results, as a share of their standard deviation; gradients aside. */
  readonly worst: number;
  /** How the networks' steps were computed. */
  readonly algorithms: ReadonlySet<string>;
  readonly seconds: number;
}

/**
 * Runs the self-test's cases, or those given, on both engines.
 * @param onCase Told how many are done, from none to all
 * @throws what the GPU engine throws once it has failed altogether (a lost device)
 */
export async function selfTest(
  gpu: GpuEngine,
  cpu: Engine & TrainingEngine,
  tested: readonly EngineCase[] = ENGINE_CASES.filter((each) => each.selfTest),
  onCase?: (done: number, of: number) => void,
): Promise<SelfTestReport> {
  const started = performance.now();
  const failures: string[] = [];
  const halfFailures: string[] = [];
  const algorithms = new Set<string>();
  const failed: EngineCase[] = [];
  const waysOf = { right: [] as string[][], wrong: [] as string[][] };
  let [cases, skipped, worst] = [0, 0, 0];
  for (const [index, one] of tested.entries()) {
    onCase?.(index, tested.length);
    const expected = await one.run(cpu, "f32");
    for (const precision of one.precisions) {
      if (refusal(gpu, one, precision) !== undefined) {
        skipped++;
        continue;
      }
      cases++;
      const steps = one.forecast(gpu, precision).map(({ algorithm }) => algorithm);
      for (const algorithm of steps) algorithms.add(algorithm);
      const difference = compareResults(await one.run(gpu, precision), expected, toleranceOf(one, precision));
      if (precision === "f32" && one.family !== "training") worst = Math.max(worst, difference.worst);
      if (precision === "f32") waysOf[difference.failure === undefined ? "right" : "wrong"].push(steps.map(wayKey));
      if (difference.failure !== undefined) {
        if (precision === "f32") failed.push(one);
        const [list, how] = precision === "f16" ? [halfFailures, " in f16"] : [failures, ""];
        list.push(`${one.name}${how}: ${difference.failure}`);
      }
    }
  }
  onCase?.(tested.length, tested.length);
  const seconds = (performance.now() - started) / 1000;
  const suspects = suspectsOf(waysOf);
  return { cases, skipped, failures, halfFailures, failed, suspects, worst, algorithms, seconds };
}

/** Keys of ways that are in every wrong list and in no right one. */
function suspectsOf({ right, wrong }: Record<"right" | "wrong", readonly (readonly string[])[]>): string[] {
  if (wrong.length === 0) return [];
  const exonerated = new Set(right.flat());
  const [first, ...others] = wrong;
  return [...new Set(first)].filter((way) => !exonerated.has(way) && others.every((ways) => ways.includes(way)));
}
