/**
 * Which way to compute a layer makes a GPU fail its self-test. Wrong results come from a kernel that a driver miscompiles: computed another
 * way, the same layers may be right, and the GPU can be used.
 */
import { refusal } from "../../core/cases/case.ts";
import type { Engine } from "../../core/engine/engine.ts";
import type { TrainingEngine } from "../../core/engine/training.ts";
import type { GpuEngine } from "../../gpu/engine.ts";
import { selfTest, type SelfTestReport } from "./self_test.ts";

/** Ways that are tried without, before the GPU is given up. */
const MOST_SUSPECTS = 6;

/**
 * The key of the way without which the cases that failed are right; undefined if there is no single one.
 * @param open opens an engine that does without the way of this key
 */
export async function findWrongWay(
  { failed, suspects }: Pick<SelfTestReport, "failed" | "suspects">,
  cpu: Engine & TrainingEngine,
  open: (way: string) => Promise<GpuEngine>,
): Promise<string | undefined> {
  for (const way of suspects.slice(0, MOST_SUSPECTS)) {
    await using gpu = await open(way);
    // There may be no other way.
    if (failed.some((one) => refusal(gpu, one, "f32") !== undefined)) continue;
    const { failures } = await selfTest(gpu, cpu, failed);
    if (failures.length === 0) return way;
  }
  return undefined;
}
