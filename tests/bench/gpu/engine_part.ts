/** What the parts have in common that measure the engine itself. */
import type { Precision } from "../../../core/engine/engine.ts";
import type { GpuEngine } from "../../../gpu/engine.ts";
import { median } from "../measurements.ts";
import type { Clock, Limit } from "./budget.ts";
import { driverMebibytes } from "./driver_memory.ts";
import type { Report } from "./report.ts";
import type { Sizes } from "./sizes.ts";

/** What such a part is given. */
export interface EnginePart {
  readonly engine: GpuEngine;
  readonly sizes: Sizes;
  readonly limit: Limit;
  readonly report: Report;
  readonly clock: Clock;
}

export const precisionsOf = (engine: GpuEngine): Precision[] => (["f32", "f16"] as const).filter(engine.supports);

const MIB = 2 ** 20;

/**
 * Starts to watch the device's memory. The function that it gives reports what was taken since: as forecast, as the engine counts it, and as
 * the driver does, where it can be asked.
 */
export async function watchMemory({ engine, report }: EnginePart) {
  const before = engine.memoryUse().used;
  const driverBefore = await driverMebibytes();
  return async (name: string, forecastBytes: number) => {
    const taken = (engine.memoryUse().used - before) / MIB;
    const driver = await driverMebibytes();
    report.measure(`${name}: memory forecast`, forecastBytes / MIB, "MiB");
    report.measure(`${name}: memory taken`, taken, "MiB");
    if (driver === undefined || driverBefore === undefined) return;
    report.measure(`${name}: memory by the driver`, driver - driverBefore, "MiB");
  };
}

/** Reports best and median of some times, if there are any. */
export function measureTimes(report: Report, name: string, times: readonly number[]): void {
  if (times.length === 0) return;
  report.measure(`${name}, best`, Math.min(...times), "ms");
  report.measure(`${name}, median`, median(times), "ms");
}
