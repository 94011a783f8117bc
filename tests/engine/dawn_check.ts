/**
 * The engine on another WebGPU than Deno's: Dawn's null backend, which checks all that it is told and runs nothing. A program of its own, as
 * it loads native code. Prints a JSON report.
 */
import { ENGINE_CASES } from "../../core/cases/cases.ts";
import { createGpuEngine } from "../../gpu/engine.ts";

export interface DawnReport {
  readonly adapter: string;
  /** Whether the device is of Deno's own class. */
  readonly own: boolean;
  readonly cases: number;
  /** What was said of a wrong call. */
  readonly failure: string;
}

const { create }: { create(options: readonly string[]): GPU } = await import(Deno.args[0]);
const dawn = create(["backend=null"]);
const engine = await createGpuEngine({ allowSoftware: true, webgpu: dawn });
const cases = ENGINE_CASES.filter(({ name }) =>
  /network with batch norm|training step of a small|argmax|labels from/.test(name)
);
for (const one of cases) await one.run(engine, one.precisions[0]);
const well = engine.lastFailure;
engine.device.createBuffer({ size: 16, usage: 0xffff });
await new Promise((resolve) => setTimeout(resolve, 50));
const report: DawnReport = {
  adapter: engine.adapter.name,
  own: engine.device instanceof GPUDevice,
  cases: cases.length,
  failure: well ? `before: ${well}` : String(engine.lastFailure),
};
Deno.stdout.writeSync(new TextEncoder().encode(JSON.stringify(report)));
// It holds Dawn to the end: what is collected takes the device with it.
Deno.exit(dawn ? 0 : 1);
