/**
 * A share of the GPU's self-test on the most hostile device that WebGPU allows. A program of its own, so that kernels are compiled with
 * few optimizations and several shares run at a time: `hostile_check.ts SHARE OF`. Prints a JSON report.
 */
import { selfTest } from "../../cli/engines/self_test.ts";
import { ENGINE_CASES } from "../../core/cases/cases.ts";
import { createCpuEngine } from "../../cpu/engine.ts";
import { createGpuEngine } from "../../gpu/engine.ts";
import { hostileDevice } from "./hostile_device.ts";

export interface HostileReport {
  readonly cases: number;
  readonly kernels: number;
  readonly buffers: number;
  /** What came out wrong, and where stores went beyond. */
  readonly wrong: readonly string[];
}

const [share, shares] = Deno.args.map(Number);
const cases = ENGINE_CASES.filter((one) => one.selfTest).filter((_, i) => i % shares === share);
using device = hostileDevice();
await using gpu = await createGpuEngine({ allowSoftware: true });
await using cpu = await createCpuEngine({ threads: 1 });
const { failures, halfFailures, skipped } = await selfTest(gpu, cpu, cases);
const wrong = [...failures, ...halfFailures, ...(skipped > 0 ? [`${skipped} cases were left out`] : [])];
for (const what of await device.faults()) wrong.push(`a store beyond ${what}`);
const report: HostileReport = { cases: cases.length, kernels: device.kernels, buffers: device.buffers, wrong };
Deno.stdout.writeSync(new TextEncoder().encode(JSON.stringify(report)));
