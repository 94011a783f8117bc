/**
 * A checksum of the kernels themselves: what was measured of a GPU (tuning, self-test, precision) holds for the kernels it was measured
 * with. It is made of the text of all kernels that the cases plan (core/cases), so it changes with any of them and with nothing else.
 */
import { createHash } from "node:crypto";
import type { EngineCase } from "../core/cases/case.ts";
import { ENGINE_CASES } from "../core/cases/cases.ts";
import { measuredCandidates } from "../kernels/wgsl/conv/measured.ts";
import { BASE_LIMITS } from "../kernels/wgsl/conv/problem.ts";
import type { WgslDispatch } from "../kernels/wgsl/kernel.ts";
import { createPlanningEngine } from "./planning_engine.ts";
import { problemKey } from "./tuning.ts";

/** SHA-256 of the kernels, in hex; the same on every machine. */
export async function kernelChecksum(): Promise<string> {
  const hash = createHash("sha256");
  for (const { code } of await plannedKernels(ENGINE_CASES)) hash.update(code);
  return hash.digest("hex");
}

/** The distinct kernels of cases, in the order in which they are planned first. */
export async function plannedKernels(cases: readonly EngineCase[]): Promise<WgslDispatch[]> {
  const kernels = new Map<string, WgslDispatch>();
  const add = (dispatches: readonly WgslDispatch[]) => {
    for (const one of dispatches) if (!kernels.has(one.code)) kernels.set(one.code, one);
  };
  const measured = new Set<string>();
  for (const { everyWay, precisions, run } of cases) {
    for (const precision of precisions) {
      const engine = createPlanningEngine(BASE_LIMITS, ({ dispatches }) => add(dispatches), (problem) => {
        const key = problemKey(problem);
        if (everyWay && !measured.has(key)) {
          measured.add(key);
          for (const { operator } of measuredCandidates(problem)) add(operator.dispatches);
        }
        return undefined;
      });
      await run(engine, precision);
    }
  }
  return [...kernels.values()];
}
