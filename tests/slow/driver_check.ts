/**
 * Cases of core/cases on whatever Vulkan driver the environment names (VK_DRIVER_FILES), against the CPU engine: a program of its own, as the
 * driver is chosen for a process, and Dawn is native code. Writes a line of JSON for each case.
 *
 *   deno run ... driver_check.ts CASES [npm:webgpu@VERSION]       CASES: a regular expression of names; absent: Deno's own WebGPU
 */
import { compareResults, refusal, toleranceOf } from "../../core/cases/case.ts";
import { ENGINE_CASES } from "../../core/cases/cases.ts";
import { messageOf } from "../../core/base/errors.ts";
import { createCpuEngine } from "../../cpu/engine.ts";
import { createGpuEngine } from "../../gpu/engine.ts";

export interface CheckedCase {
  readonly adapter: string;
  readonly name: string;
  readonly worst: number;
  readonly seconds: number;
  /** What is wrong, or what was thrown. */
  readonly failure?: string;
  /** The engine's own words why it does not do the case. */
  readonly refused?: string;
}

const [pattern, dawn] = Deno.args;
const webgpu = dawn === undefined ? undefined : await loadDawn(dawn);
await using gpu = await createGpuEngine({ allowSoftware: true, ...(webgpu && { webgpu }) });
await using cpu = await createCpuEngine({ threads: 1 });
for (const one of ENGINE_CASES.filter(({ name }) => new RegExp(pattern).test(name))) {
  const expected = await one.run(cpu, "f32");
  for (const precision of one.precisions) {
    const start = performance.now();
    const refused = refusal(gpu, one, precision);
    const { worst, failure } = refused === undefined
      ? await one.run(gpu, precision).then(
        (actual) => compareResults(actual, expected, toleranceOf(one, precision)),
        (error) => ({ worst: NaN, failure: messageOf(error) }),
      )
      : { worst: 0, failure: undefined };
    const checked: CheckedCase = {
      adapter: gpu.adapter.name,
      name: `${one.name} in ${precision}`,
      worst,
      seconds: (performance.now() - start) / 1000,
      ...(failure !== undefined && { failure }),
      ...(refused !== undefined && { refused }),
    };
    Deno.stdout.writeSync(new TextEncoder().encode(`${JSON.stringify(checked)}\n`));
  }
}
// It holds Dawn to the end: what is collected takes the device with it.
Deno.exit(webgpu === null ? 1 : 0);

async function loadDawn(name: string): Promise<GPU> {
  const { create }: { create(options: readonly string[]): GPU } = await import(name);
  return create([]);
}
