/**
 * Every kernel through Tint, the WGSL compiler of Dawn and Chromium, beside naga, which Deno has: the npm package `webgpu` with its null
 * backend, which checks texts and pipelines and runs nothing. A program of its own, as it loads native code. Prints a JSON report.
 */
import { RAISED_LIMITS } from "../../gpu/adapter.ts";
import { bindingEntries } from "../../gpu/pipelines.ts";
import { type WgslText, wgslTexts } from "./wgsl_texts.ts";

/** What a kernel was told, errors first; nothing if it is taken as it is. */
async function problemsOf(device: GPUDevice, { kernel, everywhere }: WgslText): Promise<string[]> {
  device.pushErrorScope("validation");
  const module = device.createShaderModule({ label: kernel.name, code: kernel.code });
  const { messages } = await module.getCompilationInfo();
  const entries = bindingEntries(kernel);
  const layout = device.createPipelineLayout({ bindGroupLayouts: [device.createBindGroupLayout({ entries })] });
  // The null backend promises the least that WebGPU does: kernels of large devices are left to the text's check.
  if (everywhere) device.createComputePipeline({ label: kernel.name, layout, compute: { module, entryPoint: "main" } });
  const error = await device.popErrorScope();
  return [
    ...(error ? [`error: ${error.message}`] : []),
    ...messages.filter(({ type }) => type !== "info").map(({ type, message, lineNum }) =>
      `${type}, line ${lineNum}: ${message}`
    ),
  ];
}

// Its name comes as an argument: a literal would be fetched with the program's own packages (tint.lock holds it, and Deno checks it).
const { create }: { create(options: readonly string[]): GPU } = await import(Deno.args[0]);
// Held to the end: what is collected takes the device with it.
const dawn = create(["backend=null"]);
const adapter = await dawn.requestAdapter();
if (!adapter) throw new Error("Dawn's null backend gives no adapter");
const requiredLimits = Object.fromEntries(RAISED_LIMITS.map((name) => [name, adapter.limits[name]]));
const device = await adapter.requestDevice({ requiredFeatures: ["shader-f16"], requiredLimits });
const texts = await wgslTexts();
const told: string[] = [];
for (const text of texts) {
  for (const problem of await problemsOf(device, text)) told.push(`${text.kernel.name}: ${problem}`);
}
// A text that is wrong is found to be: the check itself works.
const [{ kernel }] = texts;
const wrong = { kernel: { ...kernel, code: `${kernel.code}\nfn wrong() -> u32 { return 1.5; }` }, everywhere: false };
const finds = (await problemsOf(device, wrong)).length > 0;
Deno.stdout.writeSync(new TextEncoder().encode(JSON.stringify({ kernels: texts.length, told, finds, by: `${dawn}` })));
Deno.exit(0);
